"""Gradient surgery: from the tasks' losses to one gradient. `Sum` is plain training.

The seam is mathematical. After surgery each task's gradient is a combination of the tasks' original
gradients, and the combination follows from their inner products alone. A surgery therefore maps a
(T, T) Gram matrix to weights (T,), whatever the size of the encoder. Most do so through (T, T)
coefficients, a row a task.

Surgery acts on the backbone, the encoder's trained parameters; heads keep their plain gradients. A
task that does not reach a parameter, because the parameter is frozen for it, counts as zeros there.
A parameter that no task of the step reaches keeps a gradient of None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mtl.config.surgeries import Surgery as SurgeryName
from mtl.data.schedules import Step
from mtl.methods.conflicts import Line, describe
from mtl.methods.gradients import Gradient, gram, put, take
from mtl.methods.stateful import Stateful
from mtl.tasks.task import TaskName

LossesOf = Callable[[Step], dict[TaskName, Tensor]]
"""Runs the model on some tasks' rows and gives each task's mean loss, with its graph.

Where the rows are a part of those that the task has in the step, it is their share of that mean.
"""

SURGERIES: dict[str, Callable[..., Surgery]] = {}
"""Every surgery by its name in a config; complete once `mtl.methods.registry` is imported."""


def register(name: SurgeryName) -> Callable[[type[Surgery]], type[Surgery]]:
    """Enter a class in `SURGERIES`."""

    def enter(surgery: type[Surgery]) -> type[Surgery]:
        SURGERIES[name] = surgery
        return surgery

    return enter


class Surgery(Stateful):
    """Fills the backbone's `.grad` from the tasks of one step."""

    def __init__(self, backbone: Sequence[nn.Parameter] = ()) -> None:
        self.backbone = list(backbone)

    def coefficients(self, gram: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Inner products (T, T) -> (T, T): row i is task i's gradient after surgery.

        Entry (i, j) says how often the original gradient j is in it. Draw only from `generator`.
        """
        return np.eye(len(gram))

    def weights(
        self, gram: np.ndarray, generator: np.random.Generator, tasks: Sequence[TaskName] = ()
    ) -> np.ndarray:
        """Inner products (T, T) -> (T,): how often each task's gradient is in the step's.

        `tasks` are the names of the T tasks, for a surgery that remembers them from step to step.
        """
        return np.asarray(self.coefficients(gram, generator).sum(0))

    def backward(
        self, passes: Sequence[Step], losses_of: LossesOf, generator: np.random.Generator
    ) -> tuple[dict[TaskName, Tensor], Line | None]:
        """Leave the step's gradient in `.grad`. Returns detached losses and the step's log line.

        `passes` are the step's rows, split by what can share a pass. Where they are split into
        micro-batches a task has several, whose losses and gradients add up. Here each task has
        forwards and backwards of its own, one after another; T gradients stay in memory, but no
        graph.
        """
        losses: dict[TaskName, Tensor] = {}
        gradients: list[Gradient] = []
        for task in dict.fromkeys(task for rows in passes for task in rows):
            for rows in passes:
                if task in rows:
                    loss = losses_of({task: rows[task]})[task]
                    torch.autograd.backward(loss)
                    add(losses, {task: loss})
            gradients.append(take(self.backbone))
        products = gram(gradients)
        with np.errstate(all="ignore"):  # the training loop reports a gradient that is not finite
            weights = self.weights(products, generator, list(losses))
            line = describe(list(losses), products, weights)
        put(self.backbone, gradients, weights)
        return losses, line


@register("sum")
class Sum(Surgery):
    """The gradient of the sum of the tasks' mean losses: no surgery."""

    def backward(
        self, passes: Sequence[Step], losses_of: LossesOf, generator: np.random.Generator
    ) -> tuple[dict[TaskName, Tensor], Line | None]:
        """One backward for all tasks of a pass. There is no log line, since nothing is measured."""
        detached: dict[TaskName, Tensor] = {}
        for rows in passes:
            losses = losses_of(rows)
            sum(losses.values()).backward()  # type: ignore[union-attr]
            add(detached, losses)
        return detached, None


def add(sums: dict[TaskName, Tensor], losses: Mapping[TaskName, Tensor]) -> None:
    """Add losses to those of a step so far, without their graphs."""
    for task, loss in losses.items():
        sums[task] = sums[task] + loss.detach() if task in sums else loss.detach()
