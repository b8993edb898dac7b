"""How cost grows with trained layers, training rows and cells of a grid. All else is `final`.

Step times are medians over repeated steps in one process. Whole runs and grids are wall times of
the commands, each with an empty cache of frozen states. The last table has the overhead of a run in
a process that has trained one before, as a worker of a grid has.

    python benchmarks/scaling.py --data FOLDER
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from caches import fresh_states
from grid import QUIET, timed

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
WARM_UP = 3
"""Steps that are not timed."""


class Clock(Progress):
    """Notes when a run begins its first step and when its last evaluation ends."""

    def begin(self, run_id: str, step: int, total: int) -> None:
        self.begun = time.perf_counter()

    def evaluated(self, step: int, metrics: Mapping[str, float | None]) -> None:
        self.scored = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="sample", help="sample, or a folder of course files")
    parser.add_argument("--device", help="cpu or cuda; default: cuda if there is one")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--limit", type=int, default=200, help="training rows per task in grids")
    options = parser.parse_args()
    keep_memory()
    print(f"{processor()}; data {options.data}\n")
    _print_layers(options)
    _print_rows(options)
    _print_cells(options)
    _print_overhead(options)


def _print_layers(options: argparse.Namespace) -> None:
    sources = Sources("skip")
    print("| trained layers | step, ms | tokens/s |\n|---|---|---|")
    for unfrozen in LAYERS:
        seconds, tokens = _step_seconds(unfrozen, options, sources)
        print(f"| {unfrozen} | {1000 * seconds:.0f} | {tokens / seconds:.0f} |", flush=True)


def _step_seconds(
    unfrozen: str, options: argparse.Namespace, sources: Sources
) -> tuple[float, float]:
    """Median seconds of a step, and its tokens, with the states of frozen layers cached."""
    words = ["final", f"data={options.data}", f"freeze.unfrozen={unfrozen}"]
    prepared = prepare(config_from(words), sources=sources)
    with tempfile.TemporaryDirectory() as scratch, fresh_states(Path(scratch)):
        device, folder = choose_device(options.device), RunFolder(Path(scratch))
        training = Training(prepared, folder, device, Interruption(), Progress(), 1e9)
        steps = training.plan.epoch(0)[: WARM_UP + options.steps]
        rows = [prepared.train[task].take(index) for step in steps for task, index in step.items()]
        training.frozen_cache.fill(*distinct(rows, prepared.pairer))
        times = []
        for step in steps:
            started = time.perf_counter()
            training.step(step)
            times.append(time.perf_counter() - started)
    return statistics.median(times[WARM_UP:]), training.state.tokens / len(steps)


def _print_rows(options: argparse.Namespace) -> None:
    print("\n| training rows per task | `mtl train final train.epochs=1`, s |\n|---|---|")
    for rows in ROWS:
        words = ["train", "final", f"data={options.data}", "train.epochs=1", f"limit={rows}"]
        print(f"| {rows} | {_command_seconds(words):.0f} |", flush=True)


def _print_cells(options: argparse.Namespace) -> None:
    print("\n| cells of a grid | wall time, s | per cell, s |\n|---|---|---|")
    for cells in CELLS:
        rates = ",".join(f"{(1 + number) * 1e-5:g}" for number in range(cells))
        if cells == 1:
            words = ["train", "final", f"train.lr={rates}"]
        else:
            words = ["ablate", "--grid", f"train.lr={rates}", "--grid", "seed=0", "--base", "final"]
        words += ["train.epochs=1", f"data={options.data}", f"limit={options.limit}"]
        seconds = _command_seconds(words)
        print(f"| {cells} | {seconds:.0f} | {seconds / cells:.1f} |", flush=True)


def _command_seconds(words: list[str]) -> float:
    """Wall time of an `mtl` command with an empty folder of runs."""
    with tempfile.TemporaryDirectory() as scratch, fresh_states(Path(scratch)):
        return timed("-m", "mtl", *words, "--runs", f"{scratch}/runs", *QUIET)


def _print_overhead(options: argparse.Namespace) -> None:
    print("\n| in one process | before the work, s | work, s | after it, s |\n|---|---|---|---|")
    for name, parts in zip(("first run", "second run"), _run_parts(options), strict=True):
        print(f"| {name} | " + " | ".join(f"{seconds:.2f}" for seconds in parts) + " |", flush=True)


def _run_parts(options: argparse.Namespace) -> Iterator[tuple[float, float, float]]:
    """Seconds of two runs in one process: before the work, the work, and after it.

    After the work come the record and the end of the W&B run.
    """
    sources = Sources("skip")
    with tempfile.TemporaryDirectory() as scratch, fresh_states(Path(scratch)):
        for seed in (0, 1):
            words = ["final", f"data={options.data}", f"limit={options.limit}", f"seed={seed}"]
            config = config_from([*words, "train.epochs=1"])
            clock, started = Clock(), time.perf_counter()
            train(config, runs=scratch, wandb="offline", progress=clock, sources=sources)
            yield (
                clock.begun - started,
                clock.scored - clock.begun,
                time.perf_counter() - clock.scored,
            )


if __name__ == "__main__":
    main()
