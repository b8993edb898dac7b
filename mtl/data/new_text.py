"""Text to label: tab-separated with the course's columns, or JSON lines. Labels are not needed and not read.

Tab-separated input begins with a header that names the task's sentence columns and, if it likes, `id`. A JSON line is an
object with the same keys. Rows without an id are numbered from 0.
"""

from __future__ import annotations

import json
from typing import Any

from mtl.data.cells import data_error, sentence_problem, shown
from mtl.data.records import Broken, Record, split_records
from mtl.data.rows import Rows
from mtl.errors import DataError, suggestion
from mtl.tasks import Task

Entry = tuple[int, dict[str, Any]]
"""The line (from 1) of a row, and its cells by column."""


def read_new_text(text: str, task: Task, source: str) -> Rows:
    """The rows of `text`, without labels. Raises one DataError for all bad rows, naming `source:line: column`."""
    entries, problems = (_json_lines if text.lstrip().startswith("{") else _table)(text, task, source)
    for line, cells in entries:
        for column in task.sentence_columns:
            value = cells.get(column)
            problem = (
                sentence_problem(value) if isinstance(value, str) else f"expected a sentence, came {shown(str(value))}"
            )
            if problem:
                problems.append(f"{source}:{line}: column {column!r}: {problem}")
    if problems:
        raise data_error(problems)
    if not entries:
        raise DataError(f"{source}: no rows to label. Expected the columns {', '.join(task.sentence_columns)}.")
    columns = [[cells[column] for _, cells in entries] for column in task.sentence_columns]
    return Rows(
        task=task,
        split="test",
        ids=[str(cells.get("id", number)) for number, (_, cells) in enumerate(entries)],
        first=columns[0],
        second=columns[1] if task.pair else None,
        labels=None,
    )


def _json_lines(text: str, task: Task, source: str) -> tuple[list[Entry], list[str]]:
    entries: list[Entry] = []
    problems = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            problems.append(f"{source}:{number}: not JSON: {error}. One object a line, or a header and tabs.")
            continue
        if isinstance(value, dict):
            entries.append((number, value))
        else:
            problems.append(f"{source}:{number}: expected an object with {', '.join(task.sentence_columns)}.")
    return entries, problems


def _table(text: str, task: Task, source: str) -> tuple[list[Entry], list[str]]:
    items = list(split_records(text.removeprefix("\ufeff")))
    if not items:
        return [], []
    if isinstance(items[0], Broken):
        raise DataError(f"{source}:{items[0].opened}: {items[0].message}")
    header = items[0].cells
    missing = [column for column in task.sentence_columns if column not in header]
    if missing:
        raise DataError(
            f"{source}:1: column {missing[0]!r}: expected in the header, which has {', '.join(map(shown, header[:6]))}."
            f"{suggestion(missing[0], header)} Begin with a header, tabs between the columns; or give JSON lines."
        )
    entries: list[Entry] = []
    problems = []
    for item in items[1:]:
        if isinstance(item, Broken):
            problems.append(f"{source}:{item.opened}: {item.message}")
        elif len(item.cells) != len(header):
            problems.append(
                f"{source}:{item.line}: expected {len(header)} cells as in the header, got {len(item.cells)}"
            )
        else:
            entries.append((item.line, _cells(header, item)))
    return entries, problems


def _cells(header: list[str], record: Record) -> dict[str, Any]:
    cells: dict[str, Any] = {name: cell for name, cell in zip(header, record.cells, strict=True) if name}
    return cells
