"""Relative gains over single-task arms (delta-m), from the dev scores of arms that compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mtl.ablation.comparison import Pool, difference_of
from mtl.ablation.evidence import ArmScores
from mtl.ablation.grid_design import GridDesign
from mtl.ablation.results import Delta, RelativeGain, Results
from mtl.stats import relative
from mtl.stats.decision import ALPHA
from mtl.stats.examples import Arm, Examples
from mtl.tasks.registry import TASKS
from mtl.tasks.task import CORRELATIONS, ERRORS, TaskName

APART = "its single-task arms were scored on other dev rows, or by another rule"


def delta_of(design: GridDesign, pool: Pool) -> Delta | None:
    """The gains of the arms that compare; None where the design does not ask for them.

    Each interval has the level of this look at its arm.
    """
    if not design.delta:
        return None
    others = [name for name in pool.scores if name not in design.delta.values()]
    if not set(design.delta.values()) <= pool.scores.keys():
        gains = tuple(RelativeGain(arm=name, reason=APART) for name in others)
        return Delta(singles=design.delta, gains=gains)
    arms = {name: _plain(scores, tuple(design.delta)) for name, scores in pool.scores.items()}
    errors = [task for task in design.delta if TASKS[task].metric in ERRORS]
    found = relative.relative_gains(arms, design.delta, errors)
    return Delta(
        singles=design.delta,
        gains=tuple(_gain(name, found[name], design, pool.scores[name]) for name in others),
    )


def joined_delta(design: GridDesign, groups: Sequence[Results]) -> Delta | None:
    """The gains of all arms, from those of the groups that compare."""
    if not design.delta:
        return None
    found = {gain.arm: gain for group in groups if group.delta for gain in group.delta.gains}
    gains = tuple(found[arm.name] for arm in design.arms if arm.name in found)
    return Delta(singles=design.delta, gains=gains)


def _gain(
    name: str, gain: relative.RelativeGain, design: GridDesign, scores: ArmScores
) -> RelativeGain:
    """The numbers of an arm's gain, or why there are none."""
    if missing := [task for task in design.delta if task not in scores.arm.config.tasks]:
        return RelativeGain(arm=name, reason=f"it does not train {', '.join(missing)}")
    level = 1 - ALPHA
    if gain.estimate is not None and (look := design.looks_at(name)):
        level = 1 - look.level(len(gain.estimate.seeds), ALPHA)
    return RelativeGain(
        arm=name,
        tasks=dict(gain.tasks),
        estimate=difference_of(gain.estimate, level),
        reason=gain.reason,
        planned=design.history.delta_planned(name, design.delta),
    )


def _plain(scores: ArmScores, tasks: Sequence[TaskName]) -> Arm:
    """The runs of an arm on these tasks, with the metrics themselves: r for (r + 1) / 2."""
    shifted = scores.rule == "shifted"
    return {
        task: _unshifted(runs) if shifted and TASKS[task].metric in CORRELATIONS else dict(runs)
        for task, runs in scores.scores.items()
        if task in tasks
    }


def _unshifted(runs: Mapping[int, Examples]) -> dict[int, Examples]:
    return {
        seed: replace(
            run,
            score=2 * run.score - 1,
            values=None if run.values is None else 2 * run.values - 1,
        )
        for seed, run in runs.items()
    }
