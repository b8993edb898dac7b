"""Wall time of a whole grid against the same runs one by one: start-up, evaluation, W&B and all.

`mtl ablate` trains the cells of a grid in workers that share the machine and loaded data. The other
sides run the same configs as separate processes, one after the other, each with the whole machine:
`mtl train`, and with `--plain` the plain loop (`plain.py`, which logs and saves nothing). All start
with an empty folder of runs and an empty cache of frozen states; the token cache is warm.

`--some K` runs only K of the separate processes per side, evenly chosen, and scales their mean to
all. `--cells 1` has no grid: it compares whole runs of `mtl train` with the plain loop.

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

from caches import fresh_states

from mtl.config import identity
from mtl.config.settings import config_from
from mtl.model.device import processor
from mtl.runs.prepare import Sources

RATES = ("1e-4", "5e-5", "2e-4", "3e-5")
POOLINGS = ("pooler", "cls", "mean")
QUIET = ("--on-bad-row", "skip", "--quiet")

Cell = tuple[str, str]
"""Learning rate and pooling."""


def timed(*command: str) -> float:
    """Seconds that a Python command takes. Raises CalledProcessError if it fails."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    return time.perf_counter() - started


def main() -> None:
    options = _options()
    cells = [(rate, pooling) for pooling in POOLINGS for rate in RATES][: options.cells]
    runs = _runs(cells, options)
    some = runs[:: max(1, len(runs) // options.some)][: options.some] if options.some else runs
    sources = Sources("skip")
    configs = [config_from(words) for words in runs]
    expected = {identity.run_id(sources.cell(config), config.seed) for config in configs}
    sources.tokens(configs[0])
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if len(cells) > 1:
            seconds["grid"] = _grid_seconds(scratch, cells, options, expected)
        with fresh_states(scratch):
            apart = [
                timed("-m", "mtl", "train", *words, "--runs", f"{scratch}/apart", *QUIET)
                for words in some
            ]
        seconds["separate"] = sum(apart) / len(apart) * len(runs)
        if options.plain:
            plain = [timed(str(Path(__file__).with_name("plain.py")), *words) for words in some]
            seconds["plain"] = sum(plain) / len(plain) * len(runs)
    if options.json:
        settings = {name: getattr(options, name) for name in ("limit", "epochs", "data")}
        print(json.dumps({"runs": len(runs), **settings, **seconds}, indent=1))
    else:
        _print_table(seconds, options, len(runs), len(some))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="sample", help="sample, or a folder of course files")
    parser.add_argument(
        "--cells", type=int, default=12, help="up to 12: learning rates and poolings of `final`"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--limit", type=int, default=400, help="training rows per task")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--plain", action="store_true", help="measure the plain loop too")
    parser.add_argument(
        "--some", type=int, metavar="K", help="separate processes to run per side; default: all"
    )
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _runs(cells: list[Cell], options: argparse.Namespace) -> list[list[str]]:
    """The words of `mtl train` for each run."""
    common = [
        "final",
        f"data={options.data}",
        f"limit={options.limit}",
        f"train.epochs={options.epochs}",
    ]
    return [
        [*common, f"train.lr={rate}", f"pooling={pooling}", f"seed={seed}"]
        for seed in range(options.seeds)
        for rate, pooling in cells
    ]


def _grid_seconds(
    scratch: Path, cells: list[Cell], options: argparse.Namespace, expected: set[str]
) -> float:
    """Wall time of `mtl ablate`. Checks that it trained exactly the expected runs."""
    grid, runs = scratch / "grid.yaml", scratch / "together"
    grid.write_text(json.dumps(_definition(cells, options)), "utf-8")
    workers = [] if options.workers is None else ["--workers", str(options.workers)]
    with fresh_states(scratch):
        words = ["ablate", "--grid", str(grid), "--runs", str(runs), *QUIET, *workers]
        seconds = timed("-m", "mtl", *words)
    trained = {path.parent.name for path in runs.glob("*/record.json")}
    assert trained == expected, f"the grid trained other runs: {trained ^ expected}"
    return seconds


def _definition(cells: list[Cell], options: argparse.Namespace) -> dict[str, Any]:
    """The definition of a grid with the same cells."""
    rate, pooling = cells[0]
    settings = {"data": options.data, "limit": options.limit, "train.epochs": options.epochs}
    return {
        "question": "How long does it take?",
        "base": "final",
        "set": settings | {"pooling": pooling, "train.lr": float(rate)},
        "seeds": list(range(options.seeds)),
        "arms": {
            f"{pooling} {rate}": {"pooling": pooling, "train.lr": float(rate)}
            for rate, pooling in cells[1:]
        },
    }


def _print_table(
    seconds: dict[str, float], options: argparse.Namespace, runs: int, separate: int
) -> None:
    print(
        f"{processor()}; {options.data}, {options.limit} rows per task, "
        f"{options.epochs} epoch(s), {runs} runs"
    )
    print(f"separate processes: {separate} were run\n")
    ours = "grid" if "grid" in seconds else "separate"
    print(f"| | wall time | {ours} / it | it / {ours} |")
    print("|---|---|---|---|")
    for name, value in seconds.items():
        share = seconds[ours] / value
        print(f"| {name} | {value:.0f} s | {share:.2f} | {1 / share:.2f} |")


if __name__ == "__main__":
    main()
