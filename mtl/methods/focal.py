"""Focal loss: each row's cross entropy times (1 - p) ** gamma, p the probability of its class.

Without the paper's weights of classes (alpha), which are `class_weights`.
Source: Lin et al., ICCV 2017 (arXiv:1708.02002), equation 4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mtl.methods.task_loss import TaskLoss, register, row_losses


@register("focal")
class Focal(TaskLoss):
    """Rows that are already right count less."""

    def of_outputs(self, outputs: Tensor, labels: Tensor) -> Tensor:
        rows = row_losses(self.task.kind, outputs, labels)
        return (self._factors(rows) * rows).mean()

    def measure(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """`plain`: the loss without factors; `factor`: their mean."""
        rows = row_losses(self.task.kind, outputs, labels)
        return {"plain": rows.mean(), "factor": self._factors(rows).mean()}

    def _factors(self, rows: Tensor) -> Tensor:
        # 1 - p from the loss itself, -log p. Where p rounds to 1 the power's gradient is kept
        # finite for gamma below 1.
        wrong = -torch.expm1(-rows)
        return wrong.clamp(min=torch.finfo(rows.dtype).tiny) ** self.settings.gamma
