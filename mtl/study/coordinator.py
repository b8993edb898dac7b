"""The one who asks and tells: draws trials, has their runs trained, prunes them, and tells the study how they ended.

All that it knows beyond a moment is in the storage and in the runs' folders, so that it can be killed at any time: the
next one tells what had finished, queues again what was lost, and goes on.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.config.schema import RunConfig
from mtl.errors import ConfigError, RunError
from mtl.grid.executor import POLL_SECONDS, Execution
from mtl.grid.plan import PlannedRun, Planner
from mtl.grid.worker import Preparing, Scored, Stepped
from mtl.rng import stream_seed
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import Sources
from mtl.runs.record import Record
from mtl.study.attempt import Attempt, past_scores, values_of
from mtl.study.definition import Study
from mtl.study.drawing import plan_runs, suggest
from mtl.study.owner import Owner, seconds_spent
from mtl.study.recovery import take_up
from mtl.study.space import Point, in_words
from mtl.study.strategy import make_pruner, make_sampler, most_epochs
from mtl.study.trials import (
    ALL_STEPS,
    CELL,
    FIRST,
    OUTCOME,
    POINT,
    REASON,
    RUNS,
    SAME,
    STEPS,
    Outcome,
    Trials,
    twin,
)
from mtl.study.watching import Watching
from mtl.training.interrupt import Interruption

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

LOOK_SECONDS = 5.0
"""How often to see whether another coordinator has left trials."""
IDLE_IN_A_ROW = 5
"""Trials without a run, refused or known, before one is drawn at random: a sampler may propose the same for ever."""
MOST_IDLE = 200
"""As many in a row, and there is nothing left to find."""
FAILED_IN_A_ROW = 5
"""Trials that could not be trained before the study gives up."""


class Coordinator:
    """A study under way on an execution. `shared`: other coordinators may ask at the same time."""

    def __init__(
        self,
        definition: Study,
        study: optuna.Study,
        trials: Trials,
        *,
        runs: Path,
        sources: Sources,
        planner: Planner,
        execution: Execution,
        watching: Watching,
        owner: Owner,
        workers: int,
        shared: bool = False,
    ) -> None:
        self.definition, self.study, self.trials, self.owner = definition, study, trials, owner
        self.root, self.sources, self.planner, self.execution = runs, sources, planner, execution
        self.watching, self.workers, self.shared = watching, workers, shared
        self.space = definition.make_space()
        self.attempts: dict[str, Attempt] = {}
        self.idle = self.failed_in_a_row = 0
        self.stopped: str | None = None
        self.refusals: set[str] = set()
        self._looked = 0.0
        watching.listener = self
        study.pruner = make_pruner(
            definition.pruner, most_epochs(definition.space, definition.below())
        )

    def run(self, interruption: Interruption) -> None:
        """Ask and tell until the budget is spent and nothing is under way. Raises Interrupted."""
        for name, point in self.definition.points().items():
            self.trials.enqueue(f"first {name}", point, **{FIRST: name})
        self.look()
        while True:
            self.owner.beat()
            if time.monotonic() - self._looked > LOOK_SECONDS:
                self.look()
            while self.wants():
                self.ask()
            if not self.attempts:
                if not self.trials.elsewhere():
                    self.look()
                    if not self.wants():
                        return
                    continue
                time.sleep(POLL_SECONDS)
            self.execution.turn(interruption)

    def wants(self) -> bool:
        """Whether there is a place for one more trial, and the budget for it."""
        if self.stopped or self.execution.room() < 1 or len(self.attempts) >= 2 * self.workers:
            return False
        most, hours = self.definition.trials, self.definition.hours
        if most is not None and len(self.trials.counted()) >= most:
            return False
        if hours is not None and seconds_spent(self.study.user_attrs) > hours * 3600:
            self.stopped = f"{hours:g} hours are spent"
            return False
        if self.idle >= MOST_IDLE:
            self.stopped = (
                f"{MOST_IDLE} proposals in a row are refused by the config, or known already"
            )
        elif self.failed_in_a_row >= FAILED_IN_A_ROW:
            self.stopped = f"{FAILED_IN_A_ROW} trials in a row could not be trained"
        return self.stopped is None

    def ask(self) -> None:
        """Draw a trial, and begin with it."""
        count = len(self.trials.all())
        name = "random" if self.idle >= IDLE_IN_A_ROW else self.definition.sampler
        # A seed of its own for each, so that a study that goes on does not draw again what it has drawn.
        seed = stream_seed(
            0, f"study/{self.definition.name}/{count}/{self.owner.id if self.shared else ''}"
        )
        self.study.sampler = make_sampler(
            name, self.definition.space, self.definition.objectives, seed
        )
        trial = self.study.ask()
        if self.trials.claim(trial):
            drawn = self.space.draw(lambda parameter: suggest(trial, parameter))
            queued = trial.user_attrs.get(POINT, {})
            point = (
                queued if queued.keys() == drawn.keys() else drawn
            )  # as it was written, digit by digit
            self.trials.write(trial, **{POINT: point})
            self.begin(trial, point)

    def begin(self, trial: optuna.Trial, point: Point) -> None:
        """Have a trial's first run trained, unless what comes out of it is known."""
        try:
            config = self.space.plain(point)
            config.check()
            cell = self.sources.cell(config)
        except ConfigError as error:
            reason = " ".join(str(error).splitlines())
            self.idle += 1
            self.trials.end(trial.number, "refused", reason=reason)
            if reason not in self.refusals:
                self.refusals.add(reason)
                self.watching.note(f"not run: {in_words(point)}: {reason}")
            return
        if (known := twin(self.trials.all(), cell)) is not None:
            self.idle += 1
            self.copy(trial, known)
            return
        if cell in self.attempts:
            self.idle += 1
            self.attempts[cell].followers.append(trial)
            return
        self.idle = 0
        attempt = Attempt(
            trial=trial, cell=cell, runs=self.plan(f"trial {trial.number}", config, cell)
        )
        named = {str(run.config.seed): run.run_id for run in attempt.runs}
        self.trials.write(trial, **{CELL: cell, RUNS: named})
        self.attempts[cell] = attempt
        self.watching.note(f"trial {trial.number}: {in_words(point)}")
        for step, value in past_scores(
            RunFolder(self.root / attempt.lead.run_id), self.definition.objectives[0]
        ):
            self.report(attempt, step, value)
        if attempt.lead.ended:
            self.attain(attempt, attempt.lead)
        elif self.condemned(attempt):
            self.finish(
                attempt, "pruned", reason="its scores before an interruption were below the others'"
            )
        else:
            self.train(attempt.lead)

    def plan(self, name: str, config: RunConfig, cell: str) -> tuple[PlannedRun, ...]:
        """The runs of a config, a seed each."""
        return plan_runs(self.planner, name, config, cell, self.definition.seeds, self.workers)

    def train(self, run: PlannedRun) -> None:
        self.watching.add(run)
        self.execution.add([run])

    def attain(self, attempt: Attempt, run: PlannedRun) -> None:
        """A run of a trial is there already."""
        try:
            record = RunFolder(self.root / run.run_id).record()
        except RunError as error:
            self.gave_up(run, str(error))
            return
        assert record is not None
        self.take(attempt, run, record)

    def take(self, attempt: Attempt, run: PlannedRun, record: Record) -> None:
        """A run of a trial has ended: the next ones, or the end of the trial."""
        attempt.take(run.run_id, record)
        if record.status != "done":
            self.finish(attempt, "diverged", reason=f"{run.run_id}: {record.error}")
        elif attempt.complete:
            self.conclude(attempt)
        elif attempt.pruned:
            self.finish(attempt, "pruned")
        elif run.run_id == attempt.lead.run_id:
            for other in attempt.others:
                if attempt.cell in self.attempts:
                    if other.ended:
                        self.attain(attempt, other)
                    else:
                        self.train(other)

    def conclude(self, attempt: Attempt) -> None:
        """Every run has its record: tell what they came to."""
        records = {run.run_id: attempt.records[run.run_id] for run in attempt.runs}
        values, why, by_run = values_of(records, self.definition.objectives)
        self.finish(
            attempt, "done" if values is not None else "undefined", values, why, scores=by_run
        )

    def report(self, attempt: Attempt, step: int, value: float) -> None:
        """A dev score of the first seed, for the pruner."""
        number = attempt.score(step, value)
        if number is not None and len(self.definition.objectives) == 1:
            attempt.trial.report(value, number)

    def condemned(self, attempt: Attempt) -> bool:
        """Whether the pruner gives a trial up. Known configs that went first are not: others are seen against them."""
        if (
            self.definition.pruner == "none"
            or FIRST in attempt.trial.user_attrs
            or not attempt.scores
        ):
            return False
        return bool(attempt.trial.should_prune())

    def heard(self, run: PlannedRun, event: Preparing | Stepped | Scored) -> None:
        attempt = self.of(run)
        if attempt is None:
            return
        if isinstance(event, Stepped):
            attempt.steps[run.run_id], attempt.total = event.step, event.total
        elif isinstance(event, Scored) and run.run_id == attempt.lead.run_id and not attempt.pruned:
            attempt.steps[run.run_id] = event.step
            value = event.metrics.get(self.definition.objectives[0].key)
            if value is None:
                return
            self.report(attempt, event.step, value)
            # A run that has reached its end costs nothing more; its others do.
            last = attempt.total is not None and event.step >= attempt.total and not attempt.others
            if not last and self.condemned(attempt):
                attempt.pruned = True
                self.execution.cancel(run.run_id, self.cancelled)

    def cancelled(self, run: PlannedRun) -> None:
        """A run that was given up has saved itself."""
        self.watching.cancelled(run)
        attempt = self.of(run)
        if attempt is None:
            return
        record = RunFolder(self.root / run.run_id).record()
        if record is not None and record.steps is not None:
            attempt.steps[run.run_id] = record.steps
        self.finish(attempt, "pruned", reason="below the others at the same evaluation")

    def ended(self, run: PlannedRun, record: Record) -> None:
        attempt = self.of(run)
        if attempt is not None:
            self.take(attempt, run, record)

    def gave_up(self, run: PlannedRun, reason: str) -> None:
        attempt = self.of(run)
        if attempt is not None:
            self.finish(attempt, "failed", reason=f"{run.run_id}: {reason}")

    def of(self, run: PlannedRun) -> Attempt | None:
        """The trial under way that a run belongs to."""
        return next(
            (
                one
                for one in self.attempts.values()
                if any(run.run_id == own.run_id for own in one.runs)
            ),
            None,
        )

    def finish(
        self,
        attempt: Attempt,
        outcome: Outcome,
        means: list[float] | None = None,
        reason: str | None = None,
        **more: Any,
    ) -> None:
        """Tell how a trial ended, and those that waited for the same runs."""
        del self.attempts[attempt.cell]
        for run in attempt.runs:
            if run.run_id not in attempt.records:
                self.execution.cancel(run.run_id, self.watching.cancelled)
        untrained = sum(run.run_id not in attempt.steps and not run.ended for run in attempt.runs)
        self.watching.forget(untrained)
        self.failed_in_a_row = self.failed_in_a_row + 1 if outcome == "failed" else 0
        first = (reason or "").strip().splitlines()
        line = "" if not first else f": {first[0]}"
        score = "" if means is None else f"  {' '.join(f'{value:.3f}' for value in means)}"
        self.watching.note(f"trial {attempt.number} {outcome}{score}{line}")
        if not self.trials.end(attempt.number, outcome, means, reason, **attempt.spent(), **more):
            self.watching.note(f"trial {attempt.number} had been taken up by another coordinator")
        for follower in attempt.followers:
            known = next(one for one in self.trials.all() if one.number == attempt.number)
            self.copy(follower, known)

    def copy(self, trial: optuna.Trial, known: FrozenTrial) -> None:
        """Tell of a trial what is known of another with the same runs; no step is counted twice."""
        said = known.user_attrs
        for step, value in sorted(known.intermediate_values.items()):
            trial.report(value, step)
        more = {key: said[key] for key in (CELL, RUNS, "scores") if key in said}
        outcome: Outcome = said.get(OUTCOME, "failed")
        values = known.values if outcome == "done" else None
        reason = f"the same runs as trial {known.number}" + (
            f": {said[REASON]}" if REASON in said else ""
        )
        self.watching.forget(len(self.definition.seeds))
        self.trials.end(
            trial.number,
            outcome,
            values,
            reason,
            **more,
            **{SAME: known.number, STEPS: 0, ALL_STEPS: 0},
        )

    def look(self) -> None:
        """Take up what coordinators that are no more have left."""
        self._looked = time.monotonic()
        take_up(self.trials, self.definition.objectives, self.root, self.watching.note)
