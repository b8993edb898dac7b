"""A difference with its error: intervals, p values, and what further seeds would make of it.

The critical value is Cochran & Cox's (Experimental Designs, 1957, section 4.14): the mean of the
quantiles of two parts, seeds and examples, weighted by their variances. It is exact if one part is
zero. Satterthwaite's degrees of freedom are not used: with three seeds and no true difference they
reject in 7.8 % of cases at 5 %, Cochran & Cox in 4.6 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mtl.stats.moderation import Moderated

SMALLEST_TAIL = 1e-200
"""The smallest tail that the search for a p value looks at."""

WILD, TAME = 5.0, 0.25
"""A comparison whose own variance is over 5 times its prior, or under a quarter of its flips, is
flagged: it does not look like the rest of its grid."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A score difference (or any weighted sum of arms' scores) and its error.

    `own_variance` is s2_D, the variance of one seed's difference from these seeds alone;
    `moderated` is what the whole grid makes of it. `flips` is the part that flips of examples make,
    None where examples are not known. `example_variance` is the part of the estimate's variance
    that more seeds do not reduce, `example_df` its degrees of freedom, `examples` the number of dev
    examples of its smallest task. `score_sd` is the standard deviation of one arm's score over
    seeds.

    >>> from mtl.stats.moderation import unmoderated
    >>> estimate = Estimate(
    ...     value=0.02, seeds=(0, 1, 2), own_variance=0.0003,
    ...     moderated=unmoderated(0.0003, flips=0.0, df=2), example_variance=0.0,
    ... )
    >>> [round(end, 3) for end in estimate.interval()], round(estimate.p, 3)
    ([-0.023, 0.063], 0.184)
    """

    value: float
    seeds: tuple[int, ...]
    own_variance: float
    moderated: Moderated
    flips: float | None = None
    example_variance: float = 0.0
    example_df: float = math.inf
    examples: int | None = None
    score_sd: float = 0.0

    @property
    def seed_variance(self) -> float:
        """s~2, the moderated variance of one seed's difference."""
        return self.moderated.variance

    @property
    def df(self) -> float:
        """The degrees of freedom of `seed_variance`."""
        return self.moderated.df

    @property
    def prior_df(self) -> float:
        """d0, the degrees of freedom that are borrowed from the grid."""
        return self.moderated.prior_df

    @property
    def scale(self) -> float:
        """lambda: how many times the variance of the flips the grid expects of the seeds."""
        return self.moderated.scale

    @property
    def standard_error(self) -> float:
        """The standard error of `value`, over seeds and examples."""
        return math.sqrt(self.seed_variance / len(self.seeds) + self.example_variance)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The two-sided confidence interval of the true value, over seeds and examples."""
        half = self.half_width(level)
        return self.value - half, self.value + half

    def half_width(self, level: float = 0.95) -> float:
        """Half the length of the interval. Raises ValueError if `level` is not in (0, 1)."""
        if not 0 < level < 1:
            raise ValueError(f"expected a level between 0 and 1, got {level!r}; 0.95 is usual")
        return self.half_width_with(0, (1 - level) / 2)

    def half_width_with(self, more: int, tail: float) -> float:
        """Half the expected interval with `more` further seeds and the same variances.

        `tail` is the chance beyond each of its ends.
        """
        seeds = len(self.seeds) + more
        error = math.sqrt(self.seed_variance / seeds + self.example_variance)
        return self._critical(tail, more) * error if error > 0 else 0.0

    @property
    def p(self) -> float:
        """Two-sided p value of "the true value is 0": `interval(1 - p)` just touches 0."""
        return 1.0 if self.value == 0 else min(1.0, 2 * self._tail(abs(self.value)))

    @property
    def probability(self) -> float:
        """The probability that the true value is above 0, where nothing was known before."""
        if self.value == 0:
            return 0.5
        tail = min(0.5, self._tail(abs(self.value)))
        return 1 - tail if self.value > 0 else tail

    @property
    def per_seed_sd(self) -> float | None:
        """The value in standard deviations of a score over seeds; None where seeds do not vary."""
        return self.value / self.score_sd if self.score_sd > 0 else None

    @property
    def flags(self) -> tuple[str, ...]:
        """Why the variance does not look like the rest of the grid, in words; usually empty."""
        prior = self.moderated.prior_variance
        if self.prior_df > 0 and self.own_variance > WILD * prior:
            return (f"its seeds vary {self.own_variance / prior:.0f} times as much as the grid's",)
        if self.flips and self.own_variance < TAME * self.flips:
            return ("its seeds agree more closely than chance makes likely",)
        return ()

    def _tail(self, distance: float) -> float:
        """The chance beyond `distance` from 0 where the true value is 0."""
        from scipy.optimize import brentq

        if self.standard_error == 0:
            return 0.0
        ratio = distance / self.standard_error
        low, high = sorted(
            max(_upper_tail(ratio, df), SMALLEST_TAIL) for df in (self.df, self.example_df)
        )

        def excess(log_tail: float) -> float:
            return self._critical(math.exp(log_tail), 0) - ratio

        # The critical value lies between those of the two parts. So does its tail.
        ends = math.log(low), math.log(high)
        if excess(ends[0]) <= 0:
            return low
        if excess(ends[1]) >= 0:
            return high
        return math.exp(brentq(excess, *ends, xtol=1e-10))

    def _critical(self, tail: float, more: int) -> float:
        """Cochran & Cox's critical value with `more` further seeds."""
        seed_part = self.seed_variance / (len(self.seeds) + more)
        total = seed_part + self.example_variance
        share = seed_part / total if total > 0 else 0.0
        quantiles = _quantile(tail, self.df + more), _quantile(tail, self.example_df)
        return share * quantiles[0] + (1 - share) * quantiles[1]


def _quantile(tail: float, df: float) -> float:
    """Student's t quantile with the upper tail `tail`; the normal quantile if df is infinite."""
    from scipy.special import ndtri, stdtrit

    return float(-ndtri(tail) if math.isinf(df) else -stdtrit(df, tail))


def _upper_tail(distance: float, df: float) -> float:
    """The upper tail of Student's t above `distance`."""
    from scipy.special import ndtr, stdtr

    return float(ndtr(-distance) if math.isinf(df) else stdtr(df, -distance))
