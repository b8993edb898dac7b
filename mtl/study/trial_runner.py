"""From a trial's config to the trial's end: its runs are trained, pruned and scored."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.config.schema import RunConfig
from mtl.errors import RunError
from mtl.grid.executor import Execution
from mtl.grid.plan import PlannedRun, Planner
from mtl.grid.worker import Report, Scored, Stepped
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record
from mtl.study.definition import Study
from mtl.study.running_trial import RunningTrial, objective_means, past_scores
from mtl.study.space import Point, in_words
from mtl.study.trials import (
    ALL_STEPS,
    CELL,
    FIRST,
    OUTCOME,
    REASON,
    RUNS,
    SAME,
    STEPS,
    Outcome,
    Trials,
)
from mtl.study.view import StudyView

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


class TrialRunner:
    """Runs trials on an execution. It is the listener of the study's view."""

    def __init__(
        self,
        definition: Study,
        trials: Trials,
        *,
        runs: Path,
        planner: Planner,
        execution: Execution,
        view: StudyView,
    ) -> None:
        self.definition, self.trials = definition, trials
        self.root, self.planner, self.execution, self.view = runs, planner, execution, view
        self.running: dict[str, RunningTrial] = {}
        """Trials in flight, by cell."""
        self.failed_in_a_row = 0
        view.listener = self

    def start(self, trial: optuna.Trial, point: Point, config: RunConfig, cell: str) -> None:
        """Train a trial's first run, or go on from what is known of it."""
        name, seeds = f"trial {trial.number}", self.definition.seeds
        runs = self.planner.runs_of(name, config, cell, seeds)
        running = RunningTrial(trial=trial, cell=cell, runs=runs)
        run_ids = {str(run.config.seed): run.run_id for run in runs}
        self.trials.write(trial, **{CELL: cell, RUNS: run_ids})
        self.running[cell] = running
        self.view.note(f"trial {trial.number}: {in_words(point)}")
        first = running.first_run
        folder = RunFolder(self.root / first.run_id)
        for step, value in past_scores(folder, self.definition.objectives[0]):
            self._report(running, step, value)
        if first.ended:
            self._use_record(running, first)
        elif self._should_prune(running):
            self._end(running, "pruned", reason="its scores before an interruption were too low")
        else:
            self._train(first)

    def copy(self, trial: optuna.Trial, known: FrozenTrial) -> None:
        """End a trial like a finished trial with the same runs. No step is counted twice."""
        attributes = known.user_attrs
        for step, value in sorted(known.intermediate_values.items()):
            trial.report(value, step)
        same = {key: attributes[key] for key in (CELL, RUNS, "scores") if key in attributes}
        same |= {SAME: known.number, STEPS: 0, ALL_STEPS: 0}
        outcome: Outcome = attributes.get(OUTCOME, "failed")
        values = known.values if outcome == "done" else None
        more = f": {attributes[REASON]}" if REASON in attributes else ""
        reason = f"the same runs as trial {known.number}{more}"
        self.view.drop_placeholders(len(self.definition.seeds))
        self.trials.end(trial.number, outcome, values, reason, **same)

    # Events of runs

    def heard(self, run: PlannedRun, event: Report) -> None:
        running = self._trial_of(run)
        if running is None:
            return
        if isinstance(event, Stepped):
            running.steps[run.run_id], running.total = event.step, event.total
        elif isinstance(event, Scored) and run.run_id == running.first_run.run_id:
            self._scored(running, event)

    def ended(self, run: PlannedRun, record: Record) -> None:
        running = self._trial_of(run)
        if running is not None:
            self._take_record(running, run, record)

    def gave_up(self, run: PlannedRun, reason: str) -> None:
        running = self._trial_of(run)
        if running is not None:
            self._end(running, "failed", reason=f"{run.run_id}: {reason}")

    def _scored(self, running: RunningTrial, event: Scored) -> None:
        """The first run scored dev: report it, and cancel the run if the pruner says so."""
        if running.pruned:
            return
        running.steps[event.run_id] = event.step
        value = event.metrics.get(self.definition.objectives[0].key)
        if value is None:
            return
        self._report(running, event.step, value)
        # Pruning a run at its last step saves nothing, unless other seeds would follow.
        at_end = running.total is not None and event.step >= running.total
        if not (at_end and not running.other_runs) and self._should_prune(running):
            running.pruned = True
            self.execution.cancel(event.run_id, self._cancelled)

    def _cancelled(self, run: PlannedRun) -> None:
        """A pruned run has saved itself."""
        self.view.cancelled(run)
        running = self._trial_of(run)
        if running is None:
            return
        with suppress(RunError):
            record = RunFolder(self.root / run.run_id).record()
            if record is not None and record.steps is not None:
                running.steps[run.run_id] = record.steps
        self._end(running, "pruned", reason="below the other trials at the same evaluation")

    # From a run's end to the trial's end

    def _train(self, run: PlannedRun) -> None:
        self.view.add_run(run)
        self.execution.add([run])

    def _use_record(self, running: RunningTrial, run: PlannedRun) -> None:
        """Use the record of a run that was trained before."""
        try:
            record = RunFolder(self.root / run.run_id).record()
        except RunError as error:
            self.gave_up(run, str(error))
            return
        assert record is not None
        self._take_record(running, run, record)

    def _take_record(self, running: RunningTrial, run: PlannedRun, record: Record) -> None:
        """A run has ended: train the other seeds, or end the trial."""
        running.add_record(run.run_id, record)
        if record.status != "done":
            self._end(running, "diverged", reason=f"{run.run_id}: {record.error}")
        elif running.complete:
            self._conclude(running)
        elif running.pruned:
            self._end(running, "pruned")
        elif run.run_id == running.first_run.run_id:
            for other in running.other_runs:
                if running.cell in self.running:
                    if other.ended:
                        self._use_record(running, other)
                    else:
                        self._train(other)

    def _conclude(self, running: RunningTrial) -> None:
        """Every run has its record: end the trial with the means of its objectives."""
        records = {run.run_id: running.records[run.run_id] for run in running.runs}
        means, reason, by_run = objective_means(records, self.definition.objectives)
        outcome: Outcome = "done" if means is not None else "undefined"
        self._end(running, outcome, means, reason, scores=by_run)

    def _end(
        self,
        running: RunningTrial,
        outcome: Outcome,
        means: list[float] | None = None,
        reason: str | None = None,
        **more: Any,
    ) -> None:
        """End a trial and the trials that follow it."""
        del self.running[running.cell]
        for run in running.runs:
            if run.run_id not in running.records:
                self.execution.cancel(run.run_id, self.view.cancelled)
        untrained = sum(run.run_id not in running.steps and not run.ended for run in running.runs)
        self.view.drop_placeholders(untrained)
        self.failed_in_a_row = self.failed_in_a_row + 1 if outcome == "failed" else 0
        self._note_end(running.number, outcome, means, reason)
        more |= running.count_steps()
        if not self.trials.end(running.number, outcome, means, reason, **more):
            self.view.note(f"trial {running.number} was recovered by another coordinator")
        for follower in running.followers:
            self.copy(follower, self.trials.get(running.number))

    def _note_end(
        self, number: int, outcome: Outcome, means: list[float] | None, reason: str | None
    ) -> None:
        scores = "" if means is None else f"  {' '.join(f'{value:.3f}' for value in means)}"
        lines = (reason or "").strip().splitlines()
        line = f": {lines[0]}" if lines else ""
        self.view.note(f"trial {number} {outcome}{scores}{line}")

    # Pruning

    def _report(self, running: RunningTrial, step: int, value: float) -> None:
        """Report a dev score of the first seed to the pruner."""
        evaluation = running.add_score(step, value)
        if evaluation is not None and len(self.definition.objectives) == 1:
            running.trial.report(value, evaluation)

    def _should_prune(self, running: RunningTrial) -> bool:
        """Whether the pruner stops a trial. The study's first points always run in full."""
        if self.definition.pruner == "none" or not running.scores:
            return False
        return FIRST not in running.trial.user_attrs and bool(running.trial.should_prune())

    def _trial_of(self, run: PlannedRun) -> RunningTrial | None:
        """The trial in flight that a run belongs to."""
        for running in self.running.values():
            if any(run.run_id == own.run_id for own in running.runs):
                return running
        return None
