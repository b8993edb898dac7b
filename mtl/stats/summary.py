"""Scores over seeds in a mean and a standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Scores over seeds. `sd` is the sample standard deviation (ddof 1), None for one seed."""

    mean: float
    sd: float | None
    n: int


def summarise(scores: Sequence[float]) -> Summary | None:
    """Mean, standard deviation and number of scores; None for no scores.

    >>> summarise([0.5, 0.75])
    Summary(mean=0.625, sd=0.1767766952966369, n=2)
    """
    if not len(scores):
        return None
    sd = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return Summary(mean=float(np.mean(scores)), sd=sd, n=len(scores))
