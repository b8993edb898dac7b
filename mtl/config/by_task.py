"""The sections that have a setting for each task: `heads.*`, `losses.*` and `task_weights.*`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mtl.tasks.task import Task

TASK_DEFAULTS: dict[str, Callable[[Task], Any]] = {
    "heads": lambda task: task.default_head,
    "task_weights": lambda task: 1.0,
    "losses": lambda task: task.loss,
}
"""What a task has in each such section where nothing is set."""

LEFT_OUT = frozenset({"task_weights", "losses"})
"""The sections that a dump of a config leaves out where nothing is set."""
