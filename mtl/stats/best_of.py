"""The best of several arms, beside the best that chance alone would give."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtl.stats.contrast import difference
from mtl.stats.examples import Arm


@dataclass(frozen=True, kw_only=True)
class BestOf:
    """The best of several arms, beside the score that the best would have by chance alone.

    Scores are means over the shared seeds. `expected` is the expected best score if no arm has an
    effect.
    """

    arm: str
    observed: float
    baseline: float
    expected: float
    standard_error: float
    arms: int


def expected_best(arms: Mapping[str, Arm], baseline: str, tasks: Sequence[str]) -> BestOf | None:
    """The arm with the best mean score, beside the expected best of N arms without effect.

    Model: no arm has an effect. The N mean scores are then independent normals around the
    baseline's score. Their common variance is half the mean, over arms, of the squared standard
    error of arm minus baseline (that error has two sides, arm and baseline). A mean over arms needs
    no moderation, so each arm gives its own variance.
    expected = baseline + E[largest of N standard normals] x sqrt(variance).

    Arms that share fewer than two seeds with the baseline are left out. Returns None if no arm is
    left.
    """
    estimates = {name: difference(arms, name, baseline, tasks) for name in arms if name != baseline}
    known = {name: estimate for name, estimate in estimates.items() if estimate is not None}
    if not known:
        return None
    best = max(known, key=lambda name: known[name].value)
    seeds = known[best].seeds
    level = float(np.mean([arms[baseline][task][seed].score for task in tasks for seed in seeds]))
    variances = [
        estimate.own_variance / len(estimate.seeds) + estimate.example_variance
        for estimate in known.values()
    ]
    pooled = math.sqrt(float(np.mean(variances)))
    return BestOf(
        arm=best,
        observed=level + known[best].value,
        baseline=level,
        expected=level + pooled / math.sqrt(2) * largest_of_normals(len(known)),
        standard_error=pooled,
        arms=len(known),
    )


def largest_of_normals(count: int) -> float:
    """The mean of the largest of `count` independent standard normals.

    >>> [round(largest_of_normals(count), 3) for count in (1, 2, 3)]
    [0.0, 0.564, 0.846]
    """
    from scipy.special import ndtr

    grid = np.linspace(-12, 12, 4801)
    density = count * np.exp(-grid * grid / 2) / math.sqrt(2 * math.pi) * ndtr(grid) ** (count - 1)
    return float(np.trapezoid(grid * density, grid))
