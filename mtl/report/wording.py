"""How a report says numbers, methods and settings; what the terminal says too is in `mtl.ablation.sentences`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mtl.config.assignments import level_name
from mtl.config.schema import RunConfig
from mtl.methods.toggle import Method
from mtl.methods.toggles import TICKS, untold
from mtl.report.document import NOTHING, TICK, Cell
from mtl.stats import verdicts as stats


def mean_sd(summary: stats.Summary | None) -> str:
    """`0.812 ± 0.006 (sd, n=3)`; one seed has no spread: `0.812 (n=1)`."""
    if summary is None:
        return NOTHING
    spread = (
        f" ± {summary.sd:.3f} (sd, n={summary.n})"
        if summary.sd is not None
        else f" (n={summary.n})"
    )
    return f"{summary.mean:.3f}{spread}"


def summary_cell(summary: stats.Summary | None, missing: str = NOTHING) -> Cell:
    """Mean and spread, sorted by the mean; `missing` where there is none."""
    return Cell(
        text=missing if summary is None else mean_sd(summary),
        sort=None if summary is None else summary.mean,
    )


def method_cell(name: Method, config: RunConfig) -> Cell:
    """A tick with which kind of the method is on, or nothing."""
    found = TICKS[name](config)
    return Cell(
        text="" if found is None else f"{TICK} {found}".strip(), sort=float(found is not None)
    )


def methods_on(configs: Sequence[RunConfig]) -> list[Method]:
    """The methods that some but not all of these have on, or have on in different kinds."""
    return [name for name, kind in TICKS.items() if len({kind(config) for config in configs}) > 1]


def other_changes(changes: Mapping[str, Any]) -> str:
    """The differences from the baseline that no tick tells: `train.lr=1e-4, heads.quora=features`."""
    return ", ".join(f"{key}={level_name(value)}" for key, value in untold(changes).items())


def mean_of(values: Iterable[float | None]) -> float | None:
    """The plain mean of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def share(value: float | None) -> Cell:
    """A share as a cell: `9 %`, `0.4 %`."""
    if value is None:
        return Cell(text=NOTHING)
    return Cell(text=f"{100 * value:.{1 if 0 < value < 0.1 else 0}f} %", sort=value)


def small(value: float | None) -> Cell:
    """A number of any size with three digits that count: `1.2e-05`."""
    return Cell(text=NOTHING if value is None else f"{value:.3g}", sort=value)


def joined(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def names(items: Sequence[str]) -> str:
    """Names of arms in a line; they may hold commas."""
    return "; ".join(items)


def plural(count: int, word: str) -> str:
    """`1 run`, `3 runs`."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """`42 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
