"""What each method acted on, and how much it did: why it made a difference, or none.

Surgery acts only in steps where tasks meet and conflict. SMART acts only where its noise moves the
output beyond the floor, R-Drop only where dropout moves it. Freezing holds only if the frozen bytes
are unchanged.
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
    number,
    table,
    text,
)
from mtl.report.sections.loss_reasons import loss_blocks
from mtl.report.sections.rdrop_reasons import rdrop_blocks
from mtl.report.sections.thaw_reasons import thaw_blocks
from mtl.report.sections.weight_reasons import weight_blocks
from mtl.report.wording import mean_of, share, small
from mtl.runs.diagnostics import SmartDiagnostics, SurgeryDiagnostics
from mtl.runs.record import Record

ByArm = Mapping[str, Sequence[Record]]
"""The records of each arm's runs with scores."""

SHARES = ("multi_task", "conflict", "projected", "removed_share")
"""The shares that the table of surgery shows, in order."""
NEXT_TO_NOTHING = 1e-6
"""Below it, R_s cannot change training."""


def section(data: ReportData) -> Section | None:
    """A table for each method that was on in some arm; None where none was."""
    arms = {arm.name: data.records(arm) for group in data.groups for arm in group.arms if arm.seeds}
    blocks = [
        *_surgery(arms), *_smart(arms), *rdrop_blocks(arms), *weight_blocks(arms),
        *loss_blocks(arms), *_lora(arms), *_simcse(arms),
        *_freezing(arms), *thaw_blocks(arms), *_dead(arms), *examples_seen(arms),
    ]  # fmt: skip
    if not blocks:
        return None
    return Section(title="Why it did what it did", key="reasons", blocks=tuple(blocks))


def _surgery(arms: ByArm) -> list[Block]:
    by_arm = {
        arm: parts
        for arm, records in arms.items()
        if (parts := [part for record in records if (part := record.diagnostics.surgery)])
    }
    if not by_arm:
        return []
    pairs = list(
        dict.fromkeys(pair for parts in by_arm.values() for part in parts for pair in part.cosine)
    )
    heads = columns("arm", "tasks meet", "conflict", "changed", "removed", kinds="tnnnn")
    heads += tuple(Column(title=f"cosine {pair}", kind="number") for pair in pairs)
    heads += (Column(title="dominant"),)
    rows = []
    for arm, parts in by_arm.items():
        cosines = [mean_of(part.cosine.get(pair) for part in parts) for pair in pairs]
        rows.append(
            (
                text(arm),
                *(share(_mean(parts, key)) for key in SHARES),
                *(Cell(text=_signed(cosine), sort=cosine) for cosine in cosines),
                text(_dominant(parts)),
            )
        )
    caption = (
        "Surgery, means over seeds. Shares are of all steps: in which several tasks meet, any "
        "two gradients have a negative cosine, surgery changed the plain sum. Removed: the norm "
        "of that change, as a share of the tasks' norms, over steps where they meet. Cosine: mean "
        "over the steps in which the two meet. Dominant: whose gradient is the largest, of those "
        "steps."
    )
    notes = [_surgery_note(arm, parts) for arm, parts in by_arm.items()]
    return [
        table("surgery", heads, rows, caption),
        *(Paragraph(text=note) for note in notes if note),
    ]


def _surgery_note(arm: str, parts: Sequence[SurgeryDiagnostics]) -> str:
    """How often surgery did something in an arm; empty where that is unknown."""
    projected, removed = _mean(parts, "projected"), _mean(parts, "removed_share")
    if projected is None:
        return ""
    if projected == 0:
        return f"{arm}: surgery never changed the sum, so it trained as plain training does."
    return (
        f"{arm}: surgery changed the sum in {_percent(projected)} of all steps; in steps where "
        f"tasks meet the change was {_percent(removed)} of the gradients' norms."
    )


def _mean(parts: Sequence[SurgeryDiagnostics | SmartDiagnostics], key: str) -> float | None:
    return mean_of(getattr(part, key) for part in parts)


def _dominant(parts: Sequence[SurgeryDiagnostics]) -> str:
    """The share of steps in which each task had the largest gradient, the largest share first."""
    totals: dict[str, int] = {}
    for part in parts:
        for task, count in part.dominant.items():
            totals[task] = totals.get(task, 0) + count
    steps = sum(totals.values())
    order = sorted(totals, key=lambda task: (-totals[task], task))
    return ", ".join(f"{task} {_percent(totals[task] / steps)}" for task in order) or NOTHING


def _smart(arms: ByArm) -> list[Block]:
    by_arm_and_task = {
        (arm, task): [by_task[task] for by_task in runs if task in by_task]
        for arm, records in arms.items()
        if (runs := [by_task for record in records if (by_task := record.diagnostics.smart)])
        for task in dict.fromkeys(task for by_task in runs for task in by_task)
    }
    if not by_arm_and_task:
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
    rows, silent = [], []
    for (arm, task), parts in by_arm_and_task.items():
        skipped = sum(part.skipped or 0 for part in parts)
        means = [_mean(parts, key) for key in ("r_s", "floor", "ratio", "largest", "d_breg")]
        cells = [*map(small, means), Cell(text=str(skipped), sort=skipped)]
        rows.append((text(arm), text(task), *cells))
        if means[0] is not None and means[0] < NEXT_TO_NOTHING:
            silent.append(f"{arm} on {task} (R_s {means[0]:.1e})")
    caption = (
        "SMART, means over steps and seeds. R_s: change of the output under the noise; floor: "
        "R_s without noise, which only differing dropout masks make; noise / embedding: ratio of "
        "their norms; D_Breg: distance to the averaged teacher; skipped: examples whose inner "
        "gradient was not finite, all seeds."
    )
    blocks: list[Block] = [table("smart", heads, rows, caption)]
    if silent:
        note = (
            f"R_s is next to nothing beside a loss of order 1: {'; '.join(silent)}. The noise is "
            "too small to move the output, so the term could not change training."
        )
        blocks.append(Paragraph(text=note))
    return blocks


def _lora(arms: ByArm) -> list[Block]:
    rows = []
    for arm, records in arms.items():
        parts = [part for record in records if (part := record.diagnostics.lora)]
        if parts:
            sizes = [mean_of(part.get(key) for part in parts) for key in ("trained", "share")]
            numbers = Cell(text=NOTHING if sizes[0] is None else f"{sizes[0]:.0f}", sort=sizes[0])
            change = mean_of(part.get("change") for part in parts)
            rows.append((text(arm), numbers, share(sizes[1]), small(change)))
    if not rows:
        return []
    heads = columns("arm", "numbers in adapters", "of the encoder", "change", kinds="tnnn")
    caption = (
        "LoRA after the last step, means over seeds. Of the encoder: the adapters' numbers as a "
        "share of the encoder's; change: norm of scale B A over norm of W, mean over adapters. "
        "Near 0, the adapters have hardly moved the encoder: raise train.lr or lora.alpha."
    )
    return [table("lora", heads, rows, caption)]


def _simcse(arms: ByArm) -> list[Block]:
    rows = []
    for arm, records in arms.items():
        if parts := [part for record in records if (part := record.diagnostics.simcse)]:
            keys = ("first_loss", "last_loss", "first_cosine", "last_cosine")
            numbers = [small(mean_of(part.get(key) for part in parts)) for key in keys]
            rows.append((text(arm), *numbers))
    if not rows:
        return []
    heads = columns(
        "arm", "loss at first", "loss at last", "cosine at first", "cosine at last", kinds="tnnnn"
    )
    caption = (
        "SimCSE before training: means over its first and its last tenth of steps, and over "
        "seeds. Cosine: between the two readings of a sentence. A loss that is near 0 at first "
        "has nothing left to teach: raise simcse.batch_size or train.dropout."
    )
    return [table("simcse", heads, rows, caption)]


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
    caption = (
        "Freezing: what was frozen for every task, compared with the loaded weights after training."
    )
    return [table("freezing", heads, rows, caption)]


def _dead(arms: ByArm) -> list[Block]:
    """Examples without a gradient, for heads that can leave some without."""
    rows = []
    for arm, records in arms.items():
        dead = [record.diagnostics.dead_examples_per_epoch for record in records]
        for task in dict.fromkeys(task for by_task in dead for task in by_task):
            epochs = [by_task[task] for by_task in dead if task in by_task]
            first, last = (mean_of(counts[at] for counts in epochs if counts) for at in (0, -1))
            if first or last:
                rows.append((text(arm), text(task), small(first), small(last)))
    if not rows:
        return []
    heads = columns("arm", "task", "dead, first epoch", "dead, last epoch", kinds="ttnn")
    caption = (
        "Training examples without a gradient, as max(0, cos) gives none below 0; means over seeds."
    )
    return [Table(name="dead-examples", columns=heads, rows=tuple(rows), caption=caption)]


def examples_seen(arms: ByArm) -> list[Block]:
    """How many examples each arm saw, where a setting makes arms see other numbers of them."""
    configs = [record.config for records in arms.values() for record in records]
    if not any(
        config.get("schedule") == "joint" or config["train"].get("max_examples")
        for config in configs
    ):
        return []
    rows = []
    for arm, records in arms.items():
        steps = mean_of(record.steps for record in records)
        seen = mean_of(record.diagnostics.examples for record in records)
        each = seen / steps if seen is not None and steps else None
        rows.append((text(arm), number(steps, ".0f"), number(seen, ".0f"), number(each, ".1f")))
    heads = columns("arm", "steps", "examples seen", "examples a step", kinds="tnnn")
    caption = (
        "Training examples, a row counting at each use; means over seeds. Arms that see other "
        "numbers of examples differ in more than their methods; train.max_examples holds the "
        "numbers equal, but for a step."
    )
    return [Table(name="examples-seen", columns=heads, rows=tuple(rows), caption=caption)]


def _percent(value: float | None) -> str:
    return share(value).text


def _signed(value: float | None) -> str:
    return NOTHING if value is None else f"{value:+.3f}"
