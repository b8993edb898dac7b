"""How often the statistics are right on simulated grids: shared by tests and the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mtl.stats.contrast import difference
from mtl.stats.decision import holm
from mtl.stats.estimate import Estimate
from mtl.stats.examples import Arm
from mtl.stats.moderation import NO_PRIOR, fit
from tests.simulated_worlds import NAMES

BASELINE = "0"
ALPHA = 0.05
GAINS = (4, 6)
"""True gains, in true standard errors, for which the power is measured."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a method does in a world; shares are between 0 and 1.

    `false_one`: of single comparisons without an effect (1 - coverage), `false_first` those of arm
    1, `false_grids`: of grids, after Holm. `found_alone` and `found`: a gain of 4 and of 6 true
    standard errors, alone and after Holm. `narrowest` is the coverage of the tenth of all intervals
    that is narrowest; `false_none` how often a true difference at the margin is called none.
    """

    grids: int
    false_one: float
    false_first: float
    false_grids: float
    found_alone: tuple[float, ...]
    found: tuple[float, ...]
    half_width: float
    df: float
    narrowest: float
    false_none: float


def compared(
    arms: Mapping[str, Arm], *, moderated: bool = True, tasks: Sequence[str] = NAMES
) -> dict[str, Estimate]:
    """The differences of all arms from the baseline on the mean over tasks."""
    prior = fit(arms, tasks) if moderated else NO_PRIOR
    estimates = {
        name: difference(arms, name, BASELINE, tasks, prior) for name in arms if name != BASELINE
    }
    return {name: estimate for name, estimate in estimates.items() if estimate is not None}


def figures(
    grids: list[list[Estimate]], *, alpha: float = ALPHA, margin: float | None = None
) -> Figures:
    """The figures of grids whose arms have no effect; the last arm is an ordinary one."""
    values = np.array([[estimate.value for estimate in grid] for grid in grids])
    p = np.array([[estimate.p for estimate in grid] for grid in grids])
    half = np.array([[estimate.half_width(1 - alpha) for estimate in grid] for grid in grids])
    true_error = float(values[:, -1].std())
    adjusted = np.array([holm(list(row)) for row in p])
    alone, by_holm = [], []
    for size in GAINS:
        shifted = np.array([
            replace(grid[-1], value=grid[-1].value + size * true_error).p for grid in grids
        ])  # fmt: skip
        both = p.copy()
        both[:, -1] = shifted
        alone.append(float(np.mean(shifted < alpha)))
        by_holm.append(float(np.mean([holm(list(row))[-1] < alpha for row in both])))
    narrow = half <= np.quantile(half, 0.1)
    near = np.array([[estimate.half_width(1 - 2 * alpha) for estimate in grid] for grid in grids])
    limit = float(np.median(near)) * 1.5 if margin is None else margin
    return Figures(
        grids=len(grids),
        false_one=float(np.mean(p < alpha)),
        false_first=float(np.mean(p[:, 0] < alpha)),
        false_grids=float(np.mean((adjusted < alpha).any(1))),
        found_alone=tuple(alone),
        found=tuple(by_holm),
        half_width=float(half.mean()),
        df=float(np.mean([[estimate.df for estimate in grid] for grid in grids])),
        narrowest=float(np.mean(np.abs(values[narrow]) <= half[narrow])),
        # The true difference is exactly the margin: the estimate is moved there.
        false_none=float(np.mean(np.abs(values + limit) + near <= limit)),
    )
