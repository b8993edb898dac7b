"""A task as the YAML that defines it, with every default written out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mtl.tasks.definition import definition_of
from mtl.tasks.task import CourseData, Cut, TableData, Task


def written(task: Task) -> dict[str, Any]:
    """The keys and values of a task's file.

    >>> from mtl.tasks.registry import TASKS
    >>> written(TASKS["sts"])["metric"]
    'pearson'
    """
    plain = definition_of(task)
    if isinstance(task.data, TableData):
        plain["data"] = _table(task.data)
    elif isinstance(task.data, CourseData):
        course = {key: value for key, value in asdict(task.data).items() if key != "hub"}
        plain["data"] = {"course": course, "hub": asdict(task.data.hub)}
    return plain


def _table(data: TableData) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "path": data.format or data.repository,
        "name": data.subset,
        "revision": data.revision,
        "data_files": {name: str(path.absolute()) for name, path in data.files.items()} or None,
        "splits": {
            split: {"from": part.source, "share": part.share} if isinstance(part, Cut) else part
            for split, part in data.splits.items()
        },
        "id": data.id_column,
    }
    return {key: value for key, value in plain.items() if value is not None}
