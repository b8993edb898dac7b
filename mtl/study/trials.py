"""Trials and what is written of them: whose they are, which runs they have, how they ended, and why.

Everything that must survive a kill is an attribute of the trial in the storage, written before the trial is ended; the
storage ends a trial once, whoever asks, so of two coordinators that take up what a third one left only one gets it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from mtl.study.owner import alive, others_alive
from mtl.study.space import Point

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

Outcome = Literal["done", "pruned", "refused", "diverged", "undefined", "failed", "lost", "surplus"]
"""`refused`: by the config, before training. `undefined`: trained, and an objective is no number. `failed`: a run could not be
trained. `lost`: its coordinator ended; it is queued again. `surplus`: more than was asked for, and never begun.
"""

COUNTED_ONCE = ("done", "pruned", "diverged", "undefined", "failed")
UNCOUNTED = ("refused", "lost", "surplus")
OWNER, CELL, RUNS, OUTCOME, REASON, QUEUED, POINT, SAME, STEPS, ALL_STEPS, FIRST = (
    "owner", "cell", "runs", "outcome", "reason", "queued", "point", "same_as", "steps", "all_steps", "first",
)  # fmt: skip
"""Attributes. `queued` names a place in the queue, so that one that was put there twice is run once; `same_as` is the
number of the trial whose runs these are; `steps` were trained, of `all_steps`.
"""
ORPHAN_SECONDS = 60.0
"""How long a trial may be without an owner: it is written a moment after the trial begins."""


class Trials:
    """The trials of a study, as one coordinator sees them."""

    def __init__(
        self,
        study: optuna.Study,
        storage: optuna.storages.BaseStorage,
        owner: str,
        most: int | None,
    ) -> None:
        self.study, self.storage, self.owner, self.most = study, storage, owner, most

    def all(self) -> list[FrozenTrial]:
        """Every trial, by number."""
        return self.study.get_trials(deepcopy=False)

    def counted(self) -> list[FrozenTrial]:
        """Those that count towards the budget."""
        return [one for one in self.all() if counts(one)]

    def enqueue(self, place: str, point: Point, **attributes: Any) -> None:
        """Put a point into the queue, unless that place has been filled before."""
        if not any(one.user_attrs.get(QUEUED) == place for one in self.all()):
            self.study.enqueue_trial(
                dict(point), user_attrs={QUEUED: place, POINT: dict(point), **attributes}
            )

    def claim(self, trial: optuna.Trial) -> bool:
        """Make a trial that was asked for this coordinator's. Whether it is to be run; else it is ended as surplus."""
        self.write(trial, **{OWNER: self.owner})
        place = trial.user_attrs.get(QUEUED)
        before = [one for one in self.all() if one.number < trial.number]
        twice = place is not None and any(
            one.user_attrs.get(QUEUED) == place and not waits(one) for one in before
        )
        # Numbers are given once, so that coordinators that ask at the same moment agree on which trial is too many.
        if twice or (self.most is not None and sum(map(counts, before)) >= self.most):
            self.end(
                trial.number,
                "surplus",
                reason="queued twice" if twice else f"{self.most} trials were there",
            )
            return False
        return True

    def write(self, trial: optuna.Trial, **attributes: Any) -> None:
        """Write attributes of a trial under way."""
        for key, value in attributes.items():
            trial.set_user_attr(key, value)

    def end(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float] | None = None,
        reason: str | None = None,
        **more: Any,
    ) -> bool:
        """End a trial: why, then that it has ended. False where it was ended by somebody else."""
        import optuna
        from optuna.trial import TrialState

        frozen = next(one for one in self.all() if one.number == number)
        state = {"done": TrialState.COMPLETE, "failed": TrialState.FAIL, "lost": TrialState.FAIL,
                 "surplus": TrialState.FAIL}.get(outcome, TrialState.PRUNED)  # fmt: skip
        said = {OUTCOME: outcome, **({REASON: reason} if reason else {}), **more}
        if (
            state is TrialState.PRUNED
            and values is None
            and len(self.study.directions) == 1
            and frozen.intermediate_values
        ):
            # What the sampler goes by, where there is something.
            values = [frozen.intermediate_values[max(frozen.intermediate_values)]]
        try:
            for key, value in said.items():
                self.storage.set_trial_user_attr(frozen._trial_id, key, value)
            return bool(
                self.storage.set_trial_state_values(frozen._trial_id, state=state, values=values)
            )
        except (optuna.exceptions.UpdateFinishedTrialError, RuntimeError):
            return False

    def mend(self) -> None:
        """Queue again what was lost and not queued yet, as when a kill came between the two."""
        for one in self.all():
            if one.user_attrs.get(OUTCOME) == "lost" and one.state.is_finished():
                self.again(one)

    def again(self, lost: FrozenTrial) -> None:
        """Queue a lost trial's point; one that had none yet is drawn anew."""
        point = lost.user_attrs.get(POINT)
        if point is not None:
            first = {FIRST: lost.user_attrs[FIRST]} if FIRST in lost.user_attrs else {}
            self.enqueue(f"again {lost.number}", point, **first)

    def abandoned(self) -> list[FrozenTrial]:
        """Trials under way whose coordinator is no more."""
        running = [one for one in self.all() if one.state.name == "RUNNING"]
        if not any(one.user_attrs.get(OWNER) != self.owner for one in running):
            return []
        attributes = self.study.user_attrs
        found = []
        for one in running:
            owner = one.user_attrs.get(OWNER)
            if owner is None:
                # It has just begun, or its coordinator ended in that moment.
                young = one.datetime_start is not None and _age(one.datetime_start) < ORPHAN_SECONDS
                if not (young and others_alive(attributes, self.owner)):
                    found.append(one)
            elif owner != self.owner and not alive(attributes, owner):
                found.append(one)
        return found

    def elsewhere(self) -> bool:
        """Whether another coordinator that lives has trials under way."""
        gone = {one.number for one in self.abandoned()}
        return any(
            one.state.name == "RUNNING"
            and one.user_attrs.get(OWNER) != self.owner
            and one.number not in gone
            for one in self.all()
        )


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial counts towards the budget: it was begun, and was not for nothing."""
    return not waits(trial) and trial.user_attrs.get(OUTCOME) not in UNCOUNTED


def waits(trial: FrozenTrial) -> bool:
    """Whether a trial is still in the queue."""
    return trial.state.name == "WAITING"


def twin(trials: Sequence[FrozenTrial], cell: str) -> FrozenTrial | None:
    """The first trial that has ended with the runs of this cell: nothing would come out of training them again."""
    for one in trials:
        known: Mapping[str, Any] = one.user_attrs
        if (
            known.get(CELL) == cell
            and known.get(OUTCOME) in ("done", "pruned", "diverged", "undefined")
            and one.state.is_finished()
        ):
            return one
    return None


def _age(moment: datetime) -> float:
    return time.time() - moment.timestamp()
