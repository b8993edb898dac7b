"""Which rows each step trains on. A schedule is a pure function of seed and epoch.

* `pooled` (Liu et al. 2019, the paper's default): every task's shuffled rows are cut into batches, which come in
  random turns; a step trains on one task.
* `consolidated` (the paper's section 3.2): all tasks' rows in one pool, drawn uniformly without replacement; a step's
  rows are grouped by task, so it has up to T losses.

Rows are shuffled anew every epoch and no partial batch is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mtl.config import Schedule
from mtl.rng import numpy_stream
from mtl.tasks import TaskName

Step = dict[TaskName, np.ndarray]
"""Row numbers by task, int64; only tasks that have rows in the step."""


def pooled(sizes: Mapping[TaskName, int], batch_size: int, seed: int, epoch: int) -> list[Step]:
    """One task a step; P(task) is its share of the batches.

    What is shuffled is whose turn it is: a task meets its own batches in the same order whatever other tasks are on.
    """
    batches: dict[TaskName, list[np.ndarray]] = {}
    for task, size in sizes.items():
        order = numpy_stream(seed, f"order/{task}/{epoch}").permutation(size)
        batches[task] = [order[start : start + batch_size] for start in range(0, size, batch_size)]
    turns = [task for task in sizes for _ in batches[task]]
    if len(sizes) > 1:
        numpy_stream(seed, f"order/batches/{epoch}").shuffle(turns)
    dealt = {task: iter(queue) for task, queue in batches.items()}
    return [{task: next(dealt[task])} for task in turns]


def consolidated(sizes: Mapping[TaskName, int], batch_size: int, seed: int, epoch: int) -> list[Step]:
    """Batches over the pooled rows of all tasks, grouped by task inside the batch."""
    if len(sizes) == 1:
        return pooled(sizes, batch_size, seed, epoch)
    order = numpy_stream(seed, f"order/consolidated/{epoch}").permutation(sum(sizes.values()))
    ends = np.cumsum(list(sizes.values()))
    starts = ends - list(sizes.values())
    steps: list[Step] = []
    for begin in range(0, len(order), batch_size):
        drawn = order[begin : begin + batch_size]
        grouped = {
            task: drawn[(drawn >= low) & (drawn < high)] - low
            for task, low, high in zip(sizes, starts, ends, strict=True)
        }
        steps.append({task: rows for task, rows in grouped.items() if len(rows)})
    return steps


SCHEDULES: dict[Schedule, Callable[[Mapping[TaskName, int], int, int, int], list[Step]]] = {
    "pooled": pooled,
    "consolidated": consolidated,
}
