"""From task losses to one gradient. `Sum` is plain multi-task training, a member of the family like any other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor

from mtl.config import Surgery as SurgeryName
from mtl.tasks import TaskName

Group = tuple[TaskName, ...]
LossesOf = Callable[[Group], dict[TaskName, Tensor]]
"""Runs the model on the step's rows of some tasks and gives each task's mean loss, with its graph."""


class Surgery(ABC):
    """Fills the parameters' `.grad` from the tasks of one step."""

    @abstractmethod
    def backward(self, groups: Sequence[Group], losses_of: LossesOf) -> dict[TaskName, Tensor]:
        """Run the groups (tasks that can share one pass), leave the step's gradient in `.grad`, return detached losses."""


class Sum(Surgery):
    """The gradient of the sum of the tasks' mean losses."""

    def backward(self, groups: Sequence[Group], losses_of: LossesOf) -> dict[TaskName, Tensor]:
        found: dict[TaskName, Tensor] = {}
        for group in groups:
            losses = losses_of(group)
            sum(losses.values()).backward()  # type: ignore[union-attr]
            found |= {task: loss.detach() for task, loss in losses.items()}
        return found


SURGERIES: dict[SurgeryName, type[Surgery]] = {"sum": Sum}
