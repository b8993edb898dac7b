"""Main effects, interactions and Shapley shares: values worked by hand, and laws of shares."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.stats.effects import (
    Cells,
    Combination,
    Effect,
    interactions,
    main_effects,
    missing,
    shapley,
)
from mtl.stats.examples import Arm, Examples
from tests.stats_tools import difference

TASKS: tuple[str, ...] = ("sst",)
TWO = {"pairing": "siamese", "surgery": "sum"}
THREE = {"a": "0", "b": "0", "c": "0"}


def arm(score: float, *, seeds: int = 3, jitter: float = 0.001) -> Arm:
    """Three seeds with this mean score, and ten examples of equal value."""
    scores = [score + jitter * (seed - (seeds - 1) / 2) for seed in range(seeds)]
    return {
        "sst": {
            seed: Examples(score=each, values=np.full(10, each)) for seed, each in enumerate(scores)
        }
    }


def design(scores: dict[Combination, float]) -> tuple[Cells, dict[str, Arm]]:
    """Each combination as an arm of its own."""
    cells = {combination: " + ".join(combination) for combination in scores}
    return cells, {cells[combination]: arm(score) for combination, score in scores.items()}


def values(effects: list[Effect]) -> dict[tuple[tuple[str, ...], tuple[str, ...]], float]:
    found = {}
    for effect in effects:
        assert effect.estimate is not None
        found[effect.factors, effect.levels] = effect.estimate.value
    return found


def shares(effects: list[Effect]) -> dict[str, float]:
    return {factors[0]: value for (factors, _), value in values(effects).items()}


TWO_BY_TWO: dict[Combination, float] = {
    ("siamese", "sum"): 0.60, ("siamese", "pcgrad"): 0.62,
    ("concat", "sum"): 0.70, ("concat", "pcgrad"): 0.78,
}  # fmt: skip


def test_a_two_by_two_design_by_hand() -> None:
    cells, arms = design(TWO_BY_TWO)
    main = main_effects(cells, TWO, arms, TASKS)
    assert values(main) == pytest.approx({
        (("pairing",), ("concat",)): (0.10 + 0.16) / 2,
        (("surgery",), ("pcgrad",)): (0.02 + 0.08) / 2,
    })  # fmt: skip
    both = interactions(cells, TWO, arms, TASKS)
    assert values(both) == pytest.approx(
        {(("pairing", "surgery"), ("concat", "pcgrad")): 0.78 - 0.70 - 0.62 + 0.60}
    )
    assert [effect.matched for effect in main + both] == [2, 2, 1]
    assert shares(shapley(cells, TWO, ("concat", "pcgrad"), arms, TASKS)) == pytest.approx(
        {"pairing": (0.10 + 0.16) / 2, "surgery": (0.02 + 0.08) / 2}
    )


def test_only_pairs_that_both_ran_are_averaged_over() -> None:
    scores: dict[Combination, float] = {
        **TWO_BY_TWO,
        ("siamese", "dominant"): 0.50,
        ("concat", "dominant"): 0.64,
    }
    del scores["concat", "pcgrad"]
    cells, arms = design(scores)
    found = main_effects(cells, TWO, arms, TASKS)
    assert values(found) == pytest.approx({
        (("pairing",), ("concat",)): (0.10 + 0.14) / 2,
        (("surgery",), ("pcgrad",)): 0.02,
        (("surgery",), ("dominant",)): (-0.10 - 0.06) / 2,
    })  # fmt: skip
    assert [effect.matched for effect in found] == [2, 1, 2]
    assert values(interactions(cells, TWO, arms, TASKS)) == pytest.approx(
        {(("pairing", "surgery"), ("concat", "dominant")): 0.64 - 0.70 - 0.50 + 0.60}
    )


def test_an_arm_that_has_not_run_is_as_if_its_combination_were_not_there() -> None:
    cells, arms = design(TWO_BY_TWO)
    del arms["concat + pcgrad"]
    arms["concat + sum"] = {"sst": {}}
    found = main_effects(cells, TWO, arms, TASKS)
    assert values(found) == pytest.approx({(("surgery",), ("pcgrad",)): 0.02})
    assert interactions(cells, TWO, arms, TASKS) == []
    assert shapley(cells, TWO, ("concat", "pcgrad"), arms, TASKS) == []


def test_a_main_effect_of_one_pair_is_that_pair_s_difference() -> None:
    cells, arms = design({("0",): 0.5, ("1",): 0.6})
    (effect,) = main_effects(cells, {"smart": "0"}, arms, TASKS)
    assert effect.estimate == difference(arms["1"], arms["0"], TASKS)


def test_averaging_over_matched_pairs_narrows_the_interval() -> None:
    rng = np.random.default_rng(0)

    def noisy() -> Arm:
        rows = (rng.random((8, 200)) < 0.5).astype(float)
        return {
            "sst": {
                seed: Examples(score=float(row.mean()), values=row) for seed, row in enumerate(rows)
            }
        }

    combinations = list(itertools.product("01", repeat=3))
    arms = {"".join(combination): noisy() for combination in combinations}
    whole = main_effects({each: "".join(each) for each in combinations}, THREE, arms, TASKS)[0]
    alone = difference(arms["100"], arms["000"], TASKS)
    assert whole.estimate is not None and alone is not None
    assert whole.matched == 4
    assert whole.estimate.half_width() < alone.half_width()


def test_an_effect_without_shared_seeds_says_why_it_has_no_estimate() -> None:
    one, other = arm(0.5, seeds=1), arm(0.6, seeds=1)
    (effect,) = main_effects(
        {("0",): "one", ("1",): "other"}, {"smart": "0"}, {"one": one, "other": other}, TASKS
    )
    assert (effect.estimate, effect.reason) == (None, "one seed")


def test_combinations_that_are_one_arm_have_no_effect_to_estimate() -> None:
    """`surgery` has no effect if a step has one task: both levels are the same runs."""
    cells: Cells = {
        ("pooled", "sum"): "plain",
        ("pooled", "pcgrad"): "plain",
        ("consolidated", "sum"): "mixed",
    }
    arms = {"plain": arm(0.5), "mixed": arm(0.6)}
    found = main_effects(cells, {"schedule": "pooled", "surgery": "sum"}, arms, TASKS)
    assert values(found) == pytest.approx({(("schedule",), ("consolidated",)): 0.1})


def test_a_combination_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"one level for each of \['pairing', 'surgery'\], got \('concat',\)"
    ):
        main_effects({("concat",): "arm"}, TWO, {}, TASKS)
    with pytest.raises(ValueError, match="one level for each of"):
        shapley({}, TWO, ("concat",), {}, TASKS)


# --- Shapley shares


def test_three_factors_by_hand() -> None:
    """The glove game: a is a left glove, b and c are right ones; a pair is worth 0.6."""
    worth = {
        combination: 0.6 if combination[0] == "1" and "1" in combination[1:] else 0.0
        for combination in itertools.product("01", repeat=3)
    }
    cells, arms = design(worth)
    assert shares(shapley(cells, THREE, ("1", "1", "1"), arms, TASKS)) == pytest.approx(
        {"a": 0.4, "b": 0.1, "c": 0.1}
    )


def test_only_the_factors_that_differ_from_the_reference_share_the_gain() -> None:
    cells, arms = design(
        {("0", "0", "0"): 0.5, ("0", "0", "1"): 0.6, ("1", "0", "0"): 0.5, ("1", "0", "1"): 0.9}
    )
    assert shares(shapley(cells, THREE, ("0", "0", "1"), arms, TASKS)) == pytest.approx({"c": 0.1})
    assert shares(shapley(cells, THREE, ("1", "0", "1"), arms, TASKS)) == pytest.approx(
        {"a": 0.15, "c": 0.25}
    )
    assert shapley(cells, THREE, ("0", "0", "0"), arms, TASKS) == []


def test_shares_need_every_combination_and_the_missing_ones_are_named() -> None:
    cells, arms = design(TWO_BY_TWO)
    fewer = {
        combination: name for combination, name in cells.items() if combination != ("concat", "sum")
    }
    assert shapley(fewer, TWO, ("concat", "pcgrad"), arms, TASKS) == []
    assert missing(fewer, TWO, ("concat", "pcgrad")) == [("concat", "sum")]
    assert missing(cells, TWO, ("concat", "pcgrad")) == []


worths = st.integers(1, 4).flatmap(
    lambda factors: st.lists(st.floats(0, 1), min_size=2**factors, max_size=2**factors).map(
        lambda scores: dict(zip(itertools.product("01", repeat=factors), scores, strict=True))
    )
)


@settings(max_examples=30, deadline=None)
@given(worths)
def test_shares_are_the_mean_over_all_orders_and_sum_to_the_gain(
    worth: dict[Combination, float],
) -> None:
    """The mean over orders gives the same shares; symmetry and the null factor follow from it."""
    count = len(next(iter(worth)))
    factors = {f"factor {place}": "0" for place in range(count)}
    cells, arms = design(worth)
    found = shares(shapley(cells, factors, ("1",) * count, arms, TASKS))
    expected = dict.fromkeys(factors, 0.0)
    for order in itertools.permutations(range(count)):
        now = ["0"] * count
        for place in order:
            before = worth[tuple(now)]
            now[place] = "1"
            expected[f"factor {place}"] += (worth[tuple(now)] - before) / math.factorial(count)
    assert found == pytest.approx(expected, abs=1e-12)
    assert sum(found.values()) == pytest.approx(
        worth[("1",) * count] - worth[("0",) * count], abs=1e-12
    )


def test_a_factor_that_does_nothing_gets_nothing_and_equal_factors_get_the_same() -> None:
    worth = {
        each: 0.1 * (each[0] == "1") + 0.1 * (each[1] == "1")
        for each in itertools.product("01", repeat=3)
    }
    cells, arms = design(worth)
    found = shares(shapley(cells, THREE, ("1", "1", "1"), arms, TASKS))
    assert found["c"] == pytest.approx(0, abs=1e-15)
    assert found["a"] == pytest.approx(found["b"])


def test_six_factors_are_within_reach() -> None:
    worth = {each: 0.01 * each.count("1") for each in itertools.product("01", repeat=6)}
    cells, arms = design(worth)
    found = shares(shapley(cells, dict.fromkeys("abcdef", "0"), ("1",) * 6, arms, TASKS))
    assert list(found.values()) == pytest.approx([0.01] * 6)
