"""How many examples a run sees, and how many steps a limit on them leaves.

Under most schedules the examples of an epoch follow from the sizes alone, and no order is drawn.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import numpy as np

from mtl.config.schema import RunConfig
from mtl.config.sections import Schedule
from mtl.data.schedules import Sizes, Step, joint_examples, joint_length

NO_LIMIT = 2**62


def _every_row(sizes: Sizes, batch_size: int, epochs: int) -> int:
    return epochs * sum(sizes.values())


def _largest_task(sizes: Sizes, batch_size: int, epochs: int) -> int:
    return joint_examples(sizes, batch_size, epochs * joint_length(sizes, batch_size))


EXAMPLES: dict[Schedule, Callable[[Sizes, int, int], int]] = {
    "pooled": _every_row,
    "consolidated": _every_row,
    "joint": _largest_task,
}
"""The examples of the first so many epochs, where they follow from sizes and batch size."""


def steps_within(
    config: RunConfig, sizes: Sizes, most: int, epoch: Callable[[int], list[Step]]
) -> int:
    """How many of a run's `most` steps `train.max_examples` leaves; at least 1.

    `epoch` gives the steps of an epoch (from 0). It is called for the epoch in which the limit is
    reached, and under schedules without an entry in `EXAMPLES` for those before it.
    """
    limit, batch_size = config.train.max_examples, config.train.batch_size
    if limit is None or most * batch_size * len(sizes) <= limit:
        return most
    length = len(epoch(0))
    epochs = min(-(-most // length), limit + 1)
    number = seen = 0
    if (until := EXAMPLES.get(config.schedule)) is not None:
        ends = range(1, epochs + 1)
        number = bisect_right(ends, limit, key=lambda end: until(sizes, batch_size, end))
        seen = until(sizes, batch_size, number)
    while number < epochs:
        examples = [sum(map(len, step.values())) for step in epoch(number)]
        sums = seen + np.cumsum(examples)
        fitting = int(np.searchsorted(sums, limit, side="right"))
        if fitting < length:
            return max(1, min(most, number * length + fitting))
        number, seen = number + 1, int(sums[-1])
    return most


def expected_examples(config: RunConfig, sizes: Sizes) -> int:
    """Training examples of a whole run, for estimates: last steps may have a few less."""
    train = config.train
    limit = NO_LIMIT if train.max_examples is None else train.max_examples
    whole = EXAMPLES.get(config.schedule, _every_row)(sizes, train.batch_size, train.epochs)
    if train.max_steps is None:
        return min(whole, limit)
    if config.schedule == "joint":
        return min(whole, limit, joint_examples(sizes, train.batch_size, train.max_steps))
    return min(whole, limit, train.max_steps * train.batch_size)
