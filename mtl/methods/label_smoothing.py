"""Label smoothing: of C classes, each gets smoothing / C of a target, the true one the rest too.

One logit is the same for C = 2. The loss cannot fall below the entropy of its targets.
Source: Szegedy et al., CVPR 2016 (arXiv:1512.00567), section 7.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mtl.methods.task_loss import TaskLoss, register, row_losses


@register("label_smoothing")
class LabelSmoothing(TaskLoss):
    """Cross entropy against smoothed targets."""

    def of_outputs(self, outputs: Tensor, labels: Tensor) -> Tensor:
        share = self.settings.smoothing
        if self.task.kind == "classes":
            return F.cross_entropy(outputs, labels.long(), label_smoothing=share)
        return F.binary_cross_entropy_with_logits(outputs, labels * (1 - share) + share / 2)

    def measure(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """`plain`: the loss against hard targets."""
        return {"plain": row_losses(self.task.kind, outputs, labels).mean()}
