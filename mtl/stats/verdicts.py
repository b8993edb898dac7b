"""From scores to words: summaries, Holm's correction, verdicts, and what the best of many arms is worth.

`mtl.stats.estimate` holds the estimates, their intervals and the reasons for the method; its names are passed on here.
`mtl.stats.effects` holds main effects, interactions and Shapley shares. No torch, no pandas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from mtl.stats.estimate import (
    Arm,
    Estimate,
    Examples,
    contrast,
    difference,
    examples,
    obstacle,
    shared_seeds,
)
from mtl.tasks.registry import TaskName

__all__ = [
    "Arm", "BestOf", "Estimate", "Examples", "Summary", "Verdict", "Word", "contrast", "difference", "examples",
    "expected_best", "holm", "judge", "obstacle", "shared_seeds", "summarise",
]  # fmt: skip

Word = Literal["helps", "hurts", "no difference", "undecided", "no verdict"]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Scores over seeds: `sd` is the sample standard deviation (ddof 1), None for one seed."""

    mean: float
    sd: float | None
    n: int


def summarise(scores: Sequence[float]) -> Summary | None:
    """Mean, spread and number of scores; None where there are none."""
    if not len(scores):
        return None
    sd = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return Summary(mean=float(np.mean(scores)), sd=sd, n=len(scores))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (Scandinavian Journal of Statistics 6, 1979), in the order given.

    Calling those below alpha keeps the chance of one or more false calls below alpha, however the tests depend.
    """
    adjusted, floor = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        floor = max(floor, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = floor
    return adjusted


MOST_MORE_SEEDS = 100
"""Seeds that somebody might still add; the need for more is no plan, and its number means little."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a comparison says, in one of five words.

    `adjusted_p` is Holm's, over all comparisons judged together. `more_seeds` is set for `undecided` only, and None
    there means that no number of seeds is enough. `reason` tells why, in words. `level` is that of the interval
    decided by.
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
        """Whether the interval decided by lies inside +-margin."""
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
    """A verdict for every comparison, Holm-corrected over all that have an estimate.

    `helps` and `hurts` need the interval clear of 0 and Holm's p below alpha; `no difference` needs the interval
    inside +-margin; what does neither is `undecided`. `reasons` says why an estimate is None. Raises ValueError for a
    margin below 0 or fewer than one look.

    `looks` is how often the data are judged in all, where seeds are added until something is decided: the largest
    number that the plan allows, the same at every look from the first on (a count that grows with the looks is not
    enough: 7 % false calls in six looks). alpha is divided by it (Bonferroni), and the interval decided by widened.

    What few seeds cannot do: three seeds find a true gain of twice the 95 % interval's half-width nearly always where
    it is judged alone, but by Holm among four arms only in 54 to 73 % of grids (73 to 90 % with five seeds, over 90 %
    with ten). The reason of an `undecided` verdict names the difference that this many seeds find four times in five.
    """
    if margin < 0 or looks < 1:
        raise ValueError(
            f"expected margin >= 0 and looks >= 1, came margin={margin!r}, looks={looks!r}"
        )
    alpha /= looks
    known = {name: estimate for name, estimate in estimates.items() if estimate is not None}
    adjusted = dict(zip(known, holm([estimate.p for estimate in known.values()]), strict=True))
    rank = {name: place for place, name in enumerate(sorted(known, key=lambda name: known[name].p))}
    # Holm stops at the first that fails: those after it fail with it, whatever their own p.
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
            more_seeds = 1  # it is the other arms' luck that is in the way
        found = estimate.detectable(alpha=alpha, comparisons=comparisons)
        what = (
            "is clear of 0, but not after Holm's correction"
            if low > 0 or high < 0
            else "holds 0 and more than the margin"
        )
        reason = f"{span} {what}; {len(estimate.seeds)} seeds find a difference of {found:.4f} four times in five"
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
    """The best of several arms, beside what the best of as many would show by luck alone.

    Scores are means over the seeds that all share. `expected` is the best score to expect where no arm has any effect.
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
    """The arm with the best mean score, and the best of N arms under no effect; None without two shared seeds.

    The model: no arm has an effect, so the N arms' mean scores are independent normals around the baseline's with one
    variance, half the mean over arms of the squared standard error of arm minus baseline (which holds the luck of
    both sides). expected = baseline + E[largest of N standard normals] x sqrt(that variance). Arms without two seeds
    shared with the baseline are left out and not counted.
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
    """The mean of the largest of `count` independent standard normals: 0, 0.564, 0.846, ..."""
    from scipy.special import ndtr

    grid = np.linspace(-12, 12, 4801)
    density = count * np.exp(-grid * grid / 2) / math.sqrt(2 * math.pi) * ndtr(grid) ** (count - 1)
    return float(np.trapezoid(grid * density, grid))
