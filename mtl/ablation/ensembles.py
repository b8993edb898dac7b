"""The seeds of an arm as one model, against the mean of the same runs one by one.

The runs are given, so the interval is over dev examples alone: it says what these very runs would
do on new examples, and nothing of other seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np

from mtl.ablation.evidence import Runs
from mtl.ablation.grid_design import GridDesign
from mtl.ablation.results import ArmResult, Part, Results
from mtl.errors import RunError
from mtl.runs.examples import examples
from mtl.runs.mean_predictions import mean_predictions
from mtl.stats.decision import ALPHA, FEWEST_EXAMPLES, Word, holm, word_of
from mtl.tasks.metrics import Predictions, shares_of
from mtl.tasks.task import TaskName


class Ensemble(Part):
    """The mean of an arm's runs, on dev.

    `scores` are its own, by task and `overall`, as they count there; `members` the means of the
    runs' scores. `interval` (95 %) is that of the difference in `primary`, `word` its verdict.
    `cross_fitted`: whether no run was chosen on the rows that it is scored on.
    """

    arm: str
    seeds: tuple[int, ...]
    scores: dict[str, float]
    members: dict[str, float]
    primary: str
    interval: tuple[float, float]
    word: Word
    cross_fitted: bool


def ensembles_of(results: Results, design: GridDesign, runs: Runs) -> tuple[Ensemble, ...]:
    """The ensemble of every arm with two or more runs that have scores.

    An arm with outputs that cannot be read, or with a metric that is undefined, has none. Verdicts
    are Holm-corrected over the arms.
    """
    found = []
    rules = {arm.name: arm.config.overall for arm in design.arms}
    for arm in results.arms:
        names = [design.runs[arm.name][seed] for seed in arm.seeds]
        if len(names) > 1 and (one := _measured(arm, names, runs, rules[arm.name])):
            found.append((arm, *one))
    adjusted = holm([_p(values) for *_, values in found])
    return tuple(
        _judged(arm, scores, members, values, crossed, p, results)
        for (arm, scores, members, crossed, values), p in zip(found, adjusted, strict=True)
    )


def _measured(
    arm: ArmResult, names: Sequence[str], runs: Runs, rule: str
) -> tuple[dict[str, float], dict[str, float], bool, Mapping[TaskName, np.ndarray]] | None:
    """Scores of the ensemble and of its members, whether they are cross-fitted, and the
    differences in overall by task and example, each task's part of it."""
    crossed = arm.basis == "cross-fitted"
    shares = shares_of(arm.tasks)
    scores: dict[str, float] = {}
    members: dict[str, float] = {}
    values: dict[TaskName, np.ndarray] = {}
    for task in arm.tasks:
        try:
            parts = [_read(runs, name, task, crossed) for name in names]
        except RunError:
            return None
        if any(part.ids != parts[0].ids for part in parts) or not parts[0].ids:
            return None
        alone = [examples(part, rule=rule) for part in parts]
        together = examples(mean_predictions(parts), rule=rule)
        each = [one.values for one in alone if one is not None and one.values is not None]
        if together is None or together.values is None or len(each) < len(parts):
            return None
        scores[task] = together.score
        members[task] = float(np.mean([one.score for one in alone if one is not None]))
        if task in shares:
            difference = together.values - np.mean(each, axis=0)
            values[task] = difference * shares[task] / len(shares)
    for totals in (scores, members):
        totals["overall"] = float(np.mean([shares[task] * totals[task] for task in shares]))
    return scores, members, crossed, values


def _read(runs: Runs, name: str, task: TaskName, crossed: bool) -> Predictions:
    return runs.cross_fitted(name, task) if crossed else runs.predictions(name, task)


def _error(values: Mapping[TaskName, np.ndarray]) -> float:
    """The standard error of the difference in overall; tasks have examples of their own."""
    return float(np.sqrt(sum(part.var(ddof=1) / len(part) for part in values.values())))


def _p(values: Mapping[TaskName, np.ndarray]) -> float:
    """The two-sided p value of no difference."""
    error, value = _error(values), sum(float(part.mean()) for part in values.values())
    if not error > 0:
        return 1.0
    return 2 * NormalDist().cdf(-abs(value) / error)


def _judged(
    arm: ArmResult,
    scores: Mapping[str, float],
    members: Mapping[str, float],
    values: Mapping[TaskName, np.ndarray],
    crossed: bool,
    p: float,
    results: Results,
) -> Ensemble:
    primary = arm.tasks[0] if len(arm.tasks) == 1 else "overall"
    value, error = scores[primary] - members[primary], _error(values)

    def interval(alpha: float) -> tuple[float, float]:
        reach = NormalDist().inv_cdf(1 - alpha / 2) * error
        return value - reach, value + reach

    margin = results.margins.get(primary, results.margins[results.primary])
    few = min(len(part) for part in values.values()) < FEWEST_EXAMPLES
    word = word_of(value, margin, p < ALPHA, *interval(2 * ALPHA))
    return Ensemble(
        arm=arm.name,
        seeds=arm.seeds,
        scores=dict(scores),
        members=dict(members),
        primary=primary,
        interval=interval(ALPHA),
        word="no verdict" if few or not error > 0 else word,
        cross_fitted=crossed,
    )
