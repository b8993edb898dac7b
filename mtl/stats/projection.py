"""What further seeds would make of an estimate.

The value with k more seeds is drawn from N(D, s~2 (1/S - 1/(S + k))): the present value D, and the
luck of the seeds that are not there yet. A comparison is decided then if its interval excludes 0,
or if its equivalence interval lies inside the margin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mtl.stats.estimate import Estimate

ASSURANCE = 0.8
"""The chance with which `seeds_needed` further seeds decide."""

SMALL_CHANCE = 0.1
"""An arm that the planned seeds decide with a smaller chance is set aside for now."""

MOST_MORE_SEEDS = 100
"""A larger number of further seeds is not practical; it is not computed exactly."""

ENDLESS = 1_000_000
"""If more further seeds than this are needed, no number of seeds is enough."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When a comparison is decided.

    `level` gives the two-sided level of a look at a number of seeds. It is divided by
    `comparisons`, as Holm's correction does at the step where this comparison stands.
    """

    margin: float
    level: Callable[[int], float]
    comparisons: int = 1


def chance_decided(estimate: Estimate, rule: Rule, more: int) -> float:
    """The probability that `more` further seeds decide: the predictive power for 0 or more."""
    seeds = len(estimate.seeds)
    return _chance(estimate, rule, more, rule.level(seeds + more))


def seeds_needed(estimate: Estimate, rule: Rule) -> int | None:
    """The smallest number of further seeds that decides with a chance of 80 %; at least 1.

    Numbers above `MOST_MORE_SEEDS` are returned as `MOST_MORE_SEEDS + 1`. None means that no number
    is enough: the variance of the examples is too large for the margin.
    """
    loosest = rule.level(ENDLESS)  # levels grow with the seeds, so fewer cannot be enough
    for more in range(1, MOST_MORE_SEEDS + 1):
        if (
            _chance(estimate, rule, more, loosest) >= ASSURANCE
            and chance_decided(estimate, rule, more) >= ASSURANCE
        ):
            return more
    enough = _chance(estimate, rule, ENDLESS, loosest) >= ASSURANCE
    return MOST_MORE_SEEDS + 1 if enough else None


def detectable(estimate: Estimate, *, power: float = 0.8, level: float, comparisons: int) -> float:
    """The smallest true difference that these seeds and examples find with this power.

    The sum of the two quantiles times the standard error. `mtl.stats.planning` is more exact.
    """
    tails = level / comparisons / 2, 1 - power
    return sum(estimate.half_width_with(0, tail) for tail in tails)


def _chance(estimate: Estimate, rule: Rule, more: int, level: float) -> float:
    far = estimate.half_width_with(more, level / rule.comparisons / 2)
    near = rule.margin - estimate.half_width_with(more, level)
    seeds = len(estimate.seeds)
    spread = math.sqrt(estimate.seed_variance * (1 / seeds - 1 / (seeds + more)))
    value = estimate.value

    def below(limit: float) -> float:
        if spread == 0:
            return float(value < limit)
        return 0.5 * math.erfc((value - limit) / spread / math.sqrt(2))

    if near >= far:  # the two ways to be decided leave nothing between them
        return 1.0
    inside = below(near) - below(-near) if near > 0 else 0.0
    return 1 - (below(far) - below(-far)) + inside
