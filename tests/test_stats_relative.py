"""Relative gains over single-task arms: values worked by hand, and laws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from mtl.stats.examples import Arm, Examples
from mtl.stats.relative import RelativeGain, relative_gains
from tests.simulated_worlds import Task, arms_of, simulate

SINGLES = {"sst": "sst alone", "sts": "sts alone"}
TWO = {
    "sst": Task(rows=400, score=0.6, seed_sd=0.02),
    "sts": Task(rows=300, score=0.5, seed_sd=0.03, metric="pearson"),
}


def runs(*scores: float) -> dict[int, Examples]:
    """Seeds 0, 1, ... with these scores, of examples that are not known."""
    return {seed: Examples(score=score) for seed, score in enumerate(scores)}


def by_hand(both: Arm, sst: tuple[float, ...], sts: tuple[float, ...]) -> dict[str, Arm]:
    return {"both": both, "sst alone": {"sst": runs(*sst)}, "sts alone": {"sts": runs(*sts)}}


def simulated(seed: int, *, arms: int = 2, seeds: int = 4) -> dict[str, Arm]:
    """Arms `0`, ... that train both tasks, and one that trains each alone."""
    values = simulate(np.random.default_rng(seed), "plain", arms=arms + 1, seeds=seeds, tasks=TWO)
    found = arms_of(values)
    alone = {SINGLES["sst"]: {"sst": found.pop(str(arms))["sst"]}}
    alone[SINGLES["sts"]] = {"sts": found.pop(str(arms + 1))["sts"]}
    return found | alone


def times(arm: Arm, factors: Mapping[str, float]) -> Arm:
    return {
        task: {
            seed: replace(
                run,
                score=run.score * factors[task],
                values=None if run.values is None else run.values * factors[task],
            )
            for seed, run in of_task.items()
        }
        for task, of_task in arm.items()
    }


def numbers(gain: RelativeGain) -> tuple[float, float, float]:
    assert gain.estimate is not None, gain.reason
    return (gain.estimate.value, *gain.estimate.interval())


def test_a_gain_by_hand() -> None:
    """sst from 0.50 to 0.625 is 25 %, sts from 0.40 to 0.38 is -5 %."""
    both: Arm = {"sst": runs(0.60, 0.65), "sts": runs(0.38, 0.38)}
    gain = relative_gains(by_hand(both, (0.5, 0.5), (0.4, 0.4)), SINGLES)["both"]
    assert gain.tasks == pytest.approx({"sst": 0.25, "sts": -0.05})
    # Half of sst's shares 1.2 and 1.3 varies: 0.60 and 0.65 have the variance 0.00125.
    half = student.ppf(0.975, 1) * np.sqrt(0.00125 / 2)
    assert numbers(gain) == pytest.approx((0.10, 0.10 - half, 0.10 + half))


def test_the_luck_of_the_single_task_arm_counts_and_is_paired_by_seed() -> None:
    both: Arm = {"sst": runs(0.60, 0.65), "sts": runs(0.38, 0.38)}
    # 0.60 / 0.48 = 0.65 / 0.52 = 1.25: with every seed the gain is 25 %.
    paired = relative_gains(by_hand(both, (0.48, 0.52), (0.4, 0.4)), SINGLES)["both"]
    assert numbers(paired) == pytest.approx((0.10, 0.10, 0.10))
    # The other way round: half of 1.2 - 1.3 and of 1.3 - 1.2.
    crossed = relative_gains(by_hand(both, (0.52, 0.48), (0.4, 0.4)), SINGLES)["both"]
    half = student.ppf(0.975, 1) * np.sqrt(0.005 / 2)
    assert numbers(crossed) == pytest.approx((0.10, 0.10 - half, 0.10 + half))


def test_less_of_an_error_is_a_gain() -> None:
    """rmse, counted as its negative, from 0.8 to 0.6: 25 % less."""
    both: Arm = {"sst": runs(0.5, 0.5), "sts": runs(-0.6, -0.6)}
    arms = by_hand(both, (0.5, 0.5), (-0.8, -0.8))
    gain = relative_gains(arms, SINGLES, errors=["sts"])["both"]
    assert gain.tasks == pytest.approx({"sst": 0.0, "sts": 0.25})
    assert numbers(gain)[0] == pytest.approx(0.125)


@pytest.mark.parametrize(
    ("sts", "reason"),
    [
        ((0.0, 0.0), "'sts alone' scores 0 on sts, and nothing is a share of that"),
        ((-0.1, 0.1), "'sts alone' scores 0 on sts, and nothing is a share of that"),
        ((-0.2, -0.2), "'sts alone' scores -0.2 on sts; a share needs a score above 0"),
        ((0.01, 0.39), "'sts alone' scores 0.2 on sts with a standard error of 0.19: too close"),
        ((), "'sts alone' has no sts score"),
    ],
)
def test_a_score_that_nothing_is_a_share_of_gives_no_gain(
    sts: tuple[float, ...], reason: str
) -> None:
    both: Arm = {"sst": runs(0.6, 0.6), "sts": runs(0.4, 0.4)}
    gain = relative_gains(by_hand(both, (0.5, 0.5), sts), SINGLES)["both"]
    assert gain.estimate is None and not gain.tasks
    assert gain.reason.startswith(reason)


def test_one_seed_has_a_gain_without_an_interval() -> None:
    both: Arm = {"sst": runs(0.6), "sts": runs(0.4)}
    gain = relative_gains(by_hand(both, (0.5,), (0.4,)), SINGLES)["both"]
    assert gain.tasks == pytest.approx({"sst": 0.2, "sts": 0.0})
    assert (gain.estimate, gain.reason) == (None, "one seed")


def test_an_arm_without_a_task_or_a_shared_seed_has_no_gain() -> None:
    one: Arm = {"sst": runs(0.6, 0.6)}
    assert relative_gains(by_hand(one, (0.5,), (0.4,)), SINGLES)["both"].reason == (
        "it has no sts score"
    )
    later: Arm = {task: {7: Examples(score=0.6)} for task in SINGLES}
    gain = relative_gains(by_hand(later, (0.5, 0.5), (0.4, 0.4)), SINGLES)["both"]
    assert (gain.tasks, gain.reason) == ({}, "no shared seeds")


def test_few_or_other_examples_give_no_interval() -> None:
    few = {
        name: {task: {seed: Examples.of([1.0] * 9 + [0.0]) for seed in (0, 1)} for task in tasks}
        for name, tasks in {"both": SINGLES, "sst alone": ["sst"], "sts alone": ["sts"]}.items()
    }
    reason = relative_gains(few, SINGLES)["both"].reason
    assert reason == "10 dev examples; an interval needs 20"
    arms = simulated(0, arms=1)
    others = {
        seed: replace(run, values=np.append(run.values, 0.5))
        for seed, run in arms["sst alone"]["sst"].items()
        if run.values is not None
    }
    gain = relative_gains(arms | {"sst alone": {"sst": others}}, SINGLES)["0"]
    assert gain.reason == "scored on other dev rows than the arms alone"


def test_names_that_are_no_arms_are_refused() -> None:
    for singles in ({}, {"sst": "sst only"}):
        with pytest.raises(ValueError, match="expected an arm of both, sst alone, sts alone"):
            relative_gains(by_hand({}, (), ()), singles)


def test_an_arm_that_copies_the_single_task_arms_gains_nothing_for_certain() -> None:
    arms = simulated(1)
    copy = {task: arms[single][task] for task, single in SINGLES.items()}
    gain = relative_gains(arms | {"copy": copy}, SINGLES)["copy"]
    assert gain.tasks == {"sst": 0.0, "sts": 0.0}
    assert gain.estimate is not None and gain.estimate.value == 0.0
    assert gain.estimate.own_variance == pytest.approx(0.0, abs=1e-24)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sst=st.floats(0.01, 100),
    sts=st.floats(0.01, 100),
)
def test_units_order_and_names_change_nothing(seed: int, sst: float, sts: float) -> None:
    arms = simulated(seed, seeds=3)
    before = relative_gains(arms, SINGLES)
    scaled = {name: times(arm, {"sst": sst, "sts": sts}) for name, arm in arms.items()}
    backwards = dict(reversed(list(scaled.items())))
    renamed = {f"arm {name}": arm for name, arm in backwards.items()}
    singles = {task: f"arm {single}" for task, single in reversed(list(SINGLES.items()))}
    after = relative_gains(renamed, singles)
    assert after.keys() == {f"arm {name}" for name in before}
    for name, gain in before.items():
        other = after[f"arm {name}"]
        assert other.reason == gain.reason
        assert other.tasks == pytest.approx(dict(gain.tasks), rel=1e-9)
        if gain.estimate is not None:
            assert numbers(other) == pytest.approx(numbers(gain), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_variance_over_seeds_is_that_of_a_jackknife(seed: int) -> None:
    """The delta method against leaving out one seed at a time, with 12 seeds."""
    arms = simulated(seed, seeds=12)
    gain = relative_gains(arms, SINGLES)["0"].estimate
    assert gain is not None
    scores = {
        (name, task): np.array([runs_of[s].score for s in range(12)])
        for name in ("0", *SINGLES.values())
        for task, runs_of in arms[name].items()
    }

    def delta(keep: np.ndarray) -> float:
        return float(np.mean([
            scores["0", task][keep].mean() / scores[single, task][keep].mean() - 1
            for task, single in SINGLES.items()
        ]))  # fmt: skip

    everything = np.arange(12)
    without = np.array([delta(np.delete(everything, s)) for s in everything])
    pseudo = 12 * delta(everything) - 11 * without
    assert gain.value == pytest.approx(delta(everything))
    assert gain.own_variance == pytest.approx(pseudo.var(ddof=1), rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_the_variance_over_examples_is_that_of_a_bootstrap(seed: int) -> None:
    """Dev examples drawn again, with 8 seeds that do not vary much."""
    arms = simulated(seed, seeds=8)
    gain = relative_gains(arms, SINGLES)["0"].estimate
    assert gain is not None
    means = {
        (name, task): np.mean([run.values for run in arms[name][task].values()], axis=0)
        for name in ("0", *SINGLES.values())
        for task in arms[name]
    }
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(2000):
        shares = []
        for task, single in SINGLES.items():
            rows = rng.integers(0, TWO[task].rows, TWO[task].rows)
            shares.append(means["0", task][rows].mean() / means[single, task][rows].mean() - 1)
        drawn.append(np.mean(shares))
    # A bootstrap of examples also has the flips of these seeds in it.
    assert gain.flips is None or gain.flips >= 0
    flips = (gain.flips or gain.moderated.prior_variance / gain.moderated.scale) / 8
    assert gain.example_variance + flips == pytest.approx(np.var(drawn), rel=0.15)
