"""The tasks that a run was scored with, as its record keeps them.

So a report needs no YAML, and an old run is scored as it was, whatever the task's file says now.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable
from functools import cache
from typing import Any

from mtl.errors import ConfigError, short
from mtl.tasks.definition import definition_of, stored_task
from mtl.tasks.registry import differing, shipped
from mtl.tasks.task import Task, TaskName


def definitions_of(names: Iterable[TaskName]) -> dict[str, Any]:
    """What a run keeps of its tasks, by name: of all but those that are as shipped."""
    return {task.name: definition_of(task) for task in differing(names)}


def tasks_in(stored: object, source: str) -> tuple[Task, ...]:
    """The tasks that `definitions_of` stored. Raises ConfigError."""
    if not isinstance(stored, dict):
        raise ConfigError(f"{source}: expected tasks by name, got {short(stored)}.")
    texts = (json.dumps(value, sort_keys=True) for value in stored.values())
    return tuple(_task(text, source) for text in texts)


def shipped_but(kept: Container[TaskName], names: Iterable[TaskName]) -> tuple[Task, ...]:
    """The shipped tasks among `names`, without those that are kept."""
    return tuple(shipped()[name] for name in names if name not in kept and name in shipped())


@cache
def _task(text: str, source: str) -> Task:
    return stored_task(json.loads(text), source)
