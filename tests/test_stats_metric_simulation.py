"""Intervals of metrics that are no plain means, and of relative gains, hold what they promise.

`pytest -m slow -s` prints the figures. The random numbers are fixed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from mtl.stats.examples import Arm
from mtl.stats.relative import RelativeGain, relative_gains
from tests.simulated_studies import Figures, compared, figures
from tests.simulated_worlds import NAMES, OTHERS, WORLDS, arms_of, simulate

pytestmark = pytest.mark.slow

GRIDS = 150
SEEDS = 3
ODD = "baseline has 10x variance"


def grid(
    rng: np.random.Generator, world: str, metric: str, gains: Mapping[int, float] | None = None
) -> dict[str, Arm]:
    """A baseline and four arms on a task of this metric."""
    tasks = {metric: OTHERS[metric]}
    return arms_of(simulate(rng, world, arms=4, seeds=SEEDS, tasks=tasks, gains=gains))


@pytest.fixture(scope="module", params=sorted(OTHERS))
def metric(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def found(metric: str) -> dict[str, Figures]:
    by_world = {}
    for place, world in enumerate(WORLDS):
        rng = np.random.default_rng([21, place])
        grids = [
            list(compared(grid(rng, world, metric), tasks=[metric]).values()) for _ in range(GRIDS)
        ]
        by_world[world] = figures(grids)
        print(f"\n{metric}, {world}: {by_world[world]}", end="")
    return by_world


def test_the_interval_covers_and_grids_have_few_false_calls(
    metric: str, found: dict[str, Figures]
) -> None:
    """600 comparisons of 150 grids a world: +-1.8 points, +-3.5 points."""
    covered = {world: 1 - each.false_one for world, each in found.items()}
    grids = {world: each.false_grids for world, each in found.items()}
    mean = np.mean(list(covered.values()))
    print(f"\n{metric}: covers {mean:.3f}, false grids {np.mean(list(grids.values())):.3f}", end="")
    assert 0.93 <= mean <= 0.98
    assert np.mean(list(grids.values())) <= 0.05
    for world in WORLDS:
        limit, lowest = (0.10, 0.86) if world == ODD else (0.06, 0.91)
        assert lowest <= covered[world] <= 0.995, world
        assert grids[world] <= limit + 0.04, world
    assert np.mean([each.narrowest for each in found.values()]) >= 0.80


@pytest.mark.parametrize("world", ["plain", "seeds dominate", "flips only", "100 dev rows"])
def test_the_interval_covers_a_true_difference(metric: str, world: str) -> None:
    """Two arms are better. The truth is the mean over 400 grids: 800 comparisons, +-1.5 points."""
    rng = np.random.default_rng([22, WORLDS.index(world)])
    grids = [
        compared(grid(rng, world, metric, {1: 0.06, 2: 0.12}), tasks=[metric]) for _ in range(400)
    ]
    covered = []
    for arm in ("1", "2"):
        truth = np.mean([estimates[arm].value for estimates in grids])
        assert truth > 0.02
        for estimates in grids:
            low, high = estimates[arm].interval()
            covered.append(low <= truth <= high)
    print(f"\n{metric}, {world}, arms that are better: covers {np.mean(covered):.3f}", end="")
    assert 0.92 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(
    "world", ["plain", "seeds dominate", "flips only", "variances inv-chi2(3)", "100 dev rows"]
)
def test_the_interval_of_a_relative_gain_covers(world: str, seeds: int) -> None:
    """Three arms train three tasks, the first of them better; three arms train one task each.

    The truth is the mean over 300 grids: 900 gains, +-1.5 points.
    """
    rng = np.random.default_rng([23, WORLDS.index(world), seeds])
    grids, scores = [], []
    for _ in range(300):
        arms = with_single_task_arms(
            simulate(rng, world, arms=5, seeds=seeds, gains={0: 0.03, 1: -0.03})
        )
        grids.append(relative_gains(arms, {task: f"{task} alone" for task in NAMES}))
        scores.append({(arm, task): mean(arms[arm], task) for arm in arms for task in arms[arm]})
    truth = {key: np.mean([each[key] for each in scores]) for key in scores[0]}
    covered, given = [], []
    for arm in map(str, range(3)):
        shares = [truth[arm, task] / truth[f"{task} alone", task] - 1 for task in NAMES]
        for gains in grids:
            given.append(gains[arm].estimate is not None)
            covered += covers(gains[arm], float(np.mean(shares)))
    print(
        f"\nrelative gain, {world}, {seeds} seeds: covers {np.mean(covered):.3f}, "
        f"{1 - np.mean(given):.3f} without an interval", end="",
    )  # fmt: skip
    assert 0.92 <= np.mean(covered) <= 0.99


def covers(gain: RelativeGain, truth: float) -> list[bool]:
    """Whether the interval has the truth; nothing without an interval."""
    if gain.estimate is None:
        return []
    low, high = gain.estimate.interval()
    return [low <= truth <= high]


def with_single_task_arms(values: Mapping[str, np.ndarray]) -> dict[str, Arm]:
    """The last three arms keep one task each."""
    arms = arms_of(values)
    alone = {
        f"{task} alone": {task: arms.pop(str(3 + place))[task]} for place, task in enumerate(NAMES)
    }
    return arms | alone


def mean(arm: Arm, task: str) -> float:
    return float(np.mean([run.score for run in arm[task].values()]))
