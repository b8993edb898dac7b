"""Estimates are those of the two-way layout, intervals and p values agree, and verdicts say what they may say."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.ablation.sentences import signed
from mtl.stats.estimate import mean_squares
from mtl.stats.verdicts import (
    Arm,
    Estimate,
    Examples,
    contrast,
    difference,
    examples,
    expected_best,
    holm,
    judge,
    obstacle,
    summarise,
)
from mtl.stats.verdicts import largest_of_normals as largest
from mtl.tasks.metrics import Predictions, overall, score
from mtl.tasks.registry import TASKS, TaskName


def predictions(task: TaskName, gold: np.ndarray, outputs: np.ndarray) -> Predictions:
    ids = [str(number) for number in range(len(gold))]
    return Predictions(
        task=task, split="dev", ids=ids, gold=gold.astype(np.float64), outputs=outputs
    )


def random_predictions(task: TaskName, rng: np.random.Generator, count: int = 60) -> Predictions:
    gold = (
        rng.integers(0, int(TASKS[task].high) + 1, count)
        if task != "sts"
        else rng.integers(0, 26, count) / 5
    )
    outputs = rng.normal(size=(count, TASKS[task].outputs)) + (
        gold[:, None] if task != "sst" else 0
    )
    return predictions(task, gold, outputs.astype(np.float32))


def run(values: list[float] | np.ndarray) -> Examples:
    array = np.array(values, dtype=np.float64)
    return Examples(score=float(array.mean()), values=array)


def arm(*rows: list[float], task: TaskName = "sst") -> Arm:
    """Seeds 0, 1, ... with these values of their examples."""
    return {task: {seed: run(row) for seed, row in enumerate(rows)}}


def random_arm(
    rng: np.random.Generator, *, seeds: int = 3, count: int = 40, tasks: tuple[TaskName, ...]
) -> Arm:
    return {
        task: {seed: run((rng.random(count) < 0.6).astype(float)) for seed in range(seeds)} for task in tasks
    }  # fmt: skip


def estimate(
    value: float, seed_variance: float, example_variance: float, seeds: int = 3
) -> Estimate:
    return Estimate(
        value=value,
        standard_error=math.sqrt(seed_variance / seeds + example_variance),
        df=seeds - 1,
        seeds=tuple(range(seeds)),
        seed_variance=seed_variance,
        example_variance=example_variance,
        example_df=500,
    )


def known(found: Estimate | None) -> Estimate:
    assert found is not None
    return found


# --- examples


@pytest.mark.parametrize("task", ["sst", "quora", "sts"])
def test_an_example_s_values_average_to_the_score_that_metrics_reports(task: TaskName) -> None:
    for seed in range(5):
        given = random_predictions(task, np.random.default_rng(seed))
        found = examples(given)
        assert found is not None
        assert found.score == score(given).metrics[TASKS[task].metric_key]
        assert found.values.mean() == pytest.approx(found.score, abs=1e-12)
        assert found.values.shape == (60,)


def test_the_shifted_rule_rescales_sts_as_overall_does_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    for task in TASKS:
        given = random_predictions(task, rng)
        found = examples(given, rule="shifted")
        assert found is not None
        assert found.score == overall(score(given).metrics, (task,), "shifted")[0]
        assert found.values.mean() == pytest.approx(found.score, abs=1e-12)


def test_pearson_s_values_are_the_jackknife_s_to_first_order() -> None:
    rng = np.random.default_rng(2)
    count = 400
    gold = rng.integers(0, 26, count) / 5
    outputs = gold + rng.normal(size=count) * (0.5 + gold / 3)
    found = examples(predictions("sts", gold, outputs[:, None]))
    assert found is not None
    keep = ~np.eye(count, dtype=bool)
    without = np.array([np.corrcoef(outputs[rows], gold[rows])[0, 1] for rows in keep])
    pseudo = count * found.score - (count - 1) * without
    assert np.corrcoef(pseudo, found.values)[0, 1] > 0.9999
    assert found.values.std(ddof=1) == pytest.approx(pseudo.std(ddof=1), rel=0.01)


def test_an_undefined_correlation_has_no_examples() -> None:
    gold = np.array([0.0, 1.0, 2.0])
    assert examples(predictions("sts", gold, np.ones((3, 1)))) is None
    assert examples(predictions("sts", gold, np.array([[0.0], [np.nan], [1.0]]))) is None


def test_examples_need_gold_labels() -> None:
    blank = Predictions(task="sst", split="test", ids=["a"], gold=None, outputs=np.zeros((1, 5)))
    with pytest.raises(ValueError, match="sst/test: nothing to score against"):
        examples(blank)


# --- estimates


def test_a_hand_worked_layout() -> None:
    """d = [[1, 0, 0, 1], [1, 0, 1, 1]]: seeds' means 1/2 and 3/4, examples' means 1, 0, 1/2, 1, grand mean 5/8.

    Examples: 2 (9 + 25 + 1 + 9)/64 / 3 = 11/24. Error: residuals +-1/8 six times, +-3/8 twice: (24/64) / 3 = 1/8.
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
    assert found.seed_variance == pytest.approx(np.var(each, ddof=1))


def test_overall_s_examples_part_is_the_tasks_parts_over_the_square_of_their_number() -> None:
    rng = np.random.default_rng(4)
    tasks: tuple[TaskName, ...] = ("sst", "quora")
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
    """Two arms that agree on all but two examples of 100: alone each is uncertain, their difference hardly."""
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
    assert judge({"same": found}, margin=0.0)["same"].word == "no difference"
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
    with pytest.raises(ValueError, match=r"came 'freezin'. Did you mean 'freezing'\?"):
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


# --- intervals, p values, seeds needed

SIZES = st.floats(1e-8, 1e-2)


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 0.2), SIZES, SIZES, st.integers(2, 12))
def test_the_interval_at_one_minus_p_just_touches_nothing(
    value: float, seed: float, example: float, seeds: int
) -> None:
    found = estimate(value, seed, example, seeds)
    if 1e-9 < found.p < 1 - 1e-9:
        assert found.interval(1 - found.p)[0] == pytest.approx(0, abs=1e-5 * value)
    assert found.p == estimate(-value, seed, example, seeds).p
    for level in (0.9, 0.95, 0.995):
        low, high = found.interval(level)
        assert (low > 0 or high < 0) == (found.p < 1 - level)


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, st.integers(2, 12))
def test_the_critical_value_is_between_the_parts_own(
    seed: float, example: float, seeds: int
) -> None:
    found = estimate(0.01, seed, example, seeds)
    ends = (scipy.stats.t.ppf(0.975, 500), scipy.stats.t.ppf(0.975, seeds - 1))
    assert ends[0] - 1e-9 <= found.half_width() / found.standard_error <= ends[1] + 1e-9


def test_levels_are_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="came 95; 0.95 is usual"):
        estimate(0.1, 1e-4, 1e-5).interval(95)


def test_seeds_needed_by_hand() -> None:
    """Without examples' luck: the least S with 0.02 > t(S - 1) sqrt(0.0004 / S). 7: 0.0185; 6: 0.0210."""
    found = estimate(0.02, 0.0004, 0.0, seeds=3)
    six, seven = (
        scipy.stats.t.ppf(0.975, seeds - 1) * math.sqrt(0.0004 / seeds) for seeds in (6, 7)
    )
    assert six > 0.02 > seven
    assert found.seeds_needed(margin=0.0) == 4
    assert estimate(0.2, 0.0004, 0.0).seeds_needed(margin=0.0) == 0
    assert estimate(0.0, 0.0004, 0.0).seeds_needed(margin=0.05) == 0


def test_no_number_of_seeds_makes_up_for_too_few_examples() -> None:
    too_few = estimate(0.02, 0.0004, 0.0002)  # 1.96 sqrt(0.0002) = 0.028
    assert too_few.seeds_needed(margin=0.01) is None
    assert too_few.seeds_needed(margin=0.05) is not None


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.1, 0.1), SIZES, SIZES, st.integers(2, 8), st.floats(0, 0.05))
def test_seeds_needed_are_enough_one_fewer_is_not_and_harder_questions_need_more(
    value: float, seed: float, example: float, seeds: int, margin: float
) -> None:
    found = estimate(value, seed, example, seeds)
    more = found.seeds_needed(margin=margin)

    def decided(further: int) -> bool:
        low, high = estimate(value, seed, example, seeds + further).interval()
        return low > 0 or high < 0 or (-margin <= low and high <= margin)

    if more is not None:
        assert decided(more) and (more == 0 or not decided(more - 1))
    as_number = math.inf if more is None else more
    for harder in (
        found.seeds_needed(margin=margin, comparisons=5),
        found.seeds_needed(margin=margin, alpha=0.01),
    ):
        assert (math.inf if harder is None else harder) >= as_number


def test_what_can_be_found_shrinks_with_seeds_down_to_what_examples_allow() -> None:
    sizes = [estimate(0.0, 1e-4, 1e-5, seeds).detectable() for seeds in (2, 3, 5, 10, 100, 10_000)]
    assert sizes == sorted(sizes, reverse=True)
    limit = (scipy.stats.t.ppf(0.975, 500) + scipy.stats.t.ppf(0.8, 500)) * math.sqrt(1e-5)
    assert sizes[-1] == pytest.approx(limit, rel=0.01)
    assert estimate(0.0, 1e-4, 1e-5).detectable(comparisons=4) > sizes[1]


# --- summaries, Holm, verdicts


def test_summaries_have_the_sample_standard_deviation_and_one_score_has_none() -> None:
    assert summarise([]) is None
    one, two = summarise([0.5]), summarise([0.5, 0.7])
    assert one is not None and (one.mean, one.sd, one.n) == (0.5, None, 1)
    assert two is not None and two.mean == pytest.approx(0.6) and two.n == 2
    assert two.sd == pytest.approx(math.sqrt(0.02))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_bonferroni_on_every_subset(p: list[float]) -> None:
    """The closed test that Holm stands for: i is called only if every subset that holds it is called by Bonferroni."""
    closed = []
    for index in range(len(p)):
        subsets = [
            [p[other] for other in chosen]
            for size in range(1, len(p) + 1)
            for chosen in itertools.combinations(range(len(p)), size)
            if index in chosen
        ]
        closed.append(min(1.0, max(len(subset) * min(subset) for subset in subsets)))
    assert holm(p) == pytest.approx(closed)


def words(
    estimates: Mapping[str, Estimate | None], margin: float = 0.01, looks: int = 1
) -> dict[str, str]:
    return {
        name: str(verdict) for name, verdict in judge(estimates, margin=margin, looks=looks).items()
    }


def test_verdicts_in_words() -> None:
    """`seeds` is third of five by p, so alpha / 3: 3 + 7 seeds, for t(9) = 2.93 < sqrt(10) and t(8) = 3.02 > 3."""
    found = words(
        {
            "up": estimate(0.05, 1e-6, 1e-6),
            "down": estimate(-0.05, 1e-6, 1e-6),
            "small": estimate(0.001, 1e-6, 1e-6),
            "seeds": estimate(0.02, 4e-4, 0.0),
            "examples": estimate(0.01, 1e-6, 1e-3),
            "alone": None,
        }
    )
    assert found == {
        "up": "helps",
        "down": "hurts",
        "small": "no difference",
        "seeds": "undecided: about 7 more seeds",
        "examples": "undecided: more dev examples needed, no number of seeds is enough",
        "alone": "no verdict: fewer than two shared seeds",
    }
    assert (
        str(judge({"one": None}, margin=0.01, reasons={"one": "one seed"})["one"])
        == "no verdict: one seed"
    )


def test_so_many_seeds_are_named_as_somebody_might_add_and_one_seed_is_no_seeds() -> None:
    by_need = {}
    for value in np.linspace(0.001, 0.06, 300):
        verdict = judge({"arm": estimate(float(value), 4e-4, 0.0)}, margin=0.0)["arm"]
        by_need[verdict.more_seeds] = verdict.text
    assert by_need[1] == "undecided: about 1 more seed"
    assert by_need[None] == "helps"
    large = max(need for need in by_need if need is not None)
    assert large > 999 and by_need[large] == "undecided: over 100 more seeds"
    assert by_need[max(need for need in by_need if need is not None and need <= 100)].endswith(
        "more seeds"
    )
    assert all(
        f"about {need} more seed" in text
        for need, text in by_need.items()
        if need is not None and need <= 100
    )


def test_an_arm_that_anothers_luck_holds_back_needs_a_seed_at_least_and_the_divisor_of_where_holm_stopped() -> (
    None
):
    close = {
        name: estimate(value, 4e-4, 0.0, seeds=12)
        for name, value in (("a", 0.0170), ("b", 0.0169), ("c", 0.0), ("d", 0.0))
    }
    assert 0.05 / 4 < close["a"].p < close["b"].p < 0.05 / 3
    found = judge(close, margin=0.0)
    assert [found[name].word for name in close] == ["undecided"] * 4
    expected = close["b"].seeds_needed(margin=0.0, comparisons=4)
    assert found["b"].more_seeds == expected
    assert expected is not None
    assert expected >= 1
    assert all(one.more_seeds is None or one.more_seeds >= 1 for one in found.values())


def test_an_interval_inside_the_margin_is_within_it_even_where_it_is_clear_of_0() -> None:
    small = judge({"arm": estimate(0.004, 1e-8, 0.0)}, margin=0.01)["arm"]
    assert small.word == "helps"
    assert small.within(0.01)
    assert not small.within(0.003)
    assert not judge({"arm": None}, margin=0.01)["arm"].within(0.01)


def test_a_clear_interval_is_not_enough_among_many_arms() -> None:
    close = estimate(0.02, 1e-5, 5e-5)
    assert 0.05 / 4 < close.p < 0.05
    assert words({"arm": close}) == {"arm": "helps"}
    others = {str(number): estimate(0.0, 1e-3, 1e-3) for number in range(3)}
    among = judge({"arm": close, **others}, margin=0.01)["arm"]
    assert among.word == "undecided" and among.adjusted_p == pytest.approx(4 * close.p)
    assert "not after Holm" in among.reason
    assert among.more_seeds != 0


def test_more_looks_ask_for_more() -> None:
    close = estimate(0.02, 1e-5, 5e-5)
    assert words({"arm": close}, looks=1) == {"arm": "helps"}
    later = judge({"arm": close}, margin=0.01, looks=6)["arm"]
    assert later.word == "undecided" and later.level == pytest.approx(1 - 0.05 / 6)
    inside = estimate(0.0, 1e-6, 1.4e-5)
    assert words({"arm": inside}, looks=1) == {"arm": "no difference"}
    assert words({"arm": inside}, looks=6)["arm"].startswith("undecided")


def test_impossible_margins_and_looks_are_refused() -> None:
    for margin, looks in ((-0.1, 1), (0.1, 0)):
        with pytest.raises(ValueError, match="margin >= 0 and looks >= 1"):
            judge({}, margin=margin, looks=looks)


def test_what_undecided_means_is_said_with_the_difference_that_could_be_found() -> None:
    verdict = judge({"arm": estimate(0.01, 4e-4, 1e-5)}, margin=0.01)["arm"]
    assert "holds 0 and more than the margin" in verdict.reason
    assert (
        f"3 seeds find a difference of {estimate(0.01, 4e-4, 1e-5).detectable():.4f}"
        in verdict.reason
    )


# --- the best of many


def test_the_largest_of_normals_by_hand() -> None:
    """2: 1/sqrt(pi); 3: 3/(2 sqrt(pi)); 5: 1.16296 (Tippett 1925)."""
    assert [largest(count) for count in (1, 2, 3, 5)] == pytest.approx(
        [0, 1 / math.sqrt(math.pi), 1.5 / math.sqrt(math.pi), 1.16296], abs=1e-5
    )


def test_the_best_of_arms_that_do_nothing_is_expected_as_good_as_it_is() -> None:
    """Over 200 grids of six equal arms the best one's mean gain and its expectation agree, though nothing helps."""
    rng = np.random.default_rng(9)
    gains, expected = [], []
    for _ in range(200):
        arms = {
            name: random_arm(rng, tasks=("sst",), seeds=4, count=80)
            for name in ("baseline", *"abcdef")
        }
        best = expected_best(arms, "baseline", ["sst"])
        assert best is not None and best.arms == 6
        gains.append(best.observed - best.baseline)
        expected.append(best.expected - best.baseline)
    assert np.mean(gains) == pytest.approx(np.mean(expected), rel=0.12)
    assert np.mean(gains) > 0.02


def test_the_best_arm_is_named_with_its_score_and_arms_without_shared_seeds_do_not_count() -> None:
    arms = {
        "baseline": arm([1, 0, 0, 0], [0, 1, 0, 0]),
        "good": arm([1, 1, 0, 1], [1, 1, 0, 0]),
        "poor": arm([0, 0, 0, 0], [0, 1, 0, 0]),
        "single": arm([1, 1, 1, 1]),
    }
    best = expected_best(arms, "baseline", ["sst"])
    assert best is not None
    assert (best.arm, best.observed, best.baseline, best.arms) == ("good", 0.625, 0.25, 2)
    assert best.expected == pytest.approx(
        0.25 + best.standard_error / math.sqrt(2) / math.sqrt(math.pi)
    )
    assert expected_best({"baseline": arms["baseline"]}, "baseline", ["sst"]) is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0.0311, 0.012, -0.05), ["+0.031", "+0.012", "-0.050"]),
        ((-0.0004, -0.002, 0.0002), ["0.000", "-0.002", "0.000"]),
        ((0.0002, -0.0004, 0.0012), ["+0.0002", "-0.0004", "+0.0012"]),
        ((-0.00012, -0.0003, 0.00002), ["-0.0001", "-0.0003", "0.0000"]),
        ((0.0, -0.0, 0.0), ["0.000", "0.000", "0.000"]),
    ],
)
def test_differences_too_small_for_three_decimals_get_more(
    values: tuple[float, ...], said: list[str]
) -> None:
    assert signed(*values) == said
