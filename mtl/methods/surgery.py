"""From task losses to one gradient. `Sum` is plain multi-task training, a member of the family like any other.

The seam is mathematical: each task's gradient after surgery is a combination of the tasks' gradients before, and which one
follows from their inner products alone. `coefficients` takes the (T, T) Gram matrix to those combinations, a row a task;
the step's gradient is their sum. So a method is a few lines on T x T numbers, whatever the size of the backbone.

Surgery is done on the backbone, which is the encoder's parameters that train; heads keep their plain gradients. A task whose
steps leave a part of the encoder alone has zeros there for the inner products and adds nothing there: what such a part
gets is a weighted sum of the other tasks' gradients, and None where no task of the step reaches it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mtl.config.sections import Surgery as SurgeryName
from mtl.methods.conflicts import Line, describe
from mtl.methods.gradients import Gradient, gram, put, take
from mtl.tasks.registry import TaskName

Group = tuple[TaskName, ...]
LossesOf = Callable[[Group], dict[TaskName, Tensor]]
"""Runs the model on the step's rows of some tasks and gives each task's mean loss, with its graph."""


class Surgery(ABC):
    """Fills the parameters' `.grad` from the tasks of one step."""

    def __init__(self, backbone: Sequence[nn.Parameter] = ()) -> None:
        self.backbone = list(backbone)

    @abstractmethod
    def coefficients(self, gram: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Row i is what becomes of task i's gradient, as a combination of all: (T, T) inner products -> (T, T)."""

    def weights(self, gram: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """How often each task's gradient enters the step's: (T, T) inner products -> (T,)."""
        return np.asarray(self.coefficients(gram, generator).sum(0))

    def combine(self, gradients: Tensor, generator: np.random.Generator) -> Tensor:
        """The step's gradient from the tasks' in one matrix, (T, P) -> (P,): the law that `backward` keeps."""
        products = (gradients.double() @ gradients.double().T).cpu().numpy()
        return torch.from_numpy(self.weights(products, generator)).to(gradients) @ gradients

    def backward(
        self, groups: Sequence[Group], losses_of: LossesOf, generator: np.random.Generator
    ) -> tuple[dict[TaskName, Tensor], Line | None]:
        """Leave the step's gradient in `.grad`; return detached losses, and what surgery saw (None: it did not look).

        `groups` are tasks that can share one pass. Here each task has a forward and a backward of its own, one after
        the other, and what stays in memory are T gradients.
        """
        tasks = [task for group in groups for task in group]
        found: dict[TaskName, Tensor] = {}
        gradients: list[Gradient] = []
        for task in tasks:
            loss = losses_of((task,))[task]
            torch.autograd.backward(loss)
            found[task] = loss.detach()
            gradients.append(take(self.backbone))
        products = gram(gradients)
        with np.errstate(all="ignore"):  # a gradient that is not finite is the loop's to report
            weights = self.weights(products, generator)
            line = describe(tasks, products, weights)
        put(self.backbone, gradients, weights)
        return found, line


class Sum(Surgery):
    """The gradient of the sum of the tasks' mean losses."""

    def coefficients(self, gram: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return np.eye(len(gram))

    def backward(
        self, groups: Sequence[Group], losses_of: LossesOf, generator: np.random.Generator
    ) -> tuple[dict[TaskName, Tensor], Line | None]:
        """One backward for all tasks of a group."""
        found: dict[TaskName, Tensor] = {}
        for group in groups:
            losses = losses_of(group)
            sum(losses.values()).backward()  # type: ignore[union-attr]
            found |= {task: loss.detach() for task, loss in losses.items()}
        return found, None


class Dominant(Surgery):
    """Project each task's gradient off the largest where they conflict (Gorti & Thiesmeyer 2023).

    d is the task whose gradient has the largest norm. Where g_i . g_d < 0, g_i loses its component along g_d. Conflicts
    between two others stay. Of equal norms the first counts.
    """

    def coefficients(self, gram: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        found = np.eye(len(gram))
        d = int(np.argmax(gram.diagonal()))
        for i, product in enumerate(gram[:, d]):
            if product < 0:
                found[i, d] -= product / gram[d, d]
        return found


class PCGrad(Surgery):
    """Project each task's gradient off those it conflicts with (Yu et al., NeurIPS 2020, arXiv:2001.06782).

    For each task i the others j are visited in random order; where g_i, as it is by then, has g_i . g_j < 0, its component
    along the original g_j is removed. The orders are drawn from `generator`. The sum over tasks counts, as in the
    paper: a mean, which some code takes, would change the backbone's learning rate against the heads'.
    """

    def coefficients(self, gram: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        found = np.eye(len(gram))
        for i, row in enumerate(found):
            for j in generator.permutation(len(gram)):
                product = row @ gram[j]
                # A gradient too small for its square has no direction to project off.
                if j != i and product < 0 and gram[j, j] > 0:
                    row[j] -= product / gram[j, j]
        return found


SURGERIES: dict[SurgeryName, type[Surgery]] = {"sum": Sum, "dominant": Dominant, "pcgrad": PCGrad}
