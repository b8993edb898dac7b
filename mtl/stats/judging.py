"""`judge`: verdicts on plain numbers, from a table or from arrays. Needs numpy and scipy only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtl.errors import suggestion
from mtl.stats.contrast import difference, obstacle
from mtl.stats.decision import ALPHA, Look, Verdict, decide
from mtl.stats.examples import Arm, Examples, order_of
from mtl.stats.moderation import Prior, fit

ONLY_TASK = "score"
"""The name of the task where none is given."""


@dataclass(frozen=True, kw_only=True)
class Judged(Mapping[str, Verdict]):
    """The verdicts by arm, and what they rest on. `print` shows them as a table."""

    verdicts: Mapping[str, Verdict]
    arms: Mapping[str, Arm]
    baseline: str
    tasks: tuple[str, ...]
    margin: float
    prior: Prior

    def __getitem__(self, arm: str) -> Verdict:
        return self.verdicts[arm]

    def __iter__(self) -> Iterator[str]:
        return iter(self.verdicts)

    def __len__(self) -> int:
        return len(self.verdicts)

    def __str__(self) -> str:
        width = max(map(len, self.verdicts), default=0)
        return "\n".join(
            f"{arm:{width}}  {_numbers(verdict)}{verdict}" for arm, verdict in self.verdicts.items()
        )


def judge(
    scores: Any,
    *,
    baseline: str = "baseline",
    margin: float = 0.01,
    alpha: float = ALPHA,
    looks: Sequence[int] | None = None,
    most_seeds: int | None = None,
) -> Judged:
    """Which arms differ from the baseline, by how much, and how sure that is.

    Args:
        scores: A table with the columns `arm`, `seed` and `score`, one row a run: a data frame, or
            a mapping from column to values. Runs with equal seeds are paired. A column `task` makes
            the score the plain mean over tasks. With the columns `example` and `value`, one row is
            one dev example of a run, and the score is the mean of its values: 1 or 0 for accuracy,
            `mtl.stats.pearson_values` for a correlation. Or a mapping from arm to an array:
            (seeds,) scores or (seeds, examples) values.
        baseline: The arm that the others are compared with.
        margin: Differences up to this do not matter.
        alpha: The chance of a false `helps` or `hurts` among all arms.
        looks: The numbers of seeds at which these data are judged, if seeds are added until arms
            are decided.
        most_seeds: With `looks`, the largest number of seeds that is planned.

    Returns:
        A verdict for each other arm. Give values by example where you can: without them nothing is
        known of the luck of the dev examples, and the verdicts hold for these examples only.

    Raises:
        ValueError: A column is missing, a score is not finite, a run occurs twice, the baseline is
            unknown, or two runs of a task have different examples.

    >>> rng = np.random.default_rng(0)
    >>> print(judge({
    ...     "baseline": rng.random((3, 1000)) < 0.70,
    ...     "concat": rng.random((3, 1000)) < 0.80,
    ...     "smart": rng.random((3, 1000)) < 0.70,
    ... }, margin=0.05))
    concat  +0.097 [+0.036, +0.157]  helps
    smart   -0.003 [-0.054, +0.047]  no difference: any difference is below 0.042
    """
    table = _columns(scores)
    arms = _from_arrays(scores) if table is None else _from_table(table)
    if baseline not in arms:
        raise ValueError(
            f"expected the baseline among the arms {', '.join(arms)}, got {baseline!r}."
            f"{suggestion(baseline, arms)} Name it with baseline=."
        )
    tasks = tuple(arms[baseline])
    prior = fit(arms, tasks)
    others = [arm for arm in arms if arm != baseline]
    look = None if looks is None else Look(seeds=tuple(sorted(looks)), most=most_seeds)
    verdicts = decide(
        {arm: difference(arms, arm, baseline, tasks, prior) for arm in others},
        margin=margin,
        alpha=alpha,
        looks={} if look is None else dict.fromkeys(others, look),
        reasons={arm: obstacle(arms, {arm: 1.0, baseline: -1.0}, tasks) for arm in others},
    )
    return Judged(
        verdicts=verdicts, arms=arms, baseline=baseline, tasks=tasks, margin=margin, prior=prior
    )


def _columns(scores: Any) -> dict[str, list[Any]] | None:
    """The columns of a table; None for a mapping from arm to array."""
    names = getattr(scores, "columns", None)
    if names is None:
        if not isinstance(scores, Mapping) or "arm" not in scores:
            return None
        names = list(scores)
    known = [name for name in ("arm", "seed", "task", "score", "example", "value") if name in names]
    wanted = {"arm", "seed"} | ({"value", "example"} & set(known) or {"score"})
    wanted |= {"value", "example"} if {"value", "example"} & set(known) else set()
    if missing := sorted(wanted - set(known)):
        raise ValueError(
            f"scores: no column {' and '.join(missing)}. A table has arm, seed and score, and "
            "where known example and value."
        )
    columns = {name: list(scores[name]) for name in known}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"scores: expected columns of one length, got {lengths}")
    return columns


def _from_table(table: Mapping[str, Sequence[Any]]) -> dict[str, Arm]:
    """The arms of a table with one row a run, or one row an example of a run."""
    rows = len(table["arm"])
    tasks = table.get("task", [ONLY_TASK] * rows)
    runs: dict[tuple[str, str, int], dict[Any, float]] = {}
    scores: dict[tuple[str, str, int], float] = {}
    for row in range(rows):
        key = str(table["arm"][row]), str(tasks[row]), int(table["seed"][row])
        example = table["example"][row] if "example" in table else None
        if "score" in table:
            score = _finite(table["score"][row], key)
            if scores.setdefault(key, score) != score:
                raise ValueError(f"scores: {_run(key)} has two scores, {scores[key]} and {score}")
        if example in runs.setdefault(key, {}):
            again = "twice" if example is None else f"twice with example {example!r}"
            raise ValueError(f"scores: {_run(key)} occurs {again}; keep one row")
        runs[key][example] = _finite(table["value"][row], key) if "value" in table else np.nan
    arms: dict[str, dict[str, dict[int, Examples]]] = {}
    for key, values in runs.items():
        arm, task, seed = key
        of_task = arms.setdefault(arm, {}).setdefault(task, {})
        of_task[seed] = _run_of(values, scores.get(key), "value" in table)
    return dict(arms)


def _run_of(values: Mapping[Any, float], score: float | None, known: bool) -> Examples:
    if not known:
        assert score is not None
        return Examples(score=score)
    ordered = sorted(values, key=lambda example: (str(type(example)), example))
    array = np.array([values[example] for example in ordered])
    mean = float(array.mean())
    return Examples(score=mean if score is None else score, values=array, order=order_of(ordered))


def _from_arrays(scores: Any) -> dict[str, Arm]:
    """The arms of a mapping from arm to (seeds,) scores or (seeds, examples) values."""
    if not isinstance(scores, Mapping) or not scores:
        raise ValueError(
            "scores: expected a table with the columns arm, seed and score, or a mapping from arm "
            f"to an array, got {type(scores).__name__}"
        )
    arms: dict[str, Arm] = {}
    for arm, values in scores.items():
        array = np.asarray(values, dtype=float)
        if array.ndim not in (1, 2):
            raise ValueError(
                f"scores: {arm!r}: expected an array (seeds,) or (seeds, examples), got the shape "
                f"{array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"scores: {arm!r}: a score is not finite; leave that run out")
        make = Examples.of if array.ndim == 2 else _of_score
        arms[str(arm)] = {ONLY_TASK: {seed: make(row) for seed, row in enumerate(array)}}
    return arms


def _of_score(score: float) -> Examples:
    return Examples(score=float(score))


def _finite(value: Any, key: tuple[str, str, int]) -> float:
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"scores: {_run(key)}: {number} is not finite; leave that run out")
    return number


def _run(key: tuple[str, str, int]) -> str:
    arm, task, seed = key
    return f"arm {arm!r}, seed {seed}" + ("" if task == ONLY_TASK else f", task {task!r}")


def _numbers(verdict: Verdict) -> str:
    if verdict.estimate is None or verdict.interval is None:
        return ""
    low, high = verdict.interval
    return f"{verdict.estimate.value:+.3f} [{low:+.3f}, {high:+.3f}]  "
