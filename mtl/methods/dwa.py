"""Dynamic weight average: a task whose loss falls slowly gets a larger weight.

In epoch e, the weight of each of T tasks is T softmax(r / 2), where r = L(e-1) / L(e-2) is the
ratio of the task's mean training losses in the two epochs before. The weights sum to T. The first
two epochs have weights of 1.
Source: Liu, Johns, Davison, CVPR 2019 (arXiv:1803.10704), equation 7, with its temperature of 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from mtl.config.schema import RunConfig
from mtl.methods.penalty import ByTask
from mtl.methods.weighing import Weighing, WeightPath, register, without_prefix
from mtl.tasks.task import TaskName

TEMPERATURE = 2.0
TOO_SHORT = "dwa weighs from the third epoch on, which the run did not reach"


@register("dwa")
class DynamicWeightAverage(Weighing):
    """Adds up the losses of an epoch, and changes the weights at its end.

    An epoch's mean is over the steps that have the task. Where an epoch has no such step, or its
    mean is 0, the ratio counts as 1.
    """

    def __init__(self, tasks: Sequence[TaskName], epoch_steps: int, device: torch.device) -> None:
        self.tasks, self.epoch_steps = list(tasks), epoch_steps
        self.current = torch.ones(len(tasks), device=device)
        self.sums = torch.zeros(len(tasks), dtype=torch.float64, device=device)
        self.counts = torch.zeros_like(self.sums)
        self.last = torch.full_like(self.sums, torch.nan)
        self.path = WeightPath(tasks, epoch_steps, device)

    @classmethod
    def from_config(cls, config: RunConfig, epoch_steps: int, device: torch.device) -> Self:
        return cls(config.tasks, epoch_steps, device)

    def weights(self) -> Mapping[TaskName, float | Tensor]:
        return dict(zip(self.tasks, self.current.unbind(), strict=True))

    @torch.no_grad()
    def after_step(self, losses: ByTask, step: int) -> None:
        self.path.add(self.current, step)
        for position, task in enumerate(self.tasks):
            if task in losses:
                self.sums[position] += losses[task]
                self.counts[position] += 1
        if (step + 1) % self.epoch_steps == 0:
            self.end_epoch(first=step < self.epoch_steps)

    def end_epoch(self, *, first: bool) -> None:
        """Weights for the next epoch, from the means of this one and the one before."""
        means = self.sums / self.counts
        if not first:
            self.current = weights_of(means / self.last).to(self.current.dtype)
        self.last = means
        self.sums, self.counts = torch.zeros_like(means), torch.zeros_like(means)

    def tensors(self) -> dict[str, Tensor]:
        path = {f"path.{name}": value for name, value in self.path.tensors().items()}
        return path | {name: getattr(self, name) for name in STATE}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.path.load(without_prefix("path.", tensors))
        for name in STATE:
            old = getattr(self, name)
            if tensors[name].shape != old.shape:
                raise ValueError("its weights are of other tasks")
            setattr(self, name, tensors[name].to(old.device))

    def summary(self) -> dict[str, Any] | None:
        summary: dict[str, Any] = {"rule": "dwa", "tasks": self.path.summary()}
        return summary if len(self.path.per_epoch) > 2 else summary | {"idle": TOO_SHORT}


STATE = ("current", "sums", "counts", "last")


def weights_of(ratios: Tensor) -> Tensor:
    """T softmax(r / 2) of the ratios (T,); a ratio that is not finite counts as 1.

    >>> weights_of(torch.tensor([1.0, 1.0]))
    tensor([1., 1.])
    """
    ratios = torch.where(ratios.isfinite(), ratios, 1.0)
    return len(ratios) * torch.softmax(ratios / TEMPERATURE, 0)
