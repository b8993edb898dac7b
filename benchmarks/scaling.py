"""How cost grows: with the layers that train, with training rows, with cells of a grid. `final` in all else.

Steps are medians over repeats in one process; whole runs and grids are wall time of the commands, each with new hidden states. Last,
what a run costs beside its work in a process that has trained one already, as a grid's worker has.

    python benchmarks/scaling.py --data FOLDER
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from caches import fresh_states
from grid import timed

from mtl import config_from
from mtl.model.device import choose_device, keep_memory, processor
from mtl.model.pairing import distinct
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import Sources, prepare
from mtl.training.interrupt import Interruption
from mtl.training.loop import train
from mtl.training.progress import Progress
from mtl.training.run import Training

LAYERS = ("0", "1", "2", "3", "4", "5", "6", "all")
ROWS = (200, 400, 800, 1600)
CELLS = (1, 2, 4, 8)


def step_seconds(
    unfrozen: str, options: argparse.Namespace, sources: Sources
) -> tuple[float, float]:
    """Median seconds of a step, and its tokens, once the hidden states of frozen layers are there."""
    words = ["final", f"data={options.data}", f"freeze.unfrozen={unfrozen}"]
    prepared = prepare(config_from(words), sources=sources)
    with tempfile.TemporaryDirectory() as scratch, fresh_states(Path(scratch)):
        training = Training(
            prepared,
            RunFolder(Path(scratch)),
            choose_device(options.device),
            Interruption(),
            Progress(),
            1e9,
        )
        steps = training.plan.epoch(0)[: 3 + options.steps]
        rows = [
            prepared.train[task].take(chosen) for step in steps for task, chosen in step.items()
        ]
        training.frozen_cache.fill(*distinct(rows, prepared.pairer))
        times = []
        for number, step in enumerate(steps):
            started = time.perf_counter()
            training.step(step)
            if number >= 3:
                times.append(time.perf_counter() - started)
    return statistics.median(times), training.state.tokens / len(steps)


class Clock(Progress):
    """When a run began its first step or its hidden states, and when its last evaluation ended."""

    def begin(self, run_id: str, step: int, total: int) -> None:
        self.begun = time.perf_counter()

    def evaluated(self, step: int, metrics: Mapping[str, float | None]) -> None:
        self.scored = time.perf_counter()


def beside(options: argparse.Namespace, sources: Sources) -> Iterator[tuple[float, float, float]]:
    """Seconds of two runs in one process: before the work, the work, and after it (the record, the end of W&B's copy)."""
    with tempfile.TemporaryDirectory() as scratch, fresh_states(Path(scratch)):
        for seed in (0, 1):
            words = [
                "final",
                f"data={options.data}",
                "train.epochs=1",
                f"limit={options.limit}",
                f"seed={seed}",
            ]
            clock, started = Clock(), time.perf_counter()
            train(
                config_from(words), runs=scratch, wandb="offline", progress=clock, sources=sources
            )
            yield (
                clock.begun - started,
                clock.scored - clock.begun,
                time.perf_counter() - clock.scored,
            )


def command_seconds(words: list[str]) -> float:
    """Wall time of a command over an empty folder of runs."""
    with tempfile.TemporaryDirectory() as scratch, fresh_states(Path(scratch)):
        return timed(
            "-m", "mtl", *words, "--runs", f"{scratch}/runs", "--on-bad-row", "skip", "--quiet"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="sample", help="sample, or a folder of course files")
    parser.add_argument("--device", help="cpu or cuda; default: cuda where there is one")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--limit", type=int, default=200, help="training rows a task in grids")
    options = parser.parse_args()
    keep_memory()
    sources = Sources("skip")
    print(
        f"{processor()}; data {options.data}\n\n| layers that train | a step, ms | tokens/s |\n|---|---|---|"
    )
    for unfrozen in LAYERS:
        seconds, tokens = step_seconds(unfrozen, options, sources)
        print(f"| {unfrozen} | {1000 * seconds:.0f} | {tokens / seconds:.0f} |")
        sys.stdout.flush()
    print("\n| training rows a task | `mtl train final train.epochs=1`, s |\n|---|---|")
    for rows in ROWS:
        seconds = command_seconds(
            ["train", "final", f"data={options.data}", "train.epochs=1", f"limit={rows}"]
        )
        print(f"| {rows} | {seconds:.0f} |", flush=True)
    print("\n| cells of a grid | wall time, s | a cell, s |\n|---|---|---|")
    for cells in CELLS:
        rates = ",".join(f"{(1 + number) * 1e-5:g}" for number in range(max(2, cells)))
        words = [
            "ablate",
            "--grid",
            f"train.lr={rates}",
            "--grid",
            "seed=0",
            "--base",
            "final",
            "train.epochs=1",
        ]
        if cells == 1:
            words = ["train", "final", "train.lr=1e-5", "train.epochs=1"]
        seconds = command_seconds([*words, f"data={options.data}", f"limit={options.limit}"])
        print(f"| {cells} | {seconds:.0f} | {seconds / cells:.1f} |", flush=True)

    print("\n| in one process | before the work, s | work, s | after it, s |\n|---|---|---|---|")
    for name, parts in zip(
        ("first run", "second run"), beside(options, Sources("skip")), strict=True
    ):
        print(f"| {name} | " + " | ".join(f"{seconds:.2f}" for seconds in parts) + " |", flush=True)


if __name__ == "__main__":
    main()
