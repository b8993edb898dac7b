"""Load data: the built-in sample, the Hugging Face hub, or a folder of course files.

All files are read before an error is raised, so that one error lists the problems of all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from mtl.cache import cache_folder
from mtl.data.course.files import OnBadRow, check_folder, read_course
from mtl.data.rows import Rows
from mtl.errors import DataError, suggestion
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Split, TaskName

BUILT_IN = ("sample", "hub")


def load_rows(
    data: str,
    tasks: Sequence[TaskName],
    splits: Sequence[Split],
    *,
    on_bad_row: OnBadRow = "error",
    optional: Collection[Split] = (),
) -> dict[tuple[TaskName, Split], Rows]:
    """The rows of each task and split, in the given order.

    `data` is `sample` (built in), `hub` (downloaded once, then read from the cache folder) or a
    folder of course files; write `./sample` for a folder of that name. In a folder, files of
    `optional` splits may be absent. Raises one DataError with the problems of all files.
    """
    if data == "sample":
        from mtl.data.sample.build import sample_rows

        return {
            (task, split): sample_rows(TASKS[task], split) for task in tasks for split in splits
        }
    folder = hub_folder(tasks, splits) if data == "hub" else data_folder(data)
    parts = [
        (task, split)
        for task in tasks
        for split in splits
        if split not in optional or (folder / TASKS[task].file_name(split)).exists()
    ]
    check_folder(folder, [TASKS[task].file_name(split) for task, split in parts])
    rows: dict[tuple[TaskName, Split], Rows] = {}
    errors: list[str] = []
    for task, split in parts:
        try:
            rows[task, split] = read_course(folder, TASKS[task], split, on_bad_row=on_bad_row)
        except DataError as error:
            errors.append(str(error))
    if errors:
        raise DataError("\n".join(errors))
    return rows


def hub_folder(tasks: Sequence[TaskName], splits: Sequence[Split]) -> Path:
    """The folder of course files from the hub. Tasks with missing files are fetched first."""
    from mtl.data.hub import fetch_hub

    folder = cache_folder() / "hub"
    missing = [
        task
        for task in tasks
        if not all((folder / TASKS[task].file_name(split)).is_file() for split in splits)
    ]
    if missing:
        fetch_hub(folder, missing, say=lambda line: print(line, file=sys.stderr))
    return folder


def data_folder(data: str) -> Path:
    """The folder of course files that `data` names. Raises DataError for a misspelt built-in."""
    try:
        folder = Path(data).expanduser()
    except RuntimeError as error:
        raise DataError(f"{data}: there is no such home folder. Give the full path.") from error
    near = suggestion(data, BUILT_IN)
    if near and not folder.exists():
        raise DataError(
            f"{data}: expected 'sample', 'hub' or a folder of course files; there is no such "
            f"folder.{near}"
        )
    return folder
