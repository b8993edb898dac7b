"""A penalty on each task's loss. `NoPenalty`, plain training, is one of the family.

The training loop calls `forward` in place of the model, adds the penalties to the task losses, and
calls `after_step` after each optimiser step. Measurements stay on the device until `report` asks
for those of a step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
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
    def forward(self, batch: Batch, step: int) -> tuple[Sequence[ByTask], ByTask]:
        """The model's outputs, and penalties (scalars with a graph) for some tasks or none.

        The outputs are those of each pass that the tasks' losses are the mean of: mostly of one.
        """

    def begin(self) -> None:
        """Called where the model's weights have changed before the first step."""

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

    def forward(self, batch: Batch, step: int) -> tuple[Sequence[ByTask], ByTask]:
        return [self.model(batch, self.probability)], {}


Join = Callable[[Sequence[Tensor], Sequence[float]], Tensor]
"""One value for a step from those of its micro-batches and their shares of the step's rows."""


def by_share(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """The mean over a step's rows of what are means over the rows of micro-batches."""
    return torch.stack([share * value for share, value in zip(shares, values, strict=True)]).sum()


def largest(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """The largest of the micro-batches' values."""
    return torch.stack(list(values)).amax()


def total(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """The sum of what micro-batches count."""
    return torch.stack(list(values)).sum()


class Measurements:
    """Scalars by step, task and quantity, which stay on the device until `report`."""

    def __init__(self, **joins: Join) -> None:
        """`joins` says how the values of micro-batches give the step's: by share if not named."""
        self.joins = joins
        self.waiting: dict[int, dict[TaskName, dict[str, list[tuple[Tensor, float]]]]] = {}

    def note(
        self, step: int, quantity: str, values: Mapping[TaskName, Tensor], batch: Batch
    ) -> None:
        """Keep a batch's values of one quantity, by task."""
        shares = {part.task: part.share for part in batch.parts}
        for task, value in values.items():
            noted = self.waiting.setdefault(step, {}).setdefault(task, {})
            noted.setdefault(quantity, []).append((value, shares[task]))

    def report(self, step: int, summary: Summary) -> dict[str, dict[str, float | None]]:
        """A step's numbers by task, None where not finite; adds them to `summary`, forgets them."""
        numbers: dict[str, dict[str, float | None]] = {}
        for task, values in self.waiting.pop(step, {}).items():
            numbers[task] = {}
            for quantity, noted in values.items():
                parts, shares = zip(*noted, strict=True)
                join = self.joins.get(quantity, by_share)
                number = float(parts[0] if len(parts) == 1 else join(parts, shares))
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
