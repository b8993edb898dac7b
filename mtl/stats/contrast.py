"""Differences between arms, paired by seed and by example.

A run's score is a mean over examples. So for every task, seed s and example i there is one paired
difference d_si. Seeds and examples are both random, and the mean of d has the variance

    s~2 / S  +  sum over tasks of w^2 max(0, MS_example - MS_error) / (S n)

* s~2: the variance of one seed's difference, moderated over the grid (`mtl.stats.moderation`)
* S: seeds; w: a task's weight in the score; n: its number of examples
* MS: the mean squares of the two-way layout (seeds x examples, one observation per cell;
  Scheffe 1959, chapter 7)

The first part falls with more seeds, the second only with more dev examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtl.errors import suggestion
from mtl.stats.estimate import Estimate
from mtl.stats.examples import Arm
from mtl.stats.layout import check_same_examples, mean_squares, shared_seeds
from mtl.stats.moderation import NO_PRIOR, Prior, unmoderated

ROUNDING = 1e-12
"""Score differences below this are rounding errors."""


def contrast(
    arms: Mapping[str, Arm],
    weights: Mapping[str, float],
    tasks: Sequence[str],
    prior: Prior = NO_PRIOR,
) -> Estimate | None:
    """The sum over arms of weight x score, on the seeds that all these arms have.

    A score is the plain mean over `tasks`. `prior` comes from `mtl.stats.moderation.fit` of all
    arms that compare; without it the contrast stands alone. Returns None if `obstacle` gives a
    reason: fewer than two shared seeds or examples. Raises ValueError if an arm is unknown, or if
    arms were scored on different examples.
    """
    if obstacle(arms, weights, tasks):
        return None
    used = _used(arms, weights, tasks)
    seeds = shared_seeds(used.values(), tasks)
    count, squared = len(seeds), sum(weight**2 for weight in weights.values())
    differences = np.zeros(count)
    flips = 0.0 if prior.unit is None else prior.unit * squared / 2
    example_parts, example_df, examples = [], [], []
    for task in tasks:
        check_same_examples(used, task)
        scores, cells = _weighted_sums(used, weights, task, seeds)
        differences += scores / len(tasks)
        if cells is None:
            continue
        cells = np.where(np.abs(cells) < ROUNDING, 0.0, cells) / len(tasks)
        of_example, of_error = mean_squares(cells)
        flips += of_error / cells.shape[1]
        example_parts.append(max(0.0, of_example - of_error) / (count * cells.shape[1]))
        example_df.append(cells.shape[1] - 1)
        examples.append(cells.shape[1])
    differences = np.where(np.abs(differences) < ROUNDING, 0.0, differences)
    own = float(differences.var(ddof=1))
    return Estimate(
        value=float(differences.mean()),
        seeds=seeds,
        own_variance=own,
        moderated=prior.moderate(own, flips, count - 1, used),
        flips=flips if prior.unit is None and examples else None,
        example_variance=sum(example_parts),
        example_df=_df_of_sum(example_parts, example_df),
        examples=min(examples, default=None),
        score_sd=_score_sd(used, tasks, seeds),
    )


def difference(
    arms: Mapping[str, Arm], name: str, baseline: str, tasks: Sequence[str], prior: Prior = NO_PRIOR
) -> Estimate | None:
    """One arm minus another, paired by seed and example; None with fewer than two shared seeds.

    >>> from mtl.stats.examples import Examples
    >>> arms = {
    ...     "baseline": {"sst": {0: Examples.of([1, 0, 0, 1]), 1: Examples.of([1, 0, 1, 0])}},
    ...     "smart": {"sst": {0: Examples.of([1, 1, 0, 1]), 1: Examples.of([1, 1, 1, 1])}},
    ... }
    >>> estimate = difference(arms, "smart", "baseline", ["sst"])
    >>> estimate.value, estimate.seeds
    (0.375, (0, 1))
    """
    return contrast(arms, {name: 1.0, baseline: -1.0}, tasks, prior)


def of_given_runs(values: Mapping[str, np.ndarray], seeds: Sequence[int]) -> Estimate:
    """A difference between models that are given: these very runs, on new examples.

    `values` has a paired difference for each example, (n,) by task; the estimate is the plain mean
    over tasks of their means. `seeds` are those of the runs. Only the examples are random, so the
    squared standard error is the sum over tasks of var(values) / (tasks^2 n).

    >>> estimate = of_given_runs({"sst": np.array([1.0, 0.0, 0.0, 1.0])}, seeds=(0, 1, 2))
    >>> estimate.value, round(estimate.standard_error, 4), estimate.example_df
    (0.5, 0.2887, 3.0)
    """
    tasks = len(values)
    clean = [np.where(np.abs(part) < ROUNDING, 0.0, part) / tasks for part in values.values()]
    parts = [float(part.var(ddof=1)) / len(part) for part in clean]
    value = sum(float(part.mean()) for part in clean)
    return Estimate(
        value=0.0 if abs(value) < ROUNDING else value,
        seeds=tuple(seeds),
        own_variance=0.0,
        moderated=unmoderated(0.0, flips=0.0, df=max(1, len(seeds) - 1)),
        example_variance=sum(parts),
        example_df=_df_of_sum(parts, [len(part) - 1 for part in clean]),
        examples=min(map(len, clean)),
    )


def obstacle(arms: Mapping[str, Arm], weights: Mapping[str, float], tasks: Sequence[str]) -> str:
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
    few = [task for task in tasks for arm in used.values() if arm[task][seeds[0]].count == 1]
    return f"{few[0]} has one example" if few else ""


def _df_of_sum(parts: Sequence[float], df: Sequence[int]) -> float:
    """Satterthwaite's degrees of freedom of a sum of variances that have `df` each."""
    weighed = sum(part**2 / of_part for part, of_part in zip(parts, df, strict=True))
    return sum(parts) ** 2 / weighed if weighed > 0 else max(1, sum(df))


def _weighted_sums(
    arms: Mapping[str, Arm], weights: Mapping[str, float], task: str, seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """The weighted sums over arms of scores, (seeds,), and of values, (seeds, examples)."""
    scores = np.zeros(len(seeds))
    cells: np.ndarray | None = None
    for name, arm in arms.items():
        runs = [arm[task][seed] for seed in seeds]
        scores += weights[name] * np.array([run.score for run in runs])
        if runs[0].values is not None:
            values = weights[name] * np.array([run.values for run in runs], dtype=float)
            cells = values if cells is None else cells + values
    return scores, cells


def _score_sd(arms: Mapping[str, Arm], tasks: Sequence[str], seeds: Sequence[int]) -> float:
    """The standard deviation of a score over seeds, pooled over the arms."""
    variances = [
        np.mean([[arm[task][seed].score for seed in seeds] for task in tasks], axis=0).var(ddof=1)
        for arm in arms.values()
    ]
    return float(np.sqrt(np.mean(variances)))


def _used(
    arms: Mapping[str, Arm], weights: Mapping[str, float], tasks: Sequence[str]
) -> dict[str, Arm]:
    """The arms with a weight other than 0. Raises ValueError for unknown names or no arms."""
    for name in weights:
        if name not in arms:
            raise ValueError(f"expected one of the arms, got {name!r}.{suggestion(name, arms)}")
    used = {name: arms[name] for name, weight in weights.items() if weight != 0}
    if not used or not tasks:
        raise ValueError("a contrast needs an arm with a weight other than 0, and a task")
    return used
