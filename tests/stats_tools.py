"""Shared by the tests of the statistics: runs, arms and estimates with known numbers."""

from __future__ import annotations

import numpy as np

from mtl.stats.examples import Arm, Examples
from mtl.tasks.task import TaskName


def run(values: list[float] | np.ndarray) -> Examples:
    array = np.array(values, dtype=np.float64)
    return Examples(score=float(array.mean()), values=array)


def arm(*rows: list[float], task: TaskName = "sst") -> Arm:
    """Seeds 0, 1, ... with these values of their examples."""
    return {task: {seed: run(row) for seed, row in enumerate(rows)}}


def random_arm(
    rng: np.random.Generator, *, seeds: int = 3, count: int = 40, tasks: tuple[TaskName, ...]
) -> Arm:
    return {
        task: {seed: run((rng.random(count) < 0.6).astype(float)) for seed in range(seeds)}
        for task in tasks
    }
