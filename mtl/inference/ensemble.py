"""Several runs as one model: which runs can be, and their predictions together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtl.data.rows import Rows
from mtl.errors import ConfigError
from mtl.inference.trained import Trained, load_trained
from mtl.runs.folder import RunFolder
from mtl.runs.mean_predictions import mean_predictions
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
    paths = [folder.path.resolve() for folder in folders]
    for place, folder in enumerate(folders):
        if paths[place] in paths[:place]:
            raise ConfigError(
                f"{folder.run_id} is named twice; each run counts once in the mean. Name it once."
            )
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
        own = {task.name: task for task in record.definitions()}
        task = own.get(name) or TASKS[name]
        first = first or (folder, task)
        _check_same(*first, folder, task)


def _check_same(first: RunFolder, expected: Task, folder: RunFolder, task: Task) -> None:
    """Raise ConfigError where the runs' tasks predict other things, with what differs."""
    ours, theirs = expected.identity(), task.identity()
    keys = [key for key in ours if key not in ONLY_SCORING and ours[key] != theirs[key]]
    if keys:
        differences = "; ".join(f"{key}: {ours[key]} and {theirs[key]}" for key in keys)
        raise ConfigError(
            f"--task {expected.name}: {first.run_id} and {folder.run_id} define it differently "
            f"({differences}), so their predictions have no mean. Name runs of one definition."
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


def check_together(folders: Sequence[RunFolder]) -> None:
    """Check that the runs can be scored together on test: the same tasks, the same overall.

    Raises ConfigError, before any test split is opened.
    """
    if len(folders) < 2:
        raise ConfigError("--ensemble: one run is no ensemble. Name two runs or more.")
    records = [(folder, record) for folder in folders if (record := folder.record())]
    for folder, record in records[1:]:
        first, expected = records[0]
        for key in ("tasks", "overall"):
            if record.config[key] != expected.config[key]:
                raise ConfigError(
                    f"--ensemble: {first.run_id} and {folder.run_id} have different {key} "
                    f"({expected.config[key]} and {record.config[key]}). Name runs with the same."
                )
    for name in records[0][1].config["tasks"] if records else ():
        check_members(folders, name)


def score_together(folders: Sequence[RunFolder]) -> dict[str, Any]:
    """The test scores of the runs' mean, from the test predictions that each run has kept.

    Raises ConfigError where the runs were scored on different rows.
    """
    config = folders[0].config()
    together = {}
    for task in config.tasks:
        parts = [folder.predictions("test", task) for folder in folders]
        for folder, part in zip(folders, parts, strict=True):
            if part.ids != parts[0].ids:
                raise ConfigError(
                    f"--ensemble: {folders[0].run_id} and {folder.run_id} were scored on different "
                    f"test rows of {task}. Say where the same data is: --data FOLDER."
                )
        together[task] = mean_predictions(parts)
    scores = score_all(together, config.tasks, config.overall, "test")
    return {
        "metrics": scores.metrics,
        "undefined": scores.reasons,
        "members": [folder.run_id for folder in folders],
    }
