"""The loss of each kind of task, the mean over the rows of a batch; and how far two outputs of a row are apart.

Shapes: `classes` takes (B, C) logits, `binary` (B,) logits, `score` (B,) scores; labels are (B,) float32.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl.tasks.registry import Kind


def task_loss(kind: Kind, outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy, binary cross entropy with logits, or mean squared error; a scalar.

    Computed in float32 whatever the precision of the outputs.
    """
    outputs = outputs.float()
    if kind == "classes":
        return F.cross_entropy(outputs, labels.long())
    assert outputs.shape == labels.shape
    if kind == "binary":
        return F.binary_cross_entropy_with_logits(outputs, labels)
    return F.mse_loss(outputs, labels)


def divergence(kind: Kind, one: Tensor, other: Tensor) -> Tensor:
    """l_s of SMART: how far two outputs are apart, row by row, (B,); symmetric, 0 where they are equal.

    `classes`: KL(p, q) + KL(q, p) = sum over classes of (p - q) (log p - log q). `binary`: the same for two Bernoulli
    distributions, which is (p - q) (a - b) for logits a and b. `score`: the squared difference. Written as products of
    two small factors, so that outputs that hardly differ do not drown in rounding. Float32 at least.
    Source: Jiang et al. 2020 (arXiv:1911.03437).
    """
    assert one.shape == other.shape, (
        f"(B,) against (B, 1) would broadcast: {tuple(one.shape)}, {tuple(other.shape)}"
    )
    assert one.ndim == (2 if kind == "classes" else 1), (
        f"{kind} cannot have the shape {tuple(one.shape)}"
    )
    if one.dtype != torch.float64:
        one, other = one.float(), other.float()
    if kind == "classes":
        log_p, log_q = one.log_softmax(1), other.log_softmax(1)
        return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1)
    if kind == "binary":
        return (one.sigmoid() - other.sigmoid()) * (one - other)
    return (one - other) ** 2
