"""What a grid can find, before its runs are there: `mtl ablate --dry-run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mtl.ablation.comparison import Pool
from mtl.ablation.evidence import ArmScores, Runs, parts_of
from mtl.ablation.grid_design import GridDesign
from mtl.ablation.results import Score, scores_of
from mtl.grid.arm import Arm
from mtl.stats.planning import Plan, TaskVariance, variances_of
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Metric, TaskName

USUAL: Mapping[Metric, TaskVariance] = {
    "accuracy": TaskVariance(rows=1, flips=0.19, own=0.04, seeds=0.0004),
    "macro_f1": TaskVariance(rows=1, flips=0.19, own=0.04, seeds=0.0004),
    "f1": TaskVariance(rows=1, flips=0.30, own=0.06, seeds=0.0006),
    "mcc": TaskVariance(rows=1, flips=0.76, own=0.16, seeds=0.0016),
    "auc": TaskVariance(rows=1, flips=0.11, own=0.05, seeds=0.0004),
    "pearson": TaskVariance(rows=1, flips=0.65, own=0.18, seeds=0.0015),
    "spearman": TaskVariance(rows=1, flips=0.78, own=0.21, seeds=0.0018),
    "rmse": TaskVariance(rows=1, flips=1.6, own=0.37, seeds=0.0030),
}
"""Variances for a task without runs, by its metric.

Those of accuracy and Pearson's r are of small BERT encoders on SST-5, Quora and STS: a standard
deviation over seeds of 0.014 and 0.027. The others are multiples of these, by the variances of the
per-example values of the same simulated predictions: of two classes, and of scores with a standard
deviation of 1.
"""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What the design says of one score, before any verdict.

    `smallest` is the smallest true difference that is found four times in five, `margin` what does
    not matter, `chance` that an arm without effect ends in `no difference`, `resolved` the smallest
    margin with which four in five would. `seeds` and `rows` are what the margin needs: seeds, or
    how many times the dev rows with the seeds of the design; None: no number is enough.
    """

    score: Score
    arms: int
    seeds_planned: int
    smallest: float
    margin: float
    chance: float
    resolved: float
    seeds: int | None
    rows: float | None
    measured: bool
    """Whether the variances come from runs that are there."""


def warning(outlooks: Sequence[Outlook]) -> str:
    """Which margins are out of reach, and what to do; "" where seeds can reach all of them."""
    beyond = [outlook for outlook in outlooks if outlook.seeds is None]
    if not beyond:
        return ""
    margins = ", ".join(f"{one.score} {one.margin:g}" for one in beyond)
    rows = [one.rows for one in beyond]
    need = (
        f"{max(row for row in rows if row is not None):.1f} times the dev rows"
        if None not in rows
        else "more dev rows and more seeds"
    )
    resolved = " ".join(f"--margin {one.score}={one.resolved:.2g}" for one in beyond)
    return (
        f"margins out of reach, whatever the seeds: {margins}. They need {need}. Read the bounds "
        f"of the verdicts, or ask what these runs can resolve: {resolved}"
    )


def outlooks(design: GridDesign, runs: Runs, rows: Mapping[TaskName, int]) -> tuple[Outlook, ...]:
    """What the design can say of each score of the baseline. `rows`: dev rows by task.

    A score is judged over the arms that share it with the baseline; one without such arms is left
    out.
    """
    baseline = design.arms[0]
    found = []
    for score in scores_of(baseline.config.tasks):
        tasks = parts_of(score, baseline.config.tasks)
        arms = [arm for arm in design.arms[1:] if parts_of(score, arm.config.tasks) == tasks]
        seeds = min((len(design.seeds(arm.name)) for arm in (baseline, *arms)), default=0)
        if not tasks or not arms or seeds < 2:
            continue
        known = _known([baseline, *arms], design, runs, score)
        plan = known or Plan(arms=1, seeds=seeds, tasks=_usual(tasks, rows))
        found.append(_outlook(
            score, replace(plan, arms=len(arms), seeds=seeds), design.margin_of(score),
            measured=known is not None,
        ))  # fmt: skip
    return tuple(found)


def _outlook(score: Score, plan: Plan, margin: float, *, measured: bool) -> Outlook:
    seeds = plan.seeds_needed(margin)
    return Outlook(
        score=score,
        arms=plan.arms,
        seeds_planned=plan.seeds,
        smallest=plan.smallest_difference(),
        margin=margin,
        chance=plan.chance_no_difference(margin),
        resolved=plan.resolved_margin(),
        seeds=seeds,
        rows=plan.rows_needed(margin),
        measured=measured,
    )


def _known(arms: list[Arm], design: GridDesign, runs: Runs, score: Score) -> Plan | None:
    """The variances of runs of these arms that are there; None without any two that compare."""
    rule = arms[0].config.overall
    pool = Pool({arm.name: ArmScores(arm, design.runs[arm.name], runs, rule) for arm in arms})
    scored = {name: arm.scores for name, arm in pool.scores.items() if arm.records}
    try:
        return variances_of(scored, tuple(parts_of(score, arms[0].config.tasks)))
    except ValueError:  # scored on different examples
        return None


def _usual(
    parts: Mapping[str, tuple[TaskName, float]], rows: Mapping[TaskName, int]
) -> dict[str, TaskVariance]:
    return {
        key: scaled(replace(USUAL[TASKS[task].metric], rows=rows[task]), factor)
        for key, (task, factor) in parts.items()
    }


def scaled(variance: TaskVariance, factor: float) -> TaskVariance:
    """The variances of a multiple of a score."""
    square = factor * factor
    return replace(
        variance,
        flips=square * variance.flips,
        own=square * variance.own,
        seeds=square * variance.seeds,
    )
