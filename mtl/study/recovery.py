"""Recovery after a coordinator that ended early: finished trials are ended, others requeued."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mtl.errors import RunError
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record
from mtl.study.objectives import Objective
from mtl.study.running_trial import objective_means
from mtl.study.trials import ALL_STEPS, RUNS, STEPS, Outcome, Trials


def recover_trials(
    trials: Trials, objectives: Sequence[Objective], root: Path, note: Callable[[str], None]
) -> None:
    """End abandoned trials whose runs are done, and requeue the others."""
    trials.requeue_lost()
    for trial in trials.abandoned():
        records = finished_records(root, trial.user_attrs.get(RUNS, {}).values())
        if records is not None:
            means, reason, by_run = objective_means(records, objectives)
            steps = sum(record.steps or 0 for record in records.values())
            counts = {STEPS: steps, ALL_STEPS: steps}
            outcome: Outcome = "done" if means is not None else "undefined"
            trials.end(trial.number, outcome, means, reason, scores=by_run, **counts)
        elif trials.end(trial.number, "lost", reason="its coordinator ended first"):
            note(f"trial {trial.number} was left unfinished: requeued")
            trials.requeue(trial)


def finished_records(root: Path, run_ids: Iterable[str]) -> dict[str, Record] | None:
    """The records of a trial's runs by run; None unless all are done."""
    records: dict[str, Record] = {}
    for run_id in run_ids:
        try:
            record = RunFolder(root / run_id).record()
        except RunError:
            return None
        if record is None or record.status != "done":
            return None
        records[run_id] = record
    return records or None
