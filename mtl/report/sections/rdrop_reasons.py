"""How far apart R-Drop found the outputs of two passes, and how much of the loss that was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl.report.document import Block, Paragraph, columns, table, text
from mtl.report.wording import mean_of, share, small
from mtl.runs.record import Record

HARDLY = 0.01
"""Below this share of the loss, the penalty hardly enters training."""


def rdrop_blocks(arms: Mapping[str, Sequence[Record]]) -> list[Block]:
    """A table by arm and task; none where no arm has R-Drop."""
    rows, weak = [], []
    for arm, records in arms.items():
        runs = [
            (alpha, by_task)
            for record in records
            if (alpha := record.config.get("rdrop")) and (by_task := record.diagnostics.rdrop)
        ]
        for task in dict.fromkeys(task for _, by_task in runs for task in by_task):
            parts = [(alpha, by_task[task]) for alpha, by_task in runs if task in by_task]
            ratios = [
                alpha * part.distance / part.loss
                for alpha, part in parts
                if part.distance is not None and part.loss
            ]
            ratio = mean_of(ratios)
            means = [
                mean_of(alpha for alpha, _ in parts),
                mean_of(part.loss for _, part in parts),
                mean_of(part.distance for _, part in parts),
            ]
            rows.append((text(arm), text(task), *map(small, means), share(ratio)))
            if ratio is not None and ratio < HARDLY:
                weak.append(f"{arm} on {task} ({share(ratio).text})")
    if not rows:
        return []
    heads = columns("arm", "task", "alpha", "loss", "D", "alpha D / loss", kinds="ttnnnn")
    caption = (
        "R-Drop, means over steps and seeds. Loss: the mean of the two passes, without the "
        "penalty; D: distance between their outputs, which only the differing dropout masks make; "
        "alpha D / loss: the penalty as a share of that loss."
    )
    blocks: list[Block] = [table("rdrop", heads, rows, caption)]
    if weak:
        note = (
            f"The penalty was less than 1 % of the loss: {'; '.join(weak)}. The two passes nearly "
            "agree there, so it could hardly change training. A larger rdrop or train.dropout "
            "makes it count."
        )
        blocks.append(Paragraph(text=note))
    return blocks
