"""Weights that are learned from the size of the losses, through an uncertainty for each task.

The loss of a step is the sum of exp(-s_t) L_t / 2 + s_t / 2 over its tasks; s_t, a scalar for each
task, is the logarithm of a variance. Where L_t is steady, s_t moves to log L_t, and the weight
exp(-s_t) / 2 to 1 / (2 L_t). At first s_t is 0 and the weight is 1/2.
Source: Kendall, Gal, Cipolla, CVPR 2018 (arXiv:1705.07115). There a classification has the weight
exp(-s_t), which settles at 1 / (2 L_t) too. The logarithm is that of the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from mtl.config.schema import RunConfig
from mtl.methods.penalty import ByTask
from mtl.methods.weighing import Weighing, WeightPath, register, without_prefix
from mtl.tasks.task import TaskName


@register("uncertainty")
class Uncertainty(Weighing):
    """Learns s_t with Adam at a constant rate of its own, apart from the model's optimiser.

    The model's rate of some 1e-5 would leave s_t where it is. The default is 1e-2: on the sample
    data (minilm-l6, consolidated) it brought the weights of sst and quora to rest in 60 steps, and
    1e-3 had gone an eighth of the way; 1e-1 is fast enough to follow single batches. The gradient
    of s_t is (1 - exp(-s_t) L_t) / 2, from the loss without its weight; it does not enter the
    model's clipping. A task that a step lacks keeps its s_t.
    """

    def __init__(
        self, tasks: Sequence[TaskName], rate: float, epoch_steps: int, device: torch.device
    ) -> None:
        self.scales = {task: nn.Parameter(torch.zeros((), device=device)) for task in tasks}
        self.adam = torch.optim.Adam(self.scales.values(), lr=rate)
        self.path = WeightPath(tasks, epoch_steps, device)

    @classmethod
    def from_config(cls, config: RunConfig, epoch_steps: int, device: torch.device) -> Self:
        return cls(config.tasks, config.train.task_weights_lr, epoch_steps, device)

    def weights(self) -> Mapping[TaskName, float | Tensor]:
        return {task: torch.exp(-scale.detach()) / 2 for task, scale in self.scales.items()}

    @torch.no_grad()
    def after_step(self, losses: ByTask, step: int) -> None:
        scales = torch.stack(list(self.scales.values()))
        self.path.add(torch.exp(-scales) / 2, step)
        for task, scale in self.scales.items():
            loss = losses.get(task)
            scale.grad = None if loss is None else (1 - torch.exp(-scale) * loss) / 2
        self.adam.step()

    def tensors(self) -> dict[str, Tensor]:
        tensors = {f"path.{name}": value for name, value in self.path.tensors().items()}
        for task, scale in self.scales.items():
            tensors[f"scale.{task}"] = scale.detach()
            moments = self.adam.state.get(scale, {})
            tensors |= {f"adam.{name}.{task}": value for name, value in moments.items()}
        return tensors

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.path.load(without_prefix("path.", tensors))
        for task, scale in self.scales.items():
            scale.copy_(tensors[f"scale.{task}"])
            if f"adam.step.{task}" in tensors:  # the task was in a step
                moments = {
                    name: tensors[f"adam.{name}.{task}"].to(scale.device)
                    for name in ("exp_avg", "exp_avg_sq")
                }
                self.adam.state[scale] = moments | {"step": tensors[f"adam.step.{task}"]}

    def summary(self) -> dict[str, Any] | None:
        return {"rule": "uncertainty", "tasks": self.path.summary()}
