"""The seeds of an arm as one model, against the mean of the same runs one by one.

The runs are given, so intervals are over dev examples alone: they say what these very runs would do
on new examples, and nothing of other seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mtl.ablation.comparison import difference_of
from mtl.ablation.evidence import Runs
from mtl.ablation.grid_design import GridDesign
from mtl.ablation.results import ArmResult, Difference, Part, Results, Score
from mtl.config.schema import RunConfig
from mtl.errors import RunError
from mtl.runs.examples import examples
from mtl.runs.mean_predictions import mean_predictions
from mtl.stats.contrast import of_given_runs
from mtl.stats.decision import Word, decide
from mtl.stats.estimate import Estimate
from mtl.tasks.metrics import Predictions, shares_of, weighted_mean
from mtl.tasks.task import TaskName


class Ensemble(Part):
    """The mean of an arm's runs as one model, on dev.

    `scores` are its own as they count in overall, `members` the means of its runs' own. The
    `difference` is of these two in `primary` (overall, or the only task); `word` is its verdict,
    `text` the verdict with its bound. `chosen_on_dev`: the runs' checkpoints were chosen on the
    rows that are scored here, so the scores are too high.
    """

    arm: str
    scores: dict[Score, float]
    members: dict[Score, float]
    primary: Score
    difference: Difference
    word: Word
    text: str
    chosen_on_dev: bool


class Measured(NamedTuple):
    """Scores of the ensemble, means of its members, and the estimate of the difference."""

    scores: dict[Score, float]
    members: dict[Score, float]
    estimate: Estimate


def ensembles_of(results: Results, design: GridDesign, runs: Runs) -> tuple[Ensemble, ...]:
    """The ensemble of every arm with two or more runs that have scores.

    An arm with outputs that cannot be read, or with a metric that is undefined, has none. Verdicts
    are Holm-corrected over the arms.
    """
    configs = {arm.name: arm.config for arm in design.arms}
    arms = {arm.name: arm for arm in results.arms if len(arm.seeds) > 1}
    measured = {
        name: found
        for name, arm in arms.items()
        if (found := _measure(arm, configs[name], design.runs[name], runs))
    }
    primary = {name: arms[name].tasks[0] if len(arms[name].tasks) == 1 else "overall"
               for name in measured}  # fmt: skip
    verdicts = decide(
        {name: found.estimate for name, found in measured.items()},
        margin={
            name: results.margins.get(score, results.margins[results.primary])
            for name, score in primary.items()
        },
    )
    ensembles = []
    for name, found in measured.items():
        difference = difference_of(found.estimate)
        assert difference is not None
        crossed = arms[name].basis == "cross-fitted"
        ensembles.append(
            Ensemble(
                arm=name,
                scores=found.scores,
                members=found.members,
                primary=primary[name],
                difference=difference,
                word=verdicts[name].word,
                text=verdicts[name].bounded,
                chosen_on_dev=not crossed and configs[name].train.select != "last",
            )
        )
    return tuple(ensembles)


def _measure(
    arm: ArmResult, config: RunConfig, run_ids: Mapping[int, str], runs: Runs
) -> Measured | None:
    read = runs.cross_fitted if arm.basis == "cross-fitted" else runs.predictions
    scores: dict[Score, float] = {}
    members: dict[Score, float] = {}
    values: dict[TaskName, np.ndarray] = {}
    shares = shares_of(arm.tasks)
    for task in arm.tasks:
        try:
            parts = [read(run_ids[seed], task) for seed in arm.seeds]
        except RunError:
            return None
        compared = _compare(parts, config.overall)
        if compared is None:
            return None
        scores[task], members[task], difference = compared
        if task in shares:
            values[task] = shares[task] * difference
    if len(arm.tasks) > 1:
        for by_task in (scores, members):
            by_task["overall"] = weighted_mean({task: by_task[task] for task in shares})
    return Measured(scores, members, of_given_runs(values, arm.seeds))


def _compare(parts: list[Predictions], rule: str) -> tuple[float, float, np.ndarray] | None:
    """Score of the mean, mean of the scores, and their difference by example, of one task.

    None where one is undefined, and where the runs were not scored on the same two rows or more.
    """
    if len(parts[0].ids) < 2 or any(part.ids != parts[0].ids for part in parts):
        return None
    together = examples(mean_predictions(parts), rule=rule)
    alone = [scored for part in parts if (scored := examples(part, rule=rule))]
    if together is None or together.values is None or len(alone) < len(parts):
        return None
    values = [scored.values for scored in alone if scored.values is not None]
    mean = float(np.mean([scored.score for scored in alone]))
    return together.score, mean, together.values - np.mean(values, axis=0)
