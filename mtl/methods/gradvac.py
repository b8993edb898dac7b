"""Gradient vaccine: pull the tasks' gradients towards the cosine that they usually have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mtl.methods.surgery import Surgery, register
from mtl.tasks.task import TaskName

BETA = 0.5
"""How much of a new cosine enters the target."""


@register("gradvac")
class GradVac(Surgery):
    """Task i visits the others j in random order, and is turned towards j where their cosine lies
    below the target of the pair.

    Where phi, the cosine of g_i as changed so far with the original g_j, is below the target t,
    g_j is added |g_i| (t sqrt(1 - phi^2) - phi sqrt(1 - t^2)) / (|g_j| sqrt(1 - t^2)) times, after
    which the cosine is t. Then t <- (1 - beta) t + beta phi. Targets start at 0, where the first
    step is PCGrad's. A pair keeps its target in steps that lack one of its tasks. The sum over
    tasks is returned, and the whole backbone counts as one vector.
    Source: Wang, Tsvetkov, Firat, Cao, ICLR 2021 (arXiv:2010.05874), algorithm 1.
    """

    def __init__(self, backbone: Sequence[nn.Parameter] = ()) -> None:
        super().__init__(backbone)
        self.targets: dict[tuple[TaskName, TaskName], float] = {}

    def weights(
        self, gram: np.ndarray, generator: np.random.Generator, tasks: Sequence[TaskName] = ()
    ) -> np.ndarray:
        names = list(tasks) or [str(number) for number in range(len(gram))]
        rows = np.eye(len(gram))
        phis: dict[tuple[TaskName, TaskName], float] = {}
        for i, row in enumerate(rows):
            for j in generator.permutation(len(gram)):
                size = math.sqrt(max(0.0, float(row @ gram @ row)) * max(0.0, float(gram[j, j])))
                if j == i or not 0 < size < math.inf:
                    continue
                phi = float(np.clip(row @ gram[j] / size, -1, 1))
                pair = (names[i], names[j])
                target = self.targets.get(pair, 0.0)
                if phi < target < 1:
                    across, aim = math.sqrt(1 - phi**2), math.sqrt(1 - target**2)
                    row[j] += size / gram[j, j] * (target * across - phi * aim) / aim
                phis[pair] = phi
        for pair, phi in phis.items():
            self.targets[pair] = (1 - BETA) * self.targets.get(pair, 0.0) + BETA * phi
        return np.asarray(rows.sum(0))

    def tensors(self) -> dict[str, Tensor]:
        return {
            f"target.{first}/{second}": torch.tensor(value, dtype=torch.float64)
            for (first, second), value in self.targets.items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.targets = {}
        for name, value in tensors.items():
            first, _, second = name.removeprefix("target.").partition("/")
            self.targets[first, second] = float(value)
