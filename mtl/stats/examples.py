"""A run's score on dev as a mean of per-example values.

Accuracy is such a mean. Pearson's r is not; its influence function makes it one to first order, in
O(n). `mtl.stats.contrast` compares runs example by example with these values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Examples:
    """One run on the dev examples of one task: its score, and the value of each example.

    `values` has shape (n,), None where examples are not known. Its mean is `score`, except where
    only its variance is used. `order` is a fingerprint of the examples and their order; "" means
    unknown.
    """

    score: float
    values: np.ndarray | None = None
    order: str = ""

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray, order: str = "") -> Examples:
        """The examples with these values, (n,); the score is their mean.

        >>> Examples.of([1, 0, 1, 1]).score
        0.75
        """
        array = np.asarray(values, dtype=float)
        return cls(score=float(array.mean()), values=array, order=order)

    @property
    def count(self) -> int | None:
        """The number of examples; None where they are not known."""
        return None if self.values is None else len(self.values)


Arm = Mapping[str, Mapping[int, Examples]]
"""The runs of an arm: task -> seed -> examples. Seeds with an undefined score are left out."""


def pearson_values(predicted: Any, gold: Any) -> np.ndarray:
    """The per-example values of Pearson's r, (n,): their mean is r.

    r plus the influence function zx zy - r (zx^2 + zy^2) / 2 with zx, zy standardised (Devlin,
    Gnanadesikan & Kettenring 1975). Where all predictions are equal, r counts as 0. Raises
    ValueError where a number is not finite, or all gold scores are equal.

    >>> pearson_values([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    array([1., 1., 1.])
    """
    x, y = (np.asarray(column, dtype=float) for column in (predicted, gold))
    if x.shape != y.shape or x.ndim != 1 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("expected two columns of finite numbers of one length")
    if np.ptp(y) == 0:
        raise ValueError("all gold scores are equal, so the correlation is undefined")
    if np.ptp(x) == 0:
        return np.zeros(len(x))
    x, y = ((column - column.mean()) / column.std() for column in (x, y))
    r = float(np.mean(x * y))
    return np.asarray(r + x * y - r * (x * x + y * y) / 2)


def order_of(ids: Iterable[Any]) -> str:
    """A fingerprint of examples and their order, from their ids: 12 hex digits."""
    text = "\n".join(map(str, ids))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
