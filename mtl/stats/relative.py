"""Relative gains over single-task arms: delta-m.

    delta(a) = mean over tasks t of s_t (M_a,t - M_t) / M_t

M_a,t is the metric of arm a on task t, M_t that of the arm which trains t alone. s_t is 1, and -1
for an error such as rmse, of which less is better (Maninis, Radosavovic & Kokkinos, CVPR 2019; so
in LibMTL). Both are means over the seeds that the arm and all single-task arms share.

To first order delta is a weighted sum of these scores (the delta method): s_t / M_t for the arm,
-s_t M_a,t / M_t^2 for the single-task arm. So its error is that of a contrast of two arms, paired
by seed and by example, with the scores divided by M_t. The second of them is made up of the
single-task arms: it has the runs of each on its own task.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mtl.stats.contrast import contrast, difference, obstacle
from mtl.stats.decision import FEWEST_EXAMPLES
from mtl.stats.estimate import Estimate
from mtl.stats.examples import Arm, Examples
from mtl.stats.layout import shared_seeds
from mtl.stats.moderation import NO_PRIOR, Prior, fit

NEAREST = 3.0
"""A single-task score closer to 0 than this many standard errors is no denominator: the ratio is
then far from a weighted sum of scores. Of those farther away, 94 to 98 % of the intervals hold the
true gain, in simulated grids with single-task correlations of 0.2 to 0.3."""

_ALONE = "\0single-task arms"
"""The arm that is made up of the single-task arms. No arm can have this name."""


@dataclass(frozen=True, kw_only=True)
class RelativeGain:
    """What an arm gains over the single-task arms, as a share of their scores: 0.03 is 3 %.

    `tasks` has the gain on each task, `estimate` their mean. `reason` says why there is none.
    """

    tasks: Mapping[str, float] = field(default_factory=dict)
    estimate: Estimate | None = None
    reason: str = ""


def relative_gains(
    arms: Mapping[str, Arm], singles: Mapping[str, str], errors: Collection[str] = ()
) -> dict[str, RelativeGain]:
    """The relative gain of each arm but the single-task ones.

    `singles` names the arm that trains each task alone. `errors` are the tasks whose metric is an
    error; their scores are its negative, so that more is better in all scores. There is no gain
    over a single-task score of 0, of the wrong sign, or closer to 0 than `NEAREST` standard
    errors. Raises ValueError for no tasks, or for a name that is no arm.

    >>> def right(*counts: int) -> dict[int, Examples]:
    ...     return {seed: Examples.of(np.arange(40) < n) for seed, n in enumerate(counts)}
    >>> arms = {
    ...     "both": {"sst": right(24, 26), "quora": right(27, 27)},
    ...     "sst alone": {"sst": right(20, 20)},
    ...     "quora alone": {"quora": right(30, 30)},
    ... }
    >>> gain = relative_gains(arms, {"sst": "sst alone", "quora": "quora alone"})["both"]
    >>> {task: round(share, 3) for task, share in gain.tasks.items()}
    {'sst': 0.25, 'quora': -0.1}
    >>> [round(number, 3) for number in (gain.estimate.value, *gain.estimate.interval())]
    [0.075, -0.16, 0.31]
    """
    tasks = tuple(singles)
    if not tasks or not set(singles.values()) <= arms.keys():
        raise ValueError(f"expected an arm of {', '.join(arms)} for each task, got {singles!r}")
    alone = {task: arms[single].get(task, {}) for task, single in singles.items()}
    others = {name: arm for name, arm in arms.items() if name not in singles.values()}
    for task, single in singles.items():
        if reason := _no_denominator(arms[single], single, task, task in errors):
            return dict.fromkeys(others, RelativeGain(reason=reason))
    prior = _prior(others, alone, tasks)
    return {name: _gain(name, arm, alone, tasks, prior) for name, arm in others.items()}


def _no_denominator(arm: Arm, name: str, task: str, error: bool) -> str:
    """Why a single-task arm's score cannot be divided by; "" if it can."""
    runs = arm.get(task)
    if not runs:
        return f"{name!r} has no {task} score"
    score = _mean(runs.values()) * (-1 if error else 1)
    if score == 0:
        return f"{name!r} scores 0 on {task}, and nothing is a share of that"
    if score < 0:
        return f"{name!r} scores {score:.3g} on {task}; a share needs a score above 0"
    estimate = contrast({name: arm}, {name: 1.0}, [task])
    if estimate is not None and score < NEAREST * estimate.standard_error:
        return (
            f"{name!r} scores {score:.3g} on {task} with a standard error of "
            f"{estimate.standard_error:.2g}: too close to 0 for a share"
        )
    return ""


def _gain(name: str, arm: Arm, alone: Arm, tasks: Sequence[str], prior: Prior) -> RelativeGain:
    """The gain of an arm; the scores of `alone` are not 0."""
    for task in tasks:
        if not arm.get(task):
            return RelativeGain(reason=f"it has no {task} score")
    seeds = shared_seeds([arm, alone], tasks)
    if not seeds:
        return RelativeGain(reason="no shared seeds")
    own, single = (
        {task: _mean(runs[task][seed] for seed in seeds) for task in tasks} for runs in (arm, alone)
    )
    gains = {task: (own[task] - single[task]) / abs(single[task]) for task in tasks}
    shares = {
        name: _times(arm, {task: 1 / abs(single[task]) for task in tasks}),
        _ALONE: _times(
            alone, {task: own[task] / abs(single[task]) / single[task] for task in tasks}
        ),
    }
    if reason := obstacle(shares, {name: 1.0, _ALONE: -1.0}, tasks):
        return RelativeGain(tasks=gains, reason=reason.replace(repr(_ALONE), "the arm alone"))
    try:
        estimate = difference(shares, name, _ALONE, tasks, prior)
    except ValueError:
        return RelativeGain(reason="scored on other dev rows than the arms alone")
    if estimate is None:
        return RelativeGain(tasks=gains, reason="fewer than two shared seeds")
    if estimate.examples is not None and estimate.examples < FEWEST_EXAMPLES:
        reason = f"{estimate.examples} dev examples; an interval needs {FEWEST_EXAMPLES}"
        return RelativeGain(tasks=gains, reason=reason)
    value = float(np.mean(list(gains.values())))
    return RelativeGain(tasks=gains, estimate=replace(estimate, value=value))


def _prior(arms: Mapping[str, Arm], alone: Arm, tasks: Sequence[str]) -> Prior:
    """What all arms say of the variance of a relative gain."""
    sizes = {task: 1 / abs(_mean(alone[task].values())) for task in tasks}
    complete = {name: arm for name, arm in arms.items() if all(arm.get(task) for task in tasks)}
    try:
        return fit(
            {name: _times(arm, sizes) for name, arm in {**complete, _ALONE: alone}.items()}, tasks
        )
    except ValueError:  # not all of them compare; each gain then stands alone
        return NO_PRIOR


def _times(arm: Arm, factors: Mapping[str, float]) -> Arm:
    """The runs of an arm on these tasks, with scores and values times the task's factor."""
    return {
        task: {
            seed: replace(
                run,
                score=factor * run.score,
                values=None if run.values is None else factor * run.values,
            )
            for seed, run in arm[task].items()
        }
        for task, factor in factors.items()
    }


def _mean(runs: Iterable[Examples]) -> float:
    return float(np.mean([run.score for run in runs]))
