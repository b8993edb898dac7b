"""Levels for data that are judged several times: alpha is spent in proportion to the seeds.

Judging the same data again and again lets chance in: six looks at 5 % each make 12 % false calls.
So each look gets a level of its own (Lan & DeMets, Biometrika 70, 1983): after n of at most N seeds
the looks so far may have spent alpha n / N. The levels come from the recursion of Armitage,
McPherson & Rowe (1969) for the sums of normal seeds.
"""

from __future__ import annotations

from functools import cache

import numpy as np

NODES = 201
"""Points at which the density of the sum is kept between two looks; odd, for Simpson's rule."""


@cache
def levels(
    looks: tuple[int, ...], most: int | None = None, alpha: float = 0.05
) -> tuple[float, ...]:
    """The two-sided level of each look, a p value below which is a call.

    `looks` are numbers of seeds, sorted; `most` is the largest number that is planned, by default
    the last look. Looks at equally many, but other, seeds share what their number may spend. Raises
    ValueError for looks that are not sorted, below 2, or above `most`.

    >>> [round(level, 4) for level in levels((3, 4, 5, 6, 7, 8))]
    [0.0188, 0.0136, 0.0147, 0.0164, 0.0183, 0.0203]
    >>> levels((3,))
    (0.05,)
    """
    most = looks[-1] if most is None and looks else most
    if most is None or not 2 <= looks[0] <= looks[-1] <= most or list(looks) != sorted(looks):
        raise ValueError(
            f"expected sorted numbers of seeds from 2 to {most}, got {looks!r}; a look needs seeds"
        )
    spent, result = 0.0, []
    before = _Sum.at_start()
    for seeds in looks:
        share = looks.count(seeds)
        budget = alpha * (seeds / most) - alpha * (spent / most)
        limit = before.limit(seeds, budget / share)
        # The first look spends its budget as it is; the recursion gives it up to rounding.
        result.append(budget / share if not spent else _two_tails(limit / np.sqrt(seeds)))
        if len(result) == len(looks) or looks[len(result)] != seeds:
            before, spent = before.after(seeds, limit), float(seeds)
    return tuple(result)


class _Sum:
    """The sum of the seeds' differences, with variance 1 a seed, where no look has called yet.

    `points` (NODES,) and `masses` (NODES,) hold its density times the weights of Simpson's rule.
    """

    def __init__(self, seeds: float, points: np.ndarray, masses: np.ndarray) -> None:
        self.seeds, self.points, self.masses = seeds, points, masses

    @classmethod
    def at_start(cls) -> _Sum:
        return cls(0.0, np.zeros(1), np.ones(1))

    def limit(self, seeds: float, budget: float) -> float:
        """The limit of |sum| at `seeds` that exactly `budget` of the paths cross first there."""
        from scipy.optimize import brentq
        from scipy.special import ndtr

        step = np.sqrt(seeds - self.seeds)

        def excess(limit: float) -> float:
            beyond = ndtr((-limit - self.points) / step) + ndtr((self.points - limit) / step)
            return float(beyond @ self.masses) - budget

        return float(brentq(excess, 0.0, 12 * np.sqrt(seeds), xtol=1e-12))

    def after(self, seeds: float, limit: float) -> _Sum:
        """The sum at `seeds`, of the paths inside the limit."""
        step = np.sqrt(seeds - self.seeds)
        points = np.linspace(-limit, limit, NODES)
        steps = (points[:, None] - self.points) / step
        density = np.exp(-steps * steps / 2) @ self.masses / (step * np.sqrt(2 * np.pi))
        weights = np.full(NODES, 2.0)
        weights[1::2], weights[[0, -1]] = 4.0, 1.0
        return _Sum(seeds, points, density * weights * (points[1] - points[0]) / 3)


def _two_tails(z: float) -> float:
    from scipy.special import ndtr

    return float(2 * ndtr(-z))
