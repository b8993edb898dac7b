"""The loss of each kind of task, and the distance between two outputs for a row.

Shapes: `classes` takes (B, C) logits, `binary` (B,) logits, `score` (B,) scores; labels are (B,)
float32.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl.tasks.task import Kind


def task_loss(kind: Kind, outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy, binary cross entropy with logits, or mean squared error: a scalar.

    The mean over rows, computed in float32 whatever the precision of the outputs.
    """
    outputs = outputs.float()
    if kind == "classes":
        return F.cross_entropy(outputs, labels.long())
    assert outputs.shape == labels.shape
    if kind == "binary":
        return F.binary_cross_entropy_with_logits(outputs, labels)
    return F.mse_loss(outputs, labels)


def divergence(kind: Kind, first: Tensor, second: Tensor) -> Tensor:
    """l_s of SMART, row by row, (B,): symmetric, 0 where the outputs are equal.

    * `classes`: KL(p, q) + KL(q, p) = sum over classes of (p - q) (log p - log q).
    * `binary`: the same for two Bernoulli distributions, (p - q) (a - b) for logits a and b.
    * `score`: the squared difference.

    Each is a product of two small factors, so that nearly equal outputs do not drown in rounding.
    Computed in float32 at least. Source: Jiang et al. 2020 (arXiv:1911.03437).

    Example:
        >>> divergence("score", torch.tensor([4.0]), torch.tensor([1.5])).item()
        6.25
    """
    assert first.shape == second.shape, (
        f"(B,) against (B, 1) would broadcast: {tuple(first.shape)}, {tuple(second.shape)}"
    )
    assert first.ndim == (2 if kind == "classes" else 1), (
        f"{kind} cannot have the shape {tuple(first.shape)}"
    )
    if first.dtype != torch.float64:
        first, second = first.float(), second.float()
    if kind == "classes":
        log_p, log_q = first.log_softmax(1), second.log_softmax(1)
        return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1)
    if kind == "binary":
        return (first.sigmoid() - second.sigmoid()) * (first - second)
    return (first - second) ** 2
