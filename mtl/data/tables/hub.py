"""Data sets on the Hugging Face hub as tables: read once, at the revision that a task names."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import shorten
from typing import Any

from mtl.cache import cache_folder
from mtl.data.tables.files import Table, columns_table
from mtl.errors import DataError, suggestion
from mtl.tasks.task import TableData, Task

MIRROR = "MTL_HUB_MIRROR"


def check_revision(task: Task, data: TableData) -> None:
    """Raise DataError for a data set without a revision, with the present commit."""
    if data.revision is not None or os.environ.get(MIRROR):
        return
    known = _present_commit(data.repository)
    remedy = (
        f"The present commit is {known}. Write it: revision: {known}."
        if known
        else "The hub was not reached; its page of the data set lists the commits. Write one: "
        "revision: COMMIT."
    )
    raise DataError(
        f"task {task.name}: data.revision: expected a commit of {data.repository}: without one the "
        f"data can change under the runs. {remedy}"
    )


def _present_commit(repository: str) -> str | None:
    try:
        from huggingface_hub import HfApi

        return HfApi().dataset_info(repository, timeout=20).sha
    except Exception:  # the client's errors share no base class; without network there is no commit
        return None


def hub_table(task: Task, data: TableData, split: str) -> Table:
    """The rows of one split. Raises DataError where they cannot be had."""
    check_revision(task, data)
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"task {task.name}: data sets on the hub need the package {error.name}. Install it: "
            "pip install 'mtl-ablate[hub]', or name local files (path: csv and data_files)."
        ) from None
    mirror = os.environ.get(MIRROR)
    place = str(Path(mirror).expanduser() / data.repository) if mirror else data.repository
    source = f"{data.repository} {split}"
    cache = str(cache_folder() / "datasets")
    revision = None if mirror else data.revision
    try:
        table: Any = datasets.load_dataset(
            place, data.subset, split=split, revision=revision, cache_dir=cache
        )
    except Exception as error:  # as above
        known = _splits(error)
        reason = shorten(str(error), 300, placeholder=" ...").rstrip(".")
        raise DataError(
            f"task {task.name}: {source}: cannot be read: {reason}.{suggestion(split, known)} "
            f"Check path, name, revision and splits; or copy it to FOLDER/{data.repository} and "
            f"set {MIRROR}=FOLDER."
        ) from None
    columns = table.to_dict()
    for name, feature in table.features.items():
        words = getattr(feature, "names", None)
        # A class label of the hub is a number; where the task lists words, they are the hub's.
        if name == task.label_column and words and set(task.label_words) <= set(words):
            columns[name] = [words[value] if value >= 0 else None for value in columns[name]]
    return columns_table(source, columns)


def _splits(error: Exception) -> list[str]:
    text = str(error)
    start, end = text.find("["), text.rfind("]")
    return [word.strip(" '\"") for word in text[start + 1 : end].split(",")] if start >= 0 else []
