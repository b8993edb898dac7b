"""A strict reader of the course's files: one file per task and split.

Format: tab-separated, in UTF-8 or what a byte-order mark says. The first column has no name and
counts the rows. A cell stands in double quotes if it holds a tab, a line break or a quote; inner
quotes are doubled. Labels are decimal text. Columns that the task does not need are ignored.

Reading is strict, because nothing shows later that a row was misread. All problems of a file are
reported in one DataError, each with `file:line: column`. Lines are counted as `sed -n` counts them:
a line break inside quotes starts a new line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import numpy as np

from mtl.data.course.cells import data_error, parse_label, row_problems, shown
from mtl.data.course.header import (
    check_first_line,
    check_shift,
    column_names,
    column_words,
    find_columns,
)
from mtl.data.course.records import Broken, Record, split_records
from mtl.data.rows import Rows
from mtl.data.text_lines import text_lines
from mtl.errors import DataError, suggestion
from mtl.tasks.task import Split, Task

OnBadRow = Literal["error", "skip"]

MAX_FILE = 1 << 28
"""Most characters of a file: six times the largest of the course's."""

KNOWN_DEFECTS = frozenset({"ad118c967d683c93883bf072d", "9054345d02cd6c5642a4904dc"})
"""Ids of two rows of the published quora-train.csv that have no label. One has no second sentence.

They cannot be repaired, so they are always left out and counted, also if bad rows are refused.
"""

SKIP_ADVICE = "Fix these rows, or leave them out with on_bad_row='skip' (--on-bad-row skip)."


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """A problem of the row that begins in `line`.

    A `fatal` problem cannot be skipped with its row. A `known` problem is one of `KNOWN_DEFECTS`.
    """

    line: int
    place: str  # file:line, as printed
    message: str
    fatal: bool = False
    known: bool = False


def read_course(
    folder: Path,
    task: Task,
    split: Split,
    *,
    on_bad_row: OnBadRow = "error",
    name: str | None = None,
) -> Rows:
    """The rows of one course file, in file order. `name` is the file's, if it is not the usual one.

    `on_bad_row="skip"` leaves out bad rows and lists them in `Rows.skipped`, one message per row.
    `KNOWN_DEFECTS` are always left out. Faults of the whole file (encoding, header, a quote that
    swallows rows) are errors in both modes. A test file may lack the label column; `labels` is then
    None. Raises DataError.
    """
    name = name or task.file_name(split)
    check_folder(folder, [name])
    path = folder / name
    lines = _read_lines(path, task)
    check_first_line(path, lines[0], task)
    header, records, broken = _split_header(path, lines)
    columns = find_columns(path, task, split, header)
    check_shift(path, header, records)
    kept, problems = _sort_rows(path, task, header, columns, records)
    for fault in broken:
        message = f"{column_words(header, fault.cell)}: {fault.message}"
        problems.append(
            _Problem(
                line=fault.line, place=f"{path}:{fault.opened}", message=message, fatal=fault.fatal
            )
        )
    problems.sort(key=lambda problem: problem.line)
    fatal = any(problem.fatal for problem in problems)
    refused = problems if fatal else [problem for problem in problems if not problem.known]
    if refused and (fatal or on_bad_row == "error"):
        listed = [f"{problem.place}: {problem.message}" for problem in refused]
        raise data_error(listed, "" if fatal else SKIP_ADVICE)
    bad = _row_by_row(problems)
    if not kept:
        cause = (
            "all of them are bad. Is it another task's file?"
            if bad
            else "there are none. Is the file cut off?"
        )
        raise data_error([f"{path}:2: expected rows below the header, {cause}", *bad])
    return _rows(task, split, columns, kept, tuple(bad))


def _row_by_row(problems: Sequence[_Problem]) -> list[str]:
    """One message per bad row, with all its problems."""
    rows: dict[str, list[str]] = {}
    for problem in problems:
        rows.setdefault(problem.place, []).append(problem.message)
    return [f"{place}: {'; '.join(messages)}" for place, messages in rows.items()]


def check_folder(folder: Path, names: Sequence[str]) -> None:
    """Raise one DataError that names all missing files, the files present, and near names."""
    wanted = ", ".join(names)
    if not folder.exists():
        parent = folder.absolute().parent
        near = suggestion(folder.name, [entry.name for entry in _entries(parent) if entry.is_dir()])
        raise DataError(f"{folder}: no such folder.{near} Expected a folder with {wanted}.")
    if not folder.is_dir():
        raise DataError(
            f"{folder}: expected a folder with {wanted}, this is a file. Name its folder."
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if not missing:
        return
    entries = _entries(folder)
    present = [entry.name for entry in entries if not entry.name.startswith(".")]
    below = [entry for entry in entries if entry.is_dir() and (entry / missing[0]).is_file()]
    listed = ", ".join(present[:12]) + (
        f" and {len(present) - 12} more" if len(present) > 12 else ""
    )
    lines = []
    for name in missing:
        close = get_close_matches(
            name, [entry for entry in present if entry not in names], n=1, cutoff=0.6
        )
        lines.append(
            f"{folder / name}: no such file."
            + (f" Did you mean {close[0]!r}? Rename it." if close else "")
        )
    lines.append(f"{folder} holds {listed}." if listed else f"{folder} is empty.")
    if below:
        lines.append(f"{below[0]} has {missing[0]}: name that folder.")
    raise DataError("\n".join(lines))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # only used to suggest names
        return []


def _read_lines(path: Path, task: Task) -> list[str]:
    """The lines of the file. Raises DataError with line and byte for another encoding."""
    lines, size = [], 0
    try:
        with path.open("rb") as file:
            for line in text_lines(file, str(path)):
                lines.append(line)
                size += len(line)
                if size > MAX_FILE:
                    raise DataError(f"{path}: larger than {MAX_FILE} characters. Is it a table?")
    except OSError as error:
        raise DataError(
            f"{path}: cannot read it: {error.strerror}. Check the file's permissions."
        ) from error
    if not any(line.strip() for line in lines):
        raise DataError(
            f"{path}:1: expected a header with {column_names(task)}, the file is empty. Is the "
            "copy complete?"
        )
    return lines


def _split_header(path: Path, lines: list[str]) -> tuple[list[str], list[Record], list[Broken]]:
    """The cells of the header, the records below it, and the records that csv could not split."""
    header, *below = split_records(lines)
    if isinstance(header, Broken):
        raise DataError(f"{path}:{header.opened}: column {header.cell + 1}: {header.message}")
    records = [item for item in below if isinstance(item, Record)]
    return header.cells, records, [item for item in below if isinstance(item, Broken)]


def _sort_rows(
    path: Path,
    task: Task,
    header: Sequence[str],
    columns: Mapping[str, int],
    records: Sequence[Record],
) -> tuple[list[Record], list[_Problem]]:
    """The good rows, and the problems of the bad rows."""
    kept: list[Record] = []
    problems: list[_Problem] = []
    first_lines: dict[str, int] = {}  # id -> the first line that has it
    for record, following in zip_longest(records, records[1:]):
        where = f"{path}:{record.line}"
        fault = _shape_fault(record, following, len(header))
        if fault:
            # Such a row over several lines has swallowed others. Skipping it would lose them.
            swallowed = record.last > record.line
            problems.append(_Problem(line=record.line, place=where, message=fault, fatal=swallowed))
            continue
        cells = {name: record.cells[place] for name, place in columns.items()}
        cell_problems = row_problems(task, cells, labelled=task.label_column in columns)
        name = cells["id"]
        if name.strip() and name in first_lines:
            cell_problems.append(
                (
                    "id",
                    f"expected each id once, {shown(name)} stands in line {first_lines[name]} "
                    "too. Change one",
                )
            )
        first_lines.setdefault(name, record.line)
        for column, message in cell_problems:
            problem = f"column {column!r}: {message}"
            problems.append(
                _Problem(
                    line=record.line, place=where, message=problem, known=name in KNOWN_DEFECTS
                )
            )
        if not cell_problems:
            kept.append(record)
    return kept, problems


def _shape_fault(record: Record, following: Record | None, width: int) -> str | None:
    """The fault in the number of cells of `record` or in the lines that it covers, or None."""
    span = f"the row runs from line {record.line} to {record.last}"
    if len(record.cells) != width:
        sizes = f"expected {width} cells as in the header, got {len(record.cells)}"
        if record.last > record.line:
            return f"{sizes}; {span}. Close the quote that opens in it"
        return f"{sizes}. Is a tab missing, or a text with a tab not in quotes?"
    if following and record.swallows(following):
        return f"{span} and seems to hold other rows. Close the quote that opens in it"
    return None


def _rows(
    task: Task,
    split: Split,
    columns: Mapping[str, int],
    kept: Sequence[Record],
    skipped: tuple[str, ...],
) -> Rows:
    def column(name: str) -> list[str]:
        return [record.cells[columns[name]] for record in kept]

    labels = None
    if task.label_column in columns:
        labels = np.array(
            [parse_label(task, text) for text in column(task.label_column)], dtype=np.float64
        )
    return Rows(
        task=task,
        split=split,
        ids=column("id"),
        first=column(task.sentence_columns[0]),
        second=column(task.sentence_columns[1]) if task.pair else None,
        labels=labels,
        skipped=skipped,
    )
