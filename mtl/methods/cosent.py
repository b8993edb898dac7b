"""CoSENT: log(1 + sum over rows i, j with y_i < y_j of exp(scale (s_i - s_j))), a loss of order.

s is a similarity in units of the task's range: for labels from 0 to 5, an output divided by 5. So a
cosine is the cosine, and `mtl.model.heads` does not cut negative ones off. Rows with equal labels
are not compared; a batch without unequal labels has the loss 0 and moves nothing.
Source: Su Jianlin, 2022, https://kexue.fm/archives/8847; as in Sentence-Transformers' CoSENTLoss.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mtl.methods.task_loss import TaskLoss, register


@register("cosent")
class CoSENT(TaskLoss):
    """A row with a lower label shall have a lower score."""

    def of_outputs(self, outputs: Tensor, labels: Tensor) -> Tensor:
        span = self.task.high - self.task.low if self.task.bounded else 1.0
        similarities = outputs * (self.settings.scale / span)
        differences = similarities[:, None] - similarities[None, :]
        unequal = differences[_lower(labels)]
        return torch.cat([outputs.new_zeros(1), unequal]).logsumexp(0)

    def measure(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """`compared`: the share of pairs of rows with unequal labels; `wrong`: of these, the share
        in the wrong order."""
        lower = _lower(labels)
        pairs = max(1, len(labels) * (len(labels) - 1) // 2)
        wrong = (outputs[:, None] >= outputs[None, :]) & lower
        return {
            "compared": lower.sum() / pairs,
            "wrong": wrong.sum() / lower.sum().clamp(min=1),
        }


def _lower(labels: Tensor) -> Tensor:
    """(B, B): whether the label of row i is below that of row j."""
    return labels[:, None] < labels[None, :]
