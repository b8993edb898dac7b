"""A first YAML for a file of rows: which column is the text, which the label, and what it means."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from mtl.data.course.cells import shown
from mtl.data.course.files import OnBadRow
from mtl.data.tables.files import BadRow, Table, read_table
from mtl.documents.yaml_file import dump_yaml
from mtl.errors import ConfigError, DataError, suggestion
from mtl.tasks.file import MAX_CLASSES, NAME, RESERVED
from mtl.tasks.task import Format, Split

SUFFIXES: Mapping[str, Format] = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "json", ".jsonl": "json",
    ".ndjson": "json", ".parquet": "parquet",
}  # fmt: skip
LABEL_NAMES = ("label", "labels", "class", "category", "target", "gold", "sentiment", "score",
               "similarity", "rating", "stars", "topic", "y")  # fmt: skip
ID_NAMES = ("id", "idx", "guid", "uid", "index", "row_id")
PAIRS = (("premise", "hypothesis"), ("question", "answer"), ("query", "passage"),
         ("question", "sentence"))  # fmt: skip
MOST_GRADES = 20
"""With more different numbers than this, a label is a score and not a class."""


def first_task(
    name: str,
    files: Mapping[Split, Path],
    folder: Path,
    *,
    text: Sequence[str] = (),
    label: str | None = None,
    on_bad_row: OnBadRow = "error",
) -> str:
    """The text of a task's YAML in `folder`, guessed from the rows of the file `train`.

    `text` and `label` name columns that are not guessed. Labels and their range are those of all
    files. Raises ConfigError or DataError where the rows fit no task.
    """
    if not re.fullmatch(NAME, name):
        raise ConfigError(f"{shown(name)}: expected a name of letters, digits, _ and -.")
    if name in RESERVED:
        raise ConfigError(f"{name}: has a meaning of its own. Choose another name.")
    forms = {split: _form(path) for split, path in files.items()}
    if len(set(forms.values())) > 1:
        raise ConfigError(f"{', '.join(map(str, files.values()))}: expected files of one format.")
    tables = {
        split: _columns(read_table(path, forms[split]), on_bad_row) for split, path in files.items()
    }
    columns = tables["train"]
    _check_named(files["train"], columns, [*text, *([label] if label else [])])
    free = {column: cells for column, cells in columns.items() if column not in text}
    label = label or _label(files["train"], free)
    text = text or _text(files["train"], columns, label)
    identity = _id(columns, label, text)
    labels = [cell for table in tables.values() for cell in table.get(label, ())]
    plain: dict[str, Any] = {"task": name} | _meaning(files["train"], labels)
    plain |= {"text": text if len(text) > 1 else text[0], "label": label}
    splits: dict[str, Any] = {"train": "train", "dev": "dev", "test": "test"}
    splits |= {} if "dev" in files else {"dev": {"from": "train", "share": 0.1}}
    splits |= {} if "test" in files else {"test": None}
    plain["data"] = {
        "path": forms["train"],
        "data_files": {split: _relative(path, folder) for split, path in files.items()},
        "splits": splits,
        **({"id": identity} if identity else {}),
    }
    keys = ["task", "task_type", "text", "label", "labels", "range", "metric", "data"]
    parts = [_comment(key) + dump_yaml({key: plain[key]}) for key in keys if key in plain]
    return f"# Guessed from {len(columns[label])} rows. Read it and correct it.\n" + "".join(parts)


def _check_named(path: Path, columns: Mapping[str, Any], named: Sequence[str]) -> None:
    """Raise ConfigError for columns that a file lacks, or that are named twice."""
    for place, name in enumerate(named):
        if name not in columns:
            there = ", ".join(map(shown, columns))
            near = suggestion(name, columns)
            raise ConfigError(f"{path}: no column {shown(name)}; there are {there}.{near}")
        if name in named[:place]:
            raise ConfigError(f"{path}: the column {shown(name)} is named twice. Name another.")


def _comment(key: str) -> str:
    comments = {
        "text": "# The column of text, or a list of two for pairs.\n",
        "labels": "# The classes in order; {word in the data: name} gives them other names.\n",
        "range": "# The lowest and the highest score. Without it, any number is valid.\n",
        "metric": "# The score that counts.\n",
        "data": "# Paths begin at this file's folder. id: the column of the rows' ids, if any.\n",
    }
    return comments.get(key, "")


def _form(path: Path) -> Format:
    form = SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise ConfigError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}.")
    if form == "csv" and path.is_file():
        with path.open("rb") as file:
            first = file.readline(1 << 16)
        form = "tsv" if b"\t" in first else "csv"
    return form


def _columns(table: Table, on_bad_row: OnBadRow) -> dict[str, list[str]]:
    """The cells of each named column."""
    twice = [name for name, count in Counter(table.columns).items() if name and count > 1]
    if twice:
        raise DataError(f"{table.place}: column {shown(twice[0])}: stands twice. Rename one.")
    columns: dict[str, list[str]] = {name: [] for name in table.columns if name.strip()}
    for row in table.rows:
        if isinstance(row, BadRow):
            if row.fatal or on_bad_row == "error":
                raise DataError(f"{row.place}: {row.message}.")
            continue
        for name, cells in columns.items():
            cells.append(row.cells.get(name, ""))
    if not columns or not len(next(iter(columns.values()))):
        raise DataError(f"{table.place}: no rows below the header.")
    return columns


def _numbers(cells: Sequence[str]) -> list[float] | None:
    """The cells as finite numbers; None where one is none."""
    try:
        numbers = [float(cell) for cell in cells if cell.strip()]
    except ValueError:
        return None
    return numbers if all(map(isfinite, numbers)) else None


def _label(path: Path, columns: Mapping[str, Sequence[str]]) -> str:
    """The column of labels: one with a usual name, else the last with few different values.

    Else the last of numbers that do not count the rows.
    """
    by_name = {name.strip().casefold(): name for name in columns}
    for usual in LABEL_NAMES:
        if usual in by_name and len(set(columns[by_name[usual]])) > 1:
            return by_name[usual]
    columns = {name: cells for name, cells in columns.items() if all(map(str.strip, cells))}
    few = [
        name
        for name, cells in columns.items()
        if 2 <= len(set(cells)) <= max(2, min(100, len(cells) // 5)) and _words(cells) < 3
    ]
    few = few or [name for name, cells in columns.items() if _scores(name, cells)]
    if not few:
        raise DataError(
            f"{path}: no column of labels was found among "
            f"{', '.join(map(shown, by_name.values()))}. Name it: --label COLUMN."
        )
    return few[-1]


def _scores(name: str, cells: Sequence[str]) -> bool:
    """Whether a column may hold scores: numbers, and neither all alike nor all whole and unlike."""
    numbers = _numbers(cells)
    if not numbers or name.strip().casefold() in ID_NAMES or len(set(numbers)) < 2:
        return False
    return len(set(numbers)) < len(numbers) or not all(value.is_integer() for value in numbers)


def _text(path: Path, columns: Mapping[str, Sequence[str]], label: str) -> list[str]:
    """The column with the longest texts, or two whose names are those of a pair."""
    sizes = {
        name: _words(cells)
        for name, cells in columns.items()
        if name != label and _numbers(cells) is None
    }
    if not sizes:
        raise DataError(
            f"{path}: no column of text was found beside {shown(label)}. Name it: --text COLUMN."
        )
    longest = max(sizes, key=lambda name: sizes[name])
    for first in sizes:
        for second in sizes:
            if first != second and longest in (first, second) and _is_pair(first, second):
                return [first, second]
    return [longest]


def _words(cells: Sequence[str]) -> float:
    return float(np.mean([len(cell.split()) for cell in cells]))


def _is_pair(first: str, second: str) -> bool:
    """Whether two names are of the two texts of a pair: `text_a`, `text_b`."""
    names = first.casefold(), second.casefold()
    ends = names[0][-1:], names[1][-1:]
    return names in PAIRS or (names[0][:-1] == names[1][:-1] and ends in (("1", "2"), ("a", "b")))


def _id(columns: Mapping[str, Sequence[str]], label: str, text: Sequence[str]) -> str | None:
    for name, cells in columns.items():
        usual = name.strip().casefold() in ID_NAMES and name not in (label, *text)
        if usual and len(set(cells)) == len(cells) and all(cell.strip() for cell in cells):
            return name
    return None


def _meaning(path: Path, cells: Sequence[str]) -> dict[str, Any]:
    """Type, labels or range, and metric of a column of labels."""
    counts = Counter(cell.strip() for cell in cells)
    numbers = _numbers(cells)
    if numbers is not None and "" not in counts:
        whole = all(value.is_integer() for value in numbers)
        if not whole or len(set(numbers)) > MOST_GRADES:
            low, high = float(np.floor(min(numbers))), float(np.ceil(max(numbers)))
            return {"task_type": "regression", "range": [low, high], "metric": "pearson"}
    words = [word for word in counts if word]
    if numbers is not None and all(value.is_integer() for value in numbers):
        words = list({str(int(value)): None for value in numbers})  # 1.0 and 1 are one class
    if not 2 <= len(words) <= MAX_CLASSES:
        raise DataError(f"{path}: expected 2 to {MAX_CLASSES} different labels, got {len(words)}.")
    words.sort(key=(lambda word: (float(word), word)) if numbers is not None else None)
    metric = "accuracy" if len(words) == 2 else "macro_f1"
    return {"task_type": "classification", "labels": words, "metric": metric}


def _relative(path: Path, folder: Path) -> str:
    return str(path) if path.is_absolute() else os.path.relpath(path, folder)
