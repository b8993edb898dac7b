"""Verdicts on differences: helps, hurts, no difference, and what stands between.

`mtl.stats.contrast` has the estimates. All comparisons of one family are judged together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from mtl.stats.estimate import Estimate
from mtl.stats.projection import (
    MOST_MORE_SEEDS,
    Rule,
    chance_decided,
    detectable,
    seeds_needed,
)
from mtl.stats.spending import levels

Word = Literal[
    "helps", "hurts", "no difference", "not worse", "not better", "undecided", "no verdict"
]
DECIDED: tuple[Word, ...] = ("helps", "hurts", "no difference")
OPEN: tuple[Word, ...] = ("not worse", "not better", "undecided")
"""Verdicts that more seeds can change to a decision."""

ALPHA = 0.05
FAR = 50
"""A look at this many times the seeds of the others is judged as if it were the only one."""

FEWEST_EXAMPLES = 20
"""With fewer dev examples of a task there is no verdict: chance alone can make them all agree."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """When a comparison is judged: the numbers of seeds of all its looks, past and planned.

    `most` is the largest number of seeds that is planned, where that is known.
    """

    seeds: tuple[int, ...]
    most: int | None = None

    def level(self, seeds: int, alpha: float) -> float:
        """The level of a look at that many seeds, whether it is one of `seeds` or a further one."""
        if seeds > FAR * max(self.seeds):  # so late a look has nearly all of alpha
            return alpha
        looks = tuple(sorted((*self.seeds, seeds) if seeds not in self.seeds else self.seeds))
        most = max(self.most or 0, looks[-1])
        return levels(looks, most, alpha)[looks.index(seeds)]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on a comparison, with all that it rests on.

    `adjusted_p` is Holm's p value over its family, to be compared with alpha. `level` is that of
    `interval`, which decides on helps and hurts. `low` and `high` are the ends of the equivalence
    interval (level 1 - 2 alpha). `more_seeds` is set for open verdicts only: the smallest number of
    further seeds that decides with a chance of 80 %, 101 for any above 100; there None means that
    no number is enough. `chance` is the predictive power: that the verdict is decided at the most
    seeds that are planned.
    """

    word: Word
    reason: str
    estimate: Estimate | None = None
    adjusted_p: float | None = None
    level: float = 1 - ALPHA
    interval: tuple[float, float] | None = None
    low: float | None = None
    high: float | None = None
    more_seeds: int | None = None
    chance: float | None = None
    detectable: float | None = None

    @property
    def bound(self) -> float | None:
        """No true difference is larger than this: the larger end of the equivalence interval."""
        return None if self.low is None or self.high is None else max(-self.low, self.high)

    @property
    def text(self) -> str:
        """`helps`, `undecided: any difference is below 0.027; about 4 more seeds`."""
        if self.bound is None or self.word not in OPEN:
            return self.bounded
        return f"{self.bounded}; {self._further()}"

    @property
    def bounded(self) -> str:
        """`undecided: any difference is below 0.027`: the same, and nothing of more seeds."""
        if self.word == "no verdict":
            return f"no verdict: {self.reason}"
        if self.bound is None or self.word in ("helps", "hurts"):
            return self.word
        return f"{self.word}: {self._limit()}"

    def __str__(self) -> str:
        return self.text

    def _limit(self) -> str:
        assert self.low is not None and self.high is not None
        loss = f"any loss is below {-self.low:.3f}" if self.low < 0 else "a loss is not likely"
        gain = f"any gain is below {self.high:.3f}" if self.high > 0 else "a gain is not likely"
        if self.word in ("no difference", "undecided"):
            return f"any difference is below {self.bound:.3f}"
        return f"{gain}, {loss}" if self.word == "not worse" else f"{loss}, {gain}"

    def _further(self) -> str:
        if self.more_seeds is None:
            return "more dev examples needed, no number of seeds is enough"
        if self.more_seeds > MOST_MORE_SEEDS:
            return f"over {MOST_MORE_SEEDS} more seeds to decide"
        return f"about {self.more_seeds} more seed{'s' if self.more_seeds != 1 else ''} to decide"


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


def decide(
    estimates: Mapping[str, Estimate | None],
    *,
    margin: float | Mapping[str, float],
    alpha: float = ALPHA,
    looks: Mapping[str, Look] = MappingProxyType({}),
    reasons: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Verdict]:
    """A verdict for every comparison of a family, Holm-corrected over those with an estimate.

    * `helps`, `hurts`: the interval excludes 0 and Holm's p is below alpha
    * `no difference`: the 90 % interval lies inside +-margin: two one-sided tests at 5 %
      (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987)
    * `not worse`: its lower end is above -margin; `not better`: its upper end is below margin
    * `undecided`: none of these. `bound` says how large a difference can be at most
    * `no verdict`: the estimate is None, and `reasons` says why; or there are fewer than 20 dev
      examples

    `margin` is one for all comparisons, or one for each. `looks` gives the looks of comparisons
    that are judged more than once (`mtl.stats.spending`); each look then has a level of its own,
    for both kinds of interval.

    Raises ValueError if a margin is below 0.

    >>> from mtl.stats.moderation import unmoderated
    >>> gain = Estimate(
    ...     value=0.05, seeds=(0, 1, 2, 3, 4), own_variance=0.000125,
    ...     moderated=unmoderated(0.000125, flips=0.0, df=4),
    ... )
    >>> verdicts = decide({"concat": gain, "smart": None}, margin=0.01)
    >>> str(verdicts["concat"]), str(verdicts["smart"])
    ('helps', 'no verdict: fewer than two shared seeds')
    """
    for value in margin.values() if isinstance(margin, Mapping) else (margin,):
        if not value >= 0:
            raise ValueError(f"expected a margin of 0 or more, got {value!r}")
    margins = margin if isinstance(margin, Mapping) else dict.fromkeys(estimates, margin)
    known = {name: one for name, one in estimates.items() if one is not None and not _refused(one)}
    at = {name: looks.get(name) or Look(seeds=(len(one.seeds),)) for name, one in known.items()}
    level = {name: at[name].level(len(one.seeds), alpha) for name, one in known.items()}
    # A look with the level a counts a p value as alpha / a times itself.
    p = {name: min(1.0, one.p * alpha / level[name]) for name, one in known.items()}
    adjusted = dict(zip(known, holm(list(p.values())), strict=True))
    rank = {name: place for place, name in enumerate(sorted(known, key=p.__getitem__))}
    # Holm stops at the first comparison that fails. All later ones fail too.
    stop = min((rank[name] for name in known if adjusted[name] >= alpha), default=len(known))
    verdicts = {}
    for name, estimate in estimates.items():
        if estimate is None or name not in known:
            reason = reasons.get(name, "fewer than two shared seeds")
            verdicts[name] = Verdict(
                word="no verdict", reason=reason if estimate is None else _refused(estimate)
            )
            continue
        look = at[name]
        rule = Rule(
            margin=margins[name],
            level=lambda seeds, look=look: look.level(seeds, alpha),  # type: ignore[misc]
            comparisons=len(known) - min(rank[name], stop),
        )
        verdicts[name] = _verdict(
            estimate, rule, level[name], adjusted[name], adjusted[name] < alpha, look.most
        )
    return verdicts


def _refused(estimate: Estimate) -> str:
    """Why an estimate is no ground for a verdict; "" if it is one."""
    count = estimate.examples
    if count is None and estimate.standard_error == 0:
        return "the difference is equal in all seeds, so its error is unknown; give example values"
    if count is None or count >= FEWEST_EXAMPLES:
        return ""
    return f"{count} dev examples; a verdict needs {FEWEST_EXAMPLES} of each task"


def _verdict(
    estimate: Estimate, rule: Rule, level: float, adjusted_p: float, called: bool, most: int | None
) -> Verdict:
    interval = estimate.interval(1 - level)
    low, high = estimate.interval(1 - 2 * level)
    word = _word(estimate, rule.margin, called, low, high)
    seeds = len(estimate.seeds)
    is_open = word in OPEN
    return Verdict(
        word=word,
        reason=_reason(word, interval, level, low, high, rule.margin),
        estimate=estimate,
        adjusted_p=adjusted_p,
        level=1 - level,
        interval=interval,
        low=low,
        high=high,
        more_seeds=seeds_needed(estimate, rule) if is_open else None,
        chance=chance_decided(estimate, rule, most - seeds) if is_open and most and most > seeds
        else None,
        detectable=detectable(estimate, level=level, comparisons=rule.comparisons),
    )  # fmt: skip


def _word(estimate: Estimate, margin: float, called: bool, low: float, high: float) -> Word:
    if called and estimate.value != 0:
        return "helps" if estimate.value > 0 else "hurts"
    if -margin <= low and high <= margin:
        return "no difference"
    if low > -margin:
        return "not worse"
    if high < margin:
        return "not better"
    return "undecided"


def _reason(
    word: Word,
    interval: tuple[float, float],
    level: float,
    low: float,
    high: float,
    margin: float,
) -> str:
    if word in ("helps", "hurts"):
        span = f"the {100 * (1 - level):.3g} % interval, {interval[0]:+.4f} to {interval[1]:+.4f},"
        return f"{span} is clear of 0"
    span = f"the {100 * (1 - 2 * level):.3g} % interval, {low:+.4f} to {high:+.4f},"
    if word == "no difference":
        return f"{span} is inside the margin of {margin:g}"
    if word == "not worse":
        return f"{span} is above {-margin:g}"
    if word == "not better":
        return f"{span} is below {margin:g}"
    if interval[0] > 0 or interval[1] < 0:
        return f"{span} holds more than the margin; clear of 0, but not after Holm's correction"
    return f"{span} holds more than the margin on both sides"
