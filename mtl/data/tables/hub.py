"""Data sets on the Hugging Face hub as tables: read once, at the revision that a task names."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

from mtl.cache import cache_folder
from mtl.data.course.cells import shown
from mtl.data.tables.files import Table, columns_rows
from mtl.errors import DataError, suggestion
from mtl.tasks.task import TableData, Task

MIRROR = "MTL_HUB_MIRROR"
COMMIT = r"[0-9a-f]{40}"


def check_revision(task: Task, data: TableData) -> None:
    """Raise DataError for a data set without a commit as its revision, with the present one.

    A mirror has one version, so there it may be absent.
    """
    if os.environ.get(MIRROR) or re.fullmatch(COMMIT, data.revision or ""):
        return
    known = _present_commit(data.repository, data.revision)
    remedy = (
        f"The present commit is {known}. Write it: revision: {known}."
        if known
        else "The hub was not reached; the page of the data set lists its commits. Write one: "
        "revision: COMMIT."
    )
    came = f", got {shown(data.revision)}" if data.revision else ""
    raise DataError(
        f"task {task.name}: data.revision: expected a commit of {data.repository} (40 digits)"
        f"{came}: without one the data can change under the runs. {remedy}"
    )


def _present_commit(repository: str, revision: str | None) -> str | None:
    try:
        from huggingface_hub import HfApi

        return HfApi().dataset_info(repository, revision=revision, timeout=20).sha
    except Exception:  # the client's errors share no base class; without network there is no commit
        return None


def hub_table(task: Task, data: TableData, split: str, needed: Collection[str]) -> Table:
    """The rows of one split, with the needed columns. Raises DataError where they cannot be had."""
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"task {task.name}: data sets on the hub need the package {error.name}. Install it: "
            "pip install 'mtl-ablate[hub]', or name local files (path: csv and data_files)."
        ) from None
    place, subset = _place(data)
    source = f"{data.repository} {split}"
    cache = str(cache_folder() / "datasets")
    mirror = os.environ.get(MIRROR)
    revision = None if mirror else data.revision
    try:
        with _quiet(datasets):
            table: Any = datasets.load_dataset(
                place, subset, split=split, revision=revision, cache_dir=cache
            )
    except Exception as error:  # as above
        known = _splits(error)
        reason = shorten(str(error), 300, placeholder=" ...").rstrip(".")
        # Where the split is not the cause, the error is the same for each.
        where = source if known else place
        raise DataError(
            f"task {task.name}: {where}: cannot be read: {reason}.{suggestion(split, known)} "
            "Check path, name, revision and splits"
            + ("." if mirror else f"; or copy it to FOLDER/{data.repository} and set "
               f"{MIRROR}=FOLDER.")
        ) from None  # fmt: skip
    names = list(table.column_names)
    columns = table.select_columns([name for name in names if name in needed]).to_dict()
    if task.label_column in columns:
        labels = _labels(task, table.features[task.label_column], columns[task.label_column])
        if labels is None:
            names.remove(task.label_column)
            del columns[task.label_column]
        else:
            columns[task.label_column] = labels
    return Table(place=source, columns=names, rows=columns_rows(source, columns, 0, needed))


def _labels(task: Task, feature: Any, labels: list[Any]) -> list[Any] | None:
    """The labels of a column: words where the task lists the hub's, None where all are hidden.

    A class label of the hub is a number; -1 is a hidden one.
    """
    words = getattr(feature, "names", None)
    if not words:
        return labels
    if all(value in (-1, None) for value in labels):
        return None
    if set(task.label_words) <= set(words):
        return [words[value] if value is not None and value >= 0 else None for value in labels]
    return labels


def _place(data: TableData) -> tuple[str, str | None]:
    """The repository, or its copy in the mirror, and the subset.

    A mirror without the hub's description has a subset as a folder.
    """
    mirror = os.environ.get(MIRROR)
    if not mirror:
        return data.repository, data.subset
    folder = Path(mirror).expanduser() / data.repository
    if data.subset and (folder / data.subset).is_dir() and not (folder / "README.md").is_file():
        return str(folder / data.subset), None
    return str(folder), data.subset


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Without progress bars where nobody watches."""
    quiet = not sys.stderr.isatty() and not datasets.are_progress_bars_disabled()
    if quiet:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if quiet:
            datasets.enable_progress_bars()


def _splits(error: Exception) -> list[str]:
    """The splits that an error names as those there are."""
    text = str(error)
    start, end = text.find("["), text.rfind("]")
    known = "split" in text and start >= 0
    return [word.strip(" '\"") for word in text[start + 1 : end].split(",")] if known else []
