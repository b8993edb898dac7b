"""Heads: from sequence vectors to a task's outputs. One class a head.

The formulas are those of Gorti & Thiesmeyer 2023, sections 3.1 and 3.4, and the usual variants.
Shapes: B rows, H width; `y` and `second` are (B, H). A head with one output returns (B,), so that a
loss never broadcasts (B,) against (B, 1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl.config.sections import Pairing
from mtl.model.dropout import dropout
from mtl.tasks.task import Task


class Head(nn.Module):
    """Maps one or two vectors a row to (B, outputs), or (B,) for one output.

    `probability` is that of dropout.
    """

    def forward(self, y: Tensor, second: Tensor | None, probability: float) -> Tensor:
        raise NotImplementedError

    def diagnose(self, outputs: Tensor) -> dict[str, int]:
        """Counts for the run's diagnostics from a batch of outputs; none by default."""
        return {}


class Linear(Head):
    """W y + b."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, outputs)

    def forward(self, y: Tensor, second: Tensor | None, probability: float) -> Tensor:
        return _squeeze(self.out(y))


class MLP(Head):
    """W2 dropout(GELU(W1 y + b1)) + b2 with a hidden layer of width H: the paper's head for sst."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, outputs)

    def forward(self, y: Tensor, second: Tensor | None, probability: float) -> Tensor:
        return _squeeze(self.out(dropout(F.gelu(self.hidden(y)), probability)))


class Dot(Head):
    """(W1 y1 + b1) . (W2 y2 + b2): the paper's logit for quora, and score for sts at first."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, y: Tensor, second: Tensor | None, probability: float) -> Tensor:
        assert second is not None
        products: Tensor = self.first(y) * self.second(second)
        return products.sum(1)


class Cosine(Dot):
    """max(0, cos(W1 y1 + b1, W2 y2 + b2)) in the range of the task's scores.

    From 0 to 5 it is the paper's final head for similarities, 5 max(0, cos). Where the cosine is
    negative the gradient is 0; such dead examples are counted. For a loss of order, negative
    cosines are not `cut` off.
    """

    low, high = 0.0, 5.0
    cut = True

    def forward(self, y: Tensor, second: Tensor | None, probability: float) -> Tensor:
        assert second is not None
        cosine = F.cosine_similarity(self.first(y), self.second(second), dim=1)
        cosine = cosine.clamp(min=0) if self.cut else cosine
        scaled = (self.high - self.low) * cosine
        return scaled + self.low if self.low else scaled

    def diagnose(self, outputs: Tensor) -> dict[str, int]:
        return {"dead_examples": int((outputs <= self.low).sum())} if self.cut else {}


class Features(Head):
    """An MLP on (y1, y2, |y1 - y2|, y1 * y2), as in InferSent (Conneau et al. 2017)."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(4 * width, width)
        self.out = nn.Linear(width, outputs)

    def forward(self, y: Tensor, second: Tensor | None, probability: float) -> Tensor:
        assert second is not None
        joined = torch.cat([y, second, (y - second).abs(), y * second], dim=1)
        return _squeeze(self.out(dropout(F.gelu(self.hidden(joined)), probability)))


HEADS: dict[str, type[Head]] = {
    "linear": Linear,
    "mlp": MLP,
    "dot": Dot,
    "cosine": Cosine,
    "features": Features,
}


def make_head(
    name: str,
    task: Task,
    pairing: Pairing,
    width: int,
    generator: torch.Generator,
    *,
    cut: bool = True,
) -> Head:
    """A head with torch's usual initial weights, uniform within 1 / sqrt(fan in).

    They are drawn from `generator`. The config has checked that the head takes the pairing. `cut`:
    whether a cosine head takes negative cosines for 0.
    """
    assert name in task.heads[pairing]
    head = HEADS[name](width, task.outputs)
    if isinstance(head, Cosine):
        head.low, head.high, head.cut = task.low, task.high, cut
    for module in head.modules():
        if isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            nn.init.uniform_(module.bias, -bound, bound, generator=generator)
    return head


def _squeeze(outputs: Tensor) -> Tensor:
    return outputs.squeeze(1) if outputs.shape[1] == 1 else outputs
