"""The two-way layout, seeds x examples, of the differences of all pairs of arms.

The mean squares of a difference of two arms follow from the products of the arms' residuals. So one
Gram matrix a task serves all pairs, for arms with the same seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtl.stats.examples import Arm

NO_FLIPS = 1e-15
"""Arms whose flips make less variance than this are copies of each other."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Variances of the differences of all pairs of A arms; all arrays are (A, A) and symmetric.

    `df`: shared seeds - 1, 0 or less for a pair that cannot be compared. `own`: s2_D, the variance
    over seeds of a difference. `flips`: f, the part of it that examples make which flip between
    seeds. Where examples are not known, `unit` is the mean of `own`, and all of `flips` are that.
    """

    names: tuple[str, ...]
    df: np.ndarray
    own: np.ndarray
    flips: np.ndarray
    unit: float | None = None

    def seeds_of(self, arm: int) -> int:
        """The number of seeds of an arm."""
        return int(self.df[arm, arm]) + 1

    def distinct(self) -> list[int]:
        """The arms without those that copy an earlier one, which add no information."""
        kept: list[int] = []
        for arm in range(len(self.names)):
            if self.df[arm, arm] > 0 and self._original(arm, kept) is None:
                kept.append(arm)
        return kept

    def copies(self, distinct: Iterable[int]) -> dict[str, str]:
        """Each arm that copies one of `distinct`, with the name of that one."""
        kept = list(distinct)
        others = [arm for arm in range(len(self.names)) if arm not in kept]
        originals = {arm: self._original(arm, kept) for arm in others}
        return {
            self.names[arm]: self.names[original]
            for arm, original in originals.items()
            if original is not None
        }

    def ratios(self, arms: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """First arm, second arm, R = s2_D / f and d of the pairs of `arms`, each (pairs,)."""
        upper = np.triu_indices(len(arms), 1)
        first, second = (np.asarray(arms, dtype=int)[part] for part in upper)
        usable = (self.df[first, second] > 0) & (self.flips[first, second] > NO_FLIPS)
        first, second = first[usable], second[usable]
        ratios = self.own[first, second] / self.flips[first, second]
        return first, second, ratios, self.df[first, second]

    def _original(self, arm: int, kept: Sequence[int]) -> int | None:
        if self.unit is not None:
            return None
        same = [
            other
            for other in kept
            if self.df[arm, other] == self.df[arm, arm] and self.flips[arm, other] <= NO_FLIPS
        ]
        return same[0] if same else None


def all_pairs(arms: Mapping[str, Arm], tasks: Sequence[str]) -> Pairs:
    """The variances of all pairs, for a score that is the plain mean over `tasks`.

    Raises ValueError where two arms have examples that do not compare.
    """
    names = tuple(sorted(arms))
    seeds = [shared_seeds([arms[name]], tasks) for name in names]
    for task in tasks:
        check_same_examples(arms, task)
    known = all(
        arms[name][task][seed].values is not None
        for name, of_arm in zip(names, seeds, strict=True)
        for task in tasks
        for seed in of_arm
    )
    size = len(names)
    df = np.zeros((size, size))
    own, flips = np.zeros((size, size)), np.zeros((size, size))
    for shared, members in _by_shared_seeds(seeds).items():
        if len(shared) < 2:
            continue
        inside = sorted({arm for pair in members for arm in pair})
        part_own, part_flips = _variances(
            [arms[names[arm]] for arm in inside], tasks, shared, known
        )
        place = {arm: number for number, arm in enumerate(inside)}
        for first, second in members:
            at = place[first], place[second]
            for pair in ((first, second), (second, first)):
                df[pair], own[pair], flips[pair] = len(shared) - 1, part_own[at], part_flips[at]
    unit = None if known else _mean_between_arms(own, df)
    if unit is not None:
        flips[:] = unit
    return Pairs(names=names, df=df, own=own, flips=flips, unit=unit)


def shared_seeds(arms: Iterable[Arm], tasks: Sequence[str]) -> tuple[int, ...]:
    """The seeds for which every arm has a score on every task, sorted."""
    sets = [set(arm.get(task, {})) for arm in arms for task in tasks]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def check_same_examples(arms: Mapping[str, Arm], task: str) -> None:
    """Raise ValueError where two runs of a task were scored on different examples."""
    runs = [
        (name, seed, run) for name, arm in arms.items() for seed, run in arm.get(task, {}).items()
    ]
    for name, seed, run in runs[1:]:
        first_name, first_seed, first = runs[0]
        if run.count != first.count:
            raise ValueError(
                f"{task}: {name!r} seed {seed} has {run.count or 'no'} examples, "
                f"{first_name!r} seed {first_seed} has {first.count or 'none'}. "
                "Compare runs on the same data."
            )
        if run.order and first.order and run.order != first.order:
            raise ValueError(
                f"{task}: {name!r} seed {seed} and {first_name!r} seed {first_seed} were scored on "
                "different examples, or in another order. Compare runs on the same data."
            )


def mean_squares(cells: np.ndarray) -> tuple[float, float]:
    """The mean squares of examples and of error in a two-way layout of shape (seeds, examples)."""
    seeds, count = cells.shape
    of_example = cells.mean(0)
    error = cells - cells.mean(1, keepdims=True) - of_example + cells.mean()
    return float(seeds * of_example.var(ddof=1)), float(
        np.sum(error * error) / ((seeds - 1) * (count - 1))
    )


def _by_shared_seeds(
    seeds: Sequence[Sequence[int]],
) -> dict[tuple[int, ...], list[tuple[int, int]]]:
    """The pairs of arms, each arm with itself too, by the seeds that the two share."""
    groups: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for first, of_first in enumerate(seeds):
        for second in range(first, len(seeds)):
            shared = tuple(sorted(set(of_first) & set(seeds[second])))
            groups.setdefault(shared, []).append((first, second))
    return groups


def _variances(
    arms: Sequence[Arm], tasks: Sequence[str], seeds: Sequence[int], known: bool
) -> tuple[np.ndarray, np.ndarray]:
    """s2_D and f of all pairs of arms, (arms, arms), on seeds that all of them have."""
    weight = 1 / len(tasks)
    scores = np.zeros((len(arms), len(seeds)))
    flips = np.zeros((len(arms), len(arms)))
    for task in tasks:
        runs = [[arm[task][seed] for seed in seeds] for arm in arms]
        scores += weight * np.array([[run.score for run in of_arm] for of_arm in runs])
        if known:
            values = np.array([[run.values for run in of_arm] for of_arm in runs], dtype=float)
            flips += weight**2 * _error_of_mean(values)
    scores -= scores.mean(1, keepdims=True)
    return _squared_distances(scores) / (len(seeds) - 1), flips


def _mean_between_arms(own: np.ndarray, df: np.ndarray) -> float:
    """The mean of s2_D over the pairs that can be compared; 0 without any."""
    usable = np.triu(df > 0, 1)
    return float(own[usable].mean()) if usable.any() else 0.0


def _error_of_mean(values: np.ndarray) -> np.ndarray:
    """MS_error / n of all pairs, (arms, arms), from values (arms, seeds, examples)."""
    arms, seeds, count = values.shape
    if count < 2:
        return np.zeros((arms, arms))
    residuals = values - values.mean(2, keepdims=True)
    residuals -= residuals.mean(1, keepdims=True)
    sums = _squared_distances(residuals.reshape(arms, -1))
    return np.asarray(sums / ((seeds - 1) * (count - 1) * count))


def _squared_distances(rows: np.ndarray) -> np.ndarray:
    """|x_i - x_j|^2 of all pairs of rows."""
    products = rows @ rows.T
    norms = np.diag(products)
    return np.asarray(np.maximum(0.0, norms[:, None] + norms - 2 * products))
