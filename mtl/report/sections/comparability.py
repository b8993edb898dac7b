"""The comparability card: what another number must share with these to be compared with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mtl.ablation.results import Results
from mtl.config.assignments import level_name
from mtl.grid.wording import joined
from mtl.report.archive import Leak
from mtl.report.data import ReportData
from mtl.report.document import Block, Cell, Paragraph, Section, columns, number, table, text
from mtl.runs.record import Record
from mtl.tasks.registry import TASKS
from mtl.tasks.task import METRIC_NAMES

RULES = {
    "mean": "mean of the tasks' metrics",
    "shifted": "mean, with (r + 1) / 2 in place of a correlation r",
}
KEPT_WEIGHTS = {"best": "best dev overall", "last": "last step"}


def section(data: ReportData) -> Section | None:
    """A card for every group of arms that compare; None where no run has scores."""
    blocks: list[Block] = []
    for number_of_group, group in enumerate(data.groups, 1):
        records = [record for arm in group.arms for record in data.records(arm)]
        if records:
            suffix = f"-{number_of_group}" if group.basis else ""
            blocks += _card(group, records, suffix)
            blocks += _rows(data, records[0], suffix)
    if not blocks:
        return None
    blocks.append(Paragraph(text=(
        "Scores compare with others only on the same dev rows by the same rule. The splits are "
        "this data's own: they are not GLUE's, and numbers from GLUE tables do not belong beside "
        "these."
    )))  # fmt: skip
    return Section(title="Comparability", key="comparability", blocks=tuple(blocks))


def _card(group: Results, records: list[Record], suffix: str) -> list[Block]:
    """The settings that scores depend on, as a table.

    Each row names every value among the records.
    """
    tasks = [task for task in TASKS if any(task in record.config["tasks"] for record in records)]
    configs = [record.config for record in records]
    rows = {
        "data": _values(config["data"] for config in configs),
        "fingerprint of train and dev": _values(record.data.fingerprint for record in records),
        "encoder": _values(config["encoder"] for config in configs),
        "metrics": joined([f"{task} {METRIC_NAMES[TASKS[task].metric]}" for task in tasks]),
        "overall": _values(RULES[config["overall"]] for config in configs),
        "kept weights": _values(KEPT_WEIGHTS[config["train"]["select"]] for config in configs),
        "training rows a task, limit": _values(level_name(config["limit"]) for config in configs),
        "epochs": _values(config["train"]["epochs"] for config in configs),
        "learning rate, batch size": _values(_pace(config["train"]) for config in configs),
        "tokens a sequence, at most": _values(config["max_length"] for config in configs),
        "numerics": _values(record.environment.numerics for record in records),
    }
    blocks: list[Block] = []
    if group.basis:
        blocks.append(Paragraph(text=f"For the arms on their own: {group.basis}."))
    cells = [(text(name), text(value)) for name, value in rows.items()]
    blocks.append(table(f"comparability{suffix}", columns("what", "here", kinds="tt"), cells))
    return blocks


def _pace(train: dict[str, Any]) -> str:
    """`1e-05 at 16`: learning rate and batch size, and how the rate changes."""
    warmup = f", warm-up {train['warmup']:g}" if train["warmup"] else ""
    decay = f", {train['decay']} decay" if train["decay"] != "none" else ""
    return f"{train['lr']:g} at {train['batch_size']}{warmup}{decay}"


def _values(values: Iterable[Any]) -> str:
    """Every different value, in order."""
    return ", ".join(dict.fromkeys("unknown" if value is None else str(value) for value in values))


def _rows(data: ReportData, record: Record, suffix: str) -> list[Block]:
    """The rows of each task, and their leaks from train into dev, as a table."""
    source = record.data
    counts, used = source.rows, source.trained_on
    leaks = data.archive.leaks.get(source.fingerprint or "", {})
    tasks = [task for task in TASKS if f"dev/{task}" in counts]
    if not tasks:
        return []
    rows = [
        (
            text(task),
            _trained_rows(counts[f"train/{task}"], used.get(task)),
            number(counts[f"dev/{task}"], "d"),
            text(source.parts.get(f"dev/{task}", "unknown")),
            *_leak_cells(leaks.get(task)),
        )
        for task in tasks
    ]
    heads = columns(
        "task",
        "train rows",
        "dev rows",
        "dev fingerprint",
        "dev rows also in train",
        "with a sentence in train",
        kinds="tnntnn",
    )
    caption = "Leaks from train into dev lift scores."
    if any(used.get(task, counts[f"train/{task}"]) < counts[f"train/{task}"] for task in tasks):
        caption += " They are counted over all train rows, of which these runs saw a part."
    if not leaks:
        caption += (
            " Not counted here: the data was not at hand, or is large; mtl data check DATA counts "
            "them."
        )
    return [table(f"rows{suffix}", heads, rows, caption)]


def _trained_rows(count: int, used: int | None) -> Cell:
    """`7 of 60`: the rows that were trained on, of all train rows."""
    if used is not None and used < count:
        return Cell(text=f"{used} of {count}", sort=used)
    return Cell(text=str(count), sort=count)


def _leak_cells(leak: Leak | None) -> list[Cell]:
    """Dev rows that stand in train, and those with a sentence that does."""
    if leak is None:
        return [Cell(text="unknown")] * 2
    pairs = ((leak.rows, leak.rows_share), (leak.sentences, leak.sentences_share))
    return [
        Cell(text=f"{count} ({100 * (share or 0):.1f} %)", sort=count) for count, share in pairs
    ]
