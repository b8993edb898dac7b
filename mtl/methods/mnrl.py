"""The multiple negatives ranking loss (mnrl): a positive pair's second sentence is to be found
among those of the batch's positive pairs.

For P positive pairs with vectors a_i, b_i it is the mean over i of
-log softmax_j(scale cos(a_i, b_j))[i], on the encoder's vectors. It is added to the task's own
loss, which trains the head and has the negative pairs. A batch with fewer than two positive pairs
has nothing to compare. A second sentence that is known to belong to a_i too is left out of its
softmax, as it would be a false negative: one that equals a_i or b_i, or is paired with a_i's
sentence elsewhere in the batch.
Source: Henderson et al. 2017 (arXiv:1705.00652), section 4.4; with the cosine and the scale of
Sentence-Transformers' MultipleNegativesRankingLoss.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mtl.methods.task_loss import TaskLoss, register
from mtl.model.batch import Part
from mtl.model.losses import task_loss


@register("mnrl")
class MNRL(TaskLoss):
    """The task's own loss, and an in-batch softmax over cosines."""

    wants_vectors = True

    def of_outputs(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return task_loss(self.task.kind, outputs, labels)

    def of_vectors(self, first: Tensor, second: Tensor, part: Part) -> Tensor:
        chosen = torch.nonzero(part.labels == 1).flatten()
        assert part.sentences is not None
        known = torch.from_numpy(belongs(part.sentences[chosen.cpu().numpy()])).to(first.device)
        return in_batch_softmax(first[chosen], second[chosen], self.settings.scale, known)

    def measure(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """`plain`: the task's own loss; `positives`: the share of positive pairs."""
        plain = task_loss(self.task.kind, outputs, labels)
        return {"plain": plain, "positives": (labels == 1).float().mean()}


def belongs(sentences: np.ndarray) -> np.ndarray:
    """Which second sentences belong to another pair's first one: (P, 2) numbers -> (P, P).

    >>> belongs(np.array([[1, 2], [1, 3], [4, 5]])).astype(int)
    array([[0, 1, 0],
           [1, 0, 0],
           [0, 0, 0]])
    """
    first, second = sentences[:, 0], sentences[:, 1]
    same = (first[:, None] == first) | (second[:, None] == second) | (first[:, None] == second)
    np.fill_diagonal(same, False)
    return np.asarray(same)


def in_batch_softmax(
    first: Tensor, second: Tensor, scale: float, left_out: Tensor | None = None
) -> Tensor:
    """The mean of -log softmax_j(scale cos(a_i, b_j))[i] for vectors (P, H) each; 0 for P < 2.

    `left_out`, (P, P) bool, are the places (i, j) that the softmax of i is to be without.

    Example:
        >>> eye = torch.eye(2)
        >>> round(in_batch_softmax(eye, eye, 1.0).item(), 4)  # log(1 + 1 / e)
        0.3133
    """
    if len(first) < 2:
        return 0.0 * (first.float().sum() + second.float().sum())
    cosines = F.normalize(first.float(), dim=1) @ F.normalize(second.float(), dim=1).T
    if left_out is not None:
        cosines = cosines.masked_fill(left_out, -torch.inf)
    return F.cross_entropy(scale * cosines, torch.arange(len(first), device=first.device))
