"""Shared by the tests of tasks' own data: tables in each format, and a task over them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mtl.data.course.files import OnBadRow
from mtl.data.rows import Rows
from mtl.data.tables.read import read_own_rows
from mtl.documents.yaml_file import YamlDocument
from mtl.errors import DataError
from mtl.tasks.definition import task_from
from mtl.tasks.task import SPLITS, Format, Split, TableData, Task

Lines = Sequence[Mapping[str, Any]]
FORMATS: tuple[Format, ...] = ("csv", "tsv", "json", "parquet")
ADVICE = "Fix these rows, or leave them out with on_bad_row='skip' (--on-bad-row skip)."
ENDINGS: dict[Format, str] = {"csv": "csv", "tsv": "tsv", "json": "jsonl", "parquet": "parquet"}
KEYS: dict[str, Any] = {
    "task": "mine", "task_type": "classification", "text": "body", "label": "topic",
    "labels": ["sea", "sky"], "metric": "accuracy",
}  # fmt: skip
SCORES: dict[str, Any] = {"task_type": "regression", "labels": None, "metric": "rmse"}
TRAIN: Lines = (
    {"key": "a", "body": "the wave", "topic": "sea"},
    {"key": "b", "body": "the cloud", "topic": "sky"},
    {"key": "c", "body": "a star", "topic": "sky"},
)
DEV: Lines = (
    {"key": "d", "body": "a fish", "topic": "sea"},
    {"key": "e", "body": "a bird", "topic": "sky"},
)


def put(folder: Path, name: str, rows: Lines | str | bytes, form: Format = "csv") -> Path:
    """Write a file: rows in the format, text in UTF-8, bytes as they are."""
    path = folder / f"{name}.{ENDINGS[form]}"
    if isinstance(rows, bytes):
        path.write_bytes(rows)
    elif isinstance(rows, str):
        path.write_bytes(rows.encode())
    elif form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pytest.importorskip("pyarrow").Table.from_pylist(list(rows)), path)
    elif form == "json":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        text = io.StringIO()
        mark = "," if form == "csv" else "\t"
        writer = csv.DictWriter(text, list(rows[0]), delimiter=mark, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        path.write_bytes(text.getvalue().encode())
    return path


def task_of(folder: Path, form: Format = "csv", *, key: str | None = "key", **keys: Any) -> Task:
    """A task over the files of `folder` that are there. `key` is the column of ids."""
    names = [name for name in SPLITS if (folder / f"{name}.{ENDINGS[form]}").exists()]
    data = {
        "path": form,
        "data_files": {name: f"{name}.{ENDINGS[form]}" for name in names},
        **({"id": key} if key else {}),
        **({"splits": keys.pop("splits")} if "splits" in keys else {}),
    }
    value = {"data": data} | KEYS | keys
    document = {name: item for name, item in value.items() if item is not None}
    return task_from(YamlDocument(source="mine.yaml", value=document), folder)


def read(
    task: Task, splits: Sequence[Split] = SPLITS, on_bad_row: OnBadRow = "error"
) -> dict[Split, Rows]:
    assert isinstance(task.data, TableData)
    return read_own_rows(task, task.data, splits, on_bad_row=on_bad_row)


def rows_of(
    folder: Path,
    dev: Lines | str | bytes,
    form: Format = "csv",
    on_bad_row: OnBadRow = "error",
    **keys: Any,
) -> Rows:
    """The dev rows of a task whose train file is good."""
    train = keys.pop("train", TRAIN)
    put(folder, "train", train, form)
    put(folder, "dev", dev, form)
    return read(task_of(folder, form, **keys), on_bad_row=on_bad_row)["dev"]


def refusal(folder: Path, dev: Lines | str | bytes, form: Format = "csv", **keys: Any) -> list[str]:
    """The lines of the error that these dev rows give, without the folder."""
    with pytest.raises(DataError) as error:
        rows_of(folder, dev, form, **keys)
    assert error.value.exit_code == 2
    return str(error.value).replace(f"{folder}/", "").splitlines()
