"""Files of rows as records with places: CSV, TSV, JSON lines and Parquet.

Every cell becomes text: a number as JSON writes it, null as an empty cell. CSV and TSV are read as
strictly as the course's files (`mtl.data.course.records`). Only the columns that a task needs are
kept, and text files are read line by line, so that memory holds little more than the rows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.data.course.cells import data_error, shown
from mtl.data.course.files import MAX_FILE
from mtl.data.course.records import Broken, Record, split_records
from mtl.data.text_lines import text_lines
from mtl.errors import DataError, suggestion
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
    """A file's columns, and its rows in order. `place` is that of the header, for messages.

    `rows` can be read once. Reading them raises DataError where the rest of the file is lost.
    """

    place: str
    columns: Sequence[str]
    rows: Iterable[TableRow | BadRow]


def read_table(path: Path, form: Format, needed: Collection[str] | None = None) -> Table:
    """The rows of a file, with the cells of the columns that are `needed`, or of all.

    Raises DataError where the whole file cannot be read.
    """
    if not path.is_file():
        raise DataError(_no_file(path))
    if form == "parquet":
        return _parquet(path, needed)
    lines = _lines(path)
    if form == "json":
        return _json_lines(path, lines, needed)
    return _delimited(path, lines, form)


def _no_file(path: Path) -> str:
    if path.is_dir():
        return f"{path}: a folder, not a file. Name the file."
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:  # only used to suggest names
        return f"{path}: no such file, and no such folder."
    if path.name in names:
        return f"{path}: not a file with rows, but a pipe, a device or a broken link."
    return f"{path}: no such file.{suggestion(path.name, names)}"


def _lines(path: Path) -> Iterator[str]:
    size = 0
    try:
        with path.open("rb") as file:
            for line in text_lines(file, str(path)):
                size += len(line)
                if size > MAX_FILE:
                    raise DataError(
                        f"{path}: larger than {MAX_FILE} characters. Convert it to Parquet."
                    )
                yield line
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None


def _empty(path: Path) -> DataError:
    return DataError(f"{path}: the file is empty. Is the copy complete?")


def _delimited(path: Path, lines: Iterator[str], form: Format) -> Table:
    records = split_records(lines, delimiter=DELIMITERS[form])
    header = next(records, None)
    if header is None:
        raise _empty(path)
    if isinstance(header, Broken):
        raise DataError(f"{path}:{header.opened}: column {header.cell + 1}: {header.message}.")
    if len(header.cells) == 1:
        _check_separator(path, header.cells[0], DELIMITERS[form])
    rows = (_row(path, header.cells, record) for record in records)
    return Table(place=f"{path}:{header.line}", columns=header.cells, rows=rows)


def _check_separator(path: Path, header: str, delimiter: str) -> None:
    """Raise DataError for a header of one cell that another separator would split."""
    for other, name in SEPARATORS.items():
        if other != delimiter and other in header:
            form = next((form for form, mark in DELIMITERS.items() if mark == other), None)
            raise DataError(
                f"{path}:1: expected {SEPARATORS[delimiter]} between the columns, got {name}. "
                f"Save it with {SEPARATORS[delimiter]}"
                + (f", or set path: {form}." if form else ".")
            )


def _row(path: Path, columns: Sequence[str], record: Record | Broken) -> TableRow | BadRow:
    if isinstance(record, Broken):
        name = columns[record.cell] if record.cell < len(columns) else ""
        message = f"column {repr(name) if name else record.cell + 1}: {record.message}"
        return BadRow(place=f"{path}:{record.opened}", message=message, fatal=record.fatal)
    if len(record.cells) == len(columns):
        cells = dict(zip(columns, record.cells, strict=True))
        return TableRow(place=f"{path}:{record.line}", cells=cells)
    message = f"expected {len(columns)} cells as in the header, got {len(record.cells)}"
    over = record.last > record.line  # it has swallowed other rows; skipping it would lose them
    if over:
        message += f"; the row runs from line {record.line} to {record.last}"
    remedy = "Close the quote that opens in it" if over else "Does a cell need quotes?"
    return BadRow(place=f"{path}:{record.line}", message=f"{message}. {remedy}", fatal=over)


def _json_lines(path: Path, lines: Iterator[str], needed: Collection[str] | None) -> Table:
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
            value = json.loads(line, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            rows.append(BadRow(place=place, message=_not_json(error)))
            continue
        if not isinstance(value, dict):
            came = f"expected an object, got {shown(line.strip())}"
            rows.append(BadRow(place=place, message=came))
            continue
        columns |= dict.fromkeys(value)
        rows.append(_cells(place, value, needed))
    if not rows:
        raise _empty(path)
    if not columns:
        bad = [f"{row.place}: {row.message}" for row in rows if isinstance(row, BadRow)]
        raise data_error(bad, 'Write one JSON object a line: {"text": "...", "label": "..."}.')
    return Table(place=str(path), columns=list(columns), rows=rows)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands twice")
    return value


def _not_json(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON at character {error.colno}: {error.msg}. One object a line"
    if isinstance(error, RecursionError):
        return "nested too deep. One object of text and numbers a line"
    return f"{str(error).partition(';')[0]}. Mend the line"


def _parquet(path: Path, needed: Collection[str] | None) -> Table:
    try:
        import pyarrow  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{path}: Parquet needs the package pyarrow. Install it: pip install "
            "'mtl-ablate[hub]', or save the data as JSON lines."
        ) from None

    def unreadable(error: Exception) -> DataError:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        return DataError(f"{path}: not a Parquet file: {reason}.")

    failures = (pyarrow.ArrowException, OSError, ValueError)
    try:
        file = parquet.ParquetFile(path)
        columns = list(file.schema_arrow.names)
    except failures as error:
        raise unreadable(error) from None
    chosen = [name for name in columns if needed is None or name in needed]

    def rows() -> Iterator[TableRow | BadRow]:
        first = 0
        try:
            for batch in file.iter_batches(batch_size=4096, columns=chosen):
                yield from columns_rows(str(path), batch.to_pydict(), first, needed)
                first += batch.num_rows
        except failures as error:
            raise unreadable(error) from None

    twice = len(set(chosen)) < len(chosen)  # an error of the caller's, before any row is read
    return Table(place=str(path), columns=columns, rows=() if twice else rows())


def columns_rows(
    source: str, columns: Mapping[str, Sequence[Any]], first: int, needed: Collection[str] | None
) -> Iterator[TableRow | BadRow]:
    """The rows of columns of Python values. The first has the number `first`."""
    for offset in range(len(next(iter(columns.values()), ()))):
        values = {name: cells[offset] for name, cells in columns.items()}
        yield _cells(f"{source}: row {first + offset}", values, needed)


def _cells(
    place: str, values: Mapping[str, Any], needed: Collection[str] | None
) -> TableRow | BadRow:
    """A row of Python values; a bad one where a needed value is a list, a mapping or bytes."""
    cells, wrong = {}, []
    for name, value in values.items():
        if needed is None or name in needed:
            try:
                cells[name] = cell(value)
            except ValueError as error:
                wrong.append(f"column {name!r}: {error}")
    if wrong and needed is not None:
        return BadRow(place=place, message="; ".join(wrong))
    return TableRow(place=place, cells=cells)


def cell(value: Any) -> str:
    """A value as the text of a cell. Raises ValueError for a list, a mapping and bytes.

    >>> cell("a"), cell(2), cell(2.5), cell(True), cell(None)
    ('a', '2', '2.5', 'true', '')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if isinstance(value, (list, tuple, dict, bytes)):
        raise ValueError(f"expected text or a number, got {shown(str(value))}")
    return str(value)  # a date, a decimal number
