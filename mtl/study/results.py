"""What a study found, from its storage and the runs' records: the best, the front, what mattered, what it cost.

Nothing is trained here and no data is needed. Scores are of dev. The score that won was chosen for being the best, so the
one on fresh seeds stands beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.config import identity
from mtl.errors import RunError
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record
from mtl.stats.verdicts import Summary, summarise
from mtl.study.definition import Study
from mtl.study.importance import Importance, importances
from mtl.study.lease import seconds_spent
from mtl.study.objectives import Objective, dominates
from mtl.study.space import Point
from mtl.study.trials import (
    ALL_STEPS,
    CELL,
    FIRST,
    OUTCOME,
    POINT,
    REASON,
    SAME,
    STEPS,
    UNCOUNTED,
    is_counted,
)

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


MOST_WINNERS = 5
"""Trials of a Pareto front that are run on fresh seeds."""


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """One trial. `values` is empty unless it is done; `by_seed` has each objective's value on each seed."""

    number: int
    outcome: str
    point: Point
    cell: str | None
    values: tuple[float, ...]
    by_seed: Mapping[str, Sequence[float | None]]
    reason: str | None
    first: str | None
    same_as: int | None
    steps: int
    all_steps: int
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """A winner on seeds that had no part in choosing it: each objective over the seeds, and why a seed lacks."""

    trial: int
    cell: str
    seeds: tuple[int, ...]
    scores: Mapping[str, Summary]
    missing: Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class StudyResults:
    """What there is to say of a study. `seconds` are those of its coordinators, all together."""

    name: str
    question: str
    objectives: tuple[Objective, ...]
    sampler: str
    pruner: str
    seeds: tuple[int, ...]
    budget: Mapping[str, float]
    space: Mapping[str, str]
    trials: tuple[TrialResult, ...]
    front: tuple[int, ...]
    importances: tuple[Importance, ...]
    fresh: tuple[Fresh, ...]
    seconds: float

    @property
    def best(self) -> TrialResult | None:
        """The best trial by the one objective; None with several, or before one is done."""
        return self.trial(self.front[0]) if len(self.objectives) == 1 and self.front else None

    def trial(self, number: int) -> TrialResult:
        """The trial of that number."""
        return next(one for one in self.trials if one.number == number)

    def winners(self) -> list[TrialResult]:
        """The best trial, or the front of several objectives."""
        return [self.trial(number) for number in self.front]

    @property
    def counted(self) -> list[TrialResult]:
        """The trials that count towards the budget and have ended."""
        return [one for one in self.trials if one.outcome not in (*UNCOUNTED, "running")]

    @property
    def own(self) -> list[TrialResult]:
        """Those with runs of their own: no point that had been tried."""
        return [one for one in self.counted if one.same_as is None]

    @property
    def pruned_share(self) -> float | None:
        """Which part of the trials was pruned."""
        return (
            sum(one.outcome == "pruned" for one in self.own) / len(self.own) if self.own else None
        )

    @property
    def saved_share(self) -> float | None:
        """Which part of the steps of all trials pruning has saved."""
        full = sum(one.all_steps for one in self.own)
        saved = sum(one.all_steps - one.steps for one in self.own if one.outcome == "pruned")
        return saved / full if full else None

    def history(self) -> list[tuple[int, float, float]]:
        """(number, value, best so far) of every trial done, in the order of their numbers; one objective."""
        found: list[tuple[int, float, float]] = []
        for one in self.trials:
            if one.values:
                sign = self.objectives[0].sign
                best = (
                    max(one.values[0] * sign, found[-1][2] * sign if found else -float("inf"))
                    * sign
                )
                found.append((one.number, one.values[0], best))
        return found

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        best = self.best
        return plain | {
            "best": None if best is None else best.number,
            "history": [list(one) for one in self.history()] if len(self.objectives) == 1 else None,
            "pruned_share": self.pruned_share,
            "saved_share": self.saved_share,
        }


def make_results(
    definition: Study, study: optuna.Study, runs: Path, *, judge: bool = True
) -> StudyResults:
    """What the storage and the runs say now; without `judge` nothing of what mattered, which takes a second."""
    frozen = study.get_trials(deepcopy=False)
    trials = [trial_result(one) for one in frozen if one.state.name != "WAITING"]
    front = front_of(trials, definition.objectives)
    budget = {"trials": definition.trials, "hours": definition.hours}
    return StudyResults(
        name=definition.name,
        question=definition.question,
        objectives=definition.objectives,
        sampler=definition.sampler,
        pruner=definition.pruner,
        seeds=definition.seeds,
        budget={key: value for key, value in budget.items() if value is not None},
        space={
            one.name: one.shown() + (f"; when {one.when}" if one.when else "")
            for one in definition.space
        },
        trials=tuple(trials),
        front=tuple(one.number for one in front),
        importances=tuple(importances(study, definition)) if judge else (),
        fresh=tuple(
            one
            for trial in front[:MOST_WINNERS]
            if (one := fresh_of(trial, definition, runs)) is not None
        ),
        seconds=seconds_spent(study.user_attrs),
    )


def trial_result(trial: FrozenTrial) -> TrialResult:
    """A trial from its attributes."""
    said, done = trial.user_attrs, trial.state.name == "COMPLETE"
    ended = trial.state.is_finished()
    return TrialResult(
        number=trial.number,
        outcome=said.get(OUTCOME, "failed") if ended else "running",
        point=said.get(POINT, {}),
        cell=said.get(CELL),
        values=tuple(trial.values) if done else (),
        by_seed=said.get("scores", {}),
        reason=said.get(REASON),
        first=said.get(FIRST),
        same_as=said.get(SAME),
        steps=said.get(STEPS, 0),
        all_steps=said.get(ALL_STEPS, 0),
        seconds=trial.duration.total_seconds()
        if trial.duration is not None and is_counted(trial)
        else None,
    )


def front_of(trials: Sequence[TrialResult], objectives: Sequence[Objective]) -> list[TrialResult]:
    """The trials that no other beats in everything; of equal ones the first. One objective: the best alone."""
    done = [one for one in trials if one.values and one.same_as is None]
    found = []
    for one in done:
        beaten = any(
            dominates(other.values, one.values, objectives)
            or (other.values == one.values and other.number < one.number)
            for other in done
        )
        if not beaten:
            found.append(one)
    return found


def fresh_of(trial: TrialResult, definition: Study, runs: Path) -> Fresh | None:
    """A winner's scores on fresh seeds, as far as they are there; None before any was begun."""
    if trial.cell is None or not definition.fresh:
        return None
    seeds = definition.fresh_seeds()
    records: dict[int, Record] = {}
    missing: dict[int, str] = {}
    for seed in seeds:
        folder = RunFolder(runs / identity.run_id(trial.cell, seed))
        try:
            record = folder.record()
        except RunError as error:
            missing[seed] = str(error)
            continue
        if record is None or record.status != "done":
            missing[seed] = "not run" if record is None else record.status
        else:
            records[seed] = record
    scores = {}
    for one in definition.objectives:
        found = {seed: one.of(record) for seed, record in records.items()}
        missing |= {
            seed: f"{one.key} is undefined" for seed, value in found.items() if value is None
        }
        values = [value for value in found.values() if value is not None]
        if summary := summarise(values):
            scores[one.key] = summary
    return Fresh(
        trial=trial.number, cell=trial.cell, seeds=tuple(records), scores=scores, missing=missing
    )
