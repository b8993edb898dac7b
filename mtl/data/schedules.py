"""Which rows each step trains on. A schedule is a pure function of seed, epoch and the number of epochs.

* `pooled` (Liu et al. 2019, the paper's default): every task's shuffled rows are cut into batches, which come in
  random turns; a step trains on one task.
* `consolidated` (the paper's section 3.2): all tasks' rows in one pool, drawn uniformly without replacement; a step's
  rows are grouped by task, so it has up to T losses.
* `round_robin`: one task a step, in turn.
* `sqrt`: one task a step, drawn with probability proportional to the square root of its size.
* `annealed` (Stickland & Murray 2019, arXiv:1902.02671): the same with size to the power 1 - 0.8 (e - 1) / (E - 1) in epoch
  e of E: from proportional in the first epoch to nearly even in the last.

Under the first two an epoch sees every row once, shuffled anew. Under the others an epoch has as many steps as under
`pooled`, and each task is a stream of its own: all its rows in batches, then all of them again in a new order, going on in the
next epoch where it stood. No partial batch is dropped and no row comes again before all others of its task have come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from mtl.config.sections import Schedule
from mtl.rng import numpy_stream
from mtl.tasks.registry import TaskName

Sizes = Mapping[TaskName, int]
Step = dict[TaskName, np.ndarray]
"""Row numbers by task, int64; only tasks that have rows in the step."""

ANNEALED_TO = 0.8
"""How far the power of `annealed` falls over the run."""


def pooled(sizes: Sizes, batch_size: int, seed: int, epoch: int, epochs: int) -> list[Step]:
    """One task a step; P(task) is its share of the batches.

    What is shuffled is whose turn it is: a task meets its own batches in the same order whatever other tasks are on.
    """
    batches = {task: _batches(task, size, batch_size, seed, epoch) for task, size in sizes.items()}
    turns = [task for task in sizes for _ in batches[task]]
    if len(sizes) > 1:
        numpy_stream(seed, f"order/batches/{epoch}").shuffle(turns)
    dealt = {task: iter(queue) for task, queue in batches.items()}
    return [{task: next(dealt[task])} for task in turns]


def consolidated(sizes: Sizes, batch_size: int, seed: int, epoch: int, epochs: int) -> list[Step]:
    """Batches over the pooled rows of all tasks, grouped by task inside the batch."""
    if len(sizes) == 1:
        return pooled(sizes, batch_size, seed, epoch, epochs)
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


def round_robin(sizes: Sizes, batch_size: int, seed: int, epoch: int, epochs: int) -> list[Step]:
    """One task a step, in the order of `sizes`; the round goes on over the end of an epoch."""
    tasks, length = list(sizes), _length(sizes, batch_size)
    turns = [tasks[number % len(tasks)] for number in range((epoch + 1) * length)]
    return _dealt(sizes, batch_size, seed, turns[: epoch * length], turns[epoch * length :])


def sqrt(sizes: Sizes, batch_size: int, seed: int, epoch: int, epochs: int) -> list[Step]:
    """One task a step, drawn; P(task) is proportional to the square root of its size."""
    return _drawn(sizes, batch_size, seed, [0.5] * (epoch + 1))


def annealed(sizes: Sizes, batch_size: int, seed: int, epoch: int, epochs: int) -> list[Step]:
    """One task a step, drawn; P(task) is proportional to a power of its size that falls from 1 in the first epoch to 0.2."""
    return _drawn(
        sizes,
        batch_size,
        seed,
        [1 - ANNEALED_TO * e / max(1, epochs - 1) for e in range(epoch + 1)],
    )


def _batches(
    task: TaskName, size: int, batch_size: int, seed: int, number: int
) -> list[np.ndarray]:
    """All rows of a task in batches: its pass `number`. The same under every schedule of one task a step."""
    order = numpy_stream(seed, f"order/{task}/{number}").permutation(size)
    return [order[start : start + batch_size] for start in range(0, size, batch_size)]


def _length(sizes: Sizes, batch_size: int) -> int:
    """The steps of an epoch: the batches of all tasks."""
    return sum(-(-size // batch_size) for size in sizes.values())


def _drawn(sizes: Sizes, batch_size: int, seed: int, powers: list[float]) -> list[Step]:
    """The last of `len(powers)` epochs, where P(task) in an epoch is proportional to size ** power."""
    tasks, length = list(sizes), _length(sizes, batch_size)
    before: list[TaskName] = []
    turns: list[TaskName] = []
    for epoch, power in enumerate(powers):
        before += turns
        chances = np.array([float(sizes[task]) for task in tasks]) ** power
        drawn = numpy_stream(seed, f"order/turns/{epoch}").choice(
            len(tasks), size=length, p=chances / chances.sum()
        )
        turns = [tasks[number] for number in drawn]
    return _dealt(sizes, batch_size, seed, before, turns)


def _dealt(
    sizes: Sizes, batch_size: int, seed: int, before: list[TaskName], turns: list[TaskName]
) -> list[Step]:
    """Each turn's task gets the next batch of its stream, of which the turns `before` have taken theirs."""
    taken = Counter(before)
    passes: dict[TaskName, tuple[int, list[np.ndarray]]] = {}
    steps: list[Step] = []
    for task in turns:
        number, place = divmod(taken[task], -(-sizes[task] // batch_size))
        if task not in passes or passes[task][0] != number:
            passes[task] = number, _batches(task, sizes[task], batch_size, seed, number)
        steps.append({task: passes[task][1][place]})
        taken[task] += 1
    return steps


SCHEDULES: dict[Schedule, Callable[[Sizes, int, int, int, int], list[Step]]] = {
    "pooled": pooled,
    "consolidated": consolidated,
    "round_robin": round_robin,
    "sqrt": sqrt,
    "annealed": annealed,
}
