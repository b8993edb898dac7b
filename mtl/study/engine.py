"""A study at work: search what its budget allows, run the best on fresh seeds, and write down what was found.

    runs/<run_id>/                     every trial on every seed, as `mtl train` leaves it
    runs/studies/<name>/study.db       the trials, unless another storage is given
                        definition.yaml
                        results.json   what was found
                        report.md      the same for people, with figures
                        worker-*.log   what workers printed

The engine receives `train` and never imports it.
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
from mtl.study.drawing import plan_runs
from mtl.study.owner import Owner
from mtl.study.results import MOST_WINNERS, StudyResults, make_results
from mtl.study.sentences import tracked_numbers, trial_table
from mtl.study.storage import (
    alone,
    open_storage,
    open_study,
    sqlite_file,
    storage_url,
    study_folder,
    told,
)
from mtl.study.trials import Trials
from mtl.study.watching import Watching
from mtl.tracking.outcome import WandbMode
from mtl.tracking.summary import send_summary
from mtl.tracking.tracker import Table
from mtl.training.interrupt import Interruption

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


@dataclass(frozen=True, kw_only=True)
class Optimized:
    """What a study came to: its results, how many runs were trained now, why some failed, and why it stopped early."""

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
) -> Optimized:
    """Search until the study's budget is spent; called again, it goes on where it was, and trains nothing twice.

    Raises ConfigError, DataError or EncoderError before anything is trained, RunInUse where another process has the
    SQLite file, and Interrupted after SIGINT or SIGTERM, once runs under way have saved themselves.
    """
    options = options.replace(wandb=options.wandb_mode, group=options.group or definition.name)
    runs = options.runs
    sources = Sources(options.on_bad_row)
    base_cell = definition.check(sources)
    url = storage_url(runs, definition.name, storage)
    folder = study_folder(runs, definition.name)
    folder.mkdir(parents=True, exist_ok=True)
    most = (definition.trials or 10_000) * len(definition.seeds)
    chosen = slots(options.workers, options.device, most)
    with alone(url), told(url):
        pool = LocalPool(Setup(train=train, options=options), chosen, folder)
        try:
            found = search(
                definition, open_storage(url), pool, runs=runs, sources=sources, base_cell=base_cell, workers=len(chosen),
                retry=options.retry, view=view or View(), shared=sqlite_file(url) is None,
            )  # fmt: skip
        finally:
            pool.close()
        if found.write(folder):
            _send(found.results, folder, options.wandb_mode)
    return found.optimized(folder)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search came to, not yet written down."""

    definition: Study
    results: StudyResults
    trained: int
    failures: Mapping[str, str]
    stopped: str | None

    def write(self, folder: Path) -> bool:
        """Put the question and the answer into the study's folder; whether the answer is another than before."""
        path, plain = folder / "results.json", self.results.as_json()
        try:
            before = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            before = {}
        write_bytes(folder / "definition.yaml", self.definition.to_yaml().encode())
        write_json(path, plain)
        return bool({**before, "seconds": 0} != {**plain, "seconds": 0})

    def optimized(self, folder: Path) -> Optimized:
        """The same, with where it lies."""
        return Optimized(
            results=self.results,
            trained=self.trained,
            failures=self.failures,
            stopped=self.stopped,
            folder=folder,
        )


def _send(results: StudyResults, folder: Path, mode: WandbMode) -> None:
    """Log the results in W&B: the table of trials, and the scores of the best."""
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
) -> Found:
    """The search on any storage and any pool; see `optimize`."""
    study = open_study(definition, storage, base_cell)
    planner = Planner(runs, sources)
    watching = Watching(view or View())
    execution = Execution(runs, pool, watching, retry=retry, fail_fast=False)
    with Owner(study, study_folder(runs, definition.name)) as owner, Interruption() as interruption:
        trials = Trials(study, storage, owner.id, definition.trials)
        base = definition.make_space().plain({})
        (stand_in, *_) = plan_runs(planner, "base", base, base_cell, definition.seeds[:1], workers)
        left = max(0, (definition.trials or 0) - len(trials.counted()))
        watching.open(planner.costs, workers, stand_in, left * len(definition.seeds))
        watching.note(opening(definition, len(trials.counted()), workers))
        try:
            coordinator = Coordinator(
                definition, study, trials, runs=runs, sources=sources, planner=planner, execution=execution,
                watching=watching, owner=owner, workers=workers, shared=shared,
            )  # fmt: skip
            coordinator.run(interruption)
            watching.listener = None
            results = make_results(definition, study, runs, judge=False)
            fresh = confirm(definition, results, planner, sources, workers)
            if any(not run.ended for run in fresh):
                watching.note(
                    f"the best again, on fresh seeds: {', '.join(map(str, definition.fresh_seeds()))}"
                )
                for run in fresh:
                    watching.add(run)
                execution.run(fresh, interruption)
        finally:
            watching.end()
    return Found(
        definition=definition,
        results=make_results(definition, study, runs),
        trained=watching.trained,
        failures=dict(execution.failures),
        stopped=coordinator.stopped,
    )


def confirm(
    definition: Study, results: StudyResults, planner: Planner, sources: Sources, workers: int
) -> Sequence[PlannedRun]:
    """The runs of the best trial, or of the front's first ones, on seeds that no trial has seen."""
    space, seeds = definition.make_space(), definition.fresh_seeds()
    found: list[PlannedRun] = []
    for trial in results.winners()[:MOST_WINNERS] if seeds else ():
        config = space.plain(trial.point)
        found += plan_runs(
            planner, f"best (trial {trial.number})", config, sources.cell(config), seeds, workers
        )
    return found


def opening(definition: Study, there: int, workers: int) -> str:
    """What is about to happen, in a line."""
    budget = [f"{definition.trials} trials"] if definition.trials else []
    budget += [f"{definition.hours:g} hours"] if definition.hours else []
    seeds = f" of {len(definition.seeds)} seeds" if len(definition.seeds) > 1 else ""
    known = f", {there} there already" if there else ""
    several = "s" if workers != 1 else ""
    return (
        f"{definition.name}: {' or '.join(budget)}{seeds}{known}; {definition.sampler}, pruner {definition.pruner}, "
        f"{workers} worker{several}"
    )
