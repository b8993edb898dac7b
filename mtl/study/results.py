"""The results of a study, from its storage and the runs' records: best, front, importances, cost.

Nothing is trained and no data is needed. Scores are of dev. The best trial was chosen for its
score, so its score on fresh seeds stands beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mtl.config import identity
from mtl.errors import RunError
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record
from mtl.stats.summary import Summary, summarise
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
    is_waiting,
)

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


MOST_WINNERS = 5
"""The most trials of a Pareto front that run on fresh seeds."""


class TrialResult(BaseModel):
    """One trial.

    `values` is empty unless the trial is done. `by_seed` has each objective's value on each seed.
    `first` names a known config that went first. `same_as` is the trial with the same runs.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    number: int
    outcome: str
    point: Point
    cell: str | None
    values: tuple[float, ...]
    by_seed: dict[str, list[float | None]]
    reason: str | None
    first: str | None
    same_as: int | None
    steps: int
    all_steps: int
    seconds: float | None


class Fresh(BaseModel):
    """A best trial on fresh seeds: scores by objective, and reasons for missing seeds."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    trial: int
    cell: str
    seeds: tuple[int, ...]
    scores: dict[str, Summary]
    missing: dict[int, str]


class StudyResults(BaseModel):
    """The results of a study, as `results.json` holds them. `seconds` is the time of all calls."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, validate_by_name=True)

    schema_number: Literal[1] = Field(default=1, alias="schema")
    """Version 0.1.0 wrote no schema number."""
    name: str
    question: str
    objectives: tuple[Objective, ...]
    sampler: str
    pruner: str
    seeds: tuple[int, ...]
    budget: dict[str, int | float]
    space: dict[str, str]
    trials: tuple[TrialResult, ...]
    front: tuple[int, ...]
    importances: tuple[Importance, ...]
    fresh: tuple[Fresh, ...]
    seconds: float

    @property
    def best(self) -> TrialResult | None:
        """The best trial. None with several objectives, or before a trial is done."""
        return self.trial(self.front[0]) if len(self.objectives) == 1 and self.front else None

    def trial(self, number: int) -> TrialResult:
        """The trial of that number."""
        return next(trial for trial in self.trials if trial.number == number)

    def winners(self) -> list[TrialResult]:
        """The best trial, or the Pareto front of several objectives."""
        return [self.trial(number) for number in self.front]

    @property
    def counted(self) -> list[TrialResult]:
        """The ended trials that count towards the budget."""
        return [trial for trial in self.trials if trial.outcome not in (*UNCOUNTED, "running")]

    @property
    def own(self) -> list[TrialResult]:
        """The counted trials with runs of their own: their cell was new."""
        return [trial for trial in self.counted if trial.same_as is None]

    @property
    def pruned_share(self) -> float | None:
        """The share of pruned trials."""
        own = self.own
        return sum(trial.outcome == "pruned" for trial in own) / len(own) if own else None

    @property
    def saved_share(self) -> float | None:
        """The share of all trials' steps that pruning saved."""
        full = sum(trial.all_steps for trial in self.own)
        pruned = [trial for trial in self.own if trial.outcome == "pruned"]
        saved = sum(trial.all_steps - trial.steps for trial in pruned)
        return saved / full if full else None

    def history(self) -> list[tuple[int, float, float]]:
        """(number, value, best so far) of each done trial in order; for one objective."""
        better = max if self.objectives[0].sign > 0 else min
        history: list[tuple[int, float, float]] = []
        for trial in self.trials:
            if trial.values:
                value = trial.values[0]
                best = better(value, history[-1][2]) if history else value
                history.append((trial.number, value, best))
        return history

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data, with the best trial, the history and the shares."""
        plain: dict[str, Any] = json.loads(self.model_dump_json(by_alias=True))
        best = self.best
        return plain | {
            "best": None if best is None else best.number,
            "history": [list(row) for row in self.history()] if len(self.objectives) == 1 else None,
            "pruned_share": self.pruned_share,
            "saved_share": self.saved_share,
        }


def make_results(
    definition: Study, study: optuna.Study, runs: Path, *, judge: bool = True
) -> StudyResults:
    """The results so far. Without `judge` there are no importances, which take a second."""
    frozen = study.get_trials(deepcopy=False)
    trials = [trial_result(trial) for trial in frozen if not is_waiting(trial)]
    front = front_of(trials, definition.objectives)
    budget = {"trials": definition.trials, "hours": definition.hours}
    fresh = [fresh_of(trial, definition, runs) for trial in front[:MOST_WINNERS]]
    return StudyResults(
        name=definition.name,
        question=definition.question,
        objectives=definition.objectives,
        sampler=definition.sampler,
        pruner=definition.pruner,
        seeds=definition.seeds,
        budget={key: value for key, value in budget.items() if value is not None},
        space={
            parameter.name: parameter.shown()
            + (f"; when {parameter.when}" if parameter.when else "")
            for parameter in definition.space
        },
        trials=tuple(trials),
        front=tuple(trial.number for trial in front),
        importances=tuple(importances(study, definition)) if judge else (),
        fresh=tuple(result for result in fresh if result is not None),
        seconds=seconds_spent(study.user_attrs),
    )


def trial_result(trial: FrozenTrial) -> TrialResult:
    """A trial from its attributes."""
    attributes, done = trial.user_attrs, trial.state.name == "COMPLETE"
    ended, duration = trial.state.is_finished(), trial.duration
    timed = duration is not None and is_counted(trial)
    return TrialResult(
        number=trial.number,
        outcome=attributes.get(OUTCOME, "failed") if ended else "running",
        point=attributes.get(POINT, {}),
        cell=attributes.get(CELL),
        values=tuple(trial.values) if done else (),
        by_seed=attributes.get("scores", {}),
        reason=attributes.get(REASON),
        first=attributes.get(FIRST),
        same_as=attributes.get(SAME),
        steps=attributes.get(STEPS, 0),
        all_steps=attributes.get(ALL_STEPS, 0),
        seconds=duration.total_seconds() if duration is not None and timed else None,
    )


def front_of(trials: Sequence[TrialResult], objectives: Sequence[Objective]) -> list[TrialResult]:
    """The Pareto front: done trials that no other dominates; of equal trials the first.

    With one objective it holds the best trial only.
    """
    done = [trial for trial in trials if trial.values and trial.same_as is None]

    def beats(other: TrialResult, trial: TrialResult) -> bool:
        equal = other.values == trial.values and other.number < trial.number
        return equal or dominates(other.values, trial.values, objectives)

    return [trial for trial in done if not any(beats(other, trial) for other in done)]


def fresh_of(trial: TrialResult, definition: Study, runs: Path) -> Fresh | None:
    """A best trial's scores on fresh seeds so far. None if the study has no fresh seeds."""
    if trial.cell is None or not definition.fresh:
        return None
    records: dict[int, Record] = {}
    missing: dict[int, str] = {}
    for seed in definition.fresh_seeds():
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
    for goal in definition.objectives:
        values = {seed: goal.of(record) for seed, record in records.items()}
        undefined = [seed for seed, value in values.items() if value is None]
        missing |= dict.fromkeys(undefined, f"{goal.key} is undefined")
        known = [value for value in values.values() if value is not None]
        if summary := summarise(known):
            scores[goal.key] = summary
    return Fresh(
        trial=trial.number, cell=trial.cell, seeds=tuple(records), scores=scores, missing=missing
    )
