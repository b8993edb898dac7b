"""The moderated variance is Smyth's, with its guard, and keeps its laws."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from mtl.stats.contrast import contrast, difference
from mtl.stats.decision import decide
from mtl.stats.estimate import Estimate
from mtl.stats.examples import Arm, Examples
from mtl.stats.layout import all_pairs, mean_squares
from mtl.stats.moderation import MOST_PRIOR_DF, NO_PRIOR, Prior, fit
from tests.simulated_worlds import NAMES, WORLDS, arms_of, simulate
from tests.stats_tools import random_arm


def grid(world: str = "plain", *, arms: int = 4, seeds: int = 3, seed: int = 0) -> dict[str, Arm]:
    rng = np.random.default_rng([seed, arms, seeds])
    return arms_of(simulate(rng, world, arms=arms, seeds=seeds))


def known(found: Estimate | None) -> Estimate:
    assert found is not None
    return found


def test_all_pairs_have_the_variances_of_their_own_layout() -> None:
    """The Gram matrix against each pair's cells: s2_D, and f = the sum of w^2 MS_error / n."""
    arms = grid()
    pairs = all_pairs(arms, NAMES)
    for i, first in enumerate(pairs.names):
        for j, second in enumerate(pairs.names[:i]):
            scores, flips = np.zeros(3), 0.0
            for task in NAMES:
                one, other = (
                    np.array([arms[name][task][seed].values for seed in range(3)])
                    for name in (first, second)
                )
                scores += (one.mean(1) - other.mean(1)) / 3
                flips += mean_squares(one - other)[1] / one.shape[1] / 9
            assert pairs.own[i, j] == pytest.approx(scores.var(ddof=1))
            assert pairs.flips[i, j] == pytest.approx(flips)
            assert pairs.df[i, j] == 2


def test_the_prior_by_the_formulas() -> None:
    arms = grid(seeds=5)
    pairs = all_pairs(arms, NAMES)
    upper = np.triu_indices(5, 1)
    e = np.log(pairs.own[upper] / pairs.flips[upper]) - digamma(2) + math.log(2)
    excess = e.var(ddof=1) - polygamma(1, 2)
    found = fit(arms, NAMES)
    if found.df < MOST_PRIOR_DF:
        assert polygamma(1, found.df / 2) == pytest.approx(excess)
    else:
        assert excess <= polygamma(1, MOST_PRIOR_DF / 2)
    assert found.log_ratio == pytest.approx(e.mean())
    touching = (upper[0] == 2) | (upper[1] == 2)
    assert found.by_arm["2"] == pytest.approx(e[touching].mean())


def test_the_moderated_variance_by_hand() -> None:
    """d0 = 4, d = 2: (4 lambda f + 2 s2) / 6, with the largest lambda, at least 1."""
    prior = Prior(df=4, seed_df=100, log_ratio=1.0, by_arm={"a": 2.0, "b": 0.5})
    shift = float(digamma(2)) - math.log(2)
    found = prior.moderate(3e-4, 1e-4, 2, ["a", "b"])
    scale = math.exp(2.0 + shift)
    assert found.scale == pytest.approx(scale)
    assert found.variance == pytest.approx((4 * scale * 1e-4 + 2 * 3e-4) / 6)
    assert (found.df, found.prior_df) == (6, 4)
    low = Prior(df=4, seed_df=100, log_ratio=-3.0).moderate(3e-4, 1e-4, 2, ["a", "b"])
    assert low.scale == 1.0


def test_no_more_is_borrowed_than_the_other_arms_have() -> None:
    """(arms - 2) d, and never more than 8."""
    for arms, seeds, most in ((2, 3, 0), (3, 3, 2), (4, 3, 4), (9, 3, 8), (3, 10, 8)):
        prior = replace(
            fit(grid("flips only", arms=arms - 1, seeds=seeds), NAMES), df=MOST_PRIOR_DF
        )
        assert prior.moderate(1e-4, 1e-4, seeds - 1, ["0", "1"]).prior_df == most, (arms, seeds)


@pytest.mark.parametrize("world", ["plain", "seeds dominate", "flips only"])
def test_two_arms_stand_alone_with_at_least_the_flips(world: str) -> None:
    arms = grid(world, arms=1)
    found = known(difference(arms, "1", "0", NAMES, fit(arms, NAMES)))
    assert found == known(difference(arms, "1", "0", NAMES, NO_PRIOR))
    assert found.flips is not None
    assert found.seed_variance == max(found.own_variance, found.flips)
    assert (found.df, found.prior_df) == (2, 0)


@pytest.mark.parametrize("world", WORLDS)
def test_the_order_and_the_names_of_arms_change_nothing(world: str) -> None:
    arms = grid(world)
    names = {"0": "zero", "1": "b", "2": "a", "3": "d", "4": "c"}
    renamed = {names[name]: arms[name] for name in ("3", "0", "4", "2", "1")}
    for name in ("1", "2", "3", "4"):
        there = known(difference(arms, name, "0", NAMES, fit(arms, NAMES)))
        back = known(difference(renamed, names[name], "zero", NAMES, fit(renamed, NAMES)))
        assert back.value == there.value
        assert back.seed_variance == pytest.approx(there.seed_variance, rel=1e-9)
        assert back.p == pytest.approx(there.p, rel=1e-7)


@pytest.mark.parametrize("world", ["plain", "variances inv-chi2(3)", "seeds dominate"])
def test_a_copy_of_an_arm_turns_no_verdict_round(world: str) -> None:
    opposite = {("helps", "hurts"), ("hurts", "helps")}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        gains = {1: 0.04, 2: -0.04}
        arms = arms_of(simulate(rng, world, arms=4, seeds=3, gains=gains))
        copied = {**arms, "copy": arms["1"]}
        prior, again = fit(arms, NAMES), fit(copied, NAMES)
        assert again.df == pytest.approx(prior.df) and again.seed_df == prior.seed_df
        assert again.by_arm["copy"] == pytest.approx(again.by_arm["1"])
        before, after = (
            decide(
                {name: difference(all_arms, name, "0", NAMES, one)
                 for name in all_arms if name != "0"}, margin=0.01,
            )
            for all_arms, one in ((arms, prior), (copied, again))
        )  # fmt: skip
        for name, verdict in before.items():
            assert (verdict.word, after[name].word) not in opposite
        assert after["copy"].word == after["1"].word


def test_copies_of_the_baseline_are_no_difference_and_leave_the_rest_alone() -> None:
    arms = grid()
    copied = {**arms, "same": arms["0"]}
    found = known(difference(copied, "same", "0", NAMES, fit(copied, NAMES)))
    assert (found.value, found.standard_error, found.p) == (0.0, 0.0, 1.0)
    assert fit(copied, NAMES).log_ratio == pytest.approx(fit(arms, NAMES).log_ratio)


def test_arms_with_other_seeds_join_with_those_that_they_share() -> None:
    arms = grid(seeds=5)
    arms["4"] = {task: {s: run for s, run in arms["4"][task].items() if s < 3} for task in NAMES}
    arms["3"] = {task: {0: arms["3"][task][0]} for task in NAMES}
    pairs = all_pairs(arms, NAMES)
    of = {name: place for place, name in enumerate(pairs.names)}
    assert pairs.df[of["0"], of["4"]] == 2 and pairs.df[of["0"], of["1"]] == 4
    assert pairs.df[of["0"], of["3"]] == 0
    prior = fit(arms, NAMES)
    assert prior.seed_df == 4 + 4 + 4 + 2
    short, long = (known(difference(arms, name, "0", NAMES, prior)) for name in ("4", "1"))
    assert (short.df - short.prior_df, long.df - long.prior_df) == (2, 4)
    assert difference(arms, "3", "0", NAMES, prior) is None


def test_a_contrast_of_four_arms_borrows_too() -> None:
    arms = grid()
    prior = fit(arms, NAMES)
    found = known(contrast(arms, {"0": 1, "1": -1, "2": -1, "3": 1}, NAMES, prior))
    assert found.prior_df == pytest.approx(min(prior.df, 6))
    assert found.flips is not None and found.flips > 0


def test_scores_without_examples_are_moderated_by_each_other() -> None:
    rng = np.random.default_rng(3)
    arms: dict[str, Arm] = {
        name: {"score": {seed: Examples(score=float(rng.normal(0.5, 0.02))) for seed in range(3)}}
        for name in "abcdef"
    }
    prior = fit(arms, ["score"])
    found = known(difference(arms, "b", "a", ["score"], prior))
    assert found.flips is None and found.examples is None and found.example_variance == 0
    assert found.prior_df > 0
    scaled: dict[str, Arm] = {
        name: {"score": {s: Examples(score=100 * run.score) for s, run in arm["score"].items()}}
        for name, arm in arms.items()
    }
    again = known(difference(scaled, "b", "a", ["score"], fit(scaled, ["score"])))
    assert again.seed_variance == pytest.approx(1e4 * found.seed_variance)
    assert again.p == pytest.approx(found.p)


def test_comparisons_that_do_not_look_like_the_grid_are_flagged() -> None:
    arms = grid(seeds=5, arms=8)
    prior = fit(arms, NAMES)
    plain = known(difference(arms, "1", "0", NAMES, prior))
    assert plain.flags == ()
    wild = replace(plain, own_variance=6 * plain.moderated.prior_variance)
    assert "vary 6 times as much" in wild.flags[0]
    assert plain.flips is not None
    tame = replace(plain, own_variance=plain.flips / 5)
    assert "agree more closely" in tame.flags[0]


def test_runs_on_other_examples_are_refused_by_name() -> None:
    rng = np.random.default_rng(0)
    arms = {"a": random_arm(rng, tasks=["sst"]), "b": random_arm(rng, tasks=["sst"], count=41)}
    with pytest.raises(ValueError, match="'b' seed 0 has 41 examples, 'a' seed 0 has 40"):
        fit(arms, ["sst"])
