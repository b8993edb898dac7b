"""Intervals and p values agree, and a verdict claims no more than its numbers allow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.grid.wording import signed
from mtl.stats.best_of import expected_best
from mtl.stats.best_of import largest_of_normals as largest
from mtl.stats.decision import DECIDED, OPEN, Look, Verdict, decide, holm
from mtl.stats.estimate import Estimate
from mtl.stats.projection import Rule, chance_decided, detectable, seeds_needed
from mtl.stats.summary import summarise
from tests.stats_tools import arm, estimate, random_arm

# --- intervals and p values


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
    with pytest.raises(ValueError, match="got 95; 0.95 is usual"):
        estimate(0.1, 1e-4, 1e-5).interval(95)


# --- what more seeds would make of it


def rule(margin: float = 0.0, level: float = 0.05, comparisons: int = 1) -> Rule:
    return Rule(margin=margin, level=lambda seeds: level, comparisons=comparisons)


def test_the_chance_of_a_decision_by_hand() -> None:
    """D = 0.02, s = 0.02, 3 seeds. With 6 more: half = t(8) 0.02 / 3 = 0.01537, and D9 has the
    standard deviation 0.02 sqrt(1/3 - 1/9) = 0.00943, so P(D9 > half) = Phi(0.491) = 0.688."""
    half = scipy.stats.t.ppf(0.975, 8) * 0.02 / 3
    spread = 0.02 * math.sqrt(1 / 3 - 1 / 9)
    found = estimate(0.02, 0.0004, 0.0)
    expected = scipy.stats.norm.sf((half - 0.02) / spread) + scipy.stats.norm.cdf(
        (-half - 0.02) / spread
    )
    assert expected == pytest.approx(0.688, abs=0.001)
    assert chance_decided(found, rule(), 6) == pytest.approx(expected)
    assert chance_decided(found, rule(), 0) == 0.0  # t(2) 0.02 / sqrt(3) = 0.0497: not decided
    assert chance_decided(estimate(0.06, 0.0004, 0.0), rule(), 0) == 1.0


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.1, 0.1), SIZES, SIZES, st.integers(2, 8), st.floats(0, 0.05))
def test_seeds_needed_decide_with_four_chances_in_five_and_one_fewer_does_not(
    value: float, seed: float, example: float, seeds: int, margin: float
) -> None:
    found = estimate(value, seed, example, seeds)
    more = seeds_needed(found, rule(margin))
    if more is None:
        assert chance_decided(found, rule(margin), 1_000_000) < 0.8
    elif more <= 100:
        assert chance_decided(found, rule(margin), more) >= 0.8
        assert more == 1 or chance_decided(found, rule(margin), more - 1) < 0.8
    as_number = math.inf if more is None else more
    harder = seeds_needed(found, rule(margin, level=0.01))
    assert (math.inf if harder is None else harder) >= as_number


def test_no_number_of_seeds_makes_up_for_too_few_examples() -> None:
    too_few = estimate(0.0, 0.0004, 0.0002)  # 1.65 sqrt(0.0002) = 0.023 at the very least
    assert seeds_needed(too_few, rule(0.02)) is None
    assert seeds_needed(too_few, rule(0.06)) is not None


def test_what_can_be_found_shrinks_with_seeds_down_to_what_examples_allow() -> None:
    def found(seeds: int, comparisons: int = 1) -> float:
        return detectable(estimate(0.0, 1e-4, 1e-5, seeds), level=0.05, comparisons=comparisons)

    sizes = [found(seeds) for seeds in (2, 3, 5, 10, 100, 10_000)]
    assert sizes == sorted(sizes, reverse=True)
    limit = (scipy.stats.t.ppf(0.975, 500) + scipy.stats.t.ppf(0.8, 500)) * math.sqrt(1e-5)
    assert sizes[-1] == pytest.approx(limit, rel=0.01)
    assert found(3, comparisons=4) > sizes[1]


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
    """Holm is a closed test: i is significant only if Bonferroni rejects every subset with i."""
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
    estimates: Mapping[str, Estimate | None],
    margin: float = 0.01,
    looks: Mapping[str, Look] | None = None,
) -> dict[str, str]:
    found = decide(estimates, margin=margin, looks=looks or {})
    return {name: verdict.word for name, verdict in found.items()}


def alone(one: Estimate, margin: float = 0.01, look: Look | None = None) -> Verdict:
    return decide({"arm": one}, margin=margin, looks={"arm": look} if look else {})["arm"]


def test_verdicts_in_words() -> None:
    """The 90 % interval of a standard error of 0.001, mostly of examples, is about +-0.0017."""
    error = (1e-8, 1e-6)
    found = words({
        "up": estimate(0.05, *error),
        "down": estimate(-0.05, *error),
        "small": estimate(0.001, *error),
        "no loss": estimate(0.008, 2e-4, 1e-6),
        "no gain": estimate(-0.008, 2e-4, 1e-6),
        "open": estimate(0.0, 4e-4, 1e-5),
        "none": None,
    }, margin=0.016)  # fmt: skip
    assert found == {
        "up": "helps",
        "down": "hurts",
        "small": "no difference",
        "no loss": "not worse",
        "no gain": "not better",
        "open": "undecided",
        "none": "no verdict",
    }
    reasoned = decide({"one": None}, margin=0.01, reasons={"one": "one seed"})
    assert str(reasoned["one"]) == "no verdict: one seed"


def test_no_difference_is_two_tests_at_5_percent_so_the_90_percent_interval_decides() -> None:
    one = estimate(0.0, 0.0, 1e-5)
    half_90, half_95 = one.half_width(0.90), one.half_width(0.95)
    between = (half_90 + half_95) / 2
    assert alone(one, margin=between).word == "no difference"
    assert alone(one, margin=half_90 * 0.999).word == "undecided"


def test_an_open_verdict_always_says_how_large_a_difference_can_be() -> None:
    one = estimate(0.004, 4e-4, 1e-5)
    found = alone(one)
    low, high = one.interval(0.90)
    assert found.bound == max(-low, high) == high
    assert str(found).startswith(f"undecided: any difference is below {high:.3f}; ")
    gain = alone(estimate(0.012, 4e-5, 1e-5), margin=0.01)
    assert str(gain).startswith(f"not worse: any gain is below {gain.high:.3f}, a")
    assert all(alone(estimate(value, 4e-4, 1e-5)).bound is not None for value in (-0.03, 0.0, 0.03))


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.1, 0.1), SIZES, SIZES, st.integers(2, 8), st.floats(0, 0.05))
def test_turning_the_sign_turns_the_verdict(
    value: float, seed: float, example: float, seeds: int, margin: float
) -> None:
    turned = {"helps": "hurts", "hurts": "helps", "not worse": "not better",
              "not better": "not worse"}  # fmt: skip
    there, back = (
        alone(estimate(sign * value, seed, example, seeds), margin=margin) for sign in (1, -1)
    )
    assert back.word == turned.get(there.word, there.word)
    assert back.bound == there.bound and back.more_seeds == there.more_seeds
    assert (there.more_seeds is None) or there.word in OPEN
    assert there.word in (*DECIDED, *OPEN)


def test_fewer_than_20_dev_examples_get_no_verdict_however_they_agree() -> None:
    for examples, word in ((2, "no verdict"), (19, "no verdict"), (20, "helps")):
        assert alone(estimate(0.5, 0.0, 1e-9, examples=examples)).word == word
    assert "2 dev examples; a verdict needs 20" in str(alone(estimate(0.5, 0, 1e-9, examples=2)))


def test_one_difference_in_all_seeds_and_no_examples_known_is_no_certainty() -> None:
    assert alone(estimate(0.5, 0.0, 0.0, examples=None)).word == "no verdict"
    assert alone(estimate(0.5, 1e-6, 0.0, examples=None)).word == "helps"


def test_a_clear_interval_is_not_enough_among_many_arms() -> None:
    close = estimate(0.02, 1e-5, 5e-5)
    assert 0.05 / 4 < close.p < 0.05
    assert words({"arm": close}) == {"arm": "helps"}
    others = {str(number): estimate(0.0, 1e-3, 1e-3) for number in range(3)}
    among = decide({"arm": close, **others}, margin=0.01)["arm"]
    assert among.word == "not worse" and among.adjusted_p == pytest.approx(4 * close.p)
    tight = decide({"arm": close, **others}, margin=0.0)["arm"]
    assert tight.adjusted_p == among.adjusted_p and tight.word in OPEN


def test_holm_gives_each_arm_the_divisor_where_it_stands() -> None:
    """The first of three is called, so the second is compared with two; the rest stop there."""
    family: dict[str, Estimate | None] = {
        "a": estimate(0.05, 1e-6, 1e-5),
        "b": estimate(0.01, 1e-4, 1e-5),
        "c": estimate(0.008, 1e-4, 1e-5),
    }
    found = decide(family, margin=0.0)
    assert found["a"].word == "helps"
    for name in ("b", "c"):
        one = family[name]
        assert one is not None
        expected = detectable(one, level=0.05, comparisons=2)
        assert found[name].detectable == pytest.approx(expected)


def test_a_negative_margin_is_refused() -> None:
    for margin in (-0.1, math.nan):
        with pytest.raises(ValueError, match="expected a margin of 0 or more"):
            decide({}, margin=margin)


# --- several looks


def test_a_look_has_the_level_of_its_place_and_both_intervals_use_it() -> None:
    look = Look(seeds=(3, 4, 5, 6, 7, 8), most=8)
    close = estimate(0.018, 1e-5, 5e-5)
    assert alone(close).word == "helps"
    first = alone(close, look=look)
    assert first.level == pytest.approx(1 - 0.05 * 3 / 8)
    assert 0.05 * 3 / 8 < close.p < 0.05 and first.word == "not worse"
    assert first.interval == close.interval(first.level)
    assert (first.low, first.high) == close.interval(1 - 2 * 0.05 * 3 / 8)
    assert first.adjusted_p == pytest.approx(close.p * 8 / 3)


def test_a_further_look_is_judged_by_what_earlier_ones_left() -> None:
    once = Look(seeds=(3,))
    assert once.level(3, 0.05) == 0.05
    assert once.level(6, 0.05) == pytest.approx(0.0336, abs=5e-4)
    assert once.level(1_000_000, 0.05) == 0.05
    # The same seeds again are no further look; an earlier number keeps its place.
    assert Look(seeds=(3, 6)).level(3, 0.05) == pytest.approx(0.025)


def test_the_chance_at_the_most_seeds_is_said_only_where_more_are_planned() -> None:
    one = estimate(0.0, 4e-4, 1e-5)
    assert alone(one).chance is None
    planned = alone(one, look=Look(seeds=(3, 4, 5), most=5))
    assert planned.chance is not None and planned.chance < 0.1
    at_end = alone(estimate(0.0, 4e-4, 1e-5, seeds=5), look=Look(seeds=(3, 4, 5), most=5))
    assert at_end.chance is None


# --- the best of many


def test_the_largest_of_normals_by_hand() -> None:
    """2: 1/sqrt(pi); 3: 3/(2 sqrt(pi)); 5: 1.16296 (Tippett 1925)."""
    assert [largest(count) for count in (1, 2, 3, 5)] == pytest.approx(
        [0, 1 / math.sqrt(math.pi), 1.5 / math.sqrt(math.pi), 1.16296], abs=1e-5
    )


def test_the_best_of_arms_that_do_nothing_is_expected_as_good_as_it_is() -> None:
    """Over 200 grids of six equal arms, the mean gain of the best agrees with its expectation."""
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
