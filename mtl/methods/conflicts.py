"""Diagnostics of surgery: a log line a step, and a summary of the run.

Everything follows from the inner products of the tasks' gradients and the weights that surgery gave
them. Norms and cosines are of the backbone's gradients, before surgery and before clipping. The
norm removed is that of the difference between the plain sum and the result. A cosine with a
gradient of norm 0 is unknown: None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

Line = dict[str, Any]
"""JSON with `norm` by task, `cosine` by pair (`sst/sts`), `conflict`, `projected`, `dominant`,
`removed` and `removed_share`."""

Totals = dict[str, Any]
"""Sums over lines. JSON, so that an interrupted run can resume with them."""


def describe(tasks: Sequence[TaskName], gram: np.ndarray, weights: np.ndarray) -> Line:
    """A step's line, from T tasks, their inner products (T, T) and their weights (T,)."""
    order = sorted(range(len(tasks)), key=lambda i: list(TASKS).index(tasks[i]))
    norms = np.sqrt(gram.diagonal())
    cosines: dict[str, float | None] = {}
    for position, i in enumerate(order):
        for j in order[position + 1 :]:
            scale = float(norms[i] * norms[j])
            cosines[f"{tasks[i]}/{tasks[j]}"] = float(gram[i, j]) / scale if scale else None
    change = 1 - weights
    removed = math.sqrt(max(0.0, float(change @ gram @ change)))
    sum_of_norms = float(norms.sum())
    return {
        "norm": {tasks[i]: float(norms[i]) for i in order},
        "cosine": cosines,
        "conflict": any(value is not None and value < 0 for value in cosines.values()),
        "projected": bool(change.any()),
        "dominant": tasks[int(np.argmax(norms))],
        "removed": removed,
        "removed_share": removed / sum_of_norms if sum_of_norms else None,
    }


def add(totals: Totals, line: Line) -> None:
    """Add a step's line to `totals`, which start as {}."""
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

    * `multi_task`, `conflict`, `projected`: shares of all steps.
    * `cosine`: a pair's mean over the steps that have both tasks; `conflict_of_pair`: the share of
      these steps with a negative cosine.
    * `dominant`: multi-task steps by the task with the largest gradient.
    * `norm`: each task's mean.
    * `removed_share`: the norm removed, as a share of the sum of the tasks' norms; the mean over
      multi-task steps.
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
