"""Several runs as one model: which runs can be, and their predictions together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtl.data.rows import Rows
from mtl.errors import ConfigError
from mtl.inference.trained import Trained, done_record, load_trained
from mtl.runs.folder import RunFolder
from mtl.runs.mean_predictions import mean_predictions
from mtl.runs.record import Record
from mtl.tasks.metrics import Predictions, score_all
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Task, TaskName

ONLY_SCORING = ("metric", "weight")
"""The parts of a task's identity that no prediction depends on."""


def check_members(folders: Sequence[RunFolder], name: TaskName) -> None:
    """Check that the runs differ and have the task `name` with the same labels and range.

    The task's metric and its weight may differ. A run without a record is left to `load_trained`.
    Raises ConfigError.
    """
    _check_distinct(folders)
    first: tuple[RunFolder, Task] | None = None
    for folder in folders:
        record = folder.record()
        if record is None:
            continue
        trained = record.config["tasks"]
        if name not in trained:
            raise ConfigError(
                f"--task {name}: {folder.run_id} was trained on {', '.join(trained)}."
            )
        task = _task_of(record, name)
        first = first or (folder, task)
        _check_same(*first, folder, task, may_differ=ONLY_SCORING)


def check_together(folders: Sequence[RunFolder]) -> None:
    """Check that the runs can be scored together on test, before any opens it.

    They are done, and have the same tasks and the same overall score. Raises ConfigError, and
    RunError for a run that has no model.
    """
    if len(folders) < 2:
        raise ConfigError("--ensemble: one run is no ensemble. Name two runs or more.")
    _check_distinct(folders)
    first, expected = folders[0], done_record(folders[0])
    for folder in folders[1:]:
        record = done_record(folder)
        for key in ("tasks", "overall"):
            ours, theirs = expected.config[key], record.config[key]
            if ours != theirs:
                raise ConfigError(
                    f"--ensemble: {first.run_id} and {folder.run_id} have different {key} "
                    f"({_words(ours)}; {_words(theirs)}). Name runs with the same."
                )
        for name in expected.config["tasks"]:
            _check_same(first, _task_of(expected, name), folder, _task_of(record, name))


def _words(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _task_of(record: Record, name: TaskName) -> Task:
    """The task of that name, as the run was scored with it."""
    own = {task.name: task for task in record.definitions()}
    return own.get(name) or TASKS[name]


def _check_distinct(folders: Sequence[RunFolder]) -> None:
    """Raise ConfigError where a run is named twice."""
    paths = [folder.path.resolve() for folder in folders]
    for place, folder in enumerate(folders):
        if paths[place] in paths[:place]:
            raise ConfigError(
                f"{folder.run_id} is named twice; each run counts once in the mean. Name it once."
            )


def _check_same(
    first: RunFolder,
    expected: Task,
    folder: RunFolder,
    task: Task,
    may_differ: Sequence[str] = (),
) -> None:
    """Raise ConfigError where the runs' tasks are not the same, with what differs."""
    ours, theirs = expected.identity(), task.identity()
    keys = [key for key in ours if key not in may_differ and ours[key] != theirs[key]]
    if keys:
        differences = "; ".join(f"{key}: {ours[key]} and {theirs[key]}" for key in keys)
        raise ConfigError(
            f"task {expected.name}: {first.run_id} and {folder.run_id} define it differently "
            f"({differences}), so they are no ensemble. Name runs of one definition."
        )


def load_members(folders: Sequence[RunFolder], device: str | None = None) -> list[Trained]:
    """Load the runs, each with its own definitions of tasks. Raises RunError (`load_trained`)."""
    members = []
    for folder in folders:
        record = folder.record()
        with TASKS.using(record.definitions() if record else ()):
            members.append(load_trained(folder, device))
    return members


def ensemble(runs: Sequence[Trained], rows: Rows) -> Predictions:
    """The predictions of the runs that were trained on the rows' task: one run's, or the mean.

    See `mtl.runs.mean_predictions`.
    """
    return mean_predictions([run.predict(rows) for run in runs if rows.task.name in run.tasks])


def score_together(folders: Sequence[RunFolder]) -> dict[str, Any]:
    """The test scores of the runs' mean, from the test predictions that each run has kept.

    Each has opened test; this opens nothing. Raises ConfigError where the runs were scored on
    different rows, and RunError where predictions are missing or damaged.
    """
    rows = [folder.openings()[-1].data for folder in folders]
    for folder, own in zip(folders, rows, strict=True):
        if own != rows[0]:
            raise ConfigError(
                f"--ensemble: {folders[0].run_id} and {folder.run_id} were scored on different "
                "test rows. Say where the same data is: --data FOLDER."
            )
    config = folders[0].config()
    together = {
        task: mean_predictions([folder.predictions("test", task) for folder in folders])
        for task in config.tasks
    }
    scores = score_all(together, config.tasks, config.overall, "test")
    return {
        "metrics": scores.metrics,
        "undefined": scores.reasons,
        "members": [folder.run_id for folder in folders],
    }
