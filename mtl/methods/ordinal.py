"""Soft labels for grades: the target of class k is softmax(-(k - y) ** 2) for the true class y.

A miss by one grade costs less than one by two. Of five classes a true one in the middle has the
targets 0.01, 0.21, 0.56, 0.21, 0.01. The loss cannot fall below the entropy of its targets.
Source: Diaz & Marathe, CVPR 2019, "Soft Labels for Ordinal Regression", equation 2, with the
squared distance of the grades' numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl.methods.task_loss import TaskLoss, register, row_losses


@register("ordinal")
class Ordinal(TaskLoss):
    """Cross entropy against targets that fall off with the distance from the true grade."""

    def of_outputs(self, outputs: Tensor, labels: Tensor) -> Tensor:
        grades = torch.arange(outputs.shape[1], dtype=torch.float32, device=outputs.device)
        targets = (-((grades - labels[:, None]) ** 2)).softmax(1)
        return F.cross_entropy(outputs, targets)

    def measure(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """`plain`: the loss against hard targets; `distance`: how many grades the choice is off."""
        chosen = outputs.argmax(1).float()
        return {
            "plain": row_losses("classes", outputs, labels).mean(),
            "distance": (chosen - labels).abs().mean(),
        }
