"""R-Drop: outputs that hardly depend on the dropout mask.

All rows of a step go through the model twice, each time under other dropout masks. A task's loss
becomes (L1 + L2) / 2 + alpha D, where L1 and L2 are its mean losses in the two passes, and D is the
mean over rows of the distance between the two outputs:
* `classes`, `binary`: (KL(p1, p2) + KL(p2, p1)) / 2.
* `score`: the squared difference, as in the authors' code. The squared error is twice the negative
  log-likelihood of a normal distribution of variance 1, and this is twice the KL divergence.

Source: Liang et al., NeurIPS 2021 (arXiv:2106.14448). They add L1 and L2. The mean of the two has
the size of plain training's loss, so that learning rates and clipping mean the same. The paper's
alpha is therefore twice this one. The authors' code for GLUE also sums D over the rows of a batch
where it averages the losses, so its alpha acts as if multiplied by the batch size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from mtl.config.schema import RunConfig
from mtl.methods.penalty import ByTask, Measurements, Penalty, Summary, register
from mtl.model.batch import Batch
from mtl.model.losses import divergence, task_loss
from mtl.model.multitask import MultiTaskModel
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Kind


@register("rdrop")
class RDrop(Penalty):
    """Two passes a step. The first draws the masks of plain training, the second draws on.

    The penalty is alpha D. With saved states of frozen layers only the layers above them run twice.
    """

    def __init__(self, model: MultiTaskModel, alpha: float, probability: float) -> None:
        """`probability` is training's dropout."""
        self.model, self.alpha, self.probability = model, alpha, probability
        self.measured = Measurements()

    @classmethod
    def from_config(cls, config: RunConfig, model: MultiTaskModel) -> Self:
        assert config.rdrop is not None
        return cls(model, config.rdrop, config.train.dropout)

    def forward(self, batch: Batch, step: int) -> tuple[Sequence[ByTask], ByTask]:
        first, second = (self.model(batch, self.probability) for _ in range(2))
        penalties: ByTask = {}
        for part in batch.parts:
            task, kind = part.task, TASKS[part.task].kind
            apart = distance(kind, first[task], second[task]).mean()
            penalties[task] = self.alpha * apart
            self.measured.note(step, "distance", {task: apart.detach()}, batch)
            with torch.no_grad():
                one, two = (task_loss(kind, each[task], part.labels) for each in (first, second))
            self.measured.note(step, "loss", {task: (one + two) / 2}, batch)
        return [first, second], penalties

    def report(self, step: int, summaries: dict[str, Summary]) -> dict[str, Any]:
        return {"rdrop": self.measured.report(step, summaries.setdefault("rdrop", {}))}


def distance(kind: Kind, first: Tensor, second: Tensor) -> Tensor:
    """How far apart two outputs are, row by row, (B,); symmetric, 0 where they are equal.

    Example:
        >>> import torch
        >>> logits = torch.tensor([0.0]), torch.tensor([3.0]).log()  # p = 1/2, 3/4
        >>> distance("binary", *logits).item()  # (3/4 - 1/2) log(3) / 2
        0.13732653856277466
    """
    apart = divergence(kind, first, second)
    return apart if kind == "score" else apart / 2
