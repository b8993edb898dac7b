"""A run's score on dev as a mean of per-example values.

`mtl.stats.influence` makes every metric such a mean. `mtl.stats.contrast` compares runs example by
example with these values.
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


def order_of(ids: Iterable[Any]) -> str:
    """A fingerprint of examples and their order, from their ids: 12 hex digits."""
    text = "\n".join(map(str, ids))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
