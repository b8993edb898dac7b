"""Simulated runs with known true scores, to test the statistics against.

Seeds and examples are random and crossed. Accuracy: an example is right if a latent normal is above
0. It is the sum of the arm's level, the example's ease, the arm's own effect on the example, the
seed's effect, and noise. Pearson: the prediction is slope x gold + the same terms, with more noise
for high gold labels, and the seed changes the slope. Arms with the same seed, and tasks of the same
run, share a part of the seed's effect. The true score is the score of infinitely many seeds and
examples under the model: from the normal distribution for accuracy, from Gauss-Hermite quadrature
over seeds for Pearson.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import ndtri

from mtl.stats.examples import Arm, Examples, examples
from mtl.tasks.metrics import Predictions
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

ALL: tuple[TaskName, ...] = ("sst", "quora", "sts")
BASELINE = "baseline"
SHARED_BY_ARMS, SHARED_BY_TASKS = 0.2, 0.4
"""Shares of a seed's variance; the rest is drawn for each arm, task and seed."""

GOLD = np.arange(26) / 5
NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)
NODE_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
IDS = [str(number) for number in range(10_000)]


@dataclass(frozen=True, kw_only=True)
class Population:
    """One task: its true score in the baseline, its number of dev examples, and its variances.

    `seed_sd` is the standard deviation of a score over seeds, for infinitely many examples. `own`
    and `noise` are the shares of the arm's own effect and of the run's noise in the variance
    between examples; the rest is the example's ease.
    """

    score: float
    examples: int
    seed_sd: float
    own: float = 0.10
    noise: float = 0.15


World = Mapping[TaskName, Population]


def world(
    *, seed_sd: float | None = None, own: float | None = None, examples: float = 1.0
) -> dict[TaskName, Population]:
    """The three tasks with variances as in practice, or others. `examples` scales the dev sets."""

    def one(score: float, count: int, sd: float) -> Population:
        return Population(
            score=score,
            examples=int(count * examples),
            seed_sd=sd if seed_sd is None else seed_sd,
            own=0.10 if own is None else own,
        )

    return {
        "sst": one(0.48, 700, 0.008),
        "quora": one(0.80, 900, 0.006),
        "sts": one(0.68, 600, 0.012),
    }


EVEN = world()
FEW_EXAMPLES = world(seed_sd=0.0005, own=0.2, examples=0.6)
WILD_SEEDS = world(seed_sd=0.03, own=0.02, examples=1.5)
ALIKE = world(own=0.0)
WORLDS: dict[str, World] = {
    "as met in practice": EVEN,
    "arms alike on every example": ALIKE,
    "seeds' luck near 0": FEW_EXAMPLES,
    "seeds' luck dominates": WILD_SEEDS,
}


def draw_arms(
    rng: np.random.Generator,
    populations: World,
    gains: Mapping[str, float],
    *,
    seeds: int,
) -> dict[str, Arm]:
    """One grid: the baseline, and arms whose true scores are higher by `gains` on every task."""
    names = [BASELINE, *gains]
    shared = rng.normal(size=(1, seeds)) * math.sqrt(SHARED_BY_ARMS)
    run = rng.normal(size=(len(names), seeds)) * math.sqrt(SHARED_BY_TASKS)
    drawn: dict[str, dict[TaskName, dict[int, Examples]]] = {name: {} for name in names}
    for task, population in populations.items():
        rest = rng.normal(size=(len(names), seeds)) * math.sqrt(
            1 - SHARED_BY_ARMS - SHARED_BY_TASKS
        )
        luck = shared + run + rest
        targets = np.array([population.score + gains.get(name, 0.0) for name in names])
        draw = _draw_pearson if TASKS[task].metric == "pearson" else _draw_accuracy
        found = draw(rng, population, targets, luck)
        for name, runs in zip(names, found, strict=True):
            drawn[name][task] = dict(enumerate(runs))
    return dict(drawn)


def _latent(
    rng: np.random.Generator, population: Population, arms: int, seeds: int, spread: np.ndarray
) -> np.ndarray:
    """Ease + own + noise, (arms, seeds, n), variance 1; `spread` (n,) multiplies the noise."""
    count = population.examples
    ease = rng.normal(size=count) * math.sqrt(1 - population.own - population.noise)
    own = rng.normal(size=(arms, 1, count)) * math.sqrt(population.own)
    noise = rng.standard_normal(size=(arms, seeds, count)) * math.sqrt(population.noise) * spread
    return np.asarray(ease + own + noise)


def _draw_accuracy(
    rng: np.random.Generator, population: Population, targets: np.ndarray, luck: np.ndarray
) -> list[list[Examples]]:
    arms, seeds = luck.shape
    shift = _shift_sd(population)
    levels = ndtri(targets) * math.sqrt(1 + shift**2)
    latent = _latent(rng, population, arms, seeds, np.ones(population.examples))
    correct = (latent + (levels[:, None] + shift * luck)[:, :, None] > 0).astype(np.float64)
    return [[Examples(score=float(one.mean()), values=one) for one in arm] for arm in correct]


def _shift_sd(population: Population) -> float:
    """The spread of the latent level over seeds that gives accuracy about its spread."""
    return (
        population.seed_sd
        * math.sqrt(2 * math.pi)
        * math.exp(float(ndtri(population.score)) ** 2 / 2)
    )


def _draw_pearson(
    rng: np.random.Generator, population: Population, targets: np.ndarray, luck: np.ndarray
) -> list[list[Examples]]:
    arms, seeds = luck.shape
    gold = rng.choice(GOLD, size=population.examples)
    standard = (gold - GOLD.mean()) / GOLD.std()
    spread = np.sqrt((1 + gold) / (1 + GOLD.mean()))  # noisier for high gold, mean square 1
    slopes = (
        np.array([_slope(population, target) for target in targets])[:, None]
        + _slope_sd(population) * luck
    )
    latent = _latent(rng, population, arms, seeds, spread) * math.sqrt(1 - population.score**2)
    predicted = slopes[:, :, None] * standard + latent
    found = []
    for arm in predicted:
        runs = [
            examples(
                Predictions(
                    task="sts", split="dev", ids=IDS[: len(gold)], gold=gold, outputs=one[:, None]
                )
            )
            for one in arm
        ]
        found.append([run for run in runs if run is not None])
    return found


def _slope_sd(population: Population) -> float:
    return population.seed_sd / (1 - population.score**2)


@cache
def _slope(population: Population, target: float) -> float:
    """The mean slope whose true score, over seeds, is `target`: by bisection of `_true_pearson`."""
    low, high = 0.0, 50.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if true_pearson(population, middle) < target else (low, middle)
    return low


def true_pearson(population: Population, slope: float) -> float:
    """The mean over seeds of the correlation over all examples, for a mean slope."""
    slopes = slope + _slope_sd(population) * NODES
    return float(np.sum(NODE_WEIGHTS * slopes / np.sqrt(slopes**2 + 1 - population.score**2)))
