"""A trial under way: its runs, what they have come to, and the dev scores by which it may be pruned.

A trial's first seed runs alone; its others only once it has ended, all at once. Pruning looks at the first seed only, so
trials are compared on the same seed, and one that is pruned has cost a part of one run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mtl.grid.plan import PlannedRun
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record
from mtl.study.objectives import Objective

if TYPE_CHECKING:
    import optuna


@dataclass
class Attempt:
    """One trial that this coordinator has. `steps` are those trained, by run; `total` is what a run of it takes."""

    trial: optuna.Trial
    cell: str
    runs: tuple[PlannedRun, ...]
    records: dict[str, Record] = field(default_factory=dict)
    followers: list[optuna.Trial] = field(default_factory=list)
    scores: dict[int, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    total: int | None = None
    pruned: bool = False

    @property
    def number(self) -> int:
        return self.trial.number

    @property
    def lead(self) -> PlannedRun:
        """The run of the first seed."""
        return self.runs[0]

    @property
    def others(self) -> tuple[PlannedRun, ...]:
        return self.runs[1:]

    @property
    def complete(self) -> bool:
        """Whether every run has its record."""
        return len(self.records) == len(self.runs)

    def take(self, run_id: str, record: Record) -> None:
        """A run has ended."""
        self.records[run_id] = record
        if record.steps is not None:
            self.steps[run_id] = record.steps
            self.total = self.total or record.steps

    def score(self, step: int, value: float) -> int | None:
        """The first seed's dev score at a step: which evaluation that is, from 1; None where it is known."""
        if step in self.scores:
            return None
        self.scores[step] = value
        return sum(known <= step for known in self.scores)

    def spent(self) -> dict[str, int]:
        """Steps trained and steps in all, over all seeds, as they are written down."""
        done = sum(self.steps.values())
        return {"steps": done, "all_steps": max(done, (self.total or 0) * len(self.runs))}


def past_scores(folder: RunFolder, objective: Objective) -> list[tuple[int, float]]:
    """What a run has scored so far: (step, value), as its log has it."""
    found = []
    for line in folder.history():
        value = line.get("metrics", {}).get(objective.key)
        if value is not None:
            found.append((int(line["step"]), float(value)))
    return found


def values_of(
    records: Mapping[str, Record], objectives: Sequence[Objective]
) -> tuple[list[float] | None, str | None, dict[str, list[float | None]]]:
    """Each objective's mean over runs, or None and why; and its value in each run."""
    by_run = {one.key: [one.of(record) for record in records.values()] for one in objectives}
    means = []
    for key, values in by_run.items():
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            run_id, record = next(
                (r, d) for (r, d), v in zip(records.items(), values, strict=True) if v is None
            )
            why = record.undefined.get(key, "no reason recorded")
            return None, f"{key} is undefined in {run_id}: {why}", by_run
        means.append(sum(known) / len(known))
    return means, None, by_run
