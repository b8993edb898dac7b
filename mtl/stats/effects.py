"""Effects of the factors of a design: main effects, two-way interactions, Shapley shares of a gain.

A design maps each combination (one level per factor, in the order of the factors) to the name of
the arm that ran it. Each factor has a reference level. Every effect is a weighted sum of arms'
scores, so `mtl.stats.contrast.contrast` gives it an interval over the seeds that these arms share.
Only combinations that ran on all tasks are used. `prior` is that of all arms that compare
(`mtl.stats.moderation.fit`). No torch.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from mtl.stats.contrast import contrast, obstacle
from mtl.stats.estimate import Estimate
from mtl.stats.examples import Arm
from mtl.stats.moderation import NO_PRIOR, Prior

Combination = tuple[str, ...]
"""One level per factor, in the order of the factors."""

Cells = Mapping[Combination, str]
"""The arm that ran each combination. Combinations with equal configs share an arm."""

Weights = Mapping[str, float]
"""Arm -> its weight in a contrast."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The effect of one level (or, for an interaction, of two levels), with its estimate.

    `matched` is the number of matched sets that are averaged: pairs of arms for a main effect, sets
    of four for an interaction, 1 for a Shapley share. If `estimate` is None, `reason` says why.
    """

    factors: tuple[str, ...]
    levels: tuple[str, ...]
    matched: int
    weights: Weights
    estimate: Estimate | None
    reason: str = ""


def main_effects(
    cells: Cells,
    factors: Mapping[str, str],
    arms: Mapping[str, Arm],
    tasks: Sequence[str],
    prior: Prior = NO_PRIOR,
) -> list[Effect]:
    """Each level minus its factor's reference level, averaged over matched pairs.

    A matched pair is two combinations that differ only in this factor. `factors` maps each factor
    to its reference level. A level without a matched pair is left out.

    >>> import numpy as np
    >>> from mtl.stats.examples import Examples
    >>> def arm(score: float) -> Arm:
    ...     run = Examples(score=score, values=np.full(4, score))
    ...     return {"sst": {0: run, 1: run}}
    >>> cells = {("siamese", "sum"): "baseline", ("concat", "sum"): "concat"}
    >>> factors = {"pairing": "siamese", "surgery": "sum"}
    >>> arms = {"baseline": arm(0.5), "concat": arm(0.75)}
    >>> [effect] = main_effects(cells, factors, arms, ["sst"])
    >>> effect.levels, effect.matched, effect.estimate.value
    (('concat',), 1, 0.25)
    """
    cells = _present(cells, factors, arms, tasks)
    effects = []
    for place, (factor, reference) in enumerate(factors.items()):
        for level in _other_levels(cells, place, reference):
            sets = [
                {combination: 1.0, _with(combination, {place: reference}): -1.0}
                for combination in cells
                if combination[place] == level
            ]
            effects += _effect((factor,), (level,), sets, cells, arms, tasks, prior)
    return effects


def interactions(
    cells: Cells,
    factors: Mapping[str, str],
    arms: Mapping[str, Arm],
    tasks: Sequence[str],
    prior: Prior = NO_PRIOR,
) -> list[Effect]:
    """How the effect of a level changes with the level of another factor.

    For levels a, b and references a0, b0: (a, b) - (a, b0) - (a0, b) + (a0, b0), averaged over the
    combinations of the other factors that have all four. At 0 the two effects add up.
    """
    cells = _present(cells, factors, arms, tasks)
    effects = []
    for (i, (first, first_reference)), (j, (second, second_reference)) in combinations(
        enumerate(factors.items()), 2
    ):
        first_levels = _other_levels(cells, i, first_reference)
        second_levels = _other_levels(cells, j, second_reference)
        for levels in product(first_levels, second_levels):
            sets = [
                {
                    combination: 1.0,
                    _with(combination, {j: second_reference}): -1.0,
                    _with(combination, {i: first_reference}): -1.0,
                    _with(combination, {i: first_reference, j: second_reference}): 1.0,
                }
                for combination in cells
                if (combination[i], combination[j]) == levels
            ]
            effects += _effect((first, second), levels, sets, cells, arms, tasks, prior)
    return effects


def shapley(
    cells: Cells,
    factors: Mapping[str, str],
    best: Combination,
    arms: Mapping[str, Arm],
    tasks: Sequence[str],
    prior: Prior = NO_PRIOR,
) -> list[Effect]:
    """Each factor's share of the gain from the reference combination to `best` (Shapley 1953).

    A share is the gain from setting the factor to its level in `best`, averaged over all orders of
    setting the k factors that differ. The shares sum to the whole gain. All 2^k combinations are
    needed. The result is empty if one is missing (`missing` lists them) or if no factor differs.
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
        effects += _effect((names[place],), (best[place],), [weights], present, arms, tasks, prior)
    return effects


def missing(cells: Cells, factors: Mapping[str, str], best: Combination) -> list[Combination]:
    """The combinations between the reference combination and `best` that `cells` lacks."""
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
    tasks: Sequence[str],
    prior: Prior,
) -> list[Effect]:
    """The effect, averaged over the complete sets; empty if no set is complete."""
    complete = [matched for matched in sets if all(cell in cells for cell in matched)]
    if not complete:
        return []
    total: dict[str, float] = defaultdict(float)
    for matched in complete:
        for combination, weight in matched.items():
            total[cells[combination]] += weight / len(complete)
    weights = {name: weight for name, weight in total.items() if abs(weight) > 1e-12}
    if not weights:  # all combinations are the same arm
        return []
    return [
        Effect(
            factors=factors,
            levels=levels,
            matched=len(complete),
            weights=weights,
            estimate=contrast(arms, weights, tasks, prior),
            reason=obstacle(arms, weights, tasks),
        )
    ]


def _present(
    cells: Cells, factors: Mapping[str, str], arms: Mapping[str, Arm], tasks: Sequence[str]
) -> dict[Combination, str]:
    """The combinations whose arm has scores on all tasks.

    Raises ValueError if a combination does not have one level per factor.
    """
    for combination in cells:
        if len(combination) != len(factors):
            raise ValueError(f"expected one level for each of {list(factors)}, got {combination!r}")
    return {
        combination: name
        for combination, name in cells.items()
        if name in arms and all(arms[name].get(task) for task in tasks)
    }


def _other_levels(cells: Cells, place: int, reference: str) -> list[str]:
    """The levels of a factor without the reference, in the order of the cells."""
    return [
        level
        for level in dict.fromkeys(combination[place] for combination in cells)
        if level != reference
    ]


def _differing(factors: Mapping[str, str], best: Combination) -> list[int]:
    """The places of the factors whose level in `best` differs from the reference."""
    if len(best) != len(factors):
        raise ValueError(f"expected one level for each of {list(factors)}, got {best!r}")
    return [place for place, reference in enumerate(factors.values()) if best[place] != reference]


def _with(combination: Combination, changes: Mapping[int, str]) -> Combination:
    return tuple(changes.get(place, level) for place, level in enumerate(combination))
