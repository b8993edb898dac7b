"""What a design can find, before its runs are there.

The seeds of a grid are simulated, with the variances that are given, and judged by the estimator
itself: so power, the smallest difference found and the chance of `no difference` are those of
`mtl.stats.decision`, with the moderation and its guard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from mtl.stats.contrast import difference
from mtl.stats.decision import ALPHA
from mtl.stats.examples import Arm
from mtl.stats.layout import Pairs, mean_squares, shared_seeds
from mtl.stats.moderation import prior_of

DRAWS = 1200
"""Simulated comparisons per design; a share of them is known to about one point."""

MOST_SEEDS, MOST_ROWS = 1000, 1000.0
"""More seeds, or more times the dev rows, than this are out of reach."""

FEW_SEEDS = 30
"""Up to this many seeds a design is simulated; beyond, the normal distribution is enough."""


@dataclass(frozen=True, kw_only=True)
class TaskVariance:
    """The variances of the difference of two arms on one task.

    `rows`: dev examples. `flips`: variance per example of what changes between seeds (MS_error).
    `own`: variance over examples of what does not. `seeds`: variance over seeds of the score
    difference for infinitely many examples.
    """

    rows: int
    flips: float
    own: float
    seeds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A design: the arms without the baseline, their seeds, and the variances of each task.

    The score is the plain mean over `tasks`. `luck` is the variance over seeds of its difference
    for infinitely many examples; None: the tasks' luck is independent.

    >>> sst = TaskVariance(rows=1000, flips=0.2, own=0.1, seeds=0.0002)
    >>> plan = Plan(arms=4, seeds=3, tasks={"sst": sst})
    >>> 0.04 < plan.smallest_difference() < 0.08, plan.chance_no_difference(0.01) < 0.1
    (True, True)
    >>> 3 < plan.seeds_needed(0.04) < 10, plan.seeds_needed(0.01)
    (True, None)
    """

    arms: int
    seeds: int
    tasks: Mapping[str, TaskVariance]
    luck: float | None = None
    alpha: float = ALPHA
    draws: int = field(default=DRAWS, repr=False)

    @property
    def flips(self) -> float:
        """f: the variance of one seed's difference that flips make."""
        return self._sum([task.flips / task.rows for task in self.tasks.values()])

    @property
    def seed_variance(self) -> float:
        """The true variance of one seed's difference."""
        luck = self.luck
        if luck is None:
            luck = self._sum([task.seeds for task in self.tasks.values()])
        return luck + self.flips

    @property
    def example_variance(self) -> float:
        """The part of a difference's variance that more seeds do not reduce."""
        return self._sum([task.own / task.rows for task in self.tasks.values()])

    def power(self, effect: float) -> float:
        """The chance to find a true difference among these arms, with Holm's correction."""
        simulated = self._simulated
        far = simulated.half_width(self.alpha / self.arms / 2)
        return float(np.mean(np.abs(simulated.values + effect) > far))

    def smallest_difference(self, power: float = 0.8) -> float:
        """The smallest true difference that is found with this power."""
        low, high = 0.0, 1.0
        while self.power(high) < power:
            high *= 2
        while high - low > 1e-5:
            middle = (low + high) / 2
            low, high = (middle, high) if self.power(middle) < power else (low, middle)
        return high

    def chance_no_difference(self, margin: float) -> float:
        """The chance that an arm without effect is called `no difference`."""
        simulated = self._simulated
        inside = np.abs(simulated.values) + simulated.half_width(self.alpha) <= margin
        found = np.abs(simulated.values) > simulated.half_width(self.alpha / self.arms / 2)
        return float(np.mean(inside & ~found))

    def resolved_margin(self, chance: float = 0.8) -> float:
        """The smallest margin with which an arm without effect is called `no difference`."""
        simulated = self._simulated
        ends = np.abs(simulated.values) + simulated.half_width(self.alpha)
        return float(np.quantile(ends, chance))

    def seeds_needed(self, margin: float, chance: float = 0.8) -> int | None:
        """The fewest seeds that call an arm without effect `no difference` with this chance.

        None: no number of seeds is enough; more dev rows are needed.
        """
        low, high = 1, MOST_SEEDS
        if self._roughly(margin, seeds=high) < chance:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            enough = self._roughly(margin, seeds=middle) >= chance
            low, high = (low, middle) if enough else (middle, high)
        while high <= FEW_SEEDS and replace(self, seeds=high).chance_no_difference(margin) < chance:
            high += 1
        return high

    def rows_needed(self, margin: float, chance: float = 0.8) -> float | None:
        """How many times the dev rows do the same with these seeds; None: no number is enough."""
        low, high = 1 / MOST_ROWS, MOST_ROWS
        if self._roughly(margin, rows=high) < chance:
            return None
        while high - low > 0.01 * high:
            middle = (low + high) / 2
            enough = self._roughly(margin, rows=middle) >= chance
            low, high = (low, middle) if enough else (middle, high)
        return high

    def _sum(self, variances: Sequence[float]) -> float:
        return sum(variances) / len(self.tasks) ** 2

    def _roughly(self, margin: float, *, seeds: int | None = None, rows: float = 1.0) -> float:
        """`chance_no_difference` with other seeds or rows, as if the variances were known."""
        seeds = seeds or self.seeds
        if seeds < 2:
            return 0.0
        luck = self.seed_variance - self.flips
        parts = (luck + self.flips / rows) / seeds, self.example_variance / rows
        error = math.sqrt(sum(parts))
        df = (seeds - 1) * (1 + max(0, min(self.arms - 1, 8 / (seeds - 1))))
        if error == 0:
            return 1.0
        near = margin - _critical(self.alpha, parts[0], parts[1], np.array([df]))[0] * error
        return max(0.0, math.erf(near / error / math.sqrt(2)))

    @cached_property
    def _simulated(self) -> _Simulated:
        rng = np.random.default_rng(0)
        size = self.arms + 1
        names = tuple(map(str, range(size)))
        flips = np.full((size, size), self.flips)
        np.fill_diagonal(flips, 0.0)
        d = self.seeds - 1
        values, variances, degrees = [], [], []
        for _ in range(math.ceil(self.draws / self.arms)):
            scores = rng.normal(0, math.sqrt(self.seed_variance / 2), (size, self.seeds))
            differences = scores[:, None] - scores
            own = differences.var(2, ddof=1)
            pairs = Pairs(names=names, df=np.full((size, size), d), own=own, flips=flips)
            prior = prior_of(pairs)
            luck = rng.normal(0, math.sqrt(self.example_variance / 2), size)
            values.append(differences[1:, 0].mean(1) + luck[1:] - luck[0])
            for arm in range(1, size):
                moderated = prior.moderate(own[arm, 0], self.flips, d, (names[arm], names[0]))
                variances.append(moderated.variance)
                degrees.append(moderated.df)
        return _Simulated(
            values=np.concatenate(values),
            seed_parts=np.array(variances) / self.seeds,
            example_part=self.example_variance,
            df=np.array(degrees),
        )


@dataclass(frozen=True, kw_only=True)
class _Simulated:
    """Comparisons of arms without effect; all arrays are (draws,)."""

    values: np.ndarray
    seed_parts: np.ndarray
    example_part: float
    df: np.ndarray

    def half_width(self, tail: float) -> np.ndarray:
        errors = np.sqrt(self.seed_parts + self.example_part)
        return _critical(tail, self.seed_parts, self.example_part, self.df) * errors


def variances_of(arms: Mapping[str, Arm], tasks: Sequence[str]) -> Plan | None:
    """The variances of runs that are there, as a plan with their arms and fewest seeds.

    They are means over all pairs of arms. Returns None where no two arms share two seeds.
    """
    pairs = [
        (first, second)
        for first, second in combinations(sorted(arms), 2)
        if len(shared_seeds([arms[first], arms[second]], tasks)) > 1
    ]
    by_task = {task: [_task_variance(arms, pair, task) for pair in pairs] for task in tasks}
    means = {
        task: TaskVariance(
            rows=parts[0].rows,
            flips=float(np.mean([part.flips for part in parts])),
            own=float(np.mean([part.own for part in parts])),
            seeds=max(0.0, float(np.mean([part.seeds for part in parts]))),
        )
        for task, parts in by_task.items()
        if parts
    }
    if not means:
        return None
    seeds = min(len(shared_seeds([arms[a], arms[b]], tasks)) for a, b in pairs)
    plan = Plan(arms=max(1, len(arms) - 1), seeds=seeds, tasks=means)
    own = [difference(arms, second, first, tasks) for first, second in pairs]
    of_seeds = float(np.mean([estimate.own_variance for estimate in own if estimate is not None]))
    return replace(plan, luck=max(0.0, of_seeds - plan.flips))


def _task_variance(arms: Mapping[str, Arm], pair: tuple[str, str], task: str) -> TaskVariance:
    seeds = shared_seeds([arms[name] for name in pair], [task])
    first, second = (
        np.array([arms[name][task][seed].values for seed in seeds], dtype=float) for name in pair
    )
    scores = np.array([
        arms[pair[1]][task][seed].score - arms[pair[0]][task][seed].score for seed in seeds
    ])  # fmt: skip
    cells = second - first
    of_example, of_error = mean_squares(cells)
    rows = cells.shape[1]
    return TaskVariance(
        rows=rows,
        flips=of_error,
        own=max(0.0, of_example - of_error) / len(seeds),
        seeds=float(scores.var(ddof=1)) - of_error / rows,
    )


def _critical(
    tail: float, seed_part: np.ndarray | float, example_part: float, df: np.ndarray
) -> np.ndarray:
    """Cochran & Cox's critical values, (draws,)."""
    from scipy.special import ndtri, stdtrit

    share = np.asarray(seed_part) / np.maximum(np.asarray(seed_part) + example_part, 1e-300)
    return np.asarray(-share * stdtrit(df, tail) - (1 - share) * ndtri(tail))
