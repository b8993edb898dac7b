"""Grids with known true differences, simulated example by example.

Three tasks, two accuracies and a Pearson's r, or one of `OTHERS`; a baseline (arm 0) and other
arms; seeds crossed with dev examples. The true score of a run is its arm's score plus the luck of
its seed, a part of which all arms with that seed share. An example is right if ease + the arm's own
effect on it + the run's noise is above a threshold; the threshold makes the run's mean score true,
whatever the luck's distribution. A world says how much the arms' seeds vary, and how.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri

from mtl.stats.examples import Arm, Examples
from mtl.stats.influence import macro_f1_values, spearman_values

OWN, NOISE, SHARED = 0.08, 0.30, 0.10
"""Shares of an example's variance: the arm's own effect, the run's noise (the rest is ease); and
the share of a seed's variance that is common to all arms."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task's dev rows, its true score, and the standard deviation of its score over seeds.

    Of macro-F1 the score is the accuracy on rows that are not hard, of Spearman's rho it is r.
    """

    rows: int
    score: float
    seed_sd: float
    metric: Literal["accuracy", "pearson", "macro_f1", "spearman"] = "accuracy"


TASKS: Mapping[str, Task] = {
    "sst": Task(rows=1100, score=0.40, seed_sd=0.014),
    "quora": Task(rows=2000, score=0.70, seed_sd=0.014),
    "sts": Task(rows=860, score=0.50, seed_sd=0.028, metric="pearson"),
}
NAMES = tuple(TASKS)
OTHERS: Mapping[str, Task] = {
    "macro-F1": Task(rows=1100, score=0.60, seed_sd=0.014, metric="macro_f1"),
    "Spearman": Task(rows=860, score=0.50, seed_sd=0.028, metric="spearman"),
}
"""Tasks of metrics that are no plain means; a grid has one of them."""

SHARES = (0.50, 0.30, 0.15, 0.05)
"""The shares of the classes of macro-F1, whose last is small and, in 4 of 10 rows, hard."""

WORLDS = (
    "plain",
    "variances inv-chi2(3)",
    "variances lognormal",
    "arm 1 has 10x variance",
    "baseline has 10x variance",
    "flips only",
    "seeds dominate",
    "t3 seeds",
    "skewed seeds",
    "10 % of runs collapse",
    "arm 1 collapses in 20 %",
    "arm 1 nearly the baseline",
    "100 dev rows",
)
COLLAPSE = 0.08
"""By how much a collapsed run is worse."""


def simulate(
    rng: np.random.Generator,
    world: str,
    *,
    arms: int,
    seeds: int,
    gains: Mapping[int, float] | None = None,
    tasks: Mapping[str, Task] = TASKS,
) -> dict[str, np.ndarray]:
    """A grid of `arms` besides the baseline: per task the values (arms + 1, seeds, rows).

    The mean of a run's values is its score. `gains` raises the true score of an arm on every task.
    """
    scale = _seed_scale(rng, world, arms + 1)
    up = np.zeros((arms + 1, 1))
    for arm, gain in (gains or {}).items():
        up[arm] = gain
    up = up - _collapses(rng, world, arms + 1, seeds)
    values = {}
    for name, task in tasks.items():
        rows = 100 if world == "100 dev rows" else task.rows
        luck = np.sqrt(SHARED) * _luck(rng, world, (1, seeds))
        luck = luck + np.sqrt(1 - SHARED) * _luck(rng, world, (arms + 1, seeds))
        score = (task.score + up + task.seed_sd * scale[:, None] * luck).clip(0.03, 0.97)
        if world == "arm 1 nearly the baseline":
            score[1] = score[0]
        latent = _latent(rng, world, arms + 1, seeds, rows)
        values[name] = VALUES[task.metric](rng, score, latent)
    return values


def arms_of(values: Mapping[str, np.ndarray]) -> dict[str, Arm]:
    """The same grid as arms `0` (the baseline), `1`, ... with their runs by task and seed."""
    count = len(next(iter(values.values())))
    return {
        str(arm): {
            task: {seed: Examples.of(row) for seed, row in enumerate(of_task[arm])}
            for task, of_task in values.items()
        }
        for arm in range(count)
    }


def scores_of(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """The overall scores, (arms, seeds)."""
    return np.mean([of_task.mean(2, dtype=np.float64) for of_task in values.values()], axis=0)


def _seed_scale(rng: np.random.Generator, world: str, arms: int) -> np.ndarray:
    """How many times the usual standard deviation each arm's seeds have."""
    scale = np.ones(arms)
    if world == "variances inv-chi2(3)":
        scale = np.sqrt(3 / rng.chisquare(3, arms)).clip(0.3, 5)
    elif world == "variances lognormal":
        scale = np.exp(rng.normal(0, 0.5, arms))
    elif world == "arm 1 has 10x variance":
        scale[1] = np.sqrt(10)
    elif world == "baseline has 10x variance":
        scale[0] = np.sqrt(10)
    elif world == "flips only":
        scale[:] = 0
    elif world == "seeds dominate":
        scale[:] = 3
    return scale


def _luck(rng: np.random.Generator, world: str, shape: tuple[int, int]) -> np.ndarray:
    """Random numbers of mean 0 and variance 1."""
    if world == "t3 seeds":
        return rng.standard_t(3, shape) / np.sqrt(3)
    if world == "skewed seeds":
        return 1 - rng.exponential(1, shape)
    return rng.normal(size=shape)


def _collapses(rng: np.random.Generator, world: str, arms: int, seeds: int) -> np.ndarray:
    """By how much each run is worse, with the mean taken off, so that no arm has an effect."""
    down = np.zeros((arms, seeds))
    if world == "10 % of runs collapse":
        down = COLLAPSE * ((rng.random((arms, seeds)) < 0.1) - 0.1)
    elif world == "arm 1 collapses in 20 %":
        down[1] = COLLAPSE * ((rng.random(seeds) < 0.2) - 0.2)
    return down


def _latent(rng: np.random.Generator, world: str, arms: int, seeds: int, rows: int) -> np.ndarray:
    """Ease + the arm's own effect + the run's noise, (arms, seeds, rows), of variance 1."""
    ease = rng.standard_normal(rows, dtype=np.float32) * np.float32(np.sqrt(1 - OWN - NOISE))
    own = rng.standard_normal((arms, 1, rows), dtype=np.float32) * np.float32(np.sqrt(OWN))
    noise = rng.standard_normal((arms, seeds, rows), dtype=np.float32) * np.float32(np.sqrt(NOISE))
    if world == "arm 1 nearly the baseline":
        own[1] = own[0]
        noise[1] = np.sqrt(0.99) * noise[0] + 0.1 * noise[1]
    return np.asarray(ease + own + noise)


def _of_accuracy(rng: np.random.Generator, score: np.ndarray, latent: np.ndarray) -> np.ndarray:
    """1 for a right example, else 0."""
    return (latent + ndtri(score)[:, :, None].astype(np.float32) > 0).astype(np.float32)


def _of_correlation(rng: np.random.Generator, score: np.ndarray, latent: np.ndarray) -> np.ndarray:
    """The values of Pearson's r of predictions with a gold label of 26 steps."""
    predicted, gold = _predictions(rng, score, latent)
    predicted -= predicted.mean(2, keepdims=True)
    predicted /= predicted.std(2, keepdims=True)
    r = (predicted * gold).mean(2, keepdims=True)
    return np.asarray(r + predicted * gold - r * (predicted * predicted + gold * gold) / 2)


def _of_ranks(rng: np.random.Generator, score: np.ndarray, latent: np.ndarray) -> np.ndarray:
    """The values of Spearman's rho of the same predictions, rounded: both sides have ties."""
    predicted, gold = _predictions(rng, score, latent)
    return _of_runs(np.round(predicted, 1), lambda run: spearman_values(run, gold))


def _predictions(
    rng: np.random.Generator, score: np.ndarray, latent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions (arms, seeds, rows) that correlate with gold (rows,) as `score` says."""
    gold = np.round(rng.uniform(0, 5, latent.shape[2]) * 5) / 5
    gold = ((gold - gold.mean()) / gold.std()).astype(np.float32)
    slope = (score / np.sqrt(1 - score * score))[:, :, None].astype(np.float32)
    return slope * gold + latent, gold


def _of_macro_f1(rng: np.random.Generator, score: np.ndarray, latent: np.ndarray) -> np.ndarray:
    """The values of macro-F1: a wrong row gets its usual wrong class, or in 3 of 10 runs another.

    Hard rows are always wrong.
    """
    rows = latent.shape[2]
    gold = rng.choice(len(SHARES), rows, p=SHARES)
    hard = (gold == len(SHARES) - 1) & (rng.random(rows) < 0.4)
    right = (_of_accuracy(rng, score, latent) > 0) & ~hard
    wrong = np.where(rng.random(latent.shape) < 0.7, _other(rng, gold), 0)
    wrong = np.where(wrong, wrong, _other(rng, np.broadcast_to(gold, latent.shape)))
    chosen = (gold + np.where(right, 0, wrong)) % len(SHARES)
    return _of_runs(chosen, lambda run: macro_f1_values(gold, run))


def _other(rng: np.random.Generator, gold: np.ndarray) -> np.ndarray:
    """How many classes further, 1 to 3, a wrong class lies from gold."""
    return rng.integers(1, len(SHARES), gold.shape)


def _of_runs(runs: np.ndarray, values: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The values of every run, (arms, seeds, rows)."""
    return np.array([[values(run) for run in of_arm] for of_arm in runs])


VALUES: Mapping[str, Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": _of_accuracy,
    "pearson": _of_correlation,
    "macro_f1": _of_macro_f1,
    "spearman": _of_ranks,
}
"""The values of the runs of a grid, (arms, seeds, rows), by metric."""
