"""A penalty on each task's loss. `NoPenalty`, plain training, is one of the family.

The training loop calls `forward` in place of the model, adds the penalties to the task losses, and
calls `after_step` after each optimiser step. Measurements stay on the device until `report` asks
for those of a step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

from torch import Tensor

from mtl.config.schema import RunConfig
from mtl.methods.stateful import Stateful
from mtl.model.batch import Batch
from mtl.model.multitask import MultiTaskModel
from mtl.tasks.task import TaskName

ByTask = dict[TaskName, Tensor]
Summary = dict[str, dict[str, list[float]]]
"""By task and quantity: the number of steps with a value, and the values' sum. Saved as JSON."""

PENALTIES: dict[str, type[Penalty]] = {}
"""Every penalty by its key in a config; complete once `mtl.methods.registry` is imported."""


def register(key: str) -> Callable[[type[Penalty]], type[Penalty]]:
    """Enter a class in `PENALTIES`. The config's `key` is None where the penalty is off."""

    def enter(penalty: type[Penalty]) -> type[Penalty]:
        PENALTIES[key] = penalty
        return penalty

    return enter


class Penalty(Stateful, ABC):
    """Runs the model on a batch and gives a penalty for each task's mean loss."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: RunConfig, model: MultiTaskModel) -> Self:
        """The penalty that a config asks for."""

    @abstractmethod
    def forward(self, batch: Batch, step: int) -> tuple[ByTask, ByTask]:
        """The model's outputs, and penalties (scalars with a graph) for some tasks or none."""

    def after_step(self, step: int, total: int) -> None:
        """Called after optimiser step `step` (from 0) of `total`."""

    def report(self, step: int, summaries: dict[str, Summary]) -> dict[str, Any]:
        """What a step's log line says of the penalty, under the penalty's key.

        Adds the numbers to the summary of that key. Call it once a step.
        """
        return {}


class NoPenalty(Penalty):
    """The model alone."""

    def __init__(self, model: MultiTaskModel, probability: float) -> None:
        self.model, self.probability = model, probability

    @classmethod
    def from_config(cls, config: RunConfig, model: MultiTaskModel) -> Self:
        return cls(model, config.train.dropout)

    def forward(self, batch: Batch, step: int) -> tuple[ByTask, ByTask]:
        return self.model(batch, self.probability), {}


class Measurements:
    """Scalars by step, task and quantity, which stay on the device until `report`."""

    def __init__(self) -> None:
        self.waiting: dict[int, dict[TaskName, dict[str, Tensor]]] = {}

    def note(self, step: int, quantity: str, values: Mapping[TaskName, Tensor]) -> None:
        """Keep a step's values of one quantity, by task."""
        for task, value in values.items():
            self.waiting.setdefault(step, {}).setdefault(task, {})[quantity] = value

    def report(self, step: int, summary: Summary) -> dict[str, dict[str, float | None]]:
        """A step's numbers by task, None where not finite; adds them to `summary`, forgets them."""
        numbers: dict[str, dict[str, float | None]] = {}
        for task, values in self.waiting.pop(step, {}).items():
            numbers[task] = {}
            for quantity, value in values.items():
                number = float(value)
                finite = number - number == 0
                numbers[task][quantity] = number if finite else None
                if finite:
                    count = summary.setdefault(task, {}).setdefault(quantity, [0, 0.0])
                    count[0] += 1
                    count[1] += number
        return numbers


def summarise(summary: Summary) -> dict[str, Any] | None:
    """By task: each quantity's mean over its steps, and how many examples were skipped in all.

    None without steps.
    """
    means_by_task: dict[str, Any] = {}
    for task, values in summary.items():
        means = {quantity: total / count for quantity, (count, total) in sorted(values.items())}
        if "skipped" in values:
            means["skipped"] = int(values["skipped"][1])
        means_by_task[task] = means
    return means_by_task or None
