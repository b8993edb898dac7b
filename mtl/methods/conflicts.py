"""What surgery saw: a line a step, and its summary over a run.

All of it follows from the inner products of the tasks' gradients and the weights they got. Norms and cosines are of the
backbone's gradients, before surgery and before clipping. "Removed" is the norm of what surgery took from the plain sum.
A cosine with a gradient of norm zero is unknown: None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtl.tasks.registry import TASKS, TaskName

Line = dict[str, Any]
"""{norm: {task: ...}, cosine: {"a/b": ...}, conflict, projected, dominant, removed, removed_share}, as JSON."""

Totals = dict[str, Any]
"""Sums over lines, as JSON, so that an interrupted run can go on with them."""


def describe(tasks: Sequence[TaskName], gram: np.ndarray, weights: np.ndarray) -> Line:
    """A step's line: T tasks, their inner products (T, T), the weights they got (T,)."""
    places = sorted(range(len(tasks)), key=lambda i: list(TASKS).index(tasks[i]))
    norms = np.sqrt(gram.diagonal())
    cosines: dict[str, float | None] = {}
    for at, i in enumerate(places):
        for j in places[at + 1 :]:
            size = float(norms[i] * norms[j])
            cosines[f"{tasks[i]}/{tasks[j]}"] = float(gram[i, j]) / size if size else None
    change = 1 - weights
    removed = math.sqrt(max(0.0, float(change @ gram @ change)))
    largest = float(norms.sum())
    return {
        "norm": {tasks[i]: float(norms[i]) for i in places},
        "cosine": cosines,
        "conflict": any(value is not None and value < 0 for value in cosines.values()),
        "projected": bool(change.any()),
        "dominant": tasks[int(np.argmax(norms))],
        "removed": removed,
        "removed_share": removed / largest if largest else None,
    }


def add(totals: Totals, line: Line) -> None:
    """Count a step's line in. `totals` starts as {}."""
    several = len(line["norm"]) > 1
    _count(totals, "steps", 1)
    _count(totals, "multi_task", several)
    _count(totals, "conflict", line["conflict"])
    _count(totals, "projected", line["projected"])
    for task, norm in line["norm"].items():
        _sum(totals, "norm", task, norm)
    for pair, cosine in line["cosine"].items():
        if cosine is not None:
            _sum(totals, "cosine", pair, cosine)
            _sum(totals, "conflict_of_pair", pair, float(cosine < 0))
    if several:
        _count(totals.setdefault("dominant", {}), line["dominant"], 1)
        if line["removed_share"] is not None:
            _sum(totals, "removed", "share", line["removed_share"])


def summarise(totals: Totals) -> dict[str, Any]:
    """The record's `diagnostics.surgery`; unknown is None.

    `multi_task`, `conflict` and `projected` are shares of all steps; `cosine` is the mean of a pair over the steps in which
    it meets and `conflict_of_pair` the share of those with a negative one; `dominant` counts multi-task steps by
    their largest gradient; `removed_share` is the mean over multi-task steps of the norm removed, as a share of the sum of
    the tasks' norms; `norm` is the mean of each task's.
    """
    steps = totals.get("steps", 0)
    return {
        "steps": steps,
        **{
            key: totals[key] / steps if steps else None
            for key in ("multi_task", "conflict", "projected")
        },
        "cosine": _means(totals.get("cosine", {})),
        "conflict_of_pair": _means(totals.get("conflict_of_pair", {})),
        "dominant": dict(totals.get("dominant", {})),
        "norm": _means(totals.get("norm", {})),
        "removed_share": _means(totals.get("removed", {})).get("share"),
    }


def _count(totals: Totals, key: str, amount: int) -> None:
    totals[key] = totals.get(key, 0) + int(amount)


def _sum(totals: Totals, key: str, name: str, value: float) -> None:
    count, so_far = totals.setdefault(key, {}).get(name, (0, 0.0))
    totals[key][name] = [count + 1, so_far + value]


def _means(sums: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: total / count for name, (count, total) in sums.items()}
