"""Shared by the tests of the statistics: runs, arms and estimates with known numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtl.stats import contrast as contrasts
from mtl.stats.estimate import Estimate
from mtl.stats.examples import Arm, Examples
from mtl.stats.moderation import unmoderated


def arm(*rows: list[float], task: str = "sst") -> Arm:
    """Seeds 0, 1, ... with these values of their examples."""
    return {task: {seed: Examples.of(row) for seed, row in enumerate(rows)}}


def random_arm(
    rng: np.random.Generator, *, seeds: int = 3, count: int = 40, tasks: Sequence[str]
) -> Arm:
    return {
        task: {seed: Examples.of(rng.random(count) < 0.6) for seed in range(seeds)}
        for task in tasks
    }


def difference(one: Arm, other: Arm, tasks: Sequence[str]) -> Estimate | None:
    """One arm minus another, which stand alone."""
    return contrasts.difference({"one": one, "other": other}, "one", "other", tasks)


def estimate(
    value: float,
    seed_variance: float,
    example_variance: float,
    seeds: int = 3,
    examples: int | None = 500,
) -> Estimate:
    """An estimate that stands alone, without flips."""
    return Estimate(
        value=value,
        seeds=tuple(range(seeds)),
        own_variance=seed_variance,
        moderated=unmoderated(seed_variance, 0.0, seeds - 1),
        example_variance=example_variance,
        example_df=500,
        examples=examples,
    )
