"""A trial in flight: its runs, their records, and the dev scores for the pruner.

The first seed's run trains alone. The runs of the other seeds start together once it has ended. The
pruner sees the first seed only, so trials are compared on the same seed, and a pruned trial costs a
part of one run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mtl.errors import RunError
from mtl.grid.plan import PlannedRun
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record
from mtl.study.objectives import Objective

if TYPE_CHECKING:
    import optuna


@dataclass
class RunningTrial:
    """One trial of this coordinator.

    `followers` are trials with the same cell, drawn meanwhile. `scores` are the first seed's dev
    scores by step. `steps` are the steps trained, by run; `total` is the steps of a whole run.
    """

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
    def first_run(self) -> PlannedRun:
        """The run of the first seed."""
        return self.runs[0]

    @property
    def other_runs(self) -> tuple[PlannedRun, ...]:
        return self.runs[1:]

    @property
    def complete(self) -> bool:
        """Whether every run has its record."""
        return len(self.records) == len(self.runs)

    def add_record(self, run_id: str, record: Record) -> None:
        """Keep the record of a run that has ended."""
        self.records[run_id] = record
        if record.steps is not None:
            self.steps[run_id] = record.steps
            self.total = self.total or record.steps

    def add_score(self, step: int, value: float) -> int | None:
        """Keep a dev score of the first seed.

        Returns the number of the evaluation, from 1, or None if the step has a score already.
        """
        if step in self.scores:
            return None
        self.scores[step] = value
        return sum(known <= step for known in self.scores)

    def count_steps(self) -> dict[str, int]:
        """Steps trained and steps in all, over all seeds, as attributes of the trial."""
        trained = sum(self.steps.values())
        return {"steps": trained, "all_steps": max(trained, (self.total or 0) * len(self.runs))}


def past_scores(folder: RunFolder, objective: Objective) -> list[tuple[int, float]]:
    """The scores in a run's log: (step, value). A damaged log has none."""
    scores = []
    try:
        lines = folder.history()
    except RunError:
        return []
    for line in lines:
        value = line.get("metrics", {}).get(objective.key)
        if value is not None:
            scores.append((int(line["step"]), float(value)))
    return scores


def objective_means(
    records: Mapping[str, Record], objectives: Sequence[Objective]
) -> tuple[list[float] | None, str | None, dict[str, list[float | None]]]:
    """Each objective's mean over a trial's runs.

    Returns (means, reason, values): means is None, with the reason, if an objective is undefined in
    a run; values are each objective's values, run by run.
    """
    by_run = {goal.key: [goal.of(record) for record in records.values()] for goal in objectives}
    means = []
    for key, values in by_run.items():
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            run_id = list(records)[values.index(None)]
            reason = records[run_id].undefined.get(key, "no reason recorded")
            return None, f"{key} is undefined in {run_id}: {reason}", by_run
        means.append(sum(known) / len(known))
    return means, None, by_run
