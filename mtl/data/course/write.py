"""Write rows as a course file that `mtl.data.course.files` reads back unchanged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mtl.cache import write_data_file
from mtl.data.course.cells import data_error, row_problems, shown
from mtl.data.rows import Rows
from mtl.errors import DataError
from mtl.tasks.task import Task


def write_course(folder: Path, rows: Rows) -> Path:
    """Write `rows` as a course file in `folder` and return its path.

    The folder is created if needed, and the file is written atomically. Raises DataError, and
    writes nothing, if `read_course` would refuse a row.
    """
    path = folder / rows.task.file_name(rows.split)
    table = _table(path, rows)
    text = "".join("\t".join(_quoted(cell) for cell in line) + "\n" for line in table)
    write_data_file(path, text.encode())
    return path


def _table(path: Path, rows: Rows) -> list[list[str]]:
    """The header and all rows as text. Raises DataError if `read_course` would refuse a row."""
    task, labelled = rows.task, rows.labels is not None
    if not labelled and rows.split != "test":
        raise DataError(f"{path}: rows of {rows.split} need labels; only test may lack them.")
    if not len(rows):
        raise DataError(f"{path}: there are no rows to write. Give at least one.")
    names = ["id", *task.sentence_columns] + [task.label_column] * labelled
    columns = [rows.ids, rows.first] + ([rows.second or []] if task.pair else [])
    if rows.labels is not None:
        columns.append([_label_text(task, float(value)) for value in rows.labels])
    lines = [list(line) for line in zip(*columns, strict=True)]
    problems = []
    for number, line in enumerate(lines):
        cell_problems = row_problems(task, dict(zip(names, line, strict=True)), labelled=labelled)
        problems += [
            f"{path}: row {number}: column {column!r}: {message}"
            for column, message in cell_problems
        ]
    problems += [
        f"{path}: id {shown(name)} occurs {n} times."
        for name, n in Counter(rows.ids).items()
        if n > 1
    ]
    if problems:
        raise data_error(problems)
    return [["", *names], *([str(number), *line] for number, line in enumerate(lines))]


def _label_text(task: Task, value: float) -> str:
    """A label as the course writes it: `3` for classes, else the shortest exact decimal."""
    return str(int(value)) if task.kind == "classes" and value.is_integer() else repr(value)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(char in cell for char in '\t\r\n"') else cell
