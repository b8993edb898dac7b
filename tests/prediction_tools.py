"""Predictions with random outputs, for tests."""

from __future__ import annotations

import numpy as np

from mtl.tasks.metrics import Predictions
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName


def predictions(task: TaskName, gold: np.ndarray, outputs: np.ndarray) -> Predictions:
    ids = [str(number) for number in range(len(gold))]
    return Predictions(
        task=task, split="dev", ids=ids, gold=gold.astype(np.float64), outputs=outputs
    )


def random_predictions(task: TaskName, rng: np.random.Generator, count: int = 60) -> Predictions:
    gold = (
        rng.integers(0, int(TASKS[task].high) + 1, count)
        if task != "sts"
        else rng.integers(0, 26, count) / 5
    )
    outputs = rng.normal(size=(count, TASKS[task].outputs)) + (
        gold[:, None] if task != "sst" else 0
    )
    return predictions(task, gold, outputs.astype(np.float32))
