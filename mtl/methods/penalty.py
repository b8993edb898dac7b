"""A penalty per task loss. `NoPenalty` is plain training, a member of the family like any other.

The loop calls `forward` in place of the model, adds what it gets to the task losses, and calls `stepped` after each
optimiser step. What a penalty measures stays on the device until `report` is asked for a step's numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mtl.model.multitask import Batch, MultiTaskModel
from mtl.tasks.registry import TaskName

ByTask = dict[TaskName, Tensor]
Summary = dict[str, dict[str, list[float]]]
"""By task and quantity: how many steps had a number, and their sum. Plain data, so that a run's state can hold it."""


class Penalty(ABC):
    """Runs the model on a batch and says what to add to each task's mean loss."""

    @abstractmethod
    def forward(self, batch: Batch, step: int) -> tuple[ByTask, ByTask]:
        """Outputs by task, as the model gives them, and penalties by task: scalars with a graph, or none."""

    def stepped(self, step: int, total: int) -> None:  # noqa: B027 - a penalty need not remember anything
        """Told after optimiser step `step` (from 0) of `total`."""

    def tensors(self) -> dict[str, Tensor]:
        """What an interrupted run needs to go on, besides the model."""
        return {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Put back what `tensors` gave."""

    def report(self, step: int, summary: Summary) -> dict[str, Any]:
        """What was measured at a step, for its line in the log; added to `summary`. Call it once a step."""
        return {}


class NoPenalty(Penalty):
    """The model alone."""

    def __init__(self, model: MultiTaskModel, probability: float) -> None:
        self.model, self.probability = model, probability

    def forward(self, batch: Batch, step: int) -> tuple[ByTask, ByTask]:
        return self.model(batch, self.probability), {}


class Measurements:
    """Scalars on the device, by step, task and quantity, until somebody wants them as numbers."""

    def __init__(self) -> None:
        self.waiting: dict[int, dict[TaskName, dict[str, Tensor]]] = {}

    def note(self, step: int, quantity: str, values: Mapping[TaskName, Tensor]) -> None:
        """Keep a step's values of one quantity, by task."""
        for task, value in values.items():
            self.waiting.setdefault(step, {}).setdefault(task, {})[quantity] = value

    def report(self, step: int, summary: Summary) -> dict[str, dict[str, float | None]]:
        """A step's numbers by task, None for what is not finite; added to `summary` and forgotten here."""
        found: dict[str, dict[str, float | None]] = {}
        for task, values in self.waiting.pop(step, {}).items():
            found[task] = {}
            for quantity, value in values.items():
                number = float(value)
                finite = number - number == 0
                found[task][quantity] = number if finite else None
                if finite:
                    count = summary.setdefault(task, {}).setdefault(quantity, [0, 0.0])
                    count[0] += 1
                    count[1] += number
        return found


def summarised(summary: Summary) -> dict[str, Any] | None:
    """By task: each quantity's mean over the steps that have it, and the examples skipped in all. None without steps."""
    found: dict[str, Any] = {}
    for task, values in summary.items():
        means = {quantity: total / count for quantity, (count, total) in sorted(values.items())}
        if "skipped" in values:
            means["skipped"] = int(values["skipped"][1])
        found[task] = means
    return found or None
