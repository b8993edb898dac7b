"""Random choices for the sample corpus that stay the same for ever.

Python promises a stable sequence for `random.Random.random()` alone, not for `choice` or `shuffle`; so these are
built on that one method.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Example:
    """One generated row: its sentence or two, and the label before noise, in the task's unit."""

    first: str
    second: str | None
    label: float


class Draw:
    """A stream of random choices that depends on `seed` only."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed).random
        """The next number, uniform in [0, 1)."""

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random() < probability

    def below(self, end: int) -> int:
        """A whole number from 0 to `end` - 1."""
        return int(self.random() * end)

    def choose(self, options: Sequence[T]) -> T:
        """One of `options`, all equally likely."""
        return options[int(self.random() * len(options))]

    def other(self, options: Sequence[T], *taken: T) -> T:
        """One of `options` that is none of `taken`; at least one such must exist."""
        return self.choose([option for option in options if option not in taken])

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order (Fisher and Yates)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order
