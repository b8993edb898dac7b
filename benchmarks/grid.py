"""A whole grid against the same runs made one by one: wall time, start-up, evaluation, W&B and all.

`mtl ablate` trains the cells of a grid in workers that share the machine and what they have read. The other side runs the very
same configurations as separate `mtl train` processes, one after the other, each with all of the machine. Both begin with an
empty folder of runs; the cache of tokens is warm for both. Every run's record is there on both sides at the end.

    python benchmarks/grid.py --cells 12 --limit 400
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mtl import identity
from mtl.data.prepare import Sources
from mtl.environment import processor
from mtl.layers import config_from

RATES = ("1e-4", "5e-5", "2e-4", "3e-5")
POOLINGS = ("pooler", "cls", "mean")


def mtl(*words: str) -> float:
    """Seconds that a command takes. Raises CalledProcessError where it fails."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mtl", *words, "--quiet"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="sample, or a folder of course files")
    parser.add_argument("--cells", type=int, default=12, help="up to 12: learning rates and poolings of `final`")
    parser.add_argument("--limit", type=int, default=400, help="training rows a task")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    cells = [(rate, pooling) for pooling in POOLINGS for rate in RATES][: options.cells]
    common = [f"data={options.data}", f"limit={options.limit}", f"train.epochs={options.epochs}"]
    configs = [
        config_from(["final", *common, f"train.lr={rate}", f"pooling={pooling}", "seed=0"]) for rate, pooling in cells
    ]
    sources = Sources("skip")
    expected = {identity.run_id(sources.cell(config), config.seed) for config in configs}
    for config in configs:
        sources.tokens(config)
    with tempfile.TemporaryDirectory() as scratch:
        grid = Path(scratch) / "grid.yaml"
        grid.write_text(json.dumps(definition(cells, options)), "utf-8")
        workers = [] if options.workers is None else ["--workers", str(options.workers)]
        skip = ["--on-bad-row", "skip"]
        together = mtl("ablate", "--grid", str(grid), "--runs", f"{scratch}/together", *skip, *workers)
        apart = [
            mtl("train", "final", *common, f"train.lr={rate}", f"pooling={pooling}", "--runs", f"{scratch}/apart", *skip)
            for rate, pooling in cells
        ]
        for folder in ("together", "apart"):
            found = {path.parent.name for path in (Path(scratch) / folder).glob("*/record.json")}
            assert found == expected, f"{folder}: other runs than asked for: {found ^ expected}"
    result: dict[str, Any] = {
        "cells": len(cells), "rows": options.limit, "epochs": options.epochs, "data": options.data,
        "grid_seconds": together, "apart_seconds": sum(apart), "ratio": together / sum(apart),
    }  # fmt: skip
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{processor()}; {options.data}, {options.limit} rows a task, {options.epochs} epoch(s)\n")
    print("| cells | as a grid | as separate processes | grid / separate |")
    print("|---|---|---|---|")
    print(f"| {len(cells)} | {together:.0f} s | {sum(apart):.0f} s | {together / sum(apart):.2f} |")


def definition(cells: list[tuple[str, str]], options: argparse.Namespace) -> dict[str, Any]:
    """The grid of the same cells."""
    arms = {f"{pooling} {rate}": {"pooling": pooling, "train.lr": float(rate)} for rate, pooling in cells[1:]}
    rate, pooling = cells[0]
    settings = {"data": options.data, "limit": options.limit, "train.epochs": options.epochs}
    settings |= {"pooling": pooling, "train.lr": float(rate)}
    return {"question": "How long does it take?", "base": "final", "set": settings, "seeds": [0], "arms": arms}


if __name__ == "__main__":
    main()
