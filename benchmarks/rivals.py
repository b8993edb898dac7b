"""What others would say of the same scores: false calls and power of common ways to compare runs.

Each rival gets the overall scores of an arm and of the baseline over seeds, or those by task. None
of them corrects for the number of arms, as their users do not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np
import scipy.stats

RESAMPLES = 2000
ASO_RESAMPLES, ASO_GRIDS, ASO_ARMS = 200, 10, 4
"""ASO takes seconds a comparison: fewer resamples than its default of 1000, grids and arms."""


def welch(arm: np.ndarray, baseline: np.ndarray, rng: np.random.Generator) -> bool:
    """Welch's t-test of the means over seeds; arrays are (tasks, seeds)."""
    return bool(scipy.stats.ttest_ind(arm.mean(0), baseline.mean(0), equal_var=False).pvalue < 0.05)


def paired(arm: np.ndarray, baseline: np.ndarray, rng: np.random.Generator) -> bool:
    """The t-test of the differences by seed."""
    return bool(scipy.stats.ttest_rel(arm.mean(0), baseline.mean(0)).pvalue < 0.05)


def bootstrap(arm: np.ndarray, baseline: np.ndarray, rng: np.random.Generator) -> bool:
    """The percentile interval of the mean difference, resampling the seeds."""
    differences = arm.mean(0) - baseline.mean(0)
    seeds = len(differences)
    if seeds**seeds <= 4000:
        chosen = np.array(list(itertools.product(range(seeds), repeat=seeds)))
    else:
        chosen = rng.integers(0, seeds, (RESAMPLES, seeds))
    low, high = np.quantile(differences[chosen].mean(1), (0.025, 0.975))
    return bool(low > 0 or high < 0)


def stratified(arm: np.ndarray, baseline: np.ndarray, rng: np.random.Generator) -> bool:
    """The interval of Agarwal et al. (NeurIPS 2021): runs are resampled within each task."""
    low, high = np.quantile(_resampled(arm, rng) - _resampled(baseline, rng), (0.025, 0.975))
    return bool(low > 0 or high < 0)


def mean_is_higher(arm: np.ndarray, baseline: np.ndarray, rng: np.random.Generator) -> bool:
    """The arm is better: its mean is higher."""
    return bool(arm.mean() > baseline.mean())


def almost_stochastic_order(
    arm: np.ndarray, baseline: np.ndarray, rng: np.random.Generator, limit: float = 0.2
) -> bool:
    """ASO (Dror et al., ACL 2019) as the package deepsig computes it: eps_min below `limit`."""
    from deepsig import aso

    better = aso(
        arm.mean(0), baseline.mean(0), num_bootstrap_iterations=ASO_RESAMPLES, show_progress=False,
        seed=int(rng.integers(2**31)),
    )  # fmt: skip
    return bool(better < limit)


Rival = Callable[[np.ndarray, np.ndarray, np.random.Generator], bool]

RIVALS: Mapping[str, Rival] = {
    "Welch's t-test": welch,
    "paired t-test": paired,
    "bootstrap over seeds": bootstrap,
    "stratified bootstrap (rliable)": stratified,
    "the mean is higher": mean_is_higher,
}


def rivals() -> dict[str, Rival]:
    """Those that can run here: ASO needs the package deepsig."""
    try:
        import deepsig  # noqa: F401
    except ImportError:
        return dict(RIVALS)
    return {**RIVALS, "ASO (deepsig), eps < 0.2": almost_stochastic_order}


def calls(
    grids: list[np.ndarray], gains: tuple[float, ...], rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """For each rival: false calls of single comparisons and of grids, and the power for each gain.

    `grids` are scores (arms, tasks, seeds), the baseline first, without any effect; a gain is added
    to the last arm.
    """
    found: dict[str, dict[str, float]] = {}
    for name, rival in rivals().items():
        slow = name.startswith("ASO")
        if slow and len(grids[0]) != ASO_ARMS + 1:
            continue
        chosen = grids[:ASO_GRIDS] if slow else grids
        others = (-1,) if slow else range(1, len(grids[0]))
        false = np.array([[rival(grid[arm], grid[0], rng) for arm in others] for grid in chosen])
        found[name] = {
            "grids": len(chosen),
            "false_one": float(false.mean()),
            "false_grids": float(false.any(1).mean()),
            **{
                f"found_{size}": float(
                    np.mean([rival(grid[-1] + gain, grid[0], rng) for grid in chosen])
                )
                for size, gain in zip((4, 6), gains, strict=True)
            },
        }
    return found


def _resampled(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    tasks, seeds = scores.shape
    chosen = rng.integers(0, seeds, (RESAMPLES, tasks, seeds))
    return np.asarray(np.take_along_axis(scores[None], chosen, 2).mean((1, 2)))
