"""Estimates are those of the two-way layout (seeds by examples), also for degenerate runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from mtl.runs.examples import examples
from mtl.stats.contrast import contrast, obstacle
from mtl.stats.decision import decide
from mtl.stats.estimate import Estimate
from mtl.stats.examples import Arm, Examples
from mtl.stats.layout import mean_squares
from mtl.tasks.metrics import Predictions
from mtl.tasks.registry import TASKS
from tests.prediction_tools import predictions, random_predictions
from tests.stats_tools import arm, difference, random_arm


def known(found: Estimate | None) -> Estimate:
    assert found is not None
    return found


# --- estimates


def test_a_hand_worked_layout() -> None:
    """d = [[1, 0, 0, 1], [1, 0, 1, 1]]: means 1/2 and 3/4 of seeds; 1, 0, 1/2, 1 of examples; 5/8.

    Examples: 2 (9 + 25 + 1 + 9)/64 / 3 = 11/24. Error: residuals +-1/8 six times, +-3/8 twice:
    (24/64) / 3 = 1/8.
    """
    better, baseline = arm([1, 1, 0, 1], [1, 0, 1, 1]), arm([0, 1, 0, 0], [0, 0, 0, 0])
    found = known(difference(better, baseline, ["sst"]))
    assert found.value == 5 / 8
    assert found.seed_variance == pytest.approx(1 / 32)
    assert found.example_variance == pytest.approx((11 / 24 - 1 / 8) / (2 * 4))
    assert found.standard_error == pytest.approx(math.sqrt(1 / 64 + 1 / 24))
    assert found.example_df == pytest.approx(3)
    assert (found.df, found.seeds) == (1, (0, 1))


def test_mean_squares_are_the_ones_of_least_squares() -> None:
    """By an oracle that knows nothing of means: residual sums of nested linear models."""
    cells = np.random.default_rng(0).normal(size=(4, 7))
    seed, example = (each.ravel() for each in np.indices(cells.shape))
    by_seed, by_example = np.eye(4)[seed], np.eye(7)[example]

    def rest(design: np.ndarray) -> float:
        fitted = design @ np.linalg.lstsq(design, cells.ravel(), rcond=None)[0]
        return float(np.sum((cells.ravel() - fitted) ** 2))

    both = rest(np.hstack([by_seed, by_example]))
    expected = ((rest(by_seed) - both) / 6, both / 18)
    assert mean_squares(cells) == pytest.approx(expected)


def test_the_value_and_the_seeds_spread_are_those_of_the_exact_overall_scores() -> None:
    rng = np.random.default_rng(3)
    one, other = (
        {
            task: {seed: known_examples(random_predictions(task, rng)) for seed in order}
            for task in TASKS
        }
        for order in ((0, 4, 9), (9, 4, 0))
    )
    found = known(difference(one, other, list(TASKS)))
    each = [
        np.mean([one[task][seed].score - other[task][seed].score for task in TASKS])
        for seed in (0, 4, 9)
    ]
    assert found.seeds == (0, 4, 9)
    assert found.value == pytest.approx(np.mean(each), abs=1e-15)
    assert found.own_variance == pytest.approx(np.var(each, ddof=1))


def test_overall_s_examples_part_is_the_tasks_parts_over_the_square_of_their_number() -> None:
    rng = np.random.default_rng(4)
    tasks = ("sst", "quora")
    one, other = random_arm(rng, tasks=tasks, count=300), random_arm(rng, tasks=tasks, count=300)
    parts = [known(difference(one, other, [task])).example_variance for task in tasks]
    assert max(parts) > 0
    assert known(difference(one, other, tasks)).example_variance == pytest.approx(sum(parts) / 4)


def test_a_contrast_is_linear_and_blind_to_what_it_gives_no_weight() -> None:
    rng = np.random.default_rng(5)
    arms = {name: random_arm(rng, tasks=("sst",)) for name in "abc"} | {"absent": {"sst": {}}}
    plain = known(contrast(arms, {"a": 1, "b": -1, "absent": 0}, ["sst"]))
    assert plain == known(difference(arms["a"], arms["b"], ["sst"]))
    back = known(contrast(arms, {"a": -2, "b": 2}, ["sst"]))
    assert back.value == -2 * plain.value
    assert back.standard_error == pytest.approx(2 * plain.standard_error)
    assert back.p == pytest.approx(plain.p)
    parts = (
        known(contrast(arms, {"a": 1, "c": -1}, ["sst"])).value
        + known(contrast(arms, {"c": 1, "b": -1}, ["sst"])).value
    )
    assert parts == pytest.approx(plain.value)


def test_arms_are_paired_by_example_so_what_both_find_hard_does_not_count() -> None:
    """Two arms differ on two of 100 examples: each score is uncertain, their difference is not."""
    rng = np.random.default_rng(6)
    ease = (rng.random(100) < 0.5).astype(float)
    better = ease.copy()
    better[:2] = 1 - better[:2]
    one, other = arm(*[list(better)] * 3), arm(*[list(ease)] * 3)
    alone = known(contrast({"one": one}, {"one": 1}, ["sst"]))
    both = known(difference(one, other, ["sst"]))
    assert both.standard_error < alone.standard_error / 3


# --- degenerate runs


def test_identical_predictions_differ_by_exactly_nothing() -> None:
    same = random_arm(np.random.default_rng(7), tasks=("sst", "quora", "sts"))
    found = known(difference(same, same, list(TASKS)))
    assert (found.value, found.interval(), found.p) == (0.0, (0.0, 0.0), 1.0)
    assert decide({"same": found}, margin=0.0)["same"].word == "no difference"
    thirds = contrast(
        {"a": same, "b": same, "c": same}, {"a": 1 / 3, "b": 2 / 3, "c": -1}, list(TASKS)
    )
    assert known(thirds).interval() == (0.0, 0.0)


def test_a_seed_that_one_arm_lacks_is_left_out_and_fewer_than_two_give_no_estimate() -> None:
    rng = np.random.default_rng(8)
    one, other = (
        random_arm(rng, tasks=("sst", "sts"), seeds=4),
        random_arm(rng, tasks=("sst", "sts"), seeds=4),
    )
    undefined: Arm = {"sst": other["sst"], "sts": {seed: other["sts"][seed] for seed in (0, 1, 3)}}
    assert known(difference(one, undefined, ["sst", "sts"])).seeds == (0, 1, 3)
    assert known(difference(one, undefined, ["sst"])).seeds == (0, 1, 2, 3)

    def why(seeds: tuple[int, ...], others: tuple[int, ...]) -> str:
        arms: dict[str, Arm] = {
            "one": {"sst": {seed: one["sst"][seed] for seed in seeds}},
            "other": {"sst": {seed: other["sst"][seed] for seed in others}},
        }
        assert contrast(arms, {"one": 1, "other": -1}, ["sst"]) is None
        return obstacle(arms, {"one": 1, "other": -1}, ["sst"])

    assert why((0,), (0,)) == "one seed"
    assert why((0, 1), (1, 2)) == "one shared seed"
    assert why((0, 1), (2, 3)) == "no shared seeds"
    assert why((0, 1), ()) == "'other' has no sst score"


def test_one_example_gives_no_estimate() -> None:
    one, other = arm([1], [0]), arm([0], [0])
    assert difference(one, other, ["sst"]) is None
    assert (
        obstacle({"one": one, "other": other}, {"one": 1, "other": -1}, ["sst"])
        == "sst has one example"
    )


def test_different_examples_are_refused_by_name() -> None:
    one, other = arm([1, 0, 1], [1, 1, 1]), arm([1, 0], [0, 1])
    with pytest.raises(ValueError, match=r"sst: 'b' seed 0 has 2 examples, 'a' seed 0 has 3"):
        contrast({"a": one, "b": other}, {"a": 1, "b": -1}, ["sst"])
    gold, outputs = np.zeros(4), np.random.default_rng(0).normal(size=(4, 1))
    right = predictions("quora", gold, outputs)
    turned = Predictions(task="quora", split="dev", ids=right.ids[::-1], gold=gold, outputs=outputs)
    arms: dict[str, Arm] = {
        name: {"quora": {seed: known_examples(each) for seed in (0, 1)}}
        for name, each in (("right", right), ("turned", turned))
    }
    with pytest.raises(
        ValueError, match=r"'turned' seed 0 and 'right' seed 0 were scored on different examples"
    ):
        contrast(arms, {"right": 1, "turned": -1}, ["quora"])


def known_examples(given: Predictions) -> Examples:
    found = examples(given)
    assert found is not None
    return found


def test_an_unknown_arm_and_an_empty_contrast_are_refused() -> None:
    arms = {"freezing": arm([1, 0], [0, 1])}
    with pytest.raises(ValueError, match=r"got 'freezin'. Did you mean 'freezing'\?"):
        contrast(arms, {"freezin": 1}, ["sst"])
    with pytest.raises(ValueError, match="a weight other than 0"):
        contrast(arms, {"freezing": 0}, ["sst"])


def test_runs_that_do_not_depend_on_the_seed_leave_the_paired_interval_over_examples() -> None:
    row, other = [1.0, 1, 1, 0, 1, 0, 1, 1], [0.0, 1, 0, 0, 1, 1, 0, 1]
    found = known(difference(arm(row, row, row), arm(other, other, other), ["sst"]))
    each = np.array(row) - np.array(other)
    expected = scipy.stats.t.interval(
        0.95, len(each) - 1, loc=each.mean(), scale=scipy.stats.sem(each)
    )
    assert found.seed_variance == pytest.approx(0, abs=1e-30)
    assert found.interval() == pytest.approx(expected)
    assert found.p == pytest.approx(scipy.stats.ttest_1samp(each, 0).pvalue)


def test_seeds_that_tie_by_luck_are_not_taken_for_seeds_without_luck() -> None:
    """Both seeds gain exactly one example of four, but never the same ones."""
    found = known(
        difference(arm([1, 1, 0, 0], [0, 0, 1, 1]), arm([0, 1, 0, 0], [0, 0, 0, 1]), ["sst"])
    )
    assert found.value == 0.25
    assert found.seed_variance > 0
    assert found.interval()[0] < 0


def test_examples_that_agree_leave_the_paired_t_test_over_seeds() -> None:
    gains = [0.02, 0.05, 0.01, 0.03]
    one, other = arm(*[[0.5 + gain] * 30 for gain in gains]), arm(*[[0.5] * 30] * 4)
    found = known(difference(one, other, ["sst"]))
    expected = scipy.stats.ttest_1samp(gains, 0)
    assert found.example_variance == pytest.approx(0, abs=1e-18)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval() == pytest.approx(tuple(expected.confidence_interval(0.95)))
