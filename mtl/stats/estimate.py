"""Differences between sets of runs, and their error: seeds crossed with dev examples.

A run's score is a mean over examples. So for every task, seed s and example i there is one paired
difference d_si. Seeds and examples are both random, and the mean of d has the variance

    s2_D / S  +  sum over tasks of w^2 max(0, MS_example - MS_error) / (S n)

* s2_D: the sample variance, over S seeds, of the exact score difference (mean over tasks)
* w: a task's weight in that mean; n: its number of examples
* MS: the mean squares of the two-way layout (seeds x examples, one observation per cell;
  Scheffe 1959, chapter 7)

The first part falls with more seeds, the second only with more dev examples.

The critical value is Cochran & Cox's (Experimental Designs, 1957, section 4.14): the mean of the
two parts' t quantiles, weighted by the parts. It is exact if one part is zero. Satterthwaite's
degrees of freedom are not used. With three seeds and no true difference, they reject in 7.8 % of
cases at 5 %, and in 2.7 % at 0.5 %, a level that Holm's correction uses. Cochran & Cox reject in
4.6 % and 0.7 %; the price is intervals that cover up to 97 %. `benchmarks/verdicts.py` prints both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtl.errors import suggestion
from mtl.stats.examples import Arm
from mtl.tasks.task import TaskName

ROUNDING = 1e-12
"""Score differences below this are rounding errors."""

SMALLEST_TAIL = 1e-200
"""The smallest tail that the search for a p value looks at."""

MOST_SEEDS = 1_000_000
"""If more further seeds than this are needed, no number of seeds is enough."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A score difference (or any weighted sum of arms' scores) and its error.

    `seed_variance` is s2_D, the variance of one seed's difference; `df` are its degrees of freedom
    (seeds - 1). `example_variance` is the part of the estimate's variance that more seeds do not
    reduce; `example_df` are its degrees of freedom.
    standard_error^2 = seed_variance / seeds + example_variance.

    >>> estimate = Estimate(
    ...     value=0.02, standard_error=0.01, df=2, seeds=(0, 1, 2),
    ...     seed_variance=0.0003, example_variance=0.0,
    ... )
    >>> [round(end, 3) for end in estimate.interval()], round(estimate.p, 3)
    ([-0.023, 0.063], 0.184)
    """

    value: float
    standard_error: float
    df: float
    seeds: tuple[int, ...]
    seed_variance: float
    example_variance: float
    example_df: float = math.inf

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The two-sided confidence interval of the true value, over seeds and examples."""
        half = self.half_width(level)
        return self.value - half, self.value + half

    def half_width(self, level: float = 0.95) -> float:
        """Half the length of the interval. Raises ValueError if `level` is not in (0, 1)."""
        if not 0 < level < 1:
            raise ValueError(f"expected a level between 0 and 1, got {level!r}; 0.95 is usual")
        return self._half_width((1 - level) / 2, len(self.seeds), self.df)

    @property
    def p(self) -> float:
        """Two-sided p value of "the true value is 0": `interval(1 - p)` just touches 0."""
        from scipy.optimize import brentq

        if self.standard_error == 0:
            return 1.0 if self.value == 0 else 0.0
        share = self._seed_share(len(self.seeds))
        distance = abs(self.value) / self.standard_error
        low, high = sorted(
            max(_tail(distance, df), SMALLEST_TAIL) for df in (self.df, self.example_df)
        )

        def excess(log_tail: float) -> float:
            return self._critical(math.exp(log_tail), share, self.df) - distance

        # The critical value lies between those of the two parts. So does its tail.
        ends = math.log(low), math.log(high)
        if excess(ends[0]) <= 0:
            return min(1.0, 2 * low)
        if excess(ends[1]) >= 0:
            return min(1.0, 2 * high)
        return min(1.0, 2 * math.exp(brentq(excess, *ends, xtol=1e-10)))

    def within(self, margin: float, level: float) -> bool:
        """Whether the interval of this level lies inside +-margin."""
        low, high = self.interval(level)
        return -margin <= low and high <= margin

    def seeds_needed(
        self, *, margin: float, alpha: float = 0.05, comparisons: int = 1
    ) -> int | None:
        """Further seeds until the expected interval decides; None if no number is enough.

        The interval decides if it excludes 0 at level alpha / comparisons, or lies inside +-margin
        at level alpha. The expected interval has this value and these variances. The result is 0
        if the interval decides already, and None if the variance of the examples is too large.
        """

        def decided(seeds: float) -> bool:
            far = self._half_width(alpha / comparisons / 2, seeds, max(seeds - 1, self.df))
            near = self._half_width(alpha / 2, seeds, max(seeds - 1, self.df))
            return abs(self.value) > far or abs(self.value) + near <= margin

        now = len(self.seeds)
        if decided(now):
            return 0
        if not decided(now + MOST_SEEDS):
            return None
        low, high = 0, MOST_SEEDS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if decided(now + middle) else (middle, high)
        return high

    def detectable(self, *, power: float = 0.8, alpha: float = 0.05, comparisons: int = 1) -> float:
        """The smallest true difference that these seeds and examples detect with this power.

        The sum of the two quantiles times the standard error. `comparisons` divides alpha, as the
        first step of Holm's correction does. With two or three seeds the standard error is
        uncertain, and so is this number.
        """
        share = self._seed_share(len(self.seeds))
        quantiles = (
            self._critical(tail, share, self.df) for tail in (alpha / comparisons / 2, 1 - power)
        )
        return sum(quantiles) * self.standard_error

    def _seed_share(self, seeds: float) -> float:
        """The seeds' share of the variance with this many seeds."""
        seed_part = self.seed_variance / seeds
        total = seed_part + self.example_variance
        return seed_part / total if total > 0 else 0.0

    def _half_width(self, tail: float, seeds: float, df: float) -> float:
        error = math.sqrt(self.seed_variance / seeds + self.example_variance)
        return self._critical(tail, self._seed_share(seeds), df) * error if error > 0 else 0.0

    def _critical(self, tail: float, share: float, df: float) -> float:
        return share * _quantile(tail, df) + (1 - share) * _quantile(tail, self.example_df)


def contrast(
    arms: Mapping[str, Arm], weights: Mapping[str, float], tasks: Sequence[TaskName]
) -> Estimate | None:
    """The sum over arms of weight x score, on the seeds that all these arms have.

    A score is the plain mean over `tasks`. Returns None if `obstacle` gives a reason: fewer than
    two shared seeds or examples. Raises ValueError if an arm is unknown, or if arms were scored on
    different examples.
    """
    if obstacle(arms, weights, tasks):
        return None
    used = _used(arms, weights, tasks)
    seeds = shared_seeds(used.values(), tasks)
    differences = np.zeros(len(seeds))
    error_variance, example_parts, example_df = 0.0, [], []
    for task in tasks:
        _check_same_examples(used, task, seeds)
        scores, cells = _weighted_sums(used, weights, task, seeds)
        cells = np.where(np.abs(cells) < ROUNDING, 0.0, cells) / len(tasks)
        differences += scores / len(tasks)
        count = cells.shape[1]
        of_example, of_error = mean_squares(cells)
        error_variance += of_error / count
        example_parts.append(max(0.0, of_example - of_error) / (len(seeds) * count))
        example_df.append(count - 1)
    differences = np.where(np.abs(differences) < ROUNDING, 0.0, differences)
    # An accuracy counts right examples, so seeds can have equal differences by chance. Then the
    # examples that change between seeds show how much a seed's difference varies.
    tied = np.ptp(differences) <= ROUNDING
    seed_variance = error_variance if tied else float(differences.var(ddof=1))
    example_variance = sum(example_parts)
    weighed = sum(part**2 / df for part, df in zip(example_parts, example_df, strict=True))
    return Estimate(
        value=float(differences.mean()),
        standard_error=math.sqrt(seed_variance / len(seeds) + example_variance),
        df=len(seeds) - 1,
        seeds=seeds,
        seed_variance=seed_variance,
        example_variance=example_variance,
        example_df=example_variance**2 / weighed if weighed > 0 else sum(example_df),
    )


def difference(arm: Arm, baseline: Arm, tasks: Sequence[TaskName]) -> Estimate | None:
    """Arm minus baseline, paired by seed and example; None with fewer than two shared seeds.

    >>> from mtl.stats.examples import Examples
    >>> def accuracy(*right: float) -> Examples:
    ...     return Examples(score=sum(right) / len(right), values=np.array(right))
    >>> baseline = {"sst": {0: accuracy(1, 0, 0, 1), 1: accuracy(1, 0, 1, 0)}}
    >>> arm = {"sst": {0: accuracy(1, 1, 0, 1), 1: accuracy(1, 1, 1, 1)}}
    >>> estimate = difference(arm, baseline, ["sst"])
    >>> estimate.value, estimate.seeds
    (0.375, (0, 1))
    """
    return contrast({"arm": arm, "baseline": baseline}, {"arm": 1.0, "baseline": -1.0}, tasks)


def obstacle(
    arms: Mapping[str, Arm], weights: Mapping[str, float], tasks: Sequence[TaskName]
) -> str:
    """Why `contrast` gives no estimate, in the words of a verdict; "" if it gives one."""
    used = _used(arms, weights, tasks)
    for name, arm in used.items():
        for task in tasks:
            if not arm.get(task):
                return f"{name!r} has no {task} score"
    seeds = shared_seeds(used.values(), tasks)
    if len(seeds) < 2:
        single = all(
            len(runs) == 1 for arm in used.values() for task, runs in arm.items() if task in tasks
        )
        return "one seed" if seeds and single else "one shared seed" if seeds else "no shared seeds"
    few = [task for task in tasks for arm in used.values() if len(arm[task][seeds[0]].values) < 2]
    return f"{few[0]} has one example" if few else ""


def shared_seeds(arms: Iterable[Arm], tasks: Sequence[TaskName]) -> tuple[int, ...]:
    """The seeds for which every arm has a score on every task, sorted."""
    sets = [set(arm.get(task, {})) for arm in arms for task in tasks]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def mean_squares(cells: np.ndarray) -> tuple[float, float]:
    """The mean squares of examples and of error in a two-way layout of shape (seeds, examples)."""
    seeds, count = cells.shape
    of_example = cells.mean(0)
    error = cells - cells.mean(1, keepdims=True) - of_example + cells.mean()
    return float(seeds * of_example.var(ddof=1)), float(
        np.sum(error * error) / ((seeds - 1) * (count - 1))
    )


def _weighted_sums(
    arms: Mapping[str, Arm], weights: Mapping[str, float], task: TaskName, seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The weighted sums over arms of scores, (seeds,), and of values, (seeds, examples)."""
    scores = sum(
        weights[name] * np.array([arm[task][seed].score for seed in seeds])
        for name, arm in arms.items()
    )
    cells = sum(
        weights[name] * np.stack([arm[task][seed].values for seed in seeds])
        for name, arm in arms.items()
    )
    return np.asarray(scores), np.asarray(cells)


def _used(
    arms: Mapping[str, Arm], weights: Mapping[str, float], tasks: Sequence[TaskName]
) -> dict[str, Arm]:
    """The arms with a weight other than 0. Raises ValueError for unknown names or no arms."""
    for name in weights:
        if name not in arms:
            raise ValueError(f"expected one of the arms, got {name!r}.{suggestion(name, arms)}")
    used = {name: arms[name] for name, weight in weights.items() if weight != 0}
    if not used or not tasks:
        raise ValueError("a contrast needs an arm with a weight other than 0, and a task")
    return used


def _check_same_examples(arms: Mapping[str, Arm], task: TaskName, seeds: Sequence[int]) -> None:
    runs = [(name, seed, arm[task][seed]) for name, arm in arms.items() for seed in seeds]
    first_name, first_seed, first = runs[0]
    for name, seed, run in runs[1:]:
        if len(run.values) != len(first.values):
            raise ValueError(
                f"{task}: {name!r} seed {seed} has {len(run.values)} examples, "
                f"{first_name!r} seed {first_seed} has {len(first.values)}. "
                "Compare runs on the same data."
            )
        if run.order and first.order and run.order != first.order:
            raise ValueError(
                f"{task}: {name!r} seed {seed} and {first_name!r} seed {first_seed} were scored on "
                "different examples, or in another order. Compare runs on the same data."
            )


def _quantile(tail: float, df: float) -> float:
    """Student's t quantile with the upper tail `tail`; the normal quantile if df is infinite."""
    from scipy.special import ndtri, stdtrit

    return float(-ndtri(tail) if math.isinf(df) else -stdtrit(df, tail))


def _tail(distance: float, df: float) -> float:
    """The upper tail of Student's t above `distance`."""
    from scipy.special import ndtr, stdtr

    return float(ndtr(-distance) if math.isinf(df) else stdtr(df, -distance))
