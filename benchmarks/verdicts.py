"""How often `mtl.stats` is right, on simulated grids with known true differences.

The model is `tests/simulated_runs.py`: seeds and dev examples are random, with variances as in
practice and at the extremes. Prints Markdown tables:

* coverage of the 95 % interval, and of naive intervals over seeds or examples alone
* false `helps` and `hurts` in grids without any effect
* how often a gain of twice the interval's half-width is found
* false calls if seeds are added until a verdict is reached
* critical values: Cochran & Cox against Satterthwaite's degrees of freedom

    python benchmarks/verdicts.py --grids 1000
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.special import ndtri, stdtrit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.simulated_runs import WILD_SEEDS, WORLDS
from tests.simulated_studies import Figures, finds, study, until_decided

SEEDS = (3, 5, 10)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grids", type=int, default=1000, help="simulated grids per row")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    figures = {
        (name, seeds): study(rng, world, seeds=seeds, grids=options.grids)
        for name, world in WORLDS.items()
        for seeds in SEEDS
    }
    print_intervals(figures)
    print_finds(rng, figures, options.grids)
    print_peeking(rng, options.grids)
    print_critical_values(rng, 200 * options.grids)


def print_intervals(figures: dict[tuple[str, int], Figures]) -> None:
    row("luck", "seeds", "half-width", "sst", "quora", "sts", "overall", "false alone",
        "false by Holm", "false grids", "seeds only", "examples only", header=True)  # fmt: skip
    for (name, seeds), result in figures.items():
        shares = [
            *result.coverage.values(),
            result.false_alone,
            result.false_comparisons,
            result.false_grids,
            result.seeds_only,
            result.examples_only,
        ]
        row(name, seeds, f"{result.half_width:.4f}", *map(percent, shares))
    print()


def print_finds(
    rng: np.random.Generator, figures: dict[tuple[str, int], Figures], grids: int
) -> None:
    row("luck", "seeds", "true gain", "found alone", "found among four, by Holm", header=True)
    for (name, seeds), known in figures.items():
        gain = 2 * known.half_width
        shares = finds(rng, WORLDS[name], gain, seeds=seeds, grids=grids // 2)
        row(name, seeds, f"{gain:.4f}", percent(shares.alone), percent(shares.among_four))
    print()


def print_peeking(rng: np.random.Generator, grids: int) -> None:
    row(
        "seeds' luck dominates, seeds added, 3 to 8",
        "arms",
        "false calls",
        "false grids",
        "seeds used",
        header=True,
    )
    for name, looks in (
        ("alpha divided by the 6 looks", 6),
        ("as if each look were the only one", 1),
    ):
        for arms in (1, 4):
            calls = until_decided(
                rng, WILD_SEEDS, first=3, last=8, grids=grids // 2, looks=looks, arms=arms
            )
            row(name, arms, percent(calls.comparisons), percent(calls.grids), f"{calls.seeds:.1f}")
    print()


def print_critical_values(rng: np.random.Generator, draws: int) -> None:
    """False calls by the ratio of the examples' variance (known) to the seeds', normal data."""
    row("seeds", "alpha", "examples / seeds", "Cochran & Cox", "Satterthwaite", header=True)
    for seeds in (2, *SEEDS):
        for alpha in (0.05, 0.005):
            for ratio in (0.1, 0.3, 1.0, 10.0):
                estimate = rng.normal(size=draws) * np.sqrt(1 + ratio)
                part = rng.chisquare(seeds - 1, draws) / (seeds - 1)
                share, error = part / (part + ratio), np.sqrt(part + ratio)
                ours = -share * stdtrit(seeds - 1, alpha / 2) - (1 - share) * ndtri(alpha / 2)
                theirs = -stdtrit((seeds - 1) / np.maximum(share, 1e-9) ** 2, alpha / 2)
                shares = [
                    float(np.mean(np.abs(estimate) > critical * error))
                    for critical in (ours, theirs)
                ]
                row(seeds, alpha, ratio, *(f"{100 * value:.2f} %" for value in shares))


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def row(*cells: object, header: bool = False) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    if header:
        print("|" + "---|" * len(cells))


if __name__ == "__main__":
    main()
