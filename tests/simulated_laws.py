"""Whether verdicts keep their promises on simulated grids: shared by tests and the benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mtl.stats.decision import DECIDED, OPEN, Look, Verdict, decide, holm
from mtl.stats.estimate import Estimate
from mtl.stats.examples import Arm
from mtl.stats.planning import Plan, variances_of
from mtl.stats.projection import SMALL_CHANCE
from tests.simulated_studies import ALPHA, BASELINE, compared
from tests.simulated_worlds import NAMES, TASKS, Task, arms_of, simulate


@dataclass(frozen=True, kw_only=True)
class Needed:
    """Verdicts that more seeds should decide: how many were promised, and kept."""

    promised: int
    kept: int
    beyond: int
    """Those that need more than the limit, or that no number decides."""

    @property
    def share(self) -> float:
        return self.kept / max(1, self.promised)


def seeds_that_decide(
    rng: np.random.Generator, *, grids: int, seeds: int = 3, arms: int = 4, most: int = 20,
    margin: float = 0.02, spread: float = 0.02,
) -> Needed:  # fmt: skip
    """How often "about k more seeds" decide, for k up to `most`.

    True gains are drawn from a normal distribution with the standard deviation `spread`. The same
    grid goes on with k further seeds, and the second look has the level of a second look.
    """
    promised = kept = beyond = 0
    for _ in range(grids):
        gains = {arm: float(rng.normal(0, spread)) for arm in range(1, arms + 1)}
        whole = arms_of(simulate(rng, "plain", arms=arms, seeds=seeds + most, gains=gains))
        first = {name: with_seeds(arm, seeds) for name, arm in whole.items()}
        verdicts = decide(compared(first), margin=margin)
        for name, verdict in verdicts.items():
            if verdict.word not in OPEN:
                continue
            more = verdict.more_seeds
            if more is None or more > most:
                beyond += 1
                continue
            later = {each: with_seeds(arm, seeds + more) for each, arm in whole.items()}
            looks = {name: Look(seeds=(seeds, seeds + more))}
            again = decide(compared(later), margin=margin, looks=looks)[name]
            promised += 1
            kept += again.word in DECIDED
    return Needed(promised=promised, kept=kept, beyond=beyond)


def with_seeds(arm: Arm, seeds: int) -> Arm:
    """An arm with its first seeds only."""
    return {
        task: {seed: run for seed, run in by_seed.items() if seed < seeds}
        for task, by_seed in arm.items()
    }


@dataclass(frozen=True, kw_only=True)
class Adaptive:
    """Seeds added until arms are decided: means over grids, and shares of arms."""

    runs: float
    found_large: float
    found_small: float
    false_grids: float
    seeds_to_decision: float


def until_decided(
    rng: np.random.Generator, *, grids: int, rule: str, arms: int = 20, first: int = 3,
    most: int = 8, large: float = 0.06, small: float = 0.03, margin: float = 0.01,
) -> Adaptive:  # fmt: skip
    """Grids with 4 large and 4 small effects, by the rule `now` or by that of version `0.1.0`."""
    runs, large_found, small_found, false, needed = [], [], [], [], []
    effects = {arm: (large if arm <= 4 else small) * (1 if arm % 2 else -1) for arm in range(1, 9)}
    for _ in range(grids):
        whole = arms_of(simulate(rng, "plain", arms=arms, seeds=most, gains=effects))
        words, seeds = (_by_rule_now if rule == "now" else _by_rule_before)(
            whole, first, most, margin
        )
        runs.append(sum(seeds.values()))
        right = {
            arm: words[str(arm)] == ("helps" if effect > 0 else "hurts")
            for arm, effect in effects.items()
        }
        large_found.append(np.mean([right[arm] for arm in range(1, 5)]))
        small_found.append(np.mean([right[arm] for arm in range(5, 9)]))
        others = [words[str(arm)] for arm in range(9, arms + 1)]
        wrong = [words[str(arm)] in ("helps", "hurts") and not right[arm] for arm in effects]
        false.append(any(word in ("helps", "hurts") for word in others) or any(wrong))
        needed += [seeds[str(arm)] for arm in effects if right[arm]]
    return Adaptive(
        runs=float(np.mean(runs)),
        found_large=float(np.mean(large_found)),
        found_small=float(np.mean(small_found)),
        false_grids=float(np.mean(false)),
        seeds_to_decision=float(np.mean(needed)),
    )


def _by_rule_now(
    whole: Mapping[str, Arm], first: int, most: int, margin: float
) -> tuple[dict[str, str], dict[str, int]]:
    seeds = dict.fromkeys(whole, first)
    look = Look(seeds=tuple(range(first, most + 1)), most=most)
    looks = dict.fromkeys(whole, look)
    while True:
        now = {name: with_seeds(arm, seeds[name]) for name, arm in whole.items()}
        verdicts = decide(compared(now), margin=margin, looks=looks)
        going = [name for name, verdict in verdicts.items() if _goes_on(verdict, seeds[name], most)]
        if not going:
            return {name: verdict.word for name, verdict in verdicts.items()}, seeds
        for name in going:
            seeds[name] += 1
        seeds[BASELINE] = max(seeds.values())


def _goes_on(verdict: Verdict, seeds: int, most: int) -> bool:
    small = verdict.chance is not None and verdict.chance < SMALL_CHANCE
    return verdict.word in OPEN and seeds < most and not small


def _by_rule_before(
    whole: Mapping[str, Arm], first: int, most: int, margin: float
) -> tuple[dict[str, str], dict[str, int]]:
    """Version 0.1.0: own variances, alpha divided by the looks, given up by projection."""
    seeds, alpha = dict.fromkeys(whole, first), ALPHA / (most - first + 1)
    while True:
        now = {name: with_seeds(arm, seeds[name]) for name, arm in whole.items()}
        estimates = compared(now, moderated=False)
        adjusted = dict(zip(estimates, holm([one.p for one in estimates.values()]), strict=True))
        words, going = {}, []
        for name, estimate in estimates.items():
            low, high = estimate.interval(1 - alpha)
            if adjusted[name] < alpha:
                words[name] = "helps" if estimate.value > 0 else "hurts"
            elif -margin <= low and high <= margin:
                words[name] = "no difference"
            else:
                words[name] = "undecided"
                if seeds[name] < most and _decided_some_day(
                    estimate, alpha, margin, len(estimates)
                ):
                    going.append(name)
        if not going:
            return words, seeds
        for name in going:
            seeds[name] += 1
        seeds[BASELINE] = max(seeds.values())


def _decided_some_day(estimate: Estimate, alpha: float, margin: float, comparisons: int) -> bool:
    """Whether the expected interval decides with a million more seeds."""
    far = estimate.half_width_with(1_000_000, alpha / comparisons / 2)
    near = estimate.half_width_with(1_000_000, alpha / 2)
    return abs(estimate.value) > far or abs(estimate.value) + near <= margin


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan beside simulated grids of its design: power at the smallest difference, and so on."""

    smallest: float
    power: float
    simulated_power: float
    none: float
    simulated_none: float
    margin: float


def planned(
    rng: np.random.Generator, world: str, *, arms: int, seeds: int, rows: float, grids: int
) -> Planned:
    """A plan with the variances of a world, against grids of the same design."""
    tasks = {
        name: Task(rows=int(task.rows * rows), score=task.score, seed_sd=task.seed_sd,
                   metric=task.metric)
        for name, task in TASKS.items()
    }  # fmt: skip

    def grid(gains: Mapping[int, float] | None = None) -> dict[str, Arm]:
        return arms_of(simulate(rng, world, arms=arms, seeds=seeds, gains=gains, tasks=tasks))

    # As if the variances were known: from few arms with very many seeds, on several dev sets.
    long = [
        variances_of(arms_of(simulate(rng, world, arms=4, seeds=200, tasks=tasks)), NAMES)
        for _ in range(8)
    ]
    plan = _mean([one for one in long if one is not None], arms=arms, seeds=seeds)
    smallest = plan.smallest_difference()
    margin = plan.resolved_margin()
    found, none = [], []
    for _ in range(grids):
        null = decide(compared(grid()), margin=margin)
        none += [verdict.word == "no difference" for verdict in null.values()]
        with_effect = decide(compared(grid({arms: smallest})), margin=margin)
        found.append(with_effect[str(arms)].word == "helps")
    return Planned(
        smallest=smallest,
        power=plan.power(smallest),
        simulated_power=float(np.mean(found)),
        none=plan.chance_no_difference(margin),
        simulated_none=float(np.mean(none)),
        margin=margin,
    )


def _mean(plans: list[Plan], *, arms: int, seeds: int) -> Plan:
    """The plan with the mean variances."""

    def mean(task: str, part: str) -> float:
        return float(np.mean([getattr(plan.tasks[task], part) for plan in plans]))

    tasks = {
        name: replace(task, **{part: mean(name, part) for part in ("flips", "own", "seeds")})
        for name, task in plans[0].tasks.items()
    }
    luck = float(np.mean([plan.luck or 0.0 for plan in plans]))
    return Plan(arms=arms, seeds=seeds, tasks=tasks, luck=luck)
