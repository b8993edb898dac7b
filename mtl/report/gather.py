"""From a folder of runs to the kept records of a report. Nothing is trained, and no data is needed.

A grid is what `mtl ablate` left: `grid.json` with its design, beside its runs. A single run is a
design of one arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtl.ablation.ensembles import ensembles_of
from mtl.ablation.evidence import FolderRuns
from mtl.ablation.grid_design import GridDesign
from mtl.ablation.grid_files import read_grid_design, with_look
from mtl.ablation.judging import make_results
from mtl.ablation.results import Results
from mtl.data.load import is_built_in
from mtl.errors import RunError
from mtl.grid.arm import Arm
from mtl.report.archive import SCHEMA, Archive, as_json, pack
from mtl.report.data import focus_arms
from mtl.report.leaks import leaks_of
from mtl.report.paths import each_text, short_names, shortened, without_paths
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record
from mtl.tasks.metrics import Predictions
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

KEPT = (
    "run_id", "cell", "seed", "status", "config", "metrics", "undefined", "best_step", "steps",
    "cross_fitted", "cross_fitted_steps", "last", "seconds", "throughput", "peak_memory",
    "diagnostics", "frozen_unchanged", "data",
)  # fmt: skip
"""The parts of a record that are kept."""
MACHINE = ("python", "numerics", "processor", "cores", "threads", "device", "cuda")
"""The parts of its environment that are kept, besides the packages."""
FOLDERS = ("data", "encoder")
"""Settings that may hold a folder; reports show the end of it."""


def gather_grid(
    folder: Path, runs: Path, *, text: bool | None, before: Archive | None = None
) -> tuple[Archive, Results]:
    """The records of a grid, and its results with every path in them.

    `before` are records made earlier: leaks that they know of in the same data are taken over. The
    design gets this look at the data, if no earlier one had the same seeds. Raises RunError where
    the files of the grid are missing or damaged.
    """
    design = with_look(read_grid_design(folder), FolderRuns(runs))
    return _gather("grid", design, runs, text=text, before=before)


def gather_run(folder: RunFolder, *, text: bool | None, before: Archive | None = None) -> Archive:
    """The records of one run. Raises RunError where it has not ended."""
    record = folder.record()
    if record is None:
        raise RunError(
            f"{folder.path}: {folder.state()}: no record yet. A report needs a run that has ended."
        )
    name, config = folder.run_id, folder.config()
    design = GridDesign(
        name=name,
        question="What did this run learn?",
        baseline=name,
        arms=(Arm(name=name, config=config, cell=record.cell),),
        runs={name: {config.seed: name}},
    )
    return _gather("run", design, folder.path.parent, text=text, before=before)[0]


def _gather(
    kind: str, design: GridDesign, root: Path, *, text: bool | None, before: Archive | None
) -> tuple[Archive, Results]:
    runs = GatheredRuns(root)
    for run_id in {name for seeds in design.runs.values() for name in seeds.values()}:
        if record := runs.readable_record(run_id):
            TASKS.learn(record.definitions())  # as scored then, whatever a task's file says now
    results = make_results(design, runs)
    focus = focus_arms(results.comparable[0], {arm.name: arm.config for arm in design.arms})
    whole = {design.runs[arm.name][arm.seeds[0]] for arm in focus}
    archived = {
        run_id: runs.archived(run_id, arm.config.tasks, whole=run_id in whole)
        for arm in design.arms
        for run_id in design.runs[arm.name].values()
    }
    records = [record for run_id in archived if (record := runs.readable_record(run_id))]
    built_in = all(is_built_in(arm.config.data, arm.config.tasks) for arm in design.arms)
    configs = {arm.cell: arm.config for arm in design.arms}
    plain = as_json(
        Archive.model_validate({
            "schema": SCHEMA,
            "kind": kind,
            "text": built_in if text is None else text,
            "design": design,
            "results": _without_paths(results, root),
            "runs": archived,
            "rows": runs.rows,
            "ensembles": [
                one for group in results.comparable for one in ensembles_of(group, design, runs)
            ],
            "leaks": leaks_of(records, configs, before),
        })
    )  # fmt: skip
    places = [arm.config.model_dump() for arm in design.arms]
    places += [record.config for record in records]
    short = short_names(config[key] for config in places for key in FOLDERS)
    return Archive.model_validate(each_text(plain, lambda words: shortened(words, short))), results


def _without_paths(results: Results, root: Path) -> Results:
    """The results, without the folder of the runs in the reasons of missing scores."""
    arms = tuple(
        arm.model_copy(
            update={
                "missing": {
                    seed: without_paths(reason, root) for seed, reason in arm.missing.items()
                }
            }
        )
        for arm in results.arms
    )
    groups = tuple(_without_paths(group, root) for group in results.groups)
    return results.model_copy(update={"arms": arms, "groups": groups})


class GatheredRuns(FolderRuns):
    """Runs that are read once, for judging and for keeping.

    Runs with the same rows share one list of them.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.rows: dict[str, dict[str, Any]] = {}
        self._read: dict[tuple[str, TaskName], tuple[Predictions, str] | RunError] = {}

    def predictions(self, run_id: str, task: TaskName) -> Predictions:
        return self._with_rows(run_id, task)[0]

    def _with_rows(self, run_id: str, task: TaskName) -> tuple[Predictions, str]:
        """The predictions, and the key of their rows."""
        key = run_id, task
        if key not in self._read:
            try:
                self._read[key] = self._shared(super().predictions(run_id, task))
            except RunError as error:
                self._read[key] = error
        read = self._read[key]
        if isinstance(read, RunError):
            raise read
        return read

    def _shared(self, predictions: Predictions) -> tuple[Predictions, str]:
        gold = None if predictions.gold is None else [float(value) for value in predictions.gold]
        rows = {"task": predictions.task, "ids": predictions.ids, "gold": gold}
        for key, known in self.rows.items():
            if known == rows:
                return replace(predictions, ids=known["ids"]), key
        number = sum(known["task"] == predictions.task for known in self.rows.values())
        key = f"{predictions.task}-{number}"
        self.rows[key] = rows
        return predictions, key

    def archived(self, run_id: str, tasks: Sequence[TaskName], *, whole: bool) -> dict[str, Any]:
        """What is kept of a run; with `whole` all its dev outputs."""
        folder = RunFolder(self.root / run_id)
        reason = self.why_unscored(run_id)
        record = self.readable_record(run_id)
        kept = not reason and record is not None and record.cross_fitted is not None
        judged = tasks if kept else ()
        return {
            "record": None if record is None else trimmed(record),
            "reason": without_paths(reason, self.root),
            "history": [] if record is None else _history(folder),
            "tests": self.readable_openings(run_id),
            "dev": {} if reason else {task: self._outputs(run_id, task, whole) for task in tasks},
            "cross": {}
            if reason
            else {task: self._judged_outputs(run_id, task) for task in judged},
        }

    def _outputs(self, run_id: str, task: TaskName, whole: bool) -> dict[str, str]:
        try:
            predictions, rows = self._with_rows(run_id, task)
        except RunError as error:
            return {"error": without_paths(str(error), self.root)}
        return {**pack(predictions, whole=whole), "rows": rows}

    def _judged_outputs(self, run_id: str, task: TaskName) -> dict[str, str]:
        try:
            predictions, rows = self._shared(self.cross_fitted(run_id, task))
        except RunError as error:
            return {"error": without_paths(str(error), self.root)}
        return {**pack(predictions, whole=False), "rows": rows}


def trimmed(record: Record) -> dict[str, Any]:
    """A record as plain data, without what belongs to the machine alone."""
    stored = record.as_json()
    environment = {key: getattr(record.environment, key) for key in (*MACHINE, "packages")}
    return {key: stored[key] for key in KEPT if key in stored} | {"environment": environment}


def _history(folder: RunFolder) -> list[dict[str, Any]]:
    """The evaluations of a run: step, epoch and the scores that count, of train and dev.

    A run with a damaged log has none.
    """
    kept = {
        f"{split}/{key}"
        for split in ("train", "dev")
        for key in (*(task.metric_key for task in TASKS.readable()), "overall")
    }
    evaluations = []
    try:
        lines = folder.history()
    except RunError:
        return []
    for line in lines:
        if "metrics" in line:
            scores = {key: value for key, value in line["metrics"].items() if key in kept}
            evaluations.append(
                {"step": line["step"], "epoch": line.get("epoch"), "metrics": scores}
            )
    return evaluations
