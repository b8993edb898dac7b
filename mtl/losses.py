"""The loss of each kind of task: the mean over the rows of a batch.

Shapes: `classes` takes (B, C) logits, `binary` (B,) logits, `score` (B,) scores; labels are (B,) float32.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mtl.tasks import Kind


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
