"""Cross entropy with weights of classes: n / (C n_c) for class c with n_c of n training rows, where
C classes occur.

The usual "balanced" weights, as of King & Zeng 2001. Their mean over the training rows is 1, and
the loss is divided by the number of rows. torch divides by the batch's sum of weights instead,
which would make a row's weight depend on its batch.
Source: King, Zeng. Logistic Regression in Rare Events Data. Political Analysis 9 (2), 2001.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mtl.config.losses import Losses
from mtl.methods.task_loss import TaskLoss, register, row_losses
from mtl.tasks.task import Task


def balanced(labels: np.ndarray, classes: int) -> np.ndarray:
    """The weight of each class, (classes,); 0 for a class without rows.

    >>> balanced(np.array([0, 0, 0, 1]), 2).round(3)
    array([0.667, 2.   ])
    """
    counts = np.bincount(labels.astype(np.int64), minlength=classes)
    present = int((counts > 0).sum())
    return np.divide(len(labels), present * counts, out=np.zeros(classes), where=counts > 0)


@register("class_weights")
class ClassWeights(TaskLoss):
    """Rows of rare classes count more."""

    def __init__(self, task: Task, settings: Losses, labels: np.ndarray) -> None:
        super().__init__(task, settings, labels)
        self.weights = torch.from_numpy(balanced(labels, len(task.class_names)).astype(np.float32))

    def of_outputs(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return (self._of_rows(labels) * row_losses(self.task.kind, outputs, labels)).mean()

    def measure(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """`plain`: the loss without weights; `factor`: the mean weight of the rows."""
        plain = row_losses(self.task.kind, outputs, labels).mean()
        return {"plain": plain, "factor": self._of_rows(labels).mean()}

    def _of_rows(self, labels: Tensor) -> Tensor:
        self.weights = self.weights.to(labels.device)
        return self.weights[labels.long()]
