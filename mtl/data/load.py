"""Load data: the built-in sample, the Hugging Face hub, or a folder of course files.

All files are read before an error is raised, so that one error lists the problems of all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from mtl.cache import cache_folder
from mtl.data.course.files import OnBadRow, check_folder, read_course
from mtl.data.rows import Rows
from mtl.errors import DataError, suggestion
from mtl.tasks.registry import TASKS
from mtl.tasks.task import CourseData, Split, TableData, Task, TaskName

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

    A task with data of its own is read from there. For the course's tasks `data` is `sample` (built
    in), `hub` (downloaded once, then read from the cache folder) or a folder of course files; write
    `./sample` for a folder of that name. `optional` splits may be absent. Raises one DataError with
    the problems of all files.
    """
    errors: list[str] = []
    rows: dict[tuple[TaskName, Split], Rows] = {}
    for own in tasks:
        if not isinstance(TASKS[own].data, CourseData):
            try:
                rows |= _own_rows(TASKS[own], splits, on_bad_row, optional)
            except DataError as error:
                errors.append(str(error))
    course = [task for task in tasks if isinstance(TASKS[task].data, CourseData)]
    if course:
        try:
            rows |= _course_rows(data, course, splits, on_bad_row, optional)
        except DataError as error:
            errors.append(str(error))
    if errors:
        raise DataError("\n".join(errors))
    return {(task, split): rows[task, split] for task in tasks for split in splits
            if (task, split) in rows}  # fmt: skip


def _own_rows(
    task: Task, splits: Sequence[Split], on_bad_row: OnBadRow, optional: Collection[Split]
) -> dict[tuple[TaskName, Split], Rows]:
    """The rows of a task with data of its own. Raises DataError for a split that it lacks."""
    from mtl.data.tables.read import read_own_rows

    data = task.data
    if not isinstance(data, TableData):
        raise DataError(
            f"task {task.name}: it names no data. Write data in tasks/{task.name}.yaml, or work in "
            "the folder that has this file."
        )
    absent = [split for split in splits if data.splits.get(split) is None and split not in optional]
    if absent:
        raise DataError(
            f"task {task.name}: its data has no {' and no '.join(absent)} split. Name one under "
            f"data.splits in its file, or cut one: {{{absent[0]}: {{from: train, share: 0.1}}}}."
        )
    rows = read_own_rows(task, data, splits, on_bad_row=on_bad_row)
    return {(task.name, split): part for split, part in rows.items()}


def _course_rows(
    data: str,
    tasks: Sequence[TaskName],
    splits: Sequence[Split],
    on_bad_row: OnBadRow,
    optional: Collection[Split],
) -> dict[tuple[TaskName, Split], Rows]:
    """The rows of the course's tasks. Raises one DataError with the problems of all files."""
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


def is_built_in(data: str, tasks: Iterable[TaskName]) -> bool:
    """Whether all rows of these tasks are those of the sample, which anybody may see."""
    return data == "sample" and all(isinstance(TASKS[task].data, CourseData) for task in tasks)


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
