"""Read new text to label: tab-separated, or JSON lines. Labels are ignored.

Tab-separated text begins with a header that names the task's sentence columns; a column `id` is
optional. A JSON line is an object with the same keys; its id is a string or a number. A row without
an id gets its number, from 0. A sentence may be empty.

The text is read as it is needed and rows come in batches, so memory does not grow with its size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

from mtl.data.course.cells import MAX_SHOWN, character_problem, data_error, id_problem, shown
from mtl.data.course.header import check_first_line, rename_hint
from mtl.data.course.records import Broken, Record, split_records
from mtl.data.rows import Rows
from mtl.errors import DataError, suggestion
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Task

BATCH = 4096
"""Rows that are labelled at a time."""

Entry = tuple[int, dict[str, Any]] | str
"""The line (from 1) of a row, and its cells by column; or the problem of a row."""


@dataclass
class BadRows:
    """The rows that cannot be used: the first problems with their places, and how many rows."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, problems: list[str]) -> None:
        """Count a row with its problems."""
        self.count += 1
        if len(self.first) < MAX_SHOWN:
            self.first += problems

    def error(self, advice: str) -> DataError:
        """One error for all of them."""
        return data_error(self.first, advice, more=max(0, self.count - len(self.first)))


def new_rows(
    lines: Iterator[str], task: Task, source: str, bad: BadRows, batch: int = BATCH
) -> Iterator[Rows]:
    """The rows of a text in batches, without labels. Rows that cannot be used go to `bad`.

    Raises DataError where the header is wrong, or where there are no rows at all.
    """
    rows: list[tuple[str, list[str]]] = []
    number = -1
    for number, entry in enumerate(_entries(lines, task, source)):
        problems = [entry] if isinstance(entry, str) else _problems(*entry, task, source)
        if isinstance(entry, str) or problems:
            bad.add(problems)
            continue
        cells = entry[1]
        row_id = number if cells.get("id") is None else cells["id"]
        rows.append((str(row_id), [cells[column] for column in task.sentence_columns]))
        if len(rows) == batch:
            yield _rows(rows, task)
            rows = []
    if rows:
        yield _rows(rows, task)
    if number < 0:
        raise DataError(
            f"{source}: no rows to label. Expected the columns {', '.join(task.sentence_columns)}."
        )


def _rows(rows: list[tuple[str, list[str]]], task: Task) -> Rows:
    return Rows(
        task=task,
        split="test",
        ids=[row_id for row_id, _ in rows],
        first=[sentences[0] for _, sentences in rows],
        second=[sentences[1] for _, sentences in rows] if task.pair else None,
        labels=None,
    )


def _entries(lines: Iterator[str], task: Task, source: str) -> Iterator[Entry]:
    numbers = count(1)
    for first, number in zip(lines, numbers, strict=False):
        if first.strip():
            rest = chain([first], lines)
            if first.lstrip().startswith("{"):
                return _json_lines(rest, number, task, source)
            return _table(rest, number, task, source)
    return iter(())


def _problems(line: int, cells: dict[str, Any], task: Task, source: str) -> list[str]:
    """The problems of a row, each with its place."""
    checks = [(column, _sentence_problem(cells, column, task)) for column in task.sentence_columns]
    checks.append(("id", _id_problem(cells.get("id"))))
    return [
        f"{source}:{line}: column {column!r}: {problem}" for column, problem in checks if problem
    ]


def _sentence_problem(cells: dict[str, Any], column: str, task: Task) -> str | None:
    if column not in cells:
        return f"expected a sentence, the key is missing.{_other_kind(task, list(cells))}"
    value = cells[column]
    return (
        character_problem(value)
        if isinstance(value, str)
        else f"expected a sentence, got {shown(str(value))}"
    )


def _id_problem(value: Any) -> str | None:
    if isinstance(value, str):
        return id_problem(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or (number and (isinstance(value, int) or math.isfinite(value))):
        return None
    return f"expected a string or a number, got {shown(str(value))}"


def _other_kind(task: Task, names: list[str]) -> str:
    """A hint if the columns fit a task with another number of sentences."""
    others = {
        other.sentence_columns: other.name for other in TASKS.readable() if other.pair != task.pair
    }
    if not any(set(columns) <= set(names) for columns in others):
        return ""
    needs = (
        f"pairs: {' and '.join(task.sentence_columns)}"
        if task.pair
        else f"one sentence a row: the column {task.sentence_columns[0]}"
    )
    return f" The task {task.name} takes {needs}. Is this another task's file?"


def _json_lines(lines: Iterator[str], start: int, task: Task, source: str) -> Iterator[Entry]:
    for number, line in enumerate(lines, start):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield f"{source}:{number}: not JSON: {error}. One object a line, or a header and tabs."
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            yield f"{source}:{number}: expected an object with {', '.join(task.sentence_columns)}."


def _table(lines: Iterator[str], start: int, task: Task, source: str) -> Iterator[Entry]:
    first = next(lines)
    check_first_line(source, first, task)
    items = split_records(chain([first], lines), start)
    header = next(items)
    if isinstance(header, Broken):
        raise DataError(f"{source}:{header.opened}: {header.message}")
    _check_header(header.cells, task, f"{source}:{start}")
    for item in items:
        if isinstance(item, Broken):
            yield f"{source}:{item.opened}: {item.message}"
        elif len(item.cells) != len(header.cells):
            yield (
                f"{source}:{item.line}: expected {len(header.cells)} cells as in the header, got "
                f"{len(item.cells)}"
            )
        else:
            yield item.line, _cells(header.cells, item)


def _check_header(header: list[str], task: Task, place: str) -> None:
    """Raise DataError for a sentence column that is missing, or for a column that stands twice."""
    for column in ("id", *task.sentence_columns):
        hint = rename_hint(column, header)
        if header.count(column) > 1:
            raise DataError(f"{place}: column {column!r}: expected once. Remove or rename one.")
        if column not in header and (hint or column != "id"):
            hint = hint or _other_kind(task, header) or suggestion(column, header)
            raise DataError(
                f"{place}: column {column!r}: expected in the header, which has "
                f"{', '.join(map(shown, header[:6]))}.{hint} Begin with a header, "
                "tabs between the columns; or give JSON lines."
            )


def _cells(header: list[str], record: Record) -> dict[str, Any]:
    return {name: cell for name, cell in zip(header, record.cells, strict=True) if name}
