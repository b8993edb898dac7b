"""What each factor of a design does: main effects, two-way interactions, Shapley shares of a gain.

A design is a mapping from combinations (one level a factor, in the factors' order) to the names of the arms that ran
them, and each factor has a reference level. Every effect is a weighted sum of arms' scores, so `stats.contrast` gives
it an interval over the seeds that those arms share. Only combinations that ran on all tasks are used; each effect
tells on how many matched sets it rests. No torch here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from mtl.stats.verdicts import Arm, Estimate, contrast, obstacle
from mtl.tasks.registry import TaskName

Combination = tuple[str, ...]
"""One level a factor, in the order of the factors."""

Cells = Mapping[Combination, str]
"""The arm that ran each combination. Two combinations may be one arm, where a factor has no effect on the config."""

Weights = Mapping[str, float]
"""Arm -> its weight in a contrast."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One effect: the factors and levels it is of, and its estimate.

    `matched` is the number of matched sets averaged over (pairs of arms, or fours; 1 for a Shapley share). `estimate`
    is None where the arms give none, and `reason` says why.
    """

    factors: tuple[str, ...]
    levels: tuple[str, ...]
    matched: int
    weights: Weights
    estimate: Estimate | None
    reason: str = ""


def main_effects(
    cells: Cells, factors: Mapping[str, str], arms: Mapping[str, Arm], tasks: Sequence[TaskName]
) -> list[Effect]:
    """Each level against its factor's reference level, averaged over the combinations of the others that have both.

    `factors` maps each factor to its reference level. A level without such a pair is left out.
    """
    cells = _present(cells, factors, arms, tasks)
    effects = []
    for place, (factor, reference) in enumerate(factors.items()):
        for level in _other_levels(cells, place, reference):
            sets = []
            for combination in cells:
                if combination[place] == level:
                    sets.append({combination: 1.0, _with(combination, {place: reference}): -1.0})
            effects += _effect((factor,), (level,), sets, cells, arms, tasks)
    return effects


def interactions(
    cells: Cells, factors: Mapping[str, str], arms: Mapping[str, Arm], tasks: Sequence[TaskName]
) -> list[Effect]:
    """How much more a level does beside another factor's level than beside that factor's reference.

    For levels a, b and references a0, b0: (a, b) - (a, b0) - (a0, b) + (a0, b0), averaged over the combinations of
    the other factors that have all four. 0: the two factors' effects add up.
    """
    cells = _present(cells, factors, arms, tasks)
    effects = []
    for (one, (first, low)), (two, (second, base)) in combinations(enumerate(factors.items()), 2):
        for levels in product(_other_levels(cells, one, low), _other_levels(cells, two, base)):
            sets = []
            for combination in cells:
                if (combination[one], combination[two]) == levels:
                    sets.append({
                        combination: 1.0,
                        _with(combination, {two: base}): -1.0,
                        _with(combination, {one: low}): -1.0,
                        _with(combination, {one: low, two: base}): 1.0,
                    })  # fmt: skip
            effects += _effect((first, second), levels, sets, cells, arms, tasks)
    return effects


def shapley(
    cells: Cells,
    factors: Mapping[str, str],
    best: Combination,
    arms: Mapping[str, Arm],
    tasks: Sequence[TaskName],
) -> list[Effect]:
    """Each factor's share of the gain from the reference combination to `best`; the shares sum to the gain.

    A share is what setting the factor to best's level adds, averaged over all orders in which the differing factors
    can be set (Shapley 1953). It needs all 2^k combinations of the k factors that differ: empty where one is missing
    (`missing` lists them) or none differs.
    """
    present = _present(cells, factors, arms, tasks)
    places = _differing(factors, best)
    if missing(present, factors, best):
        return []
    reference = tuple(factors.values())
    names = list(factors)
    effects = []
    for place in places:
        weights: dict[Combination, float] = defaultdict(float)
        others = [other for other in places if other != place]
        for size in range(len(others) + 1):
            weight = (
                math.factorial(size)
                * math.factorial(len(others) - size)
                / math.factorial(len(places))
            )
            for chosen in combinations(others, size):
                before = _with(reference, {other: best[other] for other in chosen})
                weights[_with(before, {place: best[place]})] += weight
                weights[before] -= weight
        effects += _effect((names[place],), (best[place],), [weights], present, arms, tasks)
    return effects


def missing(cells: Cells, factors: Mapping[str, str], best: Combination) -> list[Combination]:
    """The combinations between the reference one and `best` that are not in `cells`."""
    reference, places = tuple(factors.values()), _differing(factors, best)
    needed = (
        _with(reference, {place: best[place] for place in chosen})
        for size in range(len(places) + 1)
        for chosen in combinations(places, size)
    )
    return [combination for combination in needed if combination not in cells]


def _effect(
    factors: tuple[str, ...],
    levels: tuple[str, ...],
    sets: Iterable[Mapping[Combination, float]],
    cells: Cells,
    arms: Mapping[str, Arm],
    tasks: Sequence[TaskName],
) -> list[Effect]:
    """The effect averaged over the sets whose combinations all ran; none where no set is whole."""
    whole = [each for each in sets if all(combination in cells for combination in each)]
    if not whole:
        return []
    total: dict[str, float] = defaultdict(float)
    for each in whole:
        for combination, weight in each.items():
            total[cells[combination]] += weight / len(whole)
    weights = {name: weight for name, weight in total.items() if abs(weight) > 1e-12}
    if not weights:  # the combinations are all one arm: there is nothing to compare
        return []
    return [
        Effect(
            factors=factors,
            levels=levels,
            matched=len(whole),
            weights=weights,
            estimate=contrast(arms, weights, tasks),
            reason=obstacle(arms, weights, tasks),
        )
    ]


def _present(
    cells: Cells, factors: Mapping[str, str], arms: Mapping[str, Arm], tasks: Sequence[TaskName]
) -> dict[Combination, str]:
    """The combinations whose arm has scores on all tasks. Raises ValueError where one is not a level a factor."""
    for combination in cells:
        if len(combination) != len(factors):
            raise ValueError(
                f"expected one level for each of {list(factors)}, came {combination!r}"
            )
    return {
        combination: name
        for combination, name in cells.items()
        if name in arms and all(arms[name].get(task) for task in tasks)
    }


def _other_levels(cells: Cells, place: int, reference: str) -> list[str]:
    """A factor's levels apart from the reference, in the order of the cells."""
    return [
        level
        for level in dict.fromkeys(combination[place] for combination in cells)
        if level != reference
    ]


def _differing(factors: Mapping[str, str], best: Combination) -> list[int]:
    """The places of the factors whose level in `best` is not the reference."""
    if len(best) != len(factors):
        raise ValueError(f"expected one level for each of {list(factors)}, came {best!r}")
    return [place for place, reference in enumerate(factors.values()) if best[place] != reference]


def _with(combination: Combination, changes: Mapping[int, str]) -> Combination:
    return tuple(changes.get(place, level) for place, level in enumerate(combination))
