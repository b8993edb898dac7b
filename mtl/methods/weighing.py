"""What each task's loss is multiplied by. `Fixed`, the numbers of a config, is one of the family.

The training loop calls `weigh` on each task's loss, with its penalty, before the backward pass,
`plain` on the detached losses for the log, and `after_step` with these after each optimiser step.
Weights change between steps only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from mtl.config.schema import RunConfig
from mtl.config.task_weights import WeightRule
from mtl.methods.penalty import ByTask
from mtl.methods.stateful import Stateful
from mtl.tasks.task import TaskName

WEIGHINGS: dict[str, type[Weighing]] = {}
"""Every rule by its name in a config; complete once `mtl.methods.registry` is imported."""


def register(rule: WeightRule) -> Callable[[type[Weighing]], type[Weighing]]:
    """Enter a class in `WEIGHINGS`."""

    def enter(weighing: type[Weighing]) -> type[Weighing]:
        WEIGHINGS[rule] = weighing
        return weighing

    return enter


class Weighing(Stateful, ABC):
    """The weights of the tasks' losses."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: RunConfig, epoch_steps: int, device: torch.device) -> Self:
        """The weighing that a config asks for, in a run with so many steps an epoch."""

    @abstractmethod
    def weights(self) -> Mapping[TaskName, float | Tensor]:
        """The weights of the step: numbers above 0, without a graph. A task without one has 1."""

    def weigh(self, losses: ByTask) -> ByTask:
        """Each loss times its weight."""
        weights = self.weights()
        return losses | {task: weights[task] * losses[task] for task in losses.keys() & weights}

    def plain(self, losses: ByTask) -> ByTask:
        """The losses without their weights, as logs show them."""
        weights = self.weights()
        return losses | {task: losses[task] / weights[task] for task in losses.keys() & weights}

    def after_step(self, losses: ByTask, step: int) -> None:
        """Called after optimiser step `step` (from 0) with its detached losses, without weights."""

    def summary(self) -> dict[str, Any] | None:
        """What the record says of the weights (`mtl.runs.weights`); None without weights."""
        return None


@register("fixed")
class Fixed(Weighing):
    """The numbers of a config."""

    def __init__(self, numbers: Mapping[TaskName, float]) -> None:
        self.numbers = numbers

    @classmethod
    def from_config(cls, config: RunConfig, epoch_steps: int, device: torch.device) -> Self:
        return cls(config.task_weights.written())

    def weights(self) -> Mapping[TaskName, float | Tensor]:
        return self.numbers

    def summary(self) -> dict[str, Any] | None:
        return {"rule": "fixed"} if self.numbers else None


class WeightPath(Stateful):
    """The weights that a rule has used, (T,) for T tasks: their range, and the last of each epoch.

    All stays on the device until `summary`.
    """

    def __init__(self, tasks: Sequence[TaskName], epoch_steps: int, device: torch.device) -> None:
        self.tasks, self.epoch_steps, self.device = list(tasks), epoch_steps, device
        self.per_epoch: list[Tensor] = []

    def add(self, weights: Tensor, step: int) -> None:
        """Note the weights of step `step` (from 0)."""
        if not self.per_epoch:
            self.lowest = self.highest = weights
        self.lowest = torch.minimum(self.lowest, weights)
        self.highest = torch.maximum(self.highest, weights)
        del self.per_epoch[step // self.epoch_steps :]
        self.per_epoch.append(weights)

    def tensors(self) -> dict[str, Tensor]:
        if not self.per_epoch:
            return {}
        stacked = torch.stack(self.per_epoch)
        return {"per_epoch": stacked, "lowest": self.lowest, "highest": self.highest}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        if not tensors:
            return
        names = ("per_epoch", "lowest", "highest")
        saved = {name: tensors[name].to(self.device) for name in names}
        if any(value.shape[-1:] != (len(self.tasks),) for value in saved.values()):
            raise ValueError("its weights are of other tasks")
        self.per_epoch = list(saved["per_epoch"].unbind())
        self.lowest, self.highest = saved["lowest"], saved["highest"]

    def summary(self) -> dict[TaskName, dict[str, Any]]:
        """By task: `per_epoch`, `lowest`, `highest`; a number that is not finite is None."""
        if not self.per_epoch:
            return {}
        paths = torch.stack(self.per_epoch).T.tolist()
        ends = torch.stack([self.lowest, self.highest]).T.tolist()
        return {
            task: {
                "per_epoch": list(map(_finite, path)),
                "lowest": _finite(lowest),
                "highest": _finite(highest),
            }
            for task, path, (lowest, highest) in zip(self.tasks, paths, ends, strict=True)
        }


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _finite(number: float) -> float | None:
    return number if number - number == 0 else None
