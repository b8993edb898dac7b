"""Why a method did nothing, or something: what it could act on, and how much of it it did.

Surgery can only act in steps where tasks meet and conflict; SMART only if its noise moves the
output beyond the floor; freezing is what it says only if the frozen bytes stayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl.grid.wording import NOTHING
from mtl.report.data import ReportData
from mtl.report.document import (
    Block,
    Cell,
    Column,
    Paragraph,
    Section,
    Table,
    columns,
    table,
    text,
)
from mtl.report.wording import mean_of, share, small
from mtl.runs.record import Record, SurgeryDiagnostics

ByArm = Mapping[str, Sequence[Record]]
"""The records of each arm's runs with scores."""


def section(data: ReportData) -> Section | None:
    arms = {arm.name: data.records(arm) for group in data.groups for arm in group.arms if arm.seeds}
    blocks = [*_surgery(arms), *_smart(arms), *_freezing(arms), *_dead(arms)]
    return (
        Section(title="Why it did what it did", key="reasons", blocks=tuple(blocks))
        if blocks
        else None
    )


def _surgery(arms: ByArm) -> list[Block]:
    on = {
        arm: parts
        for arm, records in arms.items()
        if (parts := [part for record in records if (part := record.diagnostics.surgery)])
    }
    if not on:
        return []
    pairs = list(
        dict.fromkeys(pair for found in on.values() for one in found for pair in one.cosine)
    )
    heads = columns("arm", "tasks meet", "conflict", "projected", "removed", kinds="tnnnn")
    heads += tuple(Column(title=f"cosine {pair}", kind="number") for pair in pairs)
    heads += (Column(title="dominant"),)
    rows, said = [], []
    for arm, found in on.items():
        means = {
            key: mean_of(getattr(one, key) for one in found)
            for key in ("multi_task", "conflict", "projected", "removed_share")
        }
        cosines = [mean_of(one.cosine.get(pair) for one in found) for pair in pairs]
        rows.append((
            text(arm), *(share(means[key]) for key in means), *(Cell(text=_signed(value), sort=value) for value in cosines),
            text(_dominant(found)),
        ))  # fmt: skip
        if means["projected"] == 0:
            said.append(f"{arm}: nothing was ever projected, so it trained as plain training does.")
        elif means["projected"] is not None:
            said.append(
                f"{arm}: a projection fired in {_percent(means['projected'])} of all steps; in "
                f"steps where tasks meet it took {_percent(means['removed_share'])} of the "
                "gradients' norms."
            )
    caption = (
        "Surgery, means over seeds. Shares are of all steps: in which several tasks meet, any "
        "two gradients have a negative cosine, a projection fired. Removed: the norm taken from "
        "the plain sum, as a share of the tasks' norms, over steps where they meet. Cosine: mean "
        "over the steps in which the two meet. Dominant: whose gradient is the largest, of those "
        "steps."
    )
    return [table("surgery", heads, rows, caption), *(Paragraph(text=line) for line in said)]


def _dominant(found: Sequence[SurgeryDiagnostics]) -> str:
    totals: dict[str, int] = {}
    for one in found:
        for task, count in one.dominant.items():
            totals[task] = totals.get(task, 0) + count
    steps = sum(totals.values())
    order = sorted(totals, key=lambda task: (-totals[task], task))
    return ", ".join(f"{task} {_percent(totals[task] / steps)}" for task in order) or NOTHING


def _smart(arms: ByArm) -> list[Block]:
    on = {
        arm: [part for record in records if (part := record.diagnostics.smart)]
        for arm, records in arms.items()
    }
    rows, silent = [], []
    for arm, found in on.items():
        for task in dict.fromkeys(task for one in found for task in one):
            parts = [one[task] for one in found if task in one]
            means = {
                key: mean_of(getattr(part, key) for part in parts)
                for key in ("r_s", "floor", "ratio", "largest", "d_breg")
            }
            skipped = sum(part.skipped or 0 for part in parts)
            rows.append(
                (
                    text(arm),
                    text(task),
                    *(small(value) for value in means.values()),
                    Cell(text=str(skipped), sort=skipped),
                )
            )
            if means["r_s"] is not None and means["r_s"] < 1e-6:
                silent.append(f"{arm} on {task} (R_s {means['r_s']:.1e})")
    if not rows:
        return []
    heads = columns(
        "arm",
        "task",
        "R_s",
        "floor",
        "noise / embedding",
        "largest element",
        "D_Breg",
        "skipped",
        kinds="ttnnnnnn",
    )
    caption = (
        "SMART, means over steps and seeds. R_s: change of the output under the noise; floor: "
        "R_s without noise, which only differing dropout masks make; noise / embedding: ratio of "
        "their norms; D_Breg: distance to the averaged teacher; skipped: examples whose inner "
        "gradient was not finite, all seeds."
    )
    blocks: list[Block] = [table("smart", heads, rows, caption)]
    if silent:
        blocks.append(Paragraph(
            text=f"R_s is next to nothing beside a loss of order 1: {'; '.join(silent)}. The "
            "noise is too small to move the output, so the term could not change training."
        ))  # fmt: skip
    return blocks


def _freezing(arms: ByArm) -> list[Block]:
    rows = []
    for arm, records in arms.items():
        if all(record.frozen_unchanged is None for record in records):
            continue
        sizes = {
            key: mean_of(getattr(record.diagnostics, key) for record in records)
            for key in ("frozen_bytes", "trained_bytes")
        }
        held = all(
            record.frozen_unchanged for record in records if record.frozen_unchanged is not None
        )
        cells = [
            Cell(text=NOTHING if size is None else f"{size / 2**20:.1f}", sort=size)
            for size in sizes.values()
        ]
        rows.append((text(arm), *cells, text("unchanged, bit for bit" if held else "CHANGED")))
    if not rows:
        return []
    heads = columns(
        "arm", "frozen, MiB", "trained, MiB", "frozen tensors after training", kinds="tnnt"
    )
    return [
        table(
            "freezing",
            heads,
            rows,
            "Freezing: what was frozen for every task, compared with the loaded weights after "
            "training.",
        )
    ]


def _dead(arms: ByArm) -> list[Block]:
    """Examples without a gradient, where a head can have such."""
    rows = []
    for arm, records in arms.items():
        for task in dict.fromkeys(task for record in records for task in _dead_of(record)):
            epochs = [_dead_of(record)[task] for record in records if task in _dead_of(record)]
            first, last = (mean_of(one[at] for one in epochs if one) for at in (0, -1))
            if first or last:
                rows.append((text(arm), text(task), small(first), small(last)))
    if not rows:
        return []
    heads = columns("arm", "task", "dead, first epoch", "dead, last epoch", kinds="ttnn")
    caption = (
        "Training examples without a gradient, as max(0, cos) gives none below 0; means over seeds."
    )
    return [Table(name="dead-examples", columns=heads, rows=tuple(rows), caption=caption)]


def _dead_of(record: Record) -> dict[str, list[int]]:
    return record.diagnostics.dead_examples_per_epoch


def _percent(value: float | None) -> str:
    return share(value).text


def _signed(value: float | None) -> str:
    return NOTHING if value is None else f"{value:+.3f}"
