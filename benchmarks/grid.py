"""A whole grid against the same runs made one by one: wall time, start-up, evaluation, W&B and all.

`mtl ablate` trains the cells of a grid in workers that share the machine and what they have read. The other sides run the very
same configurations as separate processes, one after the other, each with all of the machine: `mtl train`, and with `--plain`
the plain loop (`plain.py`, which logs nothing and saves nothing). All begin with an empty folder of runs and an empty cache
of hidden states; the cache of tokens is warm. `--some K` runs K of the separate processes on each side, evenly chosen, and
counts their mean for all. With `--cells 1` there is no grid: whole runs of `mtl train` against the plain loop.

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


def timed(*command: str) -> float:
    """Seconds that a Python command takes. Raises CalledProcessError where it fails."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="sample", help="sample, or a folder of course files")
    parser.add_argument(
        "--cells", type=int, default=12, help="up to 12: learning rates and poolings of `final`"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--limit", type=int, default=400, help="training rows a task")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--plain", action="store_true", help="measure the plain loop too")
    parser.add_argument(
        "--some", type=int, metavar="K", help="separate processes to run on each side; default: all"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    cells = [(rate, pooling) for pooling in POOLINGS for rate in RATES][: options.cells]
    common = [
        "final",
        f"data={options.data}",
        f"limit={options.limit}",
        f"train.epochs={options.epochs}",
    ]
    runs = [
        [*common, f"train.lr={rate}", f"pooling={pooling}", f"seed={seed}"]
        for seed in range(options.seeds)
        for rate, pooling in cells
    ]
    some = runs[:: max(1, len(runs) // options.some)][: options.some] if options.some else runs
    sources = Sources("skip")
    configs = [config_from(words) for words in runs]
    expected = {identity.run_id(sources.cell(config), config.seed) for config in configs}
    sources.tokens(configs[0])
    result: dict[str, Any] = {
        "runs": len(runs),
        "limit": options.limit,
        "epochs": options.epochs,
        "data": options.data,
    }
    with tempfile.TemporaryDirectory() as scratch:
        grid = Path(scratch) / "grid.yaml"
        grid.write_text(json.dumps(definition(cells, options)), "utf-8")
        quietly = ["--on-bad-row", "skip", "--quiet"]
        workers = [] if options.workers is None else ["--workers", str(options.workers)]
        if len(cells) > 1:
            with fresh_states(Path(scratch)):
                result["grid"] = timed(
                    "-m",
                    "mtl",
                    "ablate",
                    "--grid",
                    str(grid),
                    "--runs",
                    f"{scratch}/together",
                    *quietly,
                    *workers,
                )
            found = {
                path.parent.name for path in (Path(scratch) / "together").glob("*/record.json")
            }
            assert found == expected, f"other runs than asked for: {found ^ expected}"
        with fresh_states(Path(scratch)):
            apart = [
                timed("-m", "mtl", "train", *words, "--runs", f"{scratch}/apart", *quietly)
                for words in some
            ]
        result["separate"] = sum(apart) / len(apart) * len(runs)
        if options.plain:
            plain = [timed(str(Path(__file__).with_name("plain.py")), *words) for words in some]
            result["plain"] = sum(plain) / len(plain) * len(runs)
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(
        f"{processor()}; {options.data}, {options.limit} rows a task, {options.epochs} epoch(s), {len(runs)} runs"
    )
    print(f"separate processes: {len(some)} were run\n")
    ours = "grid" if "grid" in result else "separate"
    print(f"| | wall time | {ours} / it | it / {ours} |")
    print("|---|---|---|---|")
    for name in ("grid", "separate", "plain"):
        if name in result:
            share = result[ours] / result[name]
            print(f"| {name} | {result[name]:.0f} s | {share:.2f} | {1 / share:.2f} |")


def definition(cells: list[tuple[str, str]], options: argparse.Namespace) -> dict[str, Any]:
    """The grid of the same cells."""
    arms = {
        f"{pooling} {rate}": {"pooling": pooling, "train.lr": float(rate)}
        for rate, pooling in cells[1:]
    }
    rate, pooling = cells[0]
    settings = {"data": options.data, "limit": options.limit, "train.epochs": options.epochs}
    settings |= {"pooling": pooling, "train.lr": float(rate)}
    seeds = list(range(options.seeds))
    return {
        "question": "How long does it take?",
        "base": "final",
        "set": settings,
        "seeds": seeds,
        "arms": arms,
    }


if __name__ == "__main__":
    main()
