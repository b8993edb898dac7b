"""Several runs as one model: the mean of their probabilities, or of their scores.

Source: Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty
Estimation using Deep Ensembles", NeurIPS 2017, arXiv:1612.01474.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtl.data.rows import Rows
from mtl.errors import ConfigError
from mtl.inference.trained import Trained, load_trained
from mtl.runs.folder import RunFolder
from mtl.tasks.metrics import Predictions, probabilities
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

    One run's outputs keep their bits. A mean's are float64 (rows, outputs): scores, or the logits
    of the mean probabilities.
    """
    parts = [run.predict(rows) for run in runs if rows.task.name in run.tasks]
    if len(parts) == 1:
        return parts[0]
    task = rows.task
    if task.kind == "score":
        outputs = np.mean([part.outputs.astype(np.float64) for part in parts], axis=0)
    else:
        chances = np.mean([probabilities(task, part.outputs) for part in parts], axis=0)
        logs = np.log(np.maximum(chances, np.finfo(np.float64).tiny))
        outputs = logs[:, 1:] - logs[:, :1] if task.kind == "binary" else logs
    return Predictions(
        task=task.name, split=rows.split, ids=rows.ids, gold=rows.labels, outputs=outputs
    )
