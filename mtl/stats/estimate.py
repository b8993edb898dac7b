"""How much one set of runs differs from another, and how sure that is: the crossed design of seeds and dev examples.

The idea: a run's score is a mean over examples, so for every task, seed s and example i there is one paired difference
d_si. Seeds and examples are both drawn at random and both can be luck, so the mean of d has the variance

    s2_D / S  +  sum over tasks of w^2 max(0, MS_example - MS_error) / (S n)

with s2_D the sample variance over S seeds of the exact difference of the scores (mean over tasks), w a task's weight
in that mean, n its examples, and MS the mean squares of the two-way layout (seeds x examples, one observation a cell;
Scheffe 1959, chapter 7). The first part falls with more seeds, the second only with more dev examples.

The critical value is Cochran & Cox's (Experimental Designs, 1957, section 4.14): the two parts' t quantiles averaged
with the parts as weights. It is exact where either part vanishes. Satterthwaite's degrees of freedom are not used:
with three seeds they let 7.8 % of differences of nothing pass at 5 %, and 2.7 % at 0.5 %, which is where Holm looks;
Cochran & Cox let 4.6 % and 0.7 % pass, at the price of intervals that cover up to 97 % (benchmarks/verdicts.py prints
both).

Pearson's r is not a mean over examples; its influence function makes it one to first order, in O(n).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtl.errors import suggestion
from mtl.tasks.metrics import Predictions, pearson, probabilities
from mtl.tasks.registry import TASKS, TaskName

ROUNDING = 1e-12
"""Differences of scores below this are rounding."""

SMALLEST_TAIL = 1e-200
"""Where the search for a p value ends."""

MOST_SEEDS = 1_000_000
"""A need of more further seeds than this counts as no number of seeds."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """One run on one task's split: its score and what each example adds to it.

    `values` is (n,), its mean is `score`; `order` names which examples they are and in which order ("": not known).
    """

    score: float
    values: np.ndarray
    order: str = ""


Arm = Mapping[TaskName, Mapping[int, Examples]]
"""An arm's runs: task -> seed -> examples. A seed whose metric is undefined is left out."""


def examples(predictions: Predictions, *, rule: str = "mean") -> Examples | None:
    """The metric that counts towards overall, example by example; None where it is undefined.

    Accuracy: 1 where right, else 0. Pearson: r plus the influence function zx zy - r (zx^2 + zy^2) / 2 with zx, zy
    standardised (Devlin, Gnanadesikan & Kettenring 1975). With rule `shifted`, sts is (r + 1) / 2. Raises ValueError
    without gold labels or rows.
    """
    task, gold, outputs = TASKS[predictions.task], predictions.gold, predictions.outputs
    if gold is None or not len(gold):
        raise ValueError(f"{task.name}/{predictions.split}: nothing to score against")
    order = hashlib.sha256("\n".join(predictions.ids).encode("utf-8", "surrogatepass")).hexdigest()[
        :12
    ]
    if task.metric == "accuracy":
        chosen = (
            outputs[:, 0] > 0 if task.kind == "binary" else probabilities(task, outputs).argmax(1)
        )
        correct = (chosen == gold.astype(np.int64)).astype(np.float64)
        return Examples(score=float(correct.mean()), values=correct, order=order)
    predicted = outputs[:, 0].astype(np.float64)
    r, _ = pearson(predicted, gold)
    if r is None:
        return None
    x, y = ((each - each.mean()) / each.std() for each in (predicted, gold))
    values = r + x * y - r * (x * x + y * y) / 2
    if rule == "shifted":
        r, values = (r + 1) / 2, (values + 1) / 2
    return Examples(score=r, values=values, order=order)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A difference of scores, or any weighted sum of arms' scores, with what is known of its error.

    `seed_variance` is s2_D, of one seed's difference. `example_variance` is the part of the estimate's own variance
    that no further seed takes away. standard_error^2 = seed_variance / seeds + example_variance. `df` are the degrees
    of freedom of `seed_variance` (seeds - 1), `example_df` those of `example_variance`.
    """

    value: float
    standard_error: float
    df: float
    seeds: tuple[int, ...]
    seed_variance: float
    example_variance: float
    example_df: float = math.inf

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The ends of the two-sided confidence interval for the true value, over seeds and examples."""
        half = self.half_width(level)
        return self.value - half, self.value + half

    def half_width(self, level: float = 0.95) -> float:
        """Half the length of the interval."""
        if not 0 < level < 1:
            raise ValueError(f"expected a level between 0 and 1, came {level!r}; 0.95 is usual")
        return self._half_width((1 - level) / 2, len(self.seeds), self.df)

    @property
    def p(self) -> float:
        """Two-sided p value of "the true value is 0": interval(1 - p) just touches 0."""
        from scipy.optimize import brentq

        if self.standard_error == 0:
            return 1.0 if self.value == 0 else 0.0
        share = self._seed_share(len(self.seeds))
        distance = abs(self.value) / self.standard_error
        low, high = sorted(
            max(_tail(distance, df), SMALLEST_TAIL) for df in (self.df, self.example_df)
        )

        def beyond(log_tail: float) -> float:
            return self._critical(math.exp(log_tail), share, self.df) - distance

        # The critical value lies between the parts' own, so the tail lies between theirs.
        ends = math.log(low), math.log(high)
        if beyond(ends[0]) <= 0:
            return min(1.0, 2 * low)
        if beyond(ends[1]) >= 0:
            return min(1.0, 2 * high)
        return min(1.0, 2 * math.exp(brentq(beyond, *ends, xtol=1e-10)))

    def within(self, margin: float, level: float) -> bool:
        """Whether the interval of that level lies inside +-margin."""
        low, high = self.interval(level)
        return -margin <= low and high <= margin

    def seeds_needed(
        self, *, margin: float, alpha: float = 0.05, comparisons: int = 1
    ) -> int | None:
        """Further seeds until the expected interval clears 0 or fits inside +-margin.

        It has to clear 0 at alpha / comparisons, and to fit the margin at alpha; expected is the interval with this
        value and these variances. 0 where it does so now; None where no number of seeds can, as the examples' part
        is too wide.
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
        """The smallest true difference that this many seeds and examples find with the given power.

        The sum of the two quantiles times the standard error; `comparisons` divides alpha as Holm's first step does.
        With two or three seeds the standard error is itself uncertain, and this with it.
        """
        share = self._seed_share(len(self.seeds))
        quantiles = (
            self._critical(tail, share, self.df) for tail in (alpha / comparisons / 2, 1 - power)
        )
        return sum(quantiles) * self.standard_error

    def _seed_share(self, seeds: float) -> float:
        part = self.seed_variance / seeds
        whole = part + self.example_variance
        return part / whole if whole > 0 else 0.0

    def _half_width(self, tail: float, seeds: float, df: float) -> float:
        error = math.sqrt(self.seed_variance / seeds + self.example_variance)
        return self._critical(tail, self._seed_share(seeds), df) * error if error > 0 else 0.0

    def _critical(self, tail: float, share: float, df: float) -> float:
        return share * _quantile(tail, df) + (1 - share) * _quantile(tail, self.example_df)


def contrast(
    arms: Mapping[str, Arm], weights: Mapping[str, float], tasks: Sequence[TaskName]
) -> Estimate | None:
    """The sum over arms of weight x score, on the seeds that the arms share; a score is the plain mean over `tasks`.

    None where `obstacle` has something to say: fewer than two shared seeds or examples. Raises ValueError where an
    arm is unknown, or arms were scored on different examples.
    """
    used = _used(arms, weights, tasks)
    seeds = shared_seeds(used.values(), tasks)
    if obstacle(arms, weights, tasks):
        return None
    differences = np.zeros(len(seeds))
    flips, example_parts, example_df = 0.0, [], []
    for task in tasks:
        _check_same_examples(used, task, seeds)
        cells = sum(
            weights[name] * np.stack([arm[task][seed].values for seed in seeds])
            for name, arm in used.items()
        )
        cells = np.where(np.abs(cells) < ROUNDING, 0.0, cells) / len(tasks)
        scores = sum(
            weights[name] * np.array([arm[task][seed].score for seed in seeds])
            for name, arm in used.items()
        )
        differences += scores / len(tasks)
        count = cells.shape[1]
        of_example, of_error = mean_squares(cells)
        flips += of_error / count
        example_parts.append(max(0.0, of_example - of_error) / (len(seeds) * count))
        example_df.append(count - 1)
    differences = np.where(np.abs(differences) < ROUNDING, 0.0, differences)
    # Scores are whole numbers of right examples: seeds can tie by luck. Then the examples that flip between seeds tell
    # how much a seed's difference varies; they are all there is where a seed does nothing else.
    seed_variance = float(differences.var(ddof=1)) if np.ptp(differences) > ROUNDING else flips
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
    """Arm minus baseline, paired by seed and by example; None with fewer than two shared seeds."""
    return contrast({"arm": arm, "baseline": baseline}, {"arm": 1.0, "baseline": -1.0}, tasks)


def obstacle(
    arms: Mapping[str, Arm], weights: Mapping[str, float], tasks: Sequence[TaskName]
) -> str:
    """Why `contrast` has no estimate to give, in the words of a verdict; empty where it has one."""
    used = _used(arms, weights, tasks)
    empty = [
        f"{name!r} has no {task} score"
        for name, arm in used.items()
        for task in tasks
        if not arm.get(task)
    ]
    if empty:
        return empty[0]
    seeds = shared_seeds(used.values(), tasks)
    if len(seeds) < 2:
        alone = all(
            len(runs) == 1 for arm in used.values() for task, runs in arm.items() if task in tasks
        )
        return "one seed" if seeds and alone else "one shared seed" if seeds else "no shared seeds"
    few = [task for task in tasks for arm in used.values() if len(arm[task][seeds[0]].values) < 2]
    return f"{few[0]} has one example" if few else ""


def shared_seeds(arms: Iterable[Arm], tasks: Sequence[TaskName]) -> tuple[int, ...]:
    """The seeds that every arm has a score of on every task, in order."""
    sets = [set(arm.get(task, {})) for arm in arms for task in tasks]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def mean_squares(cells: np.ndarray) -> tuple[float, float]:
    """The mean squares of examples and of error in the two-way layout (seeds, examples), one observation a cell."""
    seeds, count = cells.shape
    of_example = cells.mean(0)
    error = cells - cells.mean(1, keepdims=True) - of_example + cells.mean()
    return float(seeds * of_example.var(ddof=1)), float(
        np.sum(error * error) / ((seeds - 1) * (count - 1))
    )


def _used(
    arms: Mapping[str, Arm], weights: Mapping[str, float], tasks: Sequence[TaskName]
) -> dict[str, Arm]:
    """The arms that a contrast rests on."""
    for name in weights:
        if name not in arms:
            raise ValueError(f"expected one of the arms, came {name!r}.{suggestion(name, arms)}")
    used = {name: arms[name] for name, weight in weights.items() if weight != 0}
    if not used or not tasks:
        raise ValueError("a contrast needs an arm with a weight other than 0, and a task")
    return used


def _check_same_examples(arms: Mapping[str, Arm], task: TaskName, seeds: Sequence[int]) -> None:
    runs = [(name, seed, arm[task][seed]) for name, arm in arms.items() for seed in seeds]
    first, first_seed, known = runs[0]
    for name, seed, other in runs[1:]:
        if len(other.values) != len(known.values):
            raise ValueError(
                f"{task}: {name!r} seed {seed} has {len(other.values)} examples, {first!r} seed {first_seed} has "
                f"{len(known.values)}. Compare runs on the same data."
            )
        if other.order and known.order and other.order != known.order:
            raise ValueError(
                f"{task}: {name!r} seed {seed} and {first!r} seed {first_seed} were scored on different "
                "examples, or in another order. Compare runs on the same data."
            )


def _quantile(tail: float, df: float) -> float:
    """The t quantile that a share `tail` lies above; normal where df is infinite."""
    from scipy.special import ndtri, stdtrit

    return float(-ndtri(tail) if math.isinf(df) else -stdtrit(df, tail))


def _tail(distance: float, df: float) -> float:
    """The share of Student's t above `distance`."""
    from scipy.special import ndtr, stdtr

    return float(ndtr(-distance) if math.isinf(df) else stdtr(df, -distance))
