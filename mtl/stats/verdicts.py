"""Verdicts on differences: summaries, Holm's correction, and the best of several arms.

`mtl.stats.estimate` has the estimates, their intervals and the method; `mtl.stats.effects` has main
effects, interactions and Shapley shares. No torch, no pandas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from mtl.stats.estimate import Estimate, difference
from mtl.stats.examples import Arm
from mtl.tasks.task import TaskName

Word = Literal["helps", "hurts", "no difference", "undecided", "no verdict"]


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


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (Scandinavian Journal of Statistics 6, 1979), in the order given.

    If the adjusted values below alpha are called significant, the chance of any false call is below
    alpha, even if the tests depend on each other.

    >>> holm([0.04, 0.01, 0.03])
    [0.06, 0.03, 0.06]
    """
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = largest
    return adjusted


MOST_MORE_SEEDS = 100
"""A larger number of further seeds is not practical, so verdicts do not print it."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on a comparison: one of five words, with its reason.

    `adjusted_p` is Holm's p value over all comparisons that are judged together. `more_seeds` is
    set only for `undecided`; there None means that no number of seeds is enough. `level` is the
    level of the interval that decides.
    """

    word: Word
    estimate: Estimate | None
    adjusted_p: float | None
    more_seeds: int | None
    reason: str
    level: float = 0.95

    @property
    def text(self) -> str:
        """`helps`, `undecided: about 4 more seeds`, `no verdict: one seed`."""
        if self.word == "no verdict":
            return f"no verdict: {self.reason}"
        if self.word != "undecided":
            return self.word
        if self.more_seeds is None:
            return "undecided: more dev examples needed, no number of seeds is enough"
        if self.more_seeds > MOST_MORE_SEEDS:
            return f"undecided: over {MOST_MORE_SEEDS} more seeds"
        return f"undecided: about {self.more_seeds} more seed{'s' if self.more_seeds != 1 else ''}"

    def within(self, margin: float) -> bool:
        """Whether the interval that decides lies inside +-margin."""
        return self.estimate is not None and self.estimate.within(margin, self.level)

    def __str__(self) -> str:
        return self.text


def judge(
    estimates: Mapping[str, Estimate | None],
    *,
    margin: float,
    alpha: float = 0.05,
    looks: int = 1,
    reasons: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Verdict]:
    """A verdict for every comparison, Holm-corrected over all comparisons with an estimate.

    * `helps`, `hurts`: the interval excludes 0 and Holm's p is below alpha
    * `no difference`: the interval lies inside +-margin
    * `undecided`: neither; the reason gives the difference that this many seeds detect with a power
      of 80 %
    * `no verdict`: the estimate is None; `reasons` says why

    `looks` counts the times that the data are judged in total, if seeds are added until a verdict
    is reached. Give the largest number that the plan allows, and give the same number at every
    look: a count that grows with the looks lets 7 % false calls pass in six looks. alpha is divided
    by `looks` (Bonferroni), which widens the interval.

    Power: alone, a true gain of twice the half-width of the 95 % interval is nearly always found
    with three seeds. Among four arms, with Holm's correction, it is found in 54 to 73 % of grids
    (five seeds: 73 to 90 %; ten seeds: over 90 %).

    Raises ValueError if `margin` is below 0 or `looks` below 1.

    >>> gain = Estimate(
    ...     value=0.05, standard_error=0.005, df=4, seeds=(0, 1, 2, 3, 4),
    ...     seed_variance=0.000125, example_variance=0.0,
    ... )
    >>> verdicts = judge({"concat": gain, "smart": None}, margin=0.01)
    >>> str(verdicts["concat"]), str(verdicts["smart"])
    ('helps', 'no verdict: fewer than two shared seeds')
    """
    if margin < 0 or looks < 1:
        raise ValueError(
            f"expected margin >= 0 and looks >= 1, got margin={margin!r}, looks={looks!r}"
        )
    alpha /= looks
    known = {name: estimate for name, estimate in estimates.items() if estimate is not None}
    adjusted = dict(zip(known, holm([estimate.p for estimate in known.values()]), strict=True))
    rank = {name: place for place, name in enumerate(sorted(known, key=lambda name: known[name].p))}
    # Holm stops at the first comparison that fails. All later ones fail too.
    stop = min((rank[name] for name in known if adjusted[name] >= alpha), default=len(known))
    verdicts = {}
    for name, estimate in estimates.items():
        if estimate is None:
            reason = reasons.get(name, "fewer than two shared seeds")
            verdicts[name] = Verdict(
                word="no verdict",
                estimate=None,
                adjusted_p=None,
                more_seeds=None,
                reason=reason,
                level=1 - alpha,
            )
        else:
            comparisons = len(known) - min(rank[name], stop)
            verdicts[name] = _verdict(
                estimate, adjusted[name], margin=margin, alpha=alpha, comparisons=comparisons
            )
    return verdicts


def _verdict(
    estimate: Estimate, adjusted_p: float, *, margin: float, alpha: float, comparisons: int
) -> Verdict:
    level = 1 - alpha
    low, high = estimate.interval(level)
    span = f"the {100 * level:.3g} % interval, {low:+.4f} to {high:+.4f},"
    word: Word
    more_seeds = None
    if (low > 0 or high < 0) and adjusted_p < alpha:
        word, reason = ("helps" if low > 0 else "hurts"), f"{span} is clear of 0"
    elif estimate.within(margin, level):
        word, reason = "no difference", f"{span} is inside the margin of {margin:g}"
    else:
        word = "undecided"
        more_seeds = estimate.seeds_needed(margin=margin, alpha=alpha, comparisons=comparisons)
        if more_seeds == 0:
            more_seeds = 1  # only the p values of other arms prevent a decision
        detectable = estimate.detectable(alpha=alpha, comparisons=comparisons)
        cause = (
            "is clear of 0, but not after Holm's correction"
            if low > 0 or high < 0
            else "holds 0 and more than the margin"
        )
        reason = (
            f"{span} {cause}; {len(estimate.seeds)} seeds find a difference of {detectable:.4f} "
            "four times in five"
        )
    return Verdict(
        word=word,
        estimate=estimate,
        adjusted_p=adjusted_p,
        more_seeds=more_seeds,
        reason=reason,
        level=level,
    )


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


def expected_best(
    arms: Mapping[str, Arm], baseline: str, tasks: Sequence[TaskName]
) -> BestOf | None:
    """The arm with the best mean score, beside the expected best of N arms without effect.

    Model: no arm has an effect. The N mean scores are then independent normals around the
    baseline's score. Their common variance is half the mean, over arms, of the squared standard
    error of arm minus baseline (that error has two sides, arm and baseline).
    expected = baseline + E[largest of N standard normals] x sqrt(variance).

    Arms that share fewer than two seeds with the baseline are left out. Returns None if no arm is
    left.
    """
    estimates = {
        name: difference(arm, arms[baseline], tasks)
        for name, arm in arms.items()
        if name != baseline
    }
    known = {name: estimate for name, estimate in estimates.items() if estimate is not None}
    if not known:
        return None
    best = max(known, key=lambda name: known[name].value)
    seeds = known[best].seeds
    level = float(np.mean([arms[baseline][task][seed].score for task in tasks for seed in seeds]))
    pooled = math.sqrt(float(np.mean([estimate.standard_error**2 for estimate in known.values()])))
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
