"""Schedules: the rows of each training step, as a pure function of seed, epoch and epochs.

* `pooled` (Liu et al. 2019, the paper's default): the shuffled rows of every task are cut into
  batches, and the batches come in random order. A step has one task.
* `consolidated` (section 3.2 of the paper): the rows of all tasks are one pool, drawn uniformly
  without replacement. The rows of a step are grouped by task, so a step has up to T losses.
* `joint`: a step has a batch of every task. An epoch is a pass over the task with most rows.
* `round_robin`: one task per step, in turn.
* `sqrt`: one task per step, drawn with probability proportional to the square root of its size.
* `annealed` (Stickland & Murray 2019, arXiv:1902.02671): as `sqrt`, with the power
  1 - 0.8 (e - 1) / (E - 1) in epoch e of E: from proportional to nearly uniform.

Under the first two, an epoch has every row once, in a new order. Under the last three, an epoch has
as many steps as under `pooled`. Under these and `joint` each task is a stream of its own: all its
rows in batches, then all rows again in a new order, continued over the end of an epoch. No partial
batch is dropped, and no row repeats before all other rows of its task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from mtl.config.sections import Schedule
from mtl.rng import numpy_stream
from mtl.tasks.task import TaskName

Sizes = Mapping[TaskName, int]
Step = dict[TaskName, np.ndarray]
"""Task -> row numbers (int64), for the tasks that have rows in the step."""

ANNEALED_TO = 0.8
"""The decrease of the power of `annealed` over the run."""


def pooled(sizes: Sizes, batch_size: int, seed: int, epoch: int, epochs: int) -> list[Step]:
    """One task per step; P(task) is its share of the batches.

    Only the turns of the tasks are shuffled here. The batches of a task keep their order, whatever
    other tasks are trained.
    """
    batches = {task: _batches(task, size, batch_size, seed, epoch) for task, size in sizes.items()}
    turns = [task for task in sizes for _ in batches[task]]
    if len(sizes) > 1:
        numpy_stream(seed, f"order/batches/{epoch}").shuffle(turns)
    dealt = {task: iter(queue) for task, queue in batches.items()}
    return [{task: next(dealt[task])} for task in turns]


def consolidated(sizes: Sizes, batch_size: int, seed: int, epoch: int, epochs: int) -> list[Step]:
    """Batches from the pooled rows of all tasks, grouped by task within a batch."""
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


def joint(sizes: Sizes, batch_size: int, seed: int, epoch: int, epochs: int) -> list[Step]:
    """A batch of every task in each step, as many steps as the largest task has batches."""
    length, tasks = joint_length(sizes, batch_size), len(sizes)
    taken = dict.fromkeys(sizes, epoch * length)
    dealt = _dealt(sizes, batch_size, seed, taken, [task for _ in range(length) for task in sizes])
    return [
        {task: rows for one in dealt[place : place + tasks] for task, rows in one.items()}
        for place in range(0, len(dealt), tasks)
    ]


def joint_length(sizes: Sizes, batch_size: int) -> int:
    """The number of steps per epoch under `joint`."""
    return max(-(-size // batch_size) for size in sizes.values())


def joint_examples(sizes: Sizes, batch_size: int, steps: int) -> int:
    """How many examples the first `steps` steps have under `joint`.

    Example, with batches of 4 and 1, and of 4, 4 and 2:
        >>> joint_examples({"sst": 5, "sts": 10}, 4, 3)
        19
    """
    examples = 0
    for size in sizes.values():
        passes, batches = divmod(steps, -(-size // batch_size))
        examples += passes * size + min(batches * batch_size, size)
    return examples


def round_robin(sizes: Sizes, batch_size: int, seed: int, epoch: int, epochs: int) -> list[Step]:
    """One task per step, in the order of `sizes`, continued over the end of an epoch."""
    tasks, length = list(sizes), _length(sizes, batch_size)
    turns = [tasks[number % len(tasks)] for number in range((epoch + 1) * length)]
    before = Counter(turns[: epoch * length])
    return _dealt(sizes, batch_size, seed, before, turns[epoch * length :])


def sqrt(sizes: Sizes, batch_size: int, seed: int, epoch: int, epochs: int) -> list[Step]:
    """One task per step; P(task) is proportional to the square root of its size."""
    return _drawn(sizes, batch_size, seed, [0.5] * (epoch + 1))


def annealed(sizes: Sizes, batch_size: int, seed: int, epoch: int, epochs: int) -> list[Step]:
    """One task per step; P(task) is proportional to size ** power, with power from 1 to 0.2."""
    return _drawn(
        sizes,
        batch_size,
        seed,
        [1 - ANNEALED_TO * e / max(1, epochs - 1) for e in range(epoch + 1)],
    )


def _batches(
    task: TaskName, size: int, batch_size: int, seed: int, number: int
) -> list[np.ndarray]:
    """Pass `number` over the rows of a task, in batches. Equal under all one-task schedules."""
    order = numpy_stream(seed, f"order/{task}/{number}").permutation(size)
    return [order[start : start + batch_size] for start in range(0, size, batch_size)]


def _length(sizes: Sizes, batch_size: int) -> int:
    """The number of steps per epoch: the batches of all tasks."""
    return sum(-(-size // batch_size) for size in sizes.values())


def _drawn(sizes: Sizes, batch_size: int, seed: int, powers: list[float]) -> list[Step]:
    """Epoch `len(powers)`. In each epoch, P(task) is proportional to size ** power."""
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
    return _dealt(sizes, batch_size, seed, Counter(before), turns)


def _dealt(
    sizes: Sizes, batch_size: int, seed: int, before: Mapping[TaskName, int], turns: list[TaskName]
) -> list[Step]:
    """The steps of `turns`: each takes the next batch of its task, after as many as `before`."""
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
    "joint": joint,
    "round_robin": round_robin,
    "sqrt": sqrt,
    "annealed": annealed,
}
