"""Verifying a run: its files and its copy in W&B must agree with its record.

The record has the sha256 of each file. What they mean is checked too: metrics are those of the
predictions, and the checkpoint is that of the selected step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mtl.config.identity import run_id
from mtl.errors import MtlError, RunError
from mtl.runs.folder import TEST_PREDICTIONS, RunFolder
from mtl.runs.hashes import CHANGED
from mtl.runs.record import Metrics, Record
from mtl.tasks.metrics import Predictions, score_all
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Split, TaskName


def verify(folder: RunFolder) -> list[str]:
    """The problems of a run, in words; an empty list without any. A damaged run does not raise."""
    try:
        record = folder.record()
    except RunError as error:
        return [str(error)]
    if record is None:
        running = folder.state() == "running"
        return [] if running else ["not finished: no record.json. The same command resumes it"]
    folder = RunFolder(folder.path)  # with hashes of its own, of this moment
    problems = file_problems(folder, record) + identity_problems(folder, record)
    if record.status == "done":
        with TASKS.using(record.definitions()):
            problems += prediction_problems(folder, record)
        problems += checkpoint_problems(folder, record)
    return list(dict.fromkeys(problems + tracking_problems(folder, record)))


def left_over(folder: RunFolder) -> str:
    """What a killed process left, in words; "" for nothing. The run is right without it."""
    return "resume/ is left over: mtl train removes it" if folder.has_leftovers() else ""


def file_problems(folder: RunFolder, record: Record) -> list[str]:
    """Every file must have the sha256 in the record, or in the last opening of test.

    Records of earlier versions have none.
    """
    try:
        openings, of_test = folder.openings(), folder.test_hashes()
        there = folder.found = folder.hashes()
    except RunError as error:
        return [str(error)]
    if record.files is None:
        return []
    recorded = record.files | of_test
    problems = []
    for name in sorted(recorded.keys() | there.keys()):
        if name not in there:
            problems.append(f"{folder.path / name}: missing.")
        elif name not in recorded:
            # An opening that did not end may have left predictions.
            if not (openings and not of_test and name.startswith(TEST_PREDICTIONS)):
                problems.append(f"{folder.path / name}: not a file of the run.")
        elif there[name] != recorded[name]:
            problems.append(f"{folder.path / name}: {CHANGED}")
    return problems


def identity_problems(folder: RunFolder, record: Record) -> list[str]:
    """Folder name, record and config must belong to one run."""
    problems = []
    if record.run_id != folder.run_id or record.run_id != run_id(record.cell, record.seed):
        problems.append(f"record.json is of {record.run_id}; the folder is {folder.run_id}")
    try:
        if folder.config().model_dump(mode="json") != record.config:
            problems.append("config.yaml differs from the config in record.json")
    except MtlError as error:
        problems.append(str(error))
    return problems


def prediction_problems(folder: RunFolder, record: Record) -> list[str]:
    """Metrics recomputed from the saved predictions must equal the recorded ones, bit for bit."""
    tasks: tuple[TaskName, ...] = tuple(record.config["tasks"])
    recorded: dict[Split, Metrics] = {"dev": record.metrics, "train": record.metrics}
    problems = []
    try:
        openings = folder.openings()
    except RunError as error:
        openings, problems = [], [str(error)]
    for opening in openings[-1:]:
        if opening.metrics and not opening.before_fresh:
            recorded["test"] = opening.metrics
    for split, metrics in recorded.items():
        read = partial(folder.predictions, split)
        problems += _differences(record, tasks, split, metrics, read)
    if record.cross_fitted is not None:
        problems += [
            f"cross-fitted {problem}"
            for problem in _differences(
                record, tasks, "dev", record.cross_fitted, folder.cross_fitted
            )
        ]
    return problems


def _differences(
    record: Record,
    tasks: tuple[TaskName, ...],
    split: Split,
    metrics: Metrics,
    read: Callable[[TaskName], Predictions],
) -> list[str]:
    """Where recorded metrics are not those of the predictions that were kept."""
    try:
        predictions = {task: read(task) for task in tasks}
        computed = score_all(predictions, tasks, record.config["overall"], split).metrics
    except (RunError, ValueError) as error:
        return [str(error)]
    return [
        f"{key}: recorded {metrics.get(key)}, the predictions give {value}"
        for key, value in computed.items()
        if metrics.get(key) != value
    ]


def checkpoint_problems(folder: RunFolder, record: Record) -> list[str]:
    """The checkpoint must be present, undamaged, and of the selected step."""
    from mtl.runs import checkpoint

    try:
        checkpoint.check_selected(folder, record.best_step)
    except RunError as error:
        return [str(error)]
    return []


def tracking_problems(folder: RunFolder, record: Record) -> list[str]:
    """W&B's copy must have the recorded metrics."""
    tracked = record.wandb
    if tracked is None or tracked.mode in (None, "disabled") or record.status != "done":
        return []
    from mtl.tracking.wandb_copy import compare, read_back

    try:
        copy = read_back(folder.path, tracked.mode, record.run_id)
    except Exception as error:  # client and network may raise anything
        return [f"W&B: could not be read back: {error}"]
    return [f"W&B: {difference}" for difference in compare(record.metrics, copy)]
