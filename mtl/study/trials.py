"""The trials of a study and their attributes: coordinator, runs, outcome, reason.

Everything that must survive a kill is an attribute of the trial in the storage, written before the
trial ends. The storage ends a trial once. If two coordinators recover the same abandoned trial, one
of them succeeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from mtl.study.lease import Watch
from mtl.study.space import Parameter, Point, Value

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

Outcome = Literal["done", "pruned", "refused", "diverged", "undefined", "failed", "lost", "surplus"]
"""How a trial ended.

`refused`: the config is invalid. `undefined`: trained, but an objective is undefined. `failed`: a
run failed for good. `lost`: its coordinator ended early; the point is requeued. `surplus`: more
trials than the budget; never started.
"""

COUNTED_ONCE = ("done", "pruned", "diverged", "undefined", "failed")
UNCOUNTED = ("refused", "lost", "surplus")
OWNER, CELL, RUNS, OUTCOME, REASON, QUEUED, POINT, SAME, STEPS, ALL_STEPS, FIRST = (
    "owner", "cell", "runs", "outcome", "reason", "queued", "point", "same_as", "steps",
    "all_steps", "first",
)  # fmt: skip
"""Names of attributes.

`owner`: id of the coordinator. `queued`: name of a place in the queue; a place that was filled
twice runs once. `same_as`: number of the trial with the same runs. `steps`: trained steps, of
`all_steps`.
"""
_KINDS = {
    OWNER: str | None, CELL: str, RUNS: dict, OUTCOME: str, REASON: str, QUEUED: str, POINT: dict,
    SAME: int, STEPS: int, ALL_STEPS: int, FIRST: str, "scores": dict,
}  # fmt: skip
ORPHAN_SECONDS = 60.0
"""How long a trial is seen without an owner before it is abandoned. A new one gets one soon."""
DIGITS = 4
"""Significant digits of a drawn number."""


class Trials:
    """The trials of a study, as one coordinator sees them. `budget` is the most that count."""

    def __init__(
        self,
        study: optuna.Study,
        storage: optuna.storages.BaseStorage,
        owner: str,
        budget: int | None,
    ) -> None:
        self.study, self.storage, self.owner, self.budget = study, storage, owner, budget
        self.watch = Watch()

    def all(self) -> list[FrozenTrial]:
        """Every trial, by number."""
        return self.study.get_trials(deepcopy=False)

    def get(self, number: int) -> FrozenTrial:
        """The trial of that number."""
        return next(trial for trial in self.all() if trial.number == number)

    def counted(self) -> list[FrozenTrial]:
        """The trials that count towards the budget."""
        return [trial for trial in self.all() if is_counted(trial)]

    def enqueue(self, place: str, point: Point, **attributes: Any) -> None:
        """Queue a point, unless that place in the queue was filled before."""
        if not any(trial.user_attrs.get(QUEUED) == place for trial in self.all()):
            attributes |= {QUEUED: place, POINT: dict(point)}
            self.study.enqueue_trial(dict(point), user_attrs=attributes)

    def claim(self, trial: optuna.Trial) -> bool:
        """Own a new trial. Returns False, and ends the trial, if it is surplus."""
        self.write(trial, **{OWNER: self.owner})
        # Numbers are unique: coordinators that ask at once agree on which trial is surplus.
        before = [known for known in self.all() if known.number < trial.number]
        place = trial.user_attrs.get(QUEUED)
        if place is not None and any(
            known.user_attrs.get(QUEUED) == place and not is_waiting(known) for known in before
        ):
            reason = "queued twice"
        elif self.budget is not None and sum(map(is_counted, before)) >= self.budget:
            reason = f"{self.budget} trials were there"
        else:
            return True
        self.end(trial.number, "surplus", reason=reason)
        return False

    def write(self, trial: optuna.Trial, **attributes: Any) -> None:
        """Write attributes of a running trial."""
        for key, value in attributes.items():
            trial.set_user_attr(key, value)

    def end(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float] | None = None,
        reason: str | None = None,
        **attributes: Any,
    ) -> bool:
        """Write a trial's attributes and end it. Returns False if another coordinator ended it."""
        import optuna
        from optuna.trial import TrialState

        trial = self.get(number)
        state = {"done": TrialState.COMPLETE, "failed": TrialState.FAIL, "lost": TrialState.FAIL,
                 "surplus": TrialState.FAIL}.get(outcome, TrialState.PRUNED)  # fmt: skip
        attributes = {OUTCOME: outcome, **({REASON: reason} if reason else {}), **attributes}
        scores = trial.intermediate_values
        single = len(self.study.directions) == 1
        if state is TrialState.PRUNED and values is None and single and scores:
            values = [scores[max(scores)]]  # the sampler learns from the last score
        try:
            for key, value in attributes.items():
                self.storage.set_trial_user_attr(trial._trial_id, key, value)
            return bool(
                self.storage.set_trial_state_values(trial._trial_id, state=state, values=values)
            )
        except (optuna.exceptions.UpdateFinishedTrialError, RuntimeError):
            return False

    def requeue_lost(self) -> None:
        """Requeue lost trials that are not in the queue: a kill may come between the two."""
        for trial in self.all():
            if trial.user_attrs.get(OUTCOME) == "lost" and trial.state.is_finished():
                self.requeue(trial)

    def requeue(self, lost: FrozenTrial) -> None:
        """Queue a lost trial's point again. A trial without a point is drawn anew."""
        point = lost.user_attrs.get(POINT)
        if point is not None:
            first = {FIRST: lost.user_attrs[FIRST]} if FIRST in lost.user_attrs else {}
            self.enqueue(f"again {lost.number}", point, **first)

    def abandoned(self) -> list[FrozenTrial]:
        """Running trials whose coordinator has ended."""
        running = [trial for trial in self.all() if trial.state.name == "RUNNING"]
        if all(trial.user_attrs.get(OWNER) == self.owner for trial in running):
            return []
        attributes = self.study.user_attrs
        return [trial for trial in running if self._is_abandoned(trial, attributes)]

    def _is_abandoned(self, trial: FrozenTrial, attributes: dict[str, Any]) -> bool:
        owner = trial.user_attrs.get(OWNER)
        if owner is not None:
            return owner != self.owner and not self.watch.is_alive(attributes, owner)
        # It has just started, or its coordinator ended in that moment.
        young = self.watch.age(f"trial {trial.number}") < ORPHAN_SECONDS
        return not (young and self.watch.others_alive(attributes, self.owner))

    def others_running(self) -> bool:
        """Whether another coordinator that is alive has running trials."""
        abandoned = {trial.number for trial in self.abandoned()}
        return any(
            trial.state.name == "RUNNING"
            and trial.user_attrs.get(OWNER) != self.owner
            and trial.number not in abandoned
            for trial in self.all()
        )


def suggest(trial: optuna.Trial, parameter: Parameter) -> Value:
    """Draw a parameter's value with the study's sampler."""
    name = parameter.name
    if parameter.kind == "levels":
        return str(trial.suggest_categorical(name, list(parameter.levels)))
    low, high, log = parameter.low, parameter.high, parameter.log
    if parameter.kind == "int":
        step = 1 if log else int(parameter.step or 1)
        return trial.suggest_int(name, int(low), int(high), step=step, log=log)
    value = trial.suggest_float(name, low, high, step=parameter.step, log=log)
    # More digits make configs and reports hard to read, and no difference.
    rounded = float(f"{value:.12g}" if parameter.step else f"{value:.{DIGITS}g}")
    return min(max(rounded, low), high)


def is_counted(trial: FrozenTrial) -> bool:
    """Whether a trial counts towards the budget."""
    return not is_waiting(trial) and trial.user_attrs.get(OUTCOME) not in UNCOUNTED


def is_known(key: str, value: Any) -> bool:
    """Whether an attribute of a trial is as mtl writes it; True for attributes of others."""
    known_outcome = key != OUTCOME or value in get_args(Outcome)
    return known_outcome and isinstance(value, _KINDS.get(key, object))


def is_waiting(trial: FrozenTrial) -> bool:
    """Whether a trial is still in the queue."""
    return trial.state.name == "WAITING"


def find_finished(trials: Sequence[FrozenTrial], cell: str) -> FrozenTrial | None:
    """The first finished trial with this cell: training it again would give the same result."""
    for trial in trials:
        outcome = trial.user_attrs.get(OUTCOME)
        known = outcome in ("done", "pruned", "diverged", "undefined")
        if trial.user_attrs.get(CELL) == cell and known and trial.state.is_finished():
            return trial
    return None
