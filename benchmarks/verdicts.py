"""How often `mtl.stats` is right, on simulated grids with known true differences.

    python benchmarks/verdicts.py worlds --grids 500 --out verdicts.json
    python benchmarks/verdicts.py worlds --out verdicts.json --table
    python benchmarks/verdicts.py laws --grids 1000

`worlds`: 13 worlds, 4 and 20 arms, 3, 5 and 10 seeds: false calls, power, widths and coverage,
beside figures of an independent simulation, and what other methods say of the same scores. A cell
that stands in the file, with as many grids, is not computed again. With several jobs set
OMP_NUM_THREADS=1. `laws`: whether "k more seeds" decide, what adding
seeds costs, and whether plans come true.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.rivals import RIVALS, calls, rivals
from tests.simulated_laws import planned, seeds_that_decide, until_decided
from tests.simulated_studies import (
    GAINS,
    compared,
    figures,
)
from tests.simulated_worlds import WORLDS, arms_of, simulate

REFERENCE = Path(__file__).with_name("verdicts_reference.json")
"""Figures of an independent simulation of the same estimator: `arms/seeds/world` -> figures."""

RIVAL_GRIDS = 200


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("worlds", "laws"))
    parser.add_argument("--grids", type=int, default=500, help="simulated grids per cell")
    parser.add_argument("--arms", type=_numbers, default=(4, 20))
    parser.add_argument("--seeds", type=_numbers, default=(3, 5, 10))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, help="a JSON file of finished cells")
    parser.add_argument("--table", action="store_true", help="print what the file holds")
    options = parser.parse_args()
    if options.what == "laws":
        print_laws(options.grids)
        return
    cells = _read(options.out)
    if not options.table and len(rivals()) == len(RIVALS):
        print("ASO is left out; for it: pip install deepsig", file=sys.stderr)
    wanted = [
        (arms, seeds, world)
        for seeds in options.seeds
        for arms in options.arms
        for world in WORLDS
        if cells.get(f"{arms}/{seeds}/{world}", {}).get("grids", 0) < options.grids
    ]
    if not options.table and wanted:
        with ProcessPoolExecutor(options.jobs) as pool:
            for key, cell in pool.map(
                one_cell, *zip(*wanted, strict=True), [options.grids] * len(wanted)
            ):
                cells[key] = cell
                if options.out:
                    options.out.write_text(json.dumps(cells, indent=1) + "\n")
                print(key, f"{100 * cell['false_grids']:.1f} % false grids", file=sys.stderr)
    print_worlds(cells)
    print_rivals(cells)


def one_cell(arms: int, seeds: int, world: str, grids: int) -> tuple[str, dict[str, Any]]:
    """The figures of a world with that many arms and seeds."""
    rng = np.random.default_rng([arms, seeds, WORLDS.index(world)])
    estimates, scores = [], []
    for number in range(grids):
        values = simulate(rng, world, arms=arms, seeds=seeds)
        estimates.append(list(compared(arms_of(values)).values()))
        if number < RIVAL_GRIDS:
            by_task = [of_task.mean(2, dtype=np.float64) for of_task in values.values()]
            scores.append(np.stack(by_task, axis=1))
    cell: dict[str, Any] = asdict(figures(estimates))
    error = float(np.std([grid[-1].value for grid in estimates]))
    cell["rivals"] = calls(scores, tuple(size * error for size in GAINS), rng)
    return f"{arms}/{seeds}/{world}", cell


def print_worlds(cells: dict[str, Any]) -> None:
    """Our figures beside the reference's, which stand in brackets. All but half-width and df: %."""
    reference = json.loads(REFERENCE.read_text())
    row("arms", "seeds", "world", "false alone", "arm 1", "false grids", "4 SE alone", "4 SE Holm",
        "6 SE alone", "6 SE Holm", "half-width", "df", "narrowest tenth covers",
        "no difference at the margin", header=True)  # fmt: skip
    for key, cell in sorted(cells.items(), key=lambda item: _order(item[0])):
        ours = [
            cell["false_one"], cell["false_first"], cell["false_grids"],
            cell["found_alone"][0], cell["found"][0], cell["found_alone"][1], cell["found"][1],
        ]  # fmt: skip
        theirs = reference.get(key, [])
        shown = [
            f"{100 * share:.1f}" + (f" ({theirs[place]:.1f})" if theirs else "")
            for place, share in enumerate(ours)
        ]
        widths = f"{cell['half_width']:.4f}" + (f" ({theirs[7]:.4f})" if theirs else "")
        df = f"{cell['df']:.1f}" + (f" ({theirs[8]:.1f})" if theirs else "")
        row(*key.split("/"), *shown, widths, df, f"{100 * cell['narrowest']:.1f}",
            f"{100 * cell['false_none']:.1f}")  # fmt: skip
    print()


def print_rivals(cells: dict[str, Any]) -> None:
    """False calls and power of other methods, as means and worst values over the worlds, in %."""
    row("arms", "seeds", "method", "false alone", "worst world", "false grids", "worst world",
        "finds 4 SE", "finds 6 SE", header=True)  # fmt: skip
    groups: dict[tuple[str, str], list[Any]] = {}
    for key, cell in cells.items():
        arms, seeds, _ = key.split("/", 2)
        groups.setdefault((arms, seeds), []).append(cell)
    for (arms, seeds), of_group in sorted(
        groups.items(), key=lambda item: _order("/".join(item[0]))
    ):
        ours = [
            {"false_one": cell["false_one"], "false_grids": cell["false_grids"],
             "found_4": cell["found"][0], "found_6": cell["found"][1]}
            for cell in of_group
        ]  # fmt: skip
        methods = {"mtl (Holm over arms)": ours}
        for name in of_group[0]["rivals"]:
            methods[name] = [cell["rivals"][name] for cell in of_group if name in cell["rivals"]]
        for name, of_method in methods.items():
            alone, grids = ([one[key] for one in of_method] for key in ("false_one", "false_grids"))
            power = [np.mean([one[key] for one in of_method]) for key in ("found_4", "found_6")]
            numbers = [np.mean(alone), max(alone), np.mean(grids), max(grids), *power]
            row(arms, seeds, name, *(f"{100 * number:.1f}" for number in numbers))


def print_laws(grids: int) -> None:
    """Promises of the verdicts, and whether they are kept."""
    row("open verdicts after 3 seeds, 4 arms", "k of 1 to 20 promised", "decided then",
        "more than 20, or none", header=True)  # fmt: skip
    for spread in (0.01, 0.02, 0.04):
        needed = seeds_that_decide(np.random.default_rng(1), grids=grids, spread=spread)
        row(f"true effects have sd {spread:g}", needed.promised, f"{100 * needed.share:.1f} %",
            needed.beyond)  # fmt: skip
    print()
    row("until decided, 3 to 8 seeds, 20 arms, 8 effects", "runs", "large found", "small found",
        "false grids", "seeds to a decision", header=True)  # fmt: skip
    for rule in ("0.1.0", "now"):
        found = until_decided(np.random.default_rng(2), grids=max(20, grids // 5), rule=rule)
        row(rule, f"{found.runs:.0f}", *(f"{100 * share:.1f} %" for share in (
            found.found_large, found.found_small, found.false_grids)),
            f"{found.seeds_to_decision:.1f}")  # fmt: skip
    print()
    row("plan", "smallest difference", "its power: planned", "simulated", "margin",
        "no difference: planned", "simulated", header=True)  # fmt: skip
    for world, arms, seeds, rows in (
        ("plain", 4, 3, 1.0), ("plain", 20, 3, 1.0), ("plain", 4, 5, 0.3),
        ("flips only", 8, 3, 0.5), ("seeds dominate", 4, 5, 1.0),
    ):  # fmt: skip
        one = planned(
            np.random.default_rng(3), world, arms=arms, seeds=seeds, rows=rows, grids=grids
        )
        row(f"{world}, {arms} arms, {seeds} seeds, rows x{rows:g}", f"{one.smallest:.4f}",
            f"{100 * one.power:.1f} %", f"{100 * one.simulated_power:.1f} %", f"{one.margin:.4f}",
            f"{100 * one.none:.1f} %", f"{100 * one.simulated_none:.1f} %")  # fmt: skip


def row(*cells: object, header: bool = False) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    if header:
        print("|" + "---|" * len(cells))


def _order(key: str) -> tuple[int, int, int]:
    arms, seeds, *world = key.split("/", 2)
    return int(seeds), int(arms), WORLDS.index(world[0]) if world else 0


def _read(path: Path | None) -> dict[str, Any]:
    return json.loads(path.read_text()) if path is not None and path.exists() else {}


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


if __name__ == "__main__":
    main()
