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
from mtl.stats.estimate import Estimate
from mtl.stats.verdicts import expected_best, holm, judge, summarise
from mtl.stats.verdicts import largest_of_normals as largest
from tests.stats_tools import arm, random_arm


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
    with pytest.raises(ValueError, match="got 95; 0.95 is usual"):
        estimate(0.1, 1e-4, 1e-5).interval(95)


def test_seeds_needed_by_hand() -> None:
    """No example variance: the least S with 0.02 > t(S - 1) sqrt(0.0004 / S) is 7 (0.0185)."""
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
    estimates: Mapping[str, Estimate | None], margin: float = 0.01, looks: int = 1
) -> dict[str, str]:
    return {
        name: str(verdict) for name, verdict in judge(estimates, margin=margin, looks=looks).items()
    }


def test_verdicts_in_words() -> None:
    """`seeds` is third of five by p: alpha / 3, 3 + 7 seeds (t(9) = 2.93 < sqrt(10))."""
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


def test_an_arm_blocked_by_another_needs_a_seed_and_the_divisor_where_holm_stopped() -> None:
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
