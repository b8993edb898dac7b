"""Cross-fitted dev scores: early stopping keeps its benefit, and loses its bias.

The best of several evaluations, scored on the rows that chose it, is too good: a run with more
evaluations gets a higher score for nothing. So the dev rows of a task are cut into two halves. For
each half the evaluation is chosen on the other half. The predictions of the two halves, together,
are scored. The halves are a property of the data, the same for all runs: a hash of the rows' ids
cuts them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from mtl.runs.examples import examples
from mtl.tasks.metrics import Predictions, shares_of, weighted_mean
from mtl.tasks.task import TaskName

HALVES = (0, 1)


def half_of_rows(ids: Sequence[str]) -> np.ndarray:
    """The half, 0 or 1, of each row, (n,): by the rank of its id's hash, so that both are equal.

    >>> half_of_rows(["a", "b", "c", "d"])
    array([1, 1, 0, 0])
    """
    return _half_of_rows(tuple(ids))


@lru_cache(maxsize=8)
def _half_of_rows(ids: tuple[str, ...]) -> np.ndarray:
    """Every evaluation of a run has the same rows, so their halves are computed once."""
    hashes = [hashlib.sha256(row_id.encode("utf-8", "surrogatepass")).digest() for row_id in ids]
    order = sorted(range(len(ids)), key=lambda row: (hashes[row], row))
    halves = np.ones(len(ids), dtype=np.int64)
    halves[order[: len(ids) // 2]] = 0
    halves.flags.writeable = False
    return halves


def overall_of_half(
    predictions: Mapping[TaskName, Predictions], half: int, rule: str
) -> float | None:
    """The overall score on one half of the dev rows; None if a task's score is undefined there."""
    scores: dict[TaskName, float] = {}
    for task in shares_of(tuple(predictions)):
        of_task = predictions[task]
        rows = half_of_rows(of_task.ids) == half
        if of_task.gold is None or not rows.any():
            return None
        found = examples(_rows(of_task, rows), rule=rule)
        if found is None:
            return None
        scores[task] = found.score
    return weighted_mean(scores)


def with_half(before: Predictions, now: Predictions, half: int) -> Predictions:
    """The predictions `before`, with the rows of one half from `now`."""
    rows = half_of_rows(now.ids) == half
    return replace(now, outputs=np.where(rows[:, None], now.outputs, before.outputs))


def _rows(predictions: Predictions, rows: np.ndarray) -> Predictions:
    assert predictions.gold is not None
    return replace(
        predictions,
        ids=[row_id for row_id, chosen in zip(predictions.ids, rows, strict=True) if chosen],
        gold=predictions.gold[rows],
        outputs=predictions.outputs[rows],
    )
