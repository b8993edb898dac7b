"""Plans say what a design can find; `test_stats_simulation.py` holds them against grids."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from mtl.stats.planning import Plan, TaskVariance, variances_of
from tests.simulated_worlds import NAMES, arms_of, simulate

SST = TaskVariance(rows=1000, flips=0.2, own=0.1, seeds=0.0003)
PLAN = Plan(arms=4, seeds=3, tasks={"sst": SST})


def test_variances_by_hand() -> None:
    """f = 0.2 / 1000; luck 0.0003; two tasks count a quarter each."""
    assert PLAN.flips == pytest.approx(0.0002)
    assert PLAN.seed_variance == pytest.approx(0.0005)
    assert PLAN.example_variance == pytest.approx(0.0001)
    both = replace(PLAN, tasks={"sst": SST, "quora": SST})
    assert both.seed_variance == pytest.approx(0.00025)
    assert replace(both, luck=0.001).seed_variance == pytest.approx(0.001 + 0.0001)


def test_many_seeds_find_what_the_normal_distribution_says() -> None:
    """One arm, 200 seeds: (z .975 + z .8) times the standard error."""
    plan = replace(PLAN, arms=1, seeds=200)
    error = math.sqrt(0.0005 / 200 + 0.0001)
    expected = (scipy.stats.norm.ppf(0.975) + scipy.stats.norm.ppf(0.8)) * error
    assert plan.smallest_difference() == pytest.approx(expected, rel=0.05)
    assert plan.power(plan.smallest_difference()) == pytest.approx(0.8, abs=0.01)
    near = 0.03 - scipy.stats.norm.ppf(0.95) * error
    expected = 2 * scipy.stats.norm.cdf(near / error) - 1
    assert plan.chance_no_difference(0.03) == pytest.approx(expected, abs=0.04)


def test_more_seeds_rows_and_fewer_arms_find_more() -> None:
    smallest = PLAN.smallest_difference()
    assert replace(PLAN, seeds=5).smallest_difference() < smallest
    assert replace(PLAN, tasks={"sst": replace(SST, rows=4000)}).smallest_difference() < smallest
    assert (
        replace(PLAN, arms=20).smallest_difference() > replace(PLAN, arms=9).smallest_difference()
    )


def test_the_seeds_and_rows_that_a_margin_needs_are_enough() -> None:
    seeds = PLAN.seeds_needed(0.04)
    assert seeds is not None and seeds > 3
    assert replace(PLAN, seeds=seeds).chance_no_difference(0.04) >= 0.78
    assert replace(PLAN, seeds=seeds - 2).chance_no_difference(0.04) < 0.8
    rows = replace(PLAN, seeds=8).rows_needed(0.025)
    assert rows is not None and rows > 1
    more = replace(SST, rows=int(SST.rows * rows))
    assert replace(PLAN, seeds=8, tasks={"sst": more}).chance_no_difference(0.025) == pytest.approx(
        0.8, abs=0.08
    )


def test_a_margin_out_of_reach_is_said() -> None:
    """The examples alone make +-1.645 x 0.01; 2.9 standard errors are needed."""
    assert PLAN.seeds_needed(0.02) is None
    assert PLAN.seeds_needed(0.035) is not None
    assert PLAN.rows_needed(0.01) is None  # the seeds alone make 0.01 with 3 seeds
    assert PLAN.resolved_margin() == pytest.approx(float(np.interp(0.8, *_chances(PLAN))), rel=0.02)


def test_runs_that_do_not_vary_are_planned_without_a_fault() -> None:
    same = Plan(arms=1, seeds=2, tasks={"a": TaskVariance(rows=12, flips=0, own=0, seeds=0)})
    assert same.smallest_difference() < 1e-4
    assert same.chance_no_difference(0.01) == 1.0
    rows = same.rows_needed(0.01)
    assert same.seeds_needed(0.01) == 2 and rows is not None and rows <= 1


def _chances(plan: Plan) -> tuple[list[float], list[float]]:
    margins = [float(margin) for margin in np.linspace(0.01, 0.15, 141)]
    return [plan.chance_no_difference(margin) for margin in margins], margins


def test_the_variances_of_runs_are_those_they_were_drawn_with() -> None:
    """Arms of one world, many of them: flips and luck come back within a fifth."""
    rng = np.random.default_rng(0)
    arms = arms_of(simulate(rng, "plain", arms=12, seeds=8))
    found = variances_of(arms, NAMES)
    assert found is not None and (found.arms, found.seeds) == (12, 8)
    for task, sd in (("sst", 0.014), ("quora", 0.014), ("sts", 0.028)):
        assert found.tasks[task].seeds == pytest.approx(2 * 0.9 * sd**2, rel=0.35)
    expected = 2 * 0.9 * (2 * 0.014**2 + 0.028**2) / 9
    assert found.luck == pytest.approx(expected, rel=0.35)
    assert variances_of({"0": arms["0"]}, NAMES) is None
