"""Verdicts and intervals hold on simulated grids, where the true differences are known.

`pytest -s` prints the figures; benchmarks/verdicts.py prints them for many more grids. The bounds
are what reports promise. The random numbers are fixed.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.simulated_runs import (
    ALIKE,
    ALL,
    EVEN,
    FEW_EXAMPLES,
    WILD_SEEDS,
    Population,
    World,
    draw_arms,
)
from tests.simulated_studies import MEASURES, Figures, finds, study, until_decided

pytestmark = pytest.mark.slow

STUDIES: dict[str, tuple[World, int]] = {
    "as met in practice, 3 seeds": (EVEN, 3),
    "as met in practice, 5 seeds": (EVEN, 5),
    "as met in practice, 10 seeds": (EVEN, 10),
    "arms alike on every example, 3 seeds": (ALIKE, 3),
    "seeds' luck near 0, 3 seeds": (FEW_EXAMPLES, 3),
    "seeds' luck near 0, 10 seeds": (FEW_EXAMPLES, 10),
    "seeds' luck dominates, 3 seeds": (WILD_SEEDS, 3),
    "seeds' luck dominates, 5 seeds": (WILD_SEEDS, 5),
}
GRIDS = 200


@pytest.fixture(scope="module")
def figures() -> dict[str, Figures]:
    found = {}
    for place, (name, (world, seeds)) in enumerate(STUDIES.items()):
        found[name] = study(np.random.default_rng([11, place]), world, seeds=seeds, grids=GRIDS)
        print(f"\n{name}: {found[name]}", end="")
    return found


def test_the_model_s_true_scores_are_those_of_many_seeds_and_examples() -> None:
    """The model against itself: 100 seeds, 10 000 examples, standard errors below 0.005."""
    large = {
        task: Population(score=each.score, examples=10_000, seed_sd=0.01)
        for task, each in EVEN.items()
    }
    arms = draw_arms(np.random.default_rng(0), large, {"better": 0.05}, seeds=100)
    for task in ALL:
        scores = [
            [run.score for run in arms[name][task].values()] for name in ("baseline", "better")
        ]
        assert np.mean(scores[0]) == pytest.approx(EVEN[task].score, abs=0.012)
        assert np.mean(scores[1]) - np.mean(scores[0]) == pytest.approx(0.05, abs=0.012)
        assert np.std(scores[0], ddof=1) == pytest.approx(0.01, abs=0.003)


@pytest.mark.parametrize("name", STUDIES)
def test_the_interval_covers_the_true_difference(figures: dict[str, Figures], name: str) -> None:
    """In 92 to 98 % of grids. A task has one comparison per grid: an error of 1.5 %."""
    assert 0.92 <= figures[name].coverage["overall"] <= 0.98
    for measure in MEASURES:
        assert 0.90 <= figures[name].coverage[measure] <= 0.995, measure


@pytest.mark.parametrize("measure", MEASURES)
def test_the_interval_covers_what_it_says_on_every_measure(
    figures: dict[str, Figures], measure: str
) -> None:
    assert 0.94 <= np.mean([each.coverage[measure] for each in figures.values()]) <= 0.98


@pytest.mark.parametrize("name", STUDIES)
def test_arms_that_do_nothing_are_seldom_said_to_help_or_hurt(
    figures: dict[str, Figures], name: str
) -> None:
    """With Holm over four arms, at most 5 % of grids have a false call; 200 grids: +-1.5 %."""
    assert figures[name].false_comparisons <= 0.03
    assert figures[name].false_grids <= 0.05 + 0.04


def test_a_grid_in_twenty_at_most_has_a_false_call(figures: dict[str, Figures]) -> None:
    assert np.mean([each.false_grids for each in figures.values()]) <= 0.05
    assert np.mean([each.false_alone for each in figures.values()]) <= 0.05


def test_naive_intervals_fail_where_these_hold(figures: dict[str, Figures]) -> None:
    """Intervals over seeds alone or examples alone are too narrow: the tests above can fail."""
    assert figures["seeds' luck near 0, 10 seeds"].seeds_only < 0.75
    assert figures["seeds' luck dominates, 3 seeds"].examples_only < 0.75


@pytest.mark.parametrize(
    "name",
    [
        "as met in practice, 3 seeds",
        "seeds' luck dominates, 3 seeds",
        "as met in practice, 10 seeds",
    ],
)
def test_a_gain_of_twice_the_half_width_is_found(figures: dict[str, Figures], name: str) -> None:
    """Alone: always. Among four arms, with Holm: ten seeds are enough, three are not."""
    world, seeds = STUDIES[name]
    found = finds(
        np.random.default_rng(12), world, 2 * figures[name].half_width, seeds=seeds, grids=100
    )
    print(f"\n{name}: {found}", end="")
    assert found.alone > 0.8
    assert found.among_four > (0.8 if seeds > 3 else 0.4)


def test_the_difference_that_can_be_found_is_found_four_times_in_five(
    figures: dict[str, Figures],
) -> None:
    for name, (world, seeds) in STUDIES.items():
        if world is EVEN:
            found = finds(
                np.random.default_rng(14), world, figures[name].detectable, seeds=seeds, grids=100
            )
            print(f"\n{name}, a gain of {figures[name].detectable:.4f}: {found.alone:.2f}", end="")
            assert 0.65 < found.alone < 0.95


def test_adding_seeds_until_decided_keeps_its_promise_only_where_looks_are_counted() -> None:
    """If the seeds' variance dominates, every look is nearly a new chance. The plan has six."""
    counted, uncounted = (
        until_decided(
            np.random.default_rng(13), WILD_SEEDS, first=3, last=8, grids=200, looks=looks, arms=1
        )
        for looks in (6, 1)
    )
    print(f"\nsix looks counted: {counted}\nnot counted: {uncounted}", end="")
    assert counted.grids <= 0.05
    assert uncounted.grids > 0.08
