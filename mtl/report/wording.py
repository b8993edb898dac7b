"""Cells of reports: scores, shares, methods and settings.

Wording that the terminal shares is in `mtl.grid.wording`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mtl.config.assignments import level_name
from mtl.config.schema import RunConfig
from mtl.grid.wording import NOTHING, joined, mean_sd
from mtl.methods.toggle import Method
from mtl.methods.toggles import TICKS, untold
from mtl.report.document import TICK, Cell
from mtl.stats.summary import Summary
from mtl.tasks.registry import TASKS
from mtl.tasks.task import METRIC_NAMES, TaskName


def summary_cell(summary: Summary | None, missing: str = NOTHING) -> Cell:
    """Mean and spread, sorted by the mean; `missing` where there is none."""
    return Cell(
        text=missing if summary is None else mean_sd(summary, count=True),
        sort=None if summary is None else summary.mean,
    )


def method_cell(name: Method, config: RunConfig) -> Cell:
    """A tick with which kind of the method is on, or nothing."""
    kind = TICKS[name](config)
    return Cell(text="" if kind is None else f"{TICK} {kind}".strip(), sort=float(kind is not None))


def methods_on(configs: Sequence[RunConfig]) -> list[Method]:
    """The methods that some but not all of these have on, or have on in different kinds."""
    return [name for name, kind in TICKS.items() if len({kind(config) for config in configs}) > 1]


def other_changes(changes: Mapping[str, Any]) -> str:
    """The differences from the baseline without a tick: `train.lr=1e-4, heads.quora=features`."""
    return ", ".join(f"{key}={level_name(value)}" for key, value in untold(changes).items())


def mean_of(values: Iterable[float | None]) -> float | None:
    """The plain mean of the known values; None where none is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def share(value: float | None) -> Cell:
    """A share as a cell: `9 %`, `0.4 %`."""
    if value is None:
        return Cell(text=NOTHING)
    return Cell(text=f"{100 * value:.{1 if 0 < value < 0.1 else 0}f} %", sort=value)


def small(value: float | None) -> Cell:
    """A number of any size with three significant digits: `1.2e-05`."""
    return Cell(text=NOTHING if value is None else f"{value:.3g}", sort=value)


def metrics_in_words(tasks: Sequence[TaskName]) -> str:
    """The metric of each task: `sst and quora accuracy, sts Pearson's r`."""
    by_metric: dict[str, list[str]] = {}
    for task in tasks:
        by_metric.setdefault(METRIC_NAMES[TASKS[task].metric], []).append(task)
    return ", ".join(f"{joined(of)} {metric}" for metric, of in by_metric.items())


def names(items: Sequence[str]) -> str:
    """Names of arms in a line; they may hold commas."""
    return "; ".join(items)
