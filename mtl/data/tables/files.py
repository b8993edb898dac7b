"""Files of rows as records with places: CSV, TSV, JSON lines and Parquet.

Every cell becomes text: a number as JSON writes it, null as an empty cell. CSV and TSV are read as
strictly as the course's files (`mtl.data.course.records`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.data.course.cells import shown
from mtl.data.course.files import MAX_FILE
from mtl.data.course.records import Broken, split_records
from mtl.data.text_lines import text_lines
from mtl.errors import DataError
from mtl.tasks.task import Format

DELIMITERS: dict[Format, str] = {"csv": ",", "tsv": "\t"}
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One row: its place for messages (`a.csv:7`), and its cells by column."""

    place: str
    cells: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row that cannot be split into cells. Where `fatal`, the rest of the file is lost too."""

    place: str
    message: str
    fatal: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A file's columns, and its rows in order. `place` is that of the header, for messages."""

    place: str
    columns: Sequence[str]
    rows: Iterable[TableRow | BadRow]


def read_table(path: Path, form: Format) -> Table:
    """The rows of a file. Raises DataError where the whole file cannot be read."""
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {what}. The task's data_files name it.")
    if form == "parquet":
        return _parquet(path)
    lines = _lines(path)
    return _json_lines(path, lines) if form == "json" else _delimited(path, lines, form)


def _lines(path: Path) -> list[str]:
    lines, size = [], 0
    try:
        with path.open("rb") as file:
            for line in text_lines(file, str(path)):
                lines.append(line)
                size += len(line)
                if size > MAX_FILE:
                    raise DataError(
                        f"{path}: larger than {MAX_FILE} characters. Convert it to Parquet."
                    )
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    if not any(line.strip() for line in lines):
        raise DataError(f"{path}: the file is empty. Is the copy complete?")
    return lines


def _delimited(path: Path, lines: list[str], form: Format) -> Table:
    delimiter = DELIMITERS[form]
    header, *records = split_records(lines, delimiter=delimiter)
    if isinstance(header, Broken):
        raise DataError(f"{path}:{header.opened}: column {header.cell + 1}: {header.message}.")
    if len(header.cells) == 1:
        for other, name in SEPARATORS.items():
            if other != delimiter and other in header.cells[0]:
                raise DataError(
                    f"{path}:1: expected {SEPARATORS[delimiter]} between the columns, got {name}. "
                    f"Save it with {SEPARATORS[delimiter]}"
                    + (f", or set path: {other_form}." if (other_form := _form(other)) else ".")
                )
    columns = header.cells

    def rows() -> Iterator[TableRow | BadRow]:
        for record in records:
            if isinstance(record, Broken):
                message = f"column {record.cell + 1}: {record.message}"
                yield BadRow(place=f"{path}:{record.opened}", message=message, fatal=record.fatal)
            elif len(record.cells) != len(columns):
                message = f"expected {len(columns)} cells as in the header, got {len(record.cells)}"
                over = record.last > record.line
                if over:
                    message += f"; the row runs from line {record.line} to {record.last}"
                yield BadRow(place=f"{path}:{record.line}", message=message, fatal=over)
            else:
                cells = dict(zip(columns, record.cells, strict=True))
                yield TableRow(place=f"{path}:{record.line}", cells=cells)

    return Table(place=f"{path}:1", columns=columns, rows=rows())


def _form(delimiter: str) -> Format | None:
    return next((form for form, mark in DELIMITERS.items() if mark == delimiter), None)


def _json_lines(path: Path, lines: list[str]) -> Table:
    rows: list[TableRow | BadRow] = []
    columns: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        if not rows and line.lstrip().startswith("["):
            raise DataError(
                f"{place}: a JSON array. Write one object a line, as in "
                '{"text": "...", "label": "..."}.'
            )
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            rows.append(BadRow(place=place, message=f"not JSON: {error}. One object a line"))
            continue
        if not isinstance(value, dict):
            rows.append(BadRow(place=place, message=f"expected an object, got {shown(str(value))}"))
            continue
        columns |= dict.fromkeys(value)
        rows.append(TableRow(place=place, cells={key: cell(item) for key, item in value.items()}))
    if not columns:
        raise DataError(f"{path}:1: expected one JSON object a line, got none.")
    return Table(place=str(path), columns=list(columns), rows=rows)


def _parquet(path: Path) -> Table:
    try:
        import pyarrow  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{path}: Parquet needs the package pyarrow. Install it: pip install "
            "'mtl-ablate[hub]', or save the data as JSON lines."
        ) from None
    try:
        table = parquet.read_table(path)
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise DataError(f"{path}: not a Parquet file: {reason}.") from None
    return columns_table(str(path), columns)


def columns_table(source: str, columns: Mapping[str, Sequence[Any]]) -> Table:
    """A table of columns of Python values; rows are counted from 0."""
    count = len(next(iter(columns.values()), ()))
    rows = (
        TableRow(
            place=f"{source}: row {number}",
            cells={name: cell(values[number]) for name, values in columns.items()},
        )
        for number in range(count)
    )
    return Table(place=source, columns=list(columns), rows=rows)


def cell(value: Any) -> str:
    """A value as the text of a cell.

    >>> cell("a"), cell(2), cell(2.5), cell(True), cell(None)
    ('a', '2', '2.5', 'true', '')
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
