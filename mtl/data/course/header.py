"""Check the header of a course file: each column occurs once, and the rows have as many cells.

A fault of the header affects every row, so it cannot be skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mtl.data.course.cells import data_error, shown
from mtl.data.course.records import Record
from mtl.errors import DataError, suggestion
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Split, Task

_SEPARATORS = {",": "commas", ";": "semicolons", "|": "bars", " ": "spaces"}


def check_first_line(path: Path | str, first: str, task: Task) -> None:
    """Raise DataError if the first line of a file has wrong line ends or separators."""
    first = first.rstrip("\r\n")
    if "\r" in first:
        raise DataError(
            f"{path}:1: the lines end in a carriage return alone, expected LF or CRLF. "
            rf"Convert it: tr '\r' '\n' < {path} > NEW"
        )
    if "\0" in first:
        raise DataError(
            f"{path}:1: the header holds NUL characters. Is it UTF-16? iconv -f UTF-16 -t UTF-8 "
            f"{path} > NEW"
        )
    for separator, word in _SEPARATORS.items():
        cells = [cell.strip(' "').casefold() for cell in first.split(separator)]
        names = {"id"} if separator == " " else {"id", *task.sentence_columns}
        if "\t" not in first and len(cells) > 1 and names & set(cells[:3]):
            raise DataError(
                f"{path}:1: expected tabs between the columns, got {word}. Save it tab-separated."
            )


def find_columns(path: Path, task: Task, split: Split, header: Sequence[str]) -> dict[str, int]:
    """The place of each needed column in `header`. A test file may lack the label."""
    needed = ["id", *task.sentence_columns, task.label_column]
    unknown = [name for name in header if name and name not in needed]
    if not set(needed) & {name.strip().casefold() for name in header}:
        got = ", ".join(shown(name) for name in header[:6])
        raise DataError(
            f"{path}:1: expected a header with {column_names(task)}, got {got}. Add the header."
        )
    # A misspelt label column must not turn a labelled test set into an unlabelled one.
    if (
        split == "test"
        and task.label_column not in header
        and not (rename_hint(task.label_column, header) or suggestion(task.label_column, unknown))
    ):
        needed.remove(task.label_column)
    problems = []
    for name in needed:
        count = list(header).count(name)
        if count > 1:
            problems.append(
                f"{path}:1: column {name!r}: expected once, it stands {count} times. Remove or "
                "rename one"
            )
        if count == 0:
            came = ", ".join(repr(column) for column in header if column)
            hint = rename_hint(name, header) or suggestion(name, unknown) or _owner(unknown)
            problems.append(
                f"{path}:1: column {name!r}: expected in the header, which has only {came}.{hint}"
            )
    if problems:
        raise data_error(problems)
    return {name: list(header).index(name) for name in needed}


def rename_hint(name: str, header: Sequence[str]) -> str:
    """What to do where a column has the right name in other letters, or with blanks around it."""
    for column in header:
        if column.strip().casefold() == name:
            return f" Rename {column!r} to {name!r}."
    return ""


def check_shift(path: Path, header: Sequence[str], records: Sequence[Record]) -> None:
    """Raise DataError if only the header or only the rows have the unnamed first column."""
    widths = Counter(len(record.cells) for record in records)
    if not widths or len(header) in widths:
        return
    width = widths.most_common(1)[0][0]
    sizes = (
        f"{path}:1: the header is shifted: it has {len(header)} cells and the rows have {width}, "
        "because"
    )
    if width == len(header) + 1 and header[0]:
        cause = "the rows begin with a row number and the header lacks the unnamed first column"
        raise DataError(f"{sizes} {cause}. Begin the header with a tab.")
    if width == len(header) - 1 and not header[0]:
        cause = "the header begins with an unnamed column and the rows lack the row number"
        raise DataError(f"{sizes} {cause}. Remove the tab at the start of the header.")


def column_words(header: Sequence[str], cell: int) -> str:
    """A column in words: `column 'id'`, or `column 1` if the header does not name it."""
    return (
        f"column {header[cell]!r}" if cell < len(header) and header[cell] else f"column {cell + 1}"
    )


def column_names(task: Task) -> str:
    """The columns of a task's file in words."""
    return "the columns " + ", ".join(
        repr(name) for name in ("id", *task.sentence_columns, task.label_column)
    )


def _owner(names: Sequence[str]) -> str:
    """A hint if one of `names` is the label column of a task."""
    for task in TASKS.readable():
        if task.label_column in names:
            return f" {task.label_column!r} is the label of {task.name}: is it that task's file?"
    return " Add or rename it."
