"""From a task's own data to rows: columns, label words, ids, and splits that are cut from others.

Every row is checked as a row of the course's files (`mtl.data.course.cells`). All problems are
reported in one DataError.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtl.data.course.cells import data_error, parse_label, row_problems, shown
from mtl.data.course.files import SKIP_ADVICE, OnBadRow
from mtl.data.rows import Rows
from mtl.data.tables.files import BadRow, Table, TableRow, read_table
from mtl.data.tables.hub import check_revision, hub_table
from mtl.errors import DataError, suggestion
from mtl.tasks.task import Cut, Split, TableData, Task


@dataclass(frozen=True, kw_only=True)
class _Source:
    """The good rows of one split of the source: ids and cells. `labelled`: they have labels."""

    ids: list[str]
    cells: list[Mapping[str, str]]
    skipped: tuple[str, ...]
    labelled: bool


def read_own_rows(
    task: Task, data: TableData, splits: Sequence[Split], *, on_bad_row: OnBadRow = "error"
) -> dict[Split, Rows]:
    """The rows of these splits; a split that the task does not have is left out.

    Bad rows that are skipped are listed with the first split that their file serves. Raises
    DataError with the problems of all files.
    """
    if data.format is None:
        check_revision(task, data)
    names = {split: source for split, source in data.splits.items() if source is not None}
    needed: dict[str, Split] = {}  # source -> the first split that it serves
    for split in splits:
        if split in names:
            needed.setdefault(_name(names[split]), split)
    sources: dict[str, _Source] = {}
    problems: list[str] = []
    for name in needed:
        hidden = [split for split, part in names.items() if _name(part) == name] == ["test"]
        try:
            table = _table(task, data, name)
            sources[name] = _read(task, data, table, on_bad_row, may_hide_labels=hidden)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(dict.fromkeys(problems)))
    parts = {name: _parts(task, data, name, source) for name, source in sources.items()}
    rows = {}
    for split in splits:
        if split in names:
            name = _name(names[split])
            skipped = sources[name].skipped if needed[name] == split else ()
            rows[split] = _rows(task, split, sources[name], parts[name][split], skipped)
    _check_classes(task, rows)
    return rows


def _name(source: str | Cut) -> str:
    return source.source if isinstance(source, Cut) else source


def _table(task: Task, data: TableData, name: str) -> Table:
    needed = {*task.sentence_columns, task.label_column, data.id_column or ""}
    if data.format is None:
        return hub_table(task, data, name, needed)
    return read_table(data.files[name], data.format, needed)


def _read(
    task: Task, data: TableData, table: Table, on_bad_row: OnBadRow, *, may_hide_labels: bool
) -> _Source:
    labelled = not (may_hide_labels and _hides_labels(task, data, table))
    _check_columns(task, data, table, labelled)
    ids: list[str] = []
    kept: list[Mapping[str, str]] = []
    bad: list[str] = []
    fatal = False
    places: dict[str, str] = {}  # id -> the first row that has it
    for number, row in _numbered(table.rows):
        if isinstance(row, BadRow):
            bad.append(f"{row.place}: {row.message}")
            fatal = fatal or row.fatal
            continue
        cells = _named(task, data, row, number)
        found = [
            f"column {data.id_column if column == 'id' else column!r}: {message}"
            for column, message in row_problems(task, cells, labelled=labelled)
        ]
        if cells["id"].strip() and cells["id"] in places:
            first = places[cells["id"]]
            found.append(
                f"column {data.id_column!r}: expected each id once, {shown(cells['id'])} stands in "
                f"{first} too. Change one"
            )
        places.setdefault(cells["id"], row.place)
        if found:
            bad.append(f"{row.place}: {'; '.join(found)}")
            continue
        ids.append(cells["id"])
        kept.append(cells)
    if bad and (fatal or on_bad_row == "error"):
        raise data_error(bad, "" if fatal else SKIP_ADVICE)
    if not kept:
        cause = "all of them are bad" if bad else "there are none"
        raise data_error([f"{table.place}: expected rows, {cause}.", *bad])
    return _Source(ids=ids, cells=kept, skipped=tuple(bad), labelled=labelled)


def _numbered(rows: Iterable[TableRow | BadRow]) -> Iterator[tuple[int, TableRow | BadRow]]:
    """The rows with their numbers from 0. Where the rest of a file is lost, a bad row says so."""
    number = 0
    try:
        for row in rows:
            yield number, row
            number += 1
    except DataError as error:
        place, _, message = str(error).partition(": ")
        yield number, BadRow(place=place, message=message, fatal=True)


def _hides_labels(task: Task, data: TableData, table: Table) -> bool:
    """Whether a table has no labels. A misspelt column of labels does not hide them."""
    used = (*task.sentence_columns, data.id_column)
    others = [name for name in table.columns if name not in used]
    return task.label_column not in table.columns and not suggestion(task.label_column, others)


def _check_columns(task: Task, data: TableData, table: Table, labelled: bool) -> None:
    needed = [*task.sentence_columns, *([task.label_column] if labelled else [])]
    needed += [data.id_column] if data.id_column else []
    columns = list(table.columns)
    problems = []
    for name in dict.fromkeys(needed):
        if columns.count(name) > 1:
            problems.append(f"{table.place}: column {name!r}: stands twice. Remove or rename one")
        elif name not in columns:
            others = [column for column in columns if column and column not in needed]
            came = ", ".join(map(shown, columns[:12]))
            problems.append(
                f"{table.place}: column {name!r}: expected, the data has {came}."
                f"{suggestion(name, others)} The keys text, label and data.id in the file of the "
                f"task {task.name} name its columns."
            )
    if problems:
        raise data_error(problems)


def _named(task: Task, data: TableData, row: TableRow, number: int) -> dict[str, str]:
    """The cells that the task needs. A key that a JSON line lacks is an empty cell."""
    names = (*task.sentence_columns, task.label_column)
    cells = {name: row.cells.get(name, "") for name in names}
    return cells | {"id": row.cells.get(data.id_column, "") if data.id_column else str(number)}


def _parts(task: Task, data: TableData, name: str, source: _Source) -> dict[Split, list[int]]:
    """The places of each split's rows in a source: cut parts first, the rest to the whole one.

    Raises DataError where a part would have no row.
    """
    order = sorted(range(len(source.ids)), key=lambda place: _hash(source.ids[place]))
    parts: dict[Split, list[int]] = {}
    for split, part in data.splits.items():
        if isinstance(part, Cut) and part.source == name:
            count = max(1, round(part.share * len(source.ids)))
            if count >= len(order):
                place = data.files.get(name, data.repository)
                raise DataError(
                    f"task {task.name}: {place}: too few rows ({len(source.ids)}) to cut "
                    f"{part.share:g} of them for {split}. Name another source in data.splits."
                )
            parts[split], order = sorted(order[:count]), order[count:]
    rest = sorted(order)
    return parts | {split: rest for split, part in data.splits.items() if part == name}


def _hash(name: str) -> bytes:
    return hashlib.sha256(b"cut-1\0" + name.encode()).digest()


def _rows(
    task: Task, split: Split, source: _Source, places: list[int], skipped: tuple[str, ...]
) -> Rows:
    cells = [source.cells[place] for place in places]
    columns = [[row[name] for row in cells] for name in task.sentence_columns]
    labels = [parse_label(task, row[task.label_column]) for row in cells if source.labelled]
    return Rows(
        task=task,
        split=split,
        ids=[source.ids[place] for place in places],
        first=columns[0],
        second=columns[1] if task.pair else None,
        labels=np.array(labels, dtype=np.float64) if source.labelled else None,
        skipped=skipped,
    )


def _check_classes(task: Task, rows: Mapping[Split, Rows]) -> None:
    """Raise DataError for classes without a training row."""
    train = rows.get("train")
    if train is None or train.labels is None or not task.class_names:
        return
    there = set(train.labels.astype(int).tolist())
    absent = [name for place, name in enumerate(task.label_words) if place not in there]
    if absent:
        listed = ", ".join(map(shown, absent[:20]))
        raise DataError(
            f"task {task.name}: no training row has the label {listed}. Add rows, or take the "
            "class out of labels."
        )
