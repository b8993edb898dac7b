"""Objectives of a study: the numbers of a record that can be optimised, with directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mtl.runs.record import Record
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

Direction = Literal["maximize", "minimize"]

SECONDS = "seconds"
_OF_SCORES = ("pearson", "spearman", "mean_squared_error")
_OF_CLASSES = ("accuracy", "macro_f1", "calibration_error")
_MINIMISED = ("mean_squared_error", "calibration_error", "rmse")
"""Metrics that are minimised."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A number of a run's record and the direction in which it improves."""

    key: str
    direction: Direction

    @property
    def sign(self) -> int:
        """1 if larger is better, else -1."""
        return 1 if self.direction == "maximize" else -1

    def of(self, record: Record) -> float | None:
        """The run's value; None where it is undefined."""
        value = record.seconds if self.key == SECONDS else record.metrics.get(self.key)
        return None if value is None else float(value)

    def task(self) -> TaskName | None:
        """The task whose score it is; None for `seconds` and `dev/overall`."""
        part = self.key.split("/")[1] if "/" in self.key else ""
        return next((task for task in TASKS if task == part), None)


def known_objectives() -> dict[str, Direction]:
    """Every objective with its default direction."""
    known: dict[str, Direction] = {"dev/overall": "maximize", SECONDS: "minimize"}
    for task in TASKS.readable():
        usual = _OF_CLASSES if task.class_names else _OF_SCORES
        for metric in dict.fromkeys((*usual, task.metric, *task.metrics)):
            known[f"dev/{task.name}/{metric}"] = "minimize" if metric in _MINIMISED else "maximize"
    return known


def dominates(
    first: Sequence[float], second: Sequence[float], objectives: Sequence[Objective]
) -> bool:
    """Whether `first` Pareto-dominates `second`: never worse, and better in one objective."""
    signs = [objective.sign for objective in objectives]
    new = [value * sign for value, sign in zip(first, signs, strict=True)]
    old = [value * sign for value, sign in zip(second, signs, strict=True)]
    return new != old and all(a >= b for a, b in zip(new, old, strict=True))
