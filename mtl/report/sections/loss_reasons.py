"""What losses other than the tasks' own acted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl.report.document import Block, columns, table, text
from mtl.report.wording import mean_of, small
from mtl.runs.record import Record

QUANTITIES = {
    "plain": "the task's own loss on the same outputs",
    "factor": "mean factor of a row",
    "distance": "grades between the chosen and the true class",
    "positives": "share of positive pairs",
    "contrast": "the in-batch softmax",
    "compared": "share of pairs of rows with unequal labels",
    "wrong": "of these, the share in the wrong order",
}
"""What the losses measure (`measure` in `mtl.methods`), in words."""


def loss_blocks(arms: Mapping[str, Sequence[Record]]) -> list[Block]:
    """A table of what the losses measured by arm and task; none where all have their own."""
    rows = []
    for arm, records in arms.items():
        runs = [(record, losses) for record in records if (losses := record.diagnostics.losses)]
        for task in dict.fromkeys(task for _, losses in runs for task in losses):
            found = [(record, losses[task]) for record, losses in runs if task in losses]
            word = found[0][0].config.get("losses", {}).get(task, "")
            for quantity in dict.fromkeys(name for _, measured in found for name in measured):
                mean = mean_of(measured.get(quantity) for _, measured in found)
                meaning = QUANTITIES.get(quantity, quantity)
                rows.append((text(arm), text(task), text(word), text(meaning), small(mean)))
    if not rows:
        return []
    heads = columns("arm", "task", "loss", "what", "mean", kinds="ttttn")
    caption = "What the losses acted on: means over the steps of training, and over seeds."
    return [table("losses", heads, rows, caption)]
