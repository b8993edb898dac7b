"""The variance of a difference over seeds, moderated over the grid.

Three seeds tell little about a variance. A grid has many comparisons, and the examples that flip
between seeds show, with thousands of degrees of freedom, what the least of it is. So the variance
of one comparison is drawn towards what the whole grid says (Smyth, Statistical Applications in
Genetics and Molecular Biology 3, 2004, with a prior that is scaled by the flips).

For a comparison with d degrees of freedom (its seeds - 1):

* s2_D: the sample variance over seeds of its exact score difference
* f: the part of it that flips make: the sum over tasks of w^2 MS_error / n
* R = s2_D / f of all pairs of arms;  e = ln R - psi(d / 2) + ln(d / 2)
* d0 solves psi'(d0 / 2) = var(e) - psi'(d / 2), at most 8, and at most (arms - 2) d
* ln lambda = mean(e) + psi(d0 / 2) - ln(d0 / 2)
* the guard: the lambda of a comparison is the largest of 1, lambda over all pairs, and lambda over
  the pairs of each of its arms
* the moderated variance is (d0 lambda f + d s2_D) / (d0 + d), with d0 + d degrees of freedom

With two arms there is nothing to borrow from: d0 = 0, and the variance is max(s2_D, f). Where no
examples are known, f is the mean s2_D for every pair, and lambda has no lower limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mtl.stats.examples import Arm
from mtl.stats.layout import Pairs, all_pairs

MOST_PRIOR_DF = 8.0
"""The most degrees of freedom that a comparison borrows. More would trust the grid too far."""

LEAST_RATIO = 1e-4
"""Ratios R below this count as this, since ln 0 would outweigh all other pairs."""


@dataclass(frozen=True, kw_only=True)
class Moderated:
    """The variance of one seed's difference, its degrees of freedom, and what is borrowed.

    `prior_df` is d0, `prior_variance` lambda f, `scale` lambda.
    """

    variance: float
    df: float
    prior_df: float
    prior_variance: float
    scale: float


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What all pairs of a grid's arms say of the variance of a difference.

    `df` is d0 before the limit of (arms - 2) d, `seed_df` the sum over distinct arms of their
    seeds - 1. `log_ratio` is the mean of e over all pairs, `by_arm` that over the pairs of an arm.
    `unit` stands for f where examples are not known, and is None where they are.
    """

    df: float
    seed_df: float
    log_ratio: float
    by_arm: Mapping[str, float] = field(default_factory=dict)
    unit: float | None = None

    def moderate(self, own: float, flips: float, df: float, arms: Iterable[str]) -> Moderated:
        """The moderated variance of a contrast of `arms` with the variance `own` over seeds."""
        prior_df = min(self.df, MOST_PRIOR_DF, self.seed_df - 2 * df)
        if prior_df <= 0 or flips <= 0:
            return unmoderated(own, flips, df)
        logs = [self.log_ratio, *(self.by_arm[arm] for arm in arms if arm in self.by_arm)]
        scale = math.exp(max(logs) + _shift(prior_df))
        if self.unit is None:
            scale = max(1.0, scale)
        variance = (prior_df * scale * flips + df * own) / (prior_df + df)
        return Moderated(
            variance=variance,
            df=prior_df + df,
            prior_df=prior_df,
            prior_variance=scale * flips,
            scale=scale,
        )

    @property
    def scale(self) -> float:
        """lambda over all pairs: how many times the variance of the flips the seeds make."""
        prior_df = min(self.df, MOST_PRIOR_DF)
        return math.exp(self.log_ratio + _shift(prior_df)) if prior_df > 0 else 1.0


NO_PRIOR = Prior(df=0.0, seed_df=0.0, log_ratio=0.0)
"""The prior of a grid of two arms: it adds nothing."""


def unmoderated(own: float, flips: float, df: float) -> Moderated:
    """The variance of a comparison that stands alone: its own, at least what flips make."""
    return Moderated(variance=max(own, flips), df=df, prior_df=0.0, prior_variance=flips, scale=1.0)


def fit(arms: Mapping[str, Arm], tasks: Sequence[str]) -> Prior:
    """The prior of these arms for a score that is the plain mean over `tasks`.

    Arms without such a score, and pairs with fewer than two shared seeds, are left out. Raises
    ValueError where arms were scored on different examples.

    >>> from mtl.stats.examples import Examples
    >>> rng = np.random.default_rng(0)
    >>> def arm() -> Arm:
    ...     runs = (rng.random(500) < 0.7 for _ in range(3))
    ...     return {"sst": {s: Examples.of(values) for s, values in enumerate(runs)}}
    >>> prior = fit({name: arm() for name in ("baseline", "smart", "concat")}, ["sst"])
    >>> 0 < prior.df <= 8, 0.2 < prior.scale < 5
    (True, True)
    """
    return prior_of(all_pairs(arms, tasks))


def prior_of(pairs: Pairs) -> Prior:
    """The prior from the variances of all pairs."""
    distinct = pairs.distinct()
    seed_df = float(sum(pairs.seeds_of(arm) - 1 for arm in distinct))
    first, second, ratios, df = pairs.ratios(distinct)
    if len(ratios) < 2:
        return NO_PRIOR
    e = np.log(np.maximum(ratios, LEAST_RATIO)) - _digamma(df / 2) + np.log(df / 2)
    excess = float(e.var(ddof=1) - _trigamma(df / 2).mean())
    means = {
        pairs.names[arm]: float(e[touching].mean())
        for arm in distinct
        if (touching := (first == arm) | (second == arm)).any()
    }
    copies = pairs.copies(distinct)
    means |= {copy: means[original] for copy, original in copies.items() if original in means}
    return Prior(
        df=_df_with_trigamma(excess),
        seed_df=seed_df,
        log_ratio=float(e.mean()),
        by_arm=means,
        unit=pairs.unit,
    )


def _df_with_trigamma(value: float) -> float:
    """d0 with psi'(d0 / 2) = value, at most `MOST_PRIOR_DF`."""
    from scipy.optimize import brentq

    if value <= float(_trigamma(np.array(MOST_PRIOR_DF / 2))):
        return MOST_PRIOR_DF
    log = brentq(
        lambda log: math.log(float(_trigamma(np.array(math.exp(log) / 2)))) - math.log(value),
        math.log(1e-6), math.log(MOST_PRIOR_DF), xtol=1e-10,
    )  # fmt: skip
    return math.exp(log)


def _shift(prior_df: float) -> float:
    return float(_digamma(np.array(prior_df / 2))) - math.log(prior_df / 2)


def _digamma(x: np.ndarray) -> np.ndarray:
    from scipy.special import digamma

    return np.asarray(digamma(x))


def _trigamma(x: np.ndarray) -> np.ndarray:
    from scipy.special import polygamma

    return np.asarray(polygamma(1, x))
