"""The course's files: a strict reader and a writer, one file for each task and split.

The format: UTF-8, tab-separated, an unnamed first column that only counts rows, a cell in double quotes where it holds
a tab, a line break or a quote, inner quotes doubled, labels as decimal text. Columns that a task does not need are
ignored. Reading is strict, since a misread row looks like any other: all problems of a file come in one DataError,
each with `file:line: column`. Lines are counted as `sed -n` counts them, so a line break inside quotes counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import zip_longest
from pathlib import Path
from typing import Literal

import numpy as np

from mtl.cache import write_data_file
from mtl.data.course.cells import data_error, parse_label, row_problems, shown
from mtl.data.course.header import check_first_line, check_shift, column_words, find_columns
from mtl.data.course.records import Broken, Record, split_records
from mtl.data.rows import Rows
from mtl.errors import DataError, suggestion
from mtl.tasks.registry import Split, Task

OnBadRow = Literal["error", "skip"]

KNOWN_DEFECTS = frozenset({"ad118c967d683c93883bf072d", "9054345d02cd6c5642a4904dc"})
"""Ids of the two rows of the published quora-train.csv that have no label (one has no second sentence either).

Nobody can mend them, so they are left out and counted even where bad rows are refused.
"""

_SKIP_ADVICE = "Mend these rows, or leave them out with on_bad_row='skip' (--on-bad-row skip)."


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """What is wrong in the row that begins in `line`.

    `fatal` problems cannot be skipped with their row; `known` ones are the published files' own.
    """

    line: int
    place: str  # file:line, as printed
    message: str
    fatal: bool = False
    known: bool = False


def read_course(folder: Path, task: Task, split: Split, *, on_bad_row: OnBadRow = "error") -> Rows:
    """The rows of one course file, in file order.

    `on_bad_row="skip"` leaves out bad rows and lists them in `Rows.skipped`, one message a row (`KNOWN_DEFECTS` always); faults of the whole
    file (encoding, header, a quote that swallows rows) are errors all the same. A test file may lack the label column:
    `labels` is then None.
    """
    name = task.file_name(split)
    check_folder(folder, [name])
    path = folder / name
    text = _decode(path)
    check_first_line(path, text, task)
    header, records, broken = _split_header(path, text)
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
        raise data_error(listed, "" if fatal else _SKIP_ADVICE)
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
    """One message for each bad row, with all of its problems."""
    rows: dict[str, list[str]] = {}
    for problem in problems:
        rows.setdefault(problem.place, []).append(problem.message)
    return [f"{place}: {'; '.join(messages)}" for place, messages in rows.items()]


def check_folder(folder: Path, names: Sequence[str]) -> None:
    """Raise one DataError for all of `names` that `folder` lacks; it says what is there and the nearest name."""
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


def write_course(folder: Path, rows: Rows) -> Path:
    """Write `rows` as a course file in `folder` (made if absent) and return its path; `read_course` gives them back.

    The file appears whole or not at all. Rows that the reader would refuse are a DataError, and nothing is written.
    """
    path = folder / rows.task.file_name(rows.split)
    table = _table(path, rows)
    text = "".join("\t".join(_quoted(cell) for cell in line) + "\n" for line in table)
    write_data_file(path, text.encode())
    return path


def _table(path: Path, rows: Rows) -> list[list[str]]:
    """The header and all rows as text; a DataError where `read_course` could not read them back."""
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
        found = row_problems(task, dict(zip(names, line, strict=True)), labelled=labelled)
        problems += [
            f"{path}: row {number}: column {column!r}: {message}" for column, message in found
        ]
    problems += [
        f"{path}: id {shown(name)} stands {n} times."
        for name, n in Counter(rows.ids).items()
        if n > 1
    ]
    if problems:
        raise data_error(problems)
    return [["", *names], *([str(number), *line] for number, line in enumerate(lines))]


def _label_text(task: Task, value: float) -> str:
    """A label as the course writes it: `3` for classes, else the shortest decimal that reads back the same."""
    return str(int(value)) if task.kind == "classes" and value.is_integer() else repr(value)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(char in cell for char in '\t\r\n"') else cell


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # only used to suggest names
        return []


def _decode(path: Path) -> str:
    """The file's text; a DataError that names the line and the byte where it is not UTF-8."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot read it: {error.strerror}. Check the file's permissions."
        ) from error
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(
            f"{path}:1: expected UTF-8, this is UTF-16. Convert it: iconv -f UTF-16 -t UTF-8 {path} > NEW"
        )
    if raw.startswith(b"\xef\xbb\xbf"):
        raise DataError(
            f"{path}:1: a byte-order mark (EF BB BF) stands before the header. "
            f"Save it as UTF-8 without BOM: tail -c +4 {path} > NEW"
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        place = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        raise DataError(
            f"{path}:{line}: expected UTF-8, got the byte 0x{raw[error.start]:02x} at byte {place} of the line. If the "
            f"file is Latin-1, convert it: iconv -f LATIN1 -t UTF-8 {path} > NEW"
        ) from error


def _split_header(path: Path, text: str) -> tuple[list[str], list[Record], list[Broken]]:
    """The header's cells, the records below it, and those that csv could not cut."""
    header, *below = split_records(text)
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
    """The good rows, and the problems of the others."""
    kept: list[Record] = []
    problems: list[_Problem] = []
    seen: dict[str, int] = {}  # id to the line where it first stands
    for record, following in zip_longest(records, records[1:]):
        where = f"{path}:{record.line}"
        fault = _shape_fault(record, following, len(header))
        if fault:
            # A misshapen row of several lines has swallowed others: leaving it out would lose them unseen.
            swallowed = record.last > record.line
            problems.append(_Problem(line=record.line, place=where, message=fault, fatal=swallowed))
            continue
        cells = {name: record.cells[place] for name, place in columns.items()}
        found = row_problems(task, cells, labelled=task.label_column in columns)
        name = cells["id"]
        if name.strip() and name in seen:
            found.append(
                (
                    "id",
                    f"expected each id once, {shown(name)} stands in line {seen[name]} too. Change one",
                )
            )
        seen.setdefault(name, record.line)
        for column, message in found:
            problem = f"column {column!r}: {message}"
            problems.append(
                _Problem(
                    line=record.line, place=where, message=problem, known=name in KNOWN_DEFECTS
                )
            )
        if not found:
            kept.append(record)
    return kept, problems


def _shape_fault(record: Record, following: Record | None, width: int) -> str | None:
    """What is wrong with the number of cells of `record`, or with the lines it covers."""
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
