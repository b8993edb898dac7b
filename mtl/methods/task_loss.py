"""The training loss of a task. `Plain`, the loss of the task's file, is one of the family.

Shapes: outputs are (B, C) logits of classes, (B,) logits of two classes, or (B,) scores; labels are
(B,) float32. A loss is a scalar, the mean over the B rows, in float32 whatever the precision of the
outputs, so that those of micro-batches add up by their shares of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mtl.config.losses import Losses
from mtl.config.schema import RunConfig
from mtl.data.tokens import TokenizedRows
from mtl.methods.penalty import ByTask, Measurements
from mtl.model.batch import Batch, Part
from mtl.model.losses import task_loss
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Kind, Task, TaskName

LOSSES: dict[str, type[TaskLoss]] = {}
"""Every loss by its name in a config; complete once `mtl.methods.registry` is imported."""


def register(*names: str) -> Callable[[type[TaskLoss]], type[TaskLoss]]:
    """Enter a class in `LOSSES`."""

    def enter(loss: type[TaskLoss]) -> type[TaskLoss]:
        LOSSES.update(dict.fromkeys(names, loss))
        return loss

    return enter


class TaskLoss:
    """The loss of one task. `labels` are those of its training rows, (n,)."""

    wants_vectors = False
    """Whether `of_vectors` adds a loss on the two sentences' vectors."""

    def __init__(self, task: Task, settings: Losses, labels: np.ndarray) -> None:
        self.task, self.settings = task, settings

    def of_outputs(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The loss of a head's outputs: float32, a scalar."""
        raise NotImplementedError

    def of_vectors(self, first: Tensor, second: Tensor, part: Part) -> Tensor:
        """The loss of the sentences' vectors, (B, H) each, where the loss wants them."""
        raise NotImplementedError

    def measure(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Scalars on what the loss acted on, for the diagnostics. Means over the rows."""
        return {}


@register("cross_entropy", "bce", "mse")
class Plain(TaskLoss):
    """Cross entropy, binary cross entropy, or the mean squared error."""

    def of_outputs(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return task_loss(self.task.kind, outputs, labels)


class TaskLosses:
    """The losses of a run's tasks, and what they acted on."""

    def __init__(self, losses: Mapping[TaskName, TaskLoss]) -> None:
        self.losses = losses
        self.measurements = Measurements()

    @property
    def watched(self) -> frozenset[TaskName]:
        """The tasks whose loss wants the sentences' vectors."""
        return frozenset(task for task, loss in self.losses.items() if loss.wants_vectors)

    def of(
        self,
        batch: Batch,
        passes: Sequence[ByTask],
        step: int,
        vectors: Mapping[TaskName, Sequence[tuple[Tensor, Tensor]]],
    ) -> ByTask:
        """Each task's loss on its rows of a batch: the mean over passes.

        `passes` are the outputs of each, `vectors` those of the watched tasks, pass by pass. What
        is measured is that of the first.
        """
        found = [
            self._of(batch, outputs, {task: seen[number] for task, seen in vectors.items()})
            for number, outputs in enumerate(passes)
        ]
        for quantity, values in found[0][1].items():
            self.measurements.note(step, quantity, values, batch)
        losses = found[0][0]
        if len(found) > 1:
            for task in losses:
                losses[task] = torch.stack([each[task] for each, _ in found]).mean()
        return losses

    def _of(
        self, batch: Batch, outputs: ByTask, vectors: Mapping[TaskName, tuple[Tensor, Tensor]]
    ) -> tuple[ByTask, dict[str, ByTask]]:
        """The losses of one pass, and by quantity what they measured."""
        losses, measured = {}, dict[str, ByTask]()
        for part in batch.parts:
            task = part.task
            loss, raw = self.losses[task], outputs[task].float()
            losses[task] = loss.of_outputs(raw, part.labels)
            noted = loss.measure(raw.detach(), part.labels)
            if task in vectors:
                extra = loss.of_vectors(*vectors[task], part)
                losses[task] = losses[task] + extra
                noted |= {"contrast": extra.detach()}
            for quantity, value in noted.items():
                measured.setdefault(quantity, {})[task] = value
        return losses, measured


def make_losses(config: RunConfig, train: Mapping[TaskName, TokenizedRows]) -> TaskLosses:
    """The losses of a config for its training rows."""
    settings, losses = config.resolved().losses, {}
    for task in config.tasks:
        labels = train[task].rows.labels
        assert labels is not None
        losses[task] = LOSSES[settings.of(task)](TASKS[task], settings, labels)
    return TaskLosses(losses)


def row_losses(kind: Kind, outputs: Tensor, labels: Tensor) -> Tensor:
    """The cross entropy of each row, (B,)."""
    if kind == "classes":
        return F.cross_entropy(outputs, labels.long(), reduction="none")
    return F.binary_cross_entropy_with_logits(outputs, labels, reduction="none")
