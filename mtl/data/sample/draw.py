"""Random choices for the sample that never change between Python versions.

Python guarantees a stable sequence only for `random.Random.random()`, not for `choice` or
`shuffle`. So the choices here use that method alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Example:
    """A generated row: one or two sentences, and the label before noise, in the task's unit."""

    first: str
    second: str | None
    label: float


class Draw:
    """A stream of random choices that depends only on `seed`."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed).random
        """The next number, uniform in [0, 1)."""

    def chance(self, probability: float) -> bool:
        """Whether an event of this probability happens."""
        return self.random() < probability

    def below(self, end: int) -> int:
        """A whole number from 0 to `end` - 1."""
        return int(self.random() * end)

    def choose(self, options: Sequence[T]) -> T:
        """One of `options`, all equally likely."""
        return options[int(self.random() * len(options))]

    def other(self, options: Sequence[T], *taken: T) -> T:
        """One of `options` that is not in `taken`. At least one must exist."""
        return self.choose([option for option in options if option not in taken])

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order (Fisher and Yates)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            place = self.below(last + 1)
            order[last], order[place] = order[place], order[last]
        return order
