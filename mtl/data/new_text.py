"""Read new text to label: tab-separated, or JSON lines. Labels are ignored.

Tab-separated text begins with a header that names the task's sentence columns; a column `id` is
optional. A JSON line is an object with the same keys; its id is a string or a number. A row without
an id gets its number, from 0.
"""

from __future__ import annotations

import json
import math
from typing import Any

from mtl.data.course.cells import data_error, id_problem, sentence_problem, shown
from mtl.data.course.records import Broken, Record, split_records
from mtl.data.rows import Rows
from mtl.errors import DataError, suggestion
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Task

Entry = tuple[int, dict[str, Any]]
"""The line (from 1) of a row, and its cells by column."""


def read_new_text(text: str, task: Task, source: str) -> Rows:
    """The rows of `text`, without labels. Raises one DataError that names all bad rows."""
    text = text.removeprefix("\ufeff")  # some editors begin a file with this mark
    entries, problems = (_json_lines if text.lstrip().startswith("{") else _table)(
        text, task, source
    )
    for line, cells in entries:
        checks = [
            (column, _sentence_problem(cells, column, task)) for column in task.sentence_columns
        ]
        checks.append(("id", _id_problem(cells.get("id"))))
        problems += [
            f"{source}:{line}: column {column!r}: {problem}"
            for column, problem in checks
            if problem
        ]
    if problems:
        raise data_error(problems)
    if not entries:
        raise DataError(
            f"{source}: no rows to label. Expected the columns {', '.join(task.sentence_columns)}."
        )
    columns = [[cells[column] for _, cells in entries] for column in task.sentence_columns]
    return Rows(
        task=task,
        split="test",
        ids=[
            str(number if cells.get("id") is None else cells["id"])
            for number, (_, cells) in enumerate(entries)
        ],
        first=columns[0],
        second=columns[1] if task.pair else None,
        labels=None,
    )


def _sentence_problem(cells: dict[str, Any], column: str, task: Task) -> str | None:
    if column not in cells:
        return f"expected a sentence, the key is missing.{_other_kind(task, list(cells))}"
    value = cells[column]
    return (
        sentence_problem(value)
        if isinstance(value, str)
        else f"expected a sentence, got {shown(str(value))}"
    )


def _id_problem(value: Any) -> str | None:
    if isinstance(value, str):
        return id_problem(value)
    if value is None or (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    ):
        return None
    return f"expected a string or a number, got {shown(str(value))}"


def _other_kind(task: Task, names: list[str]) -> str:
    """A hint if the columns fit a task with another number of sentences."""
    others = {
        other.sentence_columns: other.name for other in TASKS.values() if other.pair != task.pair
    }
    if not any(set(columns) <= set(names) for columns in others):
        return ""
    needs = (
        "pairs: sentence1 and sentence2" if task.pair else "one sentence a row: the column sentence"
    )
    return f" The task {task.name} takes {needs}. Is this another task's file?"


def _json_lines(text: str, task: Task, source: str) -> tuple[list[Entry], list[str]]:
    entries: list[Entry] = []
    problems = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.append(
                f"{source}:{number}: not JSON: {error}. One object a line, or a header and tabs."
            )
            continue
        if isinstance(value, dict):
            entries.append((number, value))
        else:
            problems.append(
                f"{source}:{number}: expected an object with {', '.join(task.sentence_columns)}."
            )
    return entries, problems


def _table(text: str, task: Task, source: str) -> tuple[list[Entry], list[str]]:
    items = list(split_records(text))
    if not items:
        return [], []
    if isinstance(items[0], Broken):
        raise DataError(f"{source}:{items[0].opened}: {items[0].message}")
    header = items[0].cells
    missing = [column for column in task.sentence_columns if column not in header]
    if missing:
        raise DataError(
            f"{source}:1: column {missing[0]!r}: expected in the header, which has "
            f"{', '.join(map(shown, header[:6]))}."
            f"{_other_kind(task, header) or suggestion(missing[0], header)} Begin with a header, "
            "tabs between the columns; or give JSON lines."
        )
    entries: list[Entry] = []
    problems = []
    for item in items[1:]:
        if isinstance(item, Broken):
            problems.append(f"{source}:{item.opened}: {item.message}")
        elif len(item.cells) != len(header):
            problems.append(
                f"{source}:{item.line}: expected {len(header)} cells as in the header, got "
                f"{len(item.cells)}"
            )
        else:
            entries.append((item.line, _cells(header, item)))
    return entries, problems


def _cells(header: list[str], record: Record) -> dict[str, Any]:
    return {name: cell for name, cell in zip(header, record.cells, strict=True) if name}
