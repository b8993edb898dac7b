"""The engine of studies: search within the budget, run the best on fresh seeds, write the results.

    runs/<run_id>/                     every trial on every seed, as `mtl train` leaves it
    runs/studies/<name>/study.db       the trials, unless another storage is given
                        definition.yaml
                        results.json
                        report.md      the results for readers, with figures
                        worker-*.log   output of the workers

The engine receives `train` and never imports it, so that planning loads no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mtl.files import write_bytes, write_json
from mtl.grid.executor import Execution
from mtl.grid.plan import PlannedRun, Planner
from mtl.grid.pool import LocalPool, Pool, slots
from mtl.grid.view import View
from mtl.grid.worker import Setup, Train
from mtl.runs.options import PoolOptions
from mtl.runs.prepare import Sources
from mtl.study.coordinator import Coordinator
from mtl.study.definition import Study
from mtl.study.lease import CoordinatorLease
from mtl.study.results import MOST_WINNERS, StudyResults, make_results
from mtl.study.sentences import tracked_numbers, trial_table
from mtl.study.storage import (
    open_storage,
    open_study,
    sqlite_file,
    storage_errors,
    storage_lock,
    storage_url,
    study_folder,
)
from mtl.study.trial_runner import TrialRunner
from mtl.study.trials import Trials
from mtl.study.view import StudyView
from mtl.tracking.outcome import WandbMode
from mtl.tracking.summary import send_summary
from mtl.tracking.tracker import Table
from mtl.training.interrupt import Interruption

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

NO_LIMIT = 10_000
"""Trials to count on for the number of workers, where only hours are limited."""


@dataclass(frozen=True, kw_only=True)
class StudyOutcome:
    """The outcome of one call of `optimize`.

    `trained` is the number of runs of this call. `failures` maps run ids to reasons. `stopped` says
    why the search stopped before the budget was spent.
    """

    definition: Study
    results: StudyResults
    trained: int
    failures: Mapping[str, str]
    stopped: str | None
    folder: Path


def optimize(
    definition: Study,
    *,
    train: Train,
    options: PoolOptions,
    storage: str | None = None,
    view: View | None = None,
) -> StudyOutcome:
    """Search until the study's budget is spent. A second call resumes and trains nothing twice.

    Raises:
        ConfigError, DataError, EncoderError: Before anything is trained.
        RunInUse: Another process has the SQLite file.
        RunError: The storage fails.
        Interrupted: After SIGINT or SIGTERM, once runs in flight have saved themselves.
    """
    options = options.replace(wandb=options.wandb_mode, group=options.group or definition.name)
    sources = Sources(options.on_bad_row)
    base_cell = definition.check(sources)
    url = storage_url(options.runs, definition.name, storage)
    folder = study_folder(options.runs, definition.name)
    folder.mkdir(parents=True, exist_ok=True)
    most = (definition.trials or NO_LIMIT) * len(definition.seeds)
    chosen = slots(options.workers, options.device, most)
    with storage_lock(url), storage_errors(url):
        pool = LocalPool(
            Setup(train=train, options=options), chosen, folder, silence=60 * options.lost_after
        )
        try:
            outcome = search(
                definition,
                open_storage(url),
                pool,
                runs=options.runs,
                sources=sources,
                base_cell=base_cell,
                workers=len(chosen),
                retry=options.retry,
                view=view,
                shared=sqlite_file(url) is None,
            )
        finally:
            pool.close()
        if write_outcome(outcome, folder):
            _send(outcome.results, folder, options.wandb_mode)
    return outcome


def _send(results: StudyResults, folder: Path, mode: WandbMode) -> None:
    """Log the results in W&B: the table of trials, and the scores of the best trial."""
    columns, rows = trial_table(results)
    send_summary(
        results.name,
        cells=[trial.cell or "" for trial in results.trials],
        config={
            "question": results.question,
            "space": dict(results.space),
            "sampler": results.sampler,
        },
        summary=tracked_numbers(results),
        table=Table(name="trials", columns=columns, rows=rows),
        folder=folder,
        mode=mode,
    )


def search(
    definition: Study,
    storage: BaseStorage,
    pool: Pool,
    *,
    runs: Path,
    sources: Sources,
    base_cell: str,
    workers: int,
    retry: int = 1,
    view: View | None = None,
    shared: bool = False,
) -> StudyOutcome:
    """The search on any storage and any pool; see `optimize`. Writes no results."""
    study = open_study(definition, storage, base_cell)
    folder = study_folder(runs, definition.name)
    planner = Planner(runs, sources)
    study_view = StudyView(view or View())
    execution = Execution(runs, pool, study_view, retry=retry, fail_fast=False)
    with CoordinatorLease(study, folder) as lease, Interruption() as interruption:
        trials = Trials(study, storage, lease.id, definition.trials)
        runner = TrialRunner(
            definition, trials, runs=runs, planner=planner, execution=execution, view=study_view
        )
        coordinator = Coordinator(
            definition,
            study,
            runner,
            sources=sources,
            lease=lease,
            workers=workers,
            shared=shared,
        )
        counted = len(trials.counted())
        base = definition.make_space().plain({})
        (base_run,) = planner.runs_of("base", base, base_cell, definition.seeds[:1])
        left = max(0, (definition.trials or 0) - counted) * len(definition.seeds)
        study_view.begin_study(planner.costs, workers, base_run, left)
        study_view.note(opening(definition, counted, workers))
        try:
            coordinator.run(interruption)
            study_view.listener = None
            results = make_results(definition, study, runs, judge=False)
            fresh = fresh_runs(definition, results, planner, sources)
            if any(not run.ended for run in fresh):
                study_view.begin_fresh(fresh, definition.fresh_seeds())
                execution.run(fresh, interruption)
        finally:
            study_view.end()
    return StudyOutcome(
        definition=definition,
        results=make_results(definition, study, runs),
        trained=len(execution.trained),
        failures=dict(execution.failures),
        stopped=coordinator.stopped,
        folder=folder,
    )


def fresh_runs(
    definition: Study, results: StudyResults, planner: Planner, sources: Sources
) -> Sequence[PlannedRun]:
    """The runs of the best trials on seeds that no trial has seen."""
    space, seeds = definition.make_space(), definition.fresh_seeds()
    if not seeds:
        return []
    runs: list[PlannedRun] = []
    for trial in results.winners()[:MOST_WINNERS]:
        config = space.plain(trial.point)
        cell = sources.cell(config)
        runs += planner.runs_of(f"best (trial {trial.number})", config, cell, seeds)
    return runs


def write_outcome(outcome: StudyOutcome, folder: Path) -> bool:
    """Write the definition and the results. Returns whether the results changed, time aside."""
    path, plain = folder / "results.json", outcome.results.as_json()
    try:
        before = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        before = {}
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "definition.yaml", outcome.definition.to_yaml().encode())
    write_json(path, plain)
    return bool({**before, "seconds": 0} != {**plain, "seconds": 0})


def opening(definition: Study, counted: int, workers: int) -> str:
    """The first line of progress: budget, known trials, sampler, workers."""
    budget = [f"{definition.trials} trials"] if definition.trials else []
    budget += [f"{definition.hours:g} hours"] if definition.hours else []
    seeds = f" of {len(definition.seeds)} seeds" if len(definition.seeds) > 1 else ""
    known = f", {counted} there already" if counted else ""
    plural = "s" if workers != 1 else ""
    return (
        f"{definition.name}: {' or '.join(budget)}{seeds}{known}; {definition.sampler}, "
        f"pruner {definition.pruner}, {workers} worker{plural}"
    )
