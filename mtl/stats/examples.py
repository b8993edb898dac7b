"""A run's score on one split as a mean of per-example values.

Accuracy is such a mean. Pearson's r is not; its influence function makes it one to first order, in
O(n). `mtl.stats.estimate` compares runs example by example with these values. No torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mtl.tasks.metrics import Predictions, pearson, probabilities
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName


@dataclass(frozen=True, kw_only=True)
class Examples:
    """One run on the split of one task: its score, and the value of each example.

    `values` has shape (n,) and mean `score`. `order` is a fingerprint of the examples and their
    order; "" means unknown.
    """

    score: float
    values: np.ndarray
    order: str = ""


Arm = Mapping[TaskName, Mapping[int, Examples]]
"""The runs of an arm: task -> seed -> examples. Seeds with an undefined metric are left out."""


def examples(predictions: Predictions, *, rule: str = "mean") -> Examples | None:
    """The per-example values of the metric that counts in `overall`, or None if it is undefined.

    Accuracy: 1 if the example is right, else 0. Pearson: r plus the influence function
    zx zy - r (zx^2 + zy^2) / 2 with zx, zy standardised (Devlin, Gnanadesikan & Kettenring 1975).
    With the rule `shifted`, sts counts as (r + 1) / 2. Raises ValueError without gold labels or
    rows.

    >>> predictions = Predictions(
    ...     task="quora", split="dev", ids=["a", "b"],
    ...     gold=np.array([1.0, 1.0]), outputs=np.array([[2.5], [-0.5]]),
    ... )
    >>> examples(predictions).score
    0.5
    """
    task, gold, outputs = TASKS[predictions.task], predictions.gold, predictions.outputs
    if gold is None or not len(gold):
        raise ValueError(f"{task.name}/{predictions.split}: nothing to score against")
    order = _order(predictions.ids)
    if task.metric == "accuracy":
        chosen = (
            outputs[:, 0] > 0 if task.kind == "binary" else probabilities(task, outputs).argmax(1)
        )
        correct = (chosen == gold.astype(np.int64)).astype(np.float64)
        return Examples(score=float(correct.mean()), values=correct, order=order)
    predicted = outputs[:, 0].astype(np.float64)
    r, _ = pearson(predicted, gold)
    if r is None:
        return None
    x, y = ((column - column.mean()) / column.std() for column in (predicted, gold))
    values = r + x * y - r * (x * x + y * y) / 2
    if rule == "shifted":
        r, values = (r + 1) / 2, (values + 1) / 2
    return Examples(score=r, values=values, order=order)


def _order(ids: list[str]) -> str:
    """A fingerprint of the ids and their order: 12 hex digits."""
    return hashlib.sha256("\n".join(ids).encode("utf-8", "surrogatepass")).hexdigest()[:12]
