"""What a study seeks: the numbers of a record that can be an objective, and which way is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mtl.runs.record import Record
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

Direction = Literal["maximize", "minimize"]

SECONDS = "seconds"
_OF_KIND = {
    "score": ("pearson", "spearman", "mean_squared_error"),
    "binary": ("accuracy", "macro_f1", "calibration_error"),
    "classes": ("accuracy", "macro_f1", "calibration_error"),
}
_SMALL = ("mean_squared_error", "calibration_error")
"""Metrics of which less is better."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A number of a run's record, and which way it should go."""

    key: str
    direction: Direction

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.direction == "maximize" else -1

    def of(self, record: Record) -> float | None:
        """The run's value; None where it is undefined."""
        value = record.seconds if self.key == SECONDS else record.metrics.get(self.key)
        return None if value is None else float(value)

    def task(self) -> TaskName | None:
        """The task that it is a score of, if of one."""
        part = self.key.split("/")[1] if "/" in self.key else ""
        return next((task for task in TASKS if task == part), None)


def known_objectives() -> dict[str, Direction]:
    """Every objective there is, and the way it should go."""
    found: dict[str, Direction] = {"dev/overall": "maximize", SECONDS: "minimize"}
    for name, task in TASKS.items():
        for metric in _OF_KIND.get(task.kind, _OF_KIND["classes"]):
            found[f"dev/{name}/{metric}"] = "minimize" if metric in _SMALL else "maximize"
    return found


def dominates(
    one: Sequence[float], other: Sequence[float], objectives: Sequence[Objective]
) -> bool:
    """Whether `one` is nowhere worse than `other`, and somewhere better."""
    pairs = [(a * o.sign, b * o.sign) for a, b, o in zip(one, other, objectives, strict=True)]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
