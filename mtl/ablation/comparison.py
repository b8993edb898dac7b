"""Comparisons of two arms, with every number that is printed of them."""

from __future__ import annotations

from collections.abc import Sequence

from mtl.ablation.evidence import ArmScores
from mtl.ablation.results import Difference, Verdict
from mtl.stats import verdicts
from mtl.stats.estimate import Estimate, contrast, obstacle
from mtl.tasks.task import TaskName


def compare(
    arm: ArmScores, reference: ArmScores, tasks: Sequence[TaskName]
) -> tuple[Estimate | None, str]:
    """The difference of two arms on some tasks, or None and why there is none."""
    arms = {arm.arm.name: arm.scores, reference.arm.name: reference.scores}
    weights = {arm.arm.name: 1.0, reference.arm.name: -1.0}
    if reason := obstacle(arms, weights, tasks):
        return None, reason
    try:
        return contrast(arms, weights, tasks), ""
    except ValueError as error:  # scored on different examples
        return None, str(error)


def difference_of(estimate: Estimate | None) -> Difference | None:
    """The numbers of an estimate."""
    if estimate is None:
        return None
    low, high = estimate.interval(0.95)
    return Difference(value=estimate.value, low=low, high=high, p=estimate.p, seeds=estimate.seeds)


def verdict_of(verdict: verdicts.Verdict, comparisons: int) -> Verdict:
    """The numbers of a verdict. `comparisons` is how many were judged together."""
    estimate, level = verdict.estimate, verdict.level
    return Verdict(
        word=verdict.word,
        text=verdict.text,
        reason=verdict.reason,
        adjusted_p=verdict.adjusted_p,
        more_seeds=verdict.more_seeds,
        level=level,
        interval=None if estimate is None else estimate.interval(level),
        detectable=None
        if estimate is None
        else estimate.detectable(alpha=1 - level, comparisons=comparisons),
        estimate=difference_of(estimate),
    )


def no_verdict(reason: str, level: float) -> Verdict:
    """The verdict on arms that cannot be compared."""
    return Verdict(
        word="no verdict",
        text=f"no verdict: {reason}",
        reason=reason,
        adjusted_p=None,
        more_seeds=None,
        level=level,
        interval=None,
        detectable=None,
        estimate=None,
    )
