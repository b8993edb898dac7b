"""Many simulated grids, judged as in reports: coverage, false calls, finds, naive intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from mtl.stats.estimate import difference
from mtl.stats.examples import Arm
from mtl.stats.verdicts import judge
from mtl.tasks.task import TaskName
from tests.simulated_runs import ALL, BASELINE, World, draw_arms

NULL = ("one", "two", "three", "four")
"""Arms whose true scores are the baseline's."""

GAIN = 0.02
"""What the fifth arm is truly better by."""

MEASURES: dict[str, tuple[TaskName, ...]] = {
    "sst": ("sst",),
    "quora": ("quora",),
    "sts": ("sts",),
    "overall": ALL,
}
MARGIN = 0.01


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Shares of simulated comparisons, 0 to 1, and means of the half-width and of `detectable`.

    False calls of arms without effect: each judged alone, with Holm over the grid, and the share of
    grids with at least one false call (Holm).
    """

    coverage: dict[str, float]
    false_alone: float
    false_comparisons: float
    false_grids: float
    half_width: float
    detectable: float
    seeds_only: float
    examples_only: float


def covered(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


def study(rng: np.random.Generator, world: World, *, seeds: int, grids: int) -> Figures:
    """Grids of four arms without effect, judged with Holm, and one arm with a gain for coverage."""
    hits: dict[str, list[bool]] = {measure: [] for measure in MEASURES}
    seeds_only, examples_only, halves, smallest, calls, alone = [], [], [], [], [], []
    for _ in range(grids):
        arms = draw_arms(rng, world, {**dict.fromkeys(NULL, 0.0), "better": GAIN}, seeds=seeds)
        for measure, tasks in MEASURES.items():
            estimate = difference(arms["better"], arms[BASELINE], tasks)
            assert estimate is not None
            hits[measure].append(covered(estimate.interval(), GAIN))
            if tasks == ALL:
                halves.append(estimate.half_width())
                smallest.append(estimate.detectable())
        seeds_only.append(covered(naive_seeds(arms["better"], arms[BASELINE], ALL), GAIN))
        examples_only.append(covered(naive_examples(arms["better"], arms[BASELINE], ALL), GAIN))
        null = {name: difference(arms[name], arms[BASELINE], ALL) for name in NULL}
        for each in null.values():
            assert each is not None
            hits["overall"].append(covered(each.interval(), 0))
            alone.append(each.p < 0.05)
        verdicts = judge(null, margin=MARGIN).values()
        calls.append([verdict.word in ("helps", "hurts") for verdict in verdicts])
    return Figures(
        coverage={measure: float(np.mean(each)) for measure, each in hits.items()},
        false_alone=float(np.mean(alone)),
        false_comparisons=float(np.mean(calls)),
        false_grids=float(np.mean(np.any(calls, axis=1))),
        half_width=float(np.mean(halves)),
        detectable=float(np.mean(smallest)),
        seeds_only=float(np.mean(seeds_only)),
        examples_only=float(np.mean(examples_only)),
    )


def naive_seeds(arm: Arm, baseline: Arm, tasks: Sequence[TaskName]) -> tuple[float, float]:
    """The paired t interval over seeds, as if the dev examples were all there are."""
    seeds = sorted(arm[tasks[0]])
    each = [
        np.mean([arm[task][seed].score - baseline[task][seed].score for task in tasks])
        for seed in seeds
    ]
    half = -stdtrit(len(seeds) - 1, 0.025) * np.std(each, ddof=1) / math.sqrt(len(seeds))
    return float(np.mean(each) - half), float(np.mean(each) + half)


def naive_examples(arm: Arm, baseline: Arm, tasks: Sequence[TaskName]) -> tuple[float, float]:
    """The interval over dev examples alone (normal limit of resampling), for fixed seeds."""
    value, variance = 0.0, 0.0
    for task in tasks:
        cells = np.mean(
            [arm[task][seed].values - baseline[task][seed].values for seed in arm[task]], axis=0
        )
        value += cells.mean() / len(tasks)
        variance += cells.var(ddof=1) / len(cells) / len(tasks) ** 2
    half = -ndtri(0.025) * math.sqrt(variance)
    return value - half, value + half


@dataclass(frozen=True, kw_only=True)
class Finds:
    """How often a true gain is called `helps`: alone, and with Holm beside three null arms."""

    alone: float
    among_four: float


def finds(rng: np.random.Generator, world: World, gain: float, *, seeds: int, grids: int) -> Finds:
    alone, among = [], []
    for _ in range(grids):
        arms = draw_arms(rng, world, {"better": gain, **dict.fromkeys(NULL[:3], 0.0)}, seeds=seeds)
        estimates = {
            name: difference(arm, arms[BASELINE], ALL)
            for name, arm in arms.items()
            if name != BASELINE
        }
        among.append(judge(estimates, margin=MARGIN)["better"].word == "helps")
        alone.append(
            judge({"better": estimates["better"]}, margin=MARGIN)["better"].word == "helps"
        )
    return Finds(alone=float(np.mean(alone)), among_four=float(np.mean(among)))


@dataclass(frozen=True, kw_only=True)
class Peeking:
    """Shares of false calls if seeds are added, one at a time, to the undecided arms."""

    comparisons: float
    grids: float
    seeds: float


def until_decided(
    rng: np.random.Generator,
    world: World,
    *,
    first: int,
    last: int,
    grids: int,
    looks: int,
    arms: int = 4,
) -> Peeking:
    """Arms without effect, judged with `first` to `last` seeds; the first decision counts."""
    names = NULL[:arms]
    calls, used = [], []
    for _ in range(grids):
        drawn = draw_arms(rng, world, dict.fromkeys(names, 0.0), seeds=last)
        words, have = dict.fromkeys(names, "undecided"), dict.fromkeys(names, first)
        for count in range(first, last + 1):
            for name in names:
                have[name] = count if words[name] == "undecided" else have[name]
            estimates = {
                name: difference(
                    first_seeds(drawn[name], have[name]), first_seeds(drawn[BASELINE], count), ALL
                )
                for name in names
            }
            verdicts = judge(estimates, margin=MARGIN, looks=looks)
            words |= {name: verdicts[name].word for name in names if words[name] == "undecided"}
        calls.append([word in ("helps", "hurts") for word in words.values()])
        used.append(np.mean(list(have.values())))
    return Peeking(
        comparisons=float(np.mean(calls)),
        grids=float(np.mean(np.any(calls, axis=1))),
        seeds=float(np.mean(used)),
    )


def first_seeds(arm: Arm, count: int) -> Arm:
    """The arm with its first seeds only."""
    return {task: {seed: runs[seed] for seed in range(count)} for task, runs in arm.items()}
