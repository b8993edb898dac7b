"""The comparability card: what another number must share with these before the two may be compared."""

from __future__ import annotations

from typing import Any

from mtl.config.assignments import level_name
from mtl.report.document import Block, Cell, Paragraph, Section, columns, number, table, text
from mtl.report.material import Material
from mtl.report.wording import joined
from mtl.runs.record import Record
from mtl.tasks.registry import TASKS

RULES = {
    "mean": "plain mean of the tasks' metrics",
    "shifted": "mean, with (r + 1) / 2 in place of sts' Pearson r",
}


def section(material: Material) -> Section | None:
    blocks: list[Block] = []
    for group in material.groups:
        records = [record for arm in group.results.arms for record in material.records(arm)]
        if records:
            blocks += _card(material, records, group.what)
    if not blocks:
        return None
    blocks.append(Paragraph(text=(
        "Scores compare with others only on the same dev rows by the same rule. The splits are this data's own: they are not GLUE's, and "
        "numbers from GLUE tables do not belong beside these."
    )))  # fmt: skip
    return Section(title="Comparability", key="comparability", blocks=tuple(blocks))


def _card(material: Material, records: list[Record], what: str) -> list[Block]:
    first = records[0]
    tasks = [task for task in TASKS if any(task in record.config["tasks"] for record in records)]
    metrics = joined(
        [
            f"{task} {'Pearson r' if TASKS[task].metric == 'pearson' else 'accuracy'}"
            for task in tasks
        ]
    )
    rows = [
        ("data", _each(record.config["data"] for record in records)),
        (
            "fingerprint of train and dev",
            _each(record.data.fingerprint for record in records),
        ),
        ("encoder", _each(record.config["encoder"] for record in records)),
        ("metrics", metrics),
        ("overall", _each(RULES[record.config["overall"]] for record in records)),
        (
            "kept weights",
            _each(
                {"best": "best dev overall", "last": "last step"}[record.config["train"]["select"]]
                for record in records
            ),
        ),
        (
            "training rows a task, limit",
            _each(level_name(record.config["limit"]) for record in records),
        ),
        ("epochs", _each(record.config["train"]["epochs"] for record in records)),
        ("learning rate, batch size", _each(map(_pace, records))),
        ("tokens a sequence, at most", _each(record.config["max_length"] for record in records)),
        ("numerics", _each(record.environment.numerics for record in records)),
    ]
    blocks: list[Block] = []
    if what:
        blocks.append(Paragraph(text=f"For the arms on their own: {what}."))
    suffix = (
        ""
        if not what
        else f"-{material.groups.index(next(group for group in material.groups if group.what == what)) + 1}"
    )
    blocks.append(
        table(
            f"comparability{suffix}",
            columns("what", "here", kinds="tt"),
            [(text(name), text(value)) for name, value in rows],
        )
    )
    blocks += _rows(material, first, suffix)
    return blocks


def _pace(record: Record) -> str:
    """`1e-05 at 16`, and how the rate changes."""
    train = record.config["train"]
    warmup = f", warm-up {train['warmup']:g}" if train["warmup"] else ""
    decay = f", {train['decay']} decay" if train["decay"] != "none" else ""
    return f"{train['lr']:g} at {train['batch_size']}{warmup}{decay}"


def _each(values: Any) -> str:
    """Every different value, in order."""
    return ", ".join(dict.fromkeys("unknown" if value is None else str(value) for value in values))


def _rows(material: Material, record: Record, suffix: str) -> list[Block]:
    data = record.data
    leaks = material.archive["leaks"].get(data.fingerprint, {})
    rows = []
    limited = False
    for task in TASKS:
        if f"dev/{task}" not in data.rows:
            continue
        leak = leaks.get(task)
        whole, used = data.rows[f"train/{task}"], data.trained_on.get(task)
        part = used is not None and used < whole
        cells = [
            text(task),
            Cell(text=f"{used} of {whole}" if part else str(whole), sort=used if part else whole),
        ]
        cells.append(number(data.rows[f"dev/{task}"], "d"))
        limited = limited or part
        cells.append(text(data.parts.get(f"dev/{task}", "unknown")))
        for key in ("rows", "sentences"):
            known = (
                "unknown"
                if leak is None
                else f"{leak[key]} ({100 * (leak[f'{key}_share'] or 0):.1f} %)"
            )
            cells.append(Cell(text=known, sort=None if leak is None else leak[key]))
        rows.append(tuple(cells))
    if not rows:
        return []
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
    if limited:
        caption += " They are counted over all train rows, of which these runs saw a part."
    if not leaks:
        caption += " Not counted here: the data was not at hand, or is large; mtl data check DATA counts them."
    return [table(f"rows{suffix}", heads, rows, caption)]
