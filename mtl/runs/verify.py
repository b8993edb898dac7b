"""Does a run's folder still say what its record says? Recomputed from the files, and compared with the W&B copy."""

from __future__ import annotations

from mtl.config.identity import run_id
from mtl.errors import MtlError, RunError
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record
from mtl.tasks.metrics import Predictions, score_all
from mtl.tasks.registry import Split, TaskName


def verify(folder: RunFolder) -> list[str]:
    """What is wrong with a run, in words; empty when all is well. Raises nothing for a damaged run: it says so."""
    try:
        record = folder.record()
    except RunError as error:
        return [str(error)]
    if record is None:
        return (
            []
            if folder.state() == "running"
            else ["not finished: no record.json; the same command goes on with it"]
        )
    problems = identity_problems(folder, record)
    if record.status == "done":
        problems += prediction_problems(folder, record) + checkpoint_problems(folder, record)
    return problems + tracking_problems(folder, record)


def identity_problems(folder: RunFolder, record: Record) -> list[str]:
    """The folder's name, the record and the config must be of one run."""
    problems = []
    if record.run_id != folder.run_id or record.run_id != run_id(record.cell, record.seed):
        problems.append(f"record.json is of {record.run_id}, the folder is {folder.run_id}")
    try:
        if folder.config().model_dump(mode="json") != record.config:
            problems.append("config.yaml differs from the config in record.json")
    except MtlError as error:
        problems.append(str(error))
    return problems


def prediction_problems(folder: RunFolder, record: Record) -> list[str]:
    """Metrics recomputed from the saved predictions must be the recorded ones, to the last bit."""
    tasks: tuple[TaskName, ...] = tuple(record.config["tasks"])
    recorded: dict[Split, dict[str, float | None]] = {
        "dev": record.metrics,
        "train": record.metrics,
    }
    shown = [
        opening
        for opening in folder.openings()[-1:]
        if opening.metrics and not opening.before_fresh
    ]
    if shown:
        recorded["test"] = shown[-1].metrics
    problems = []
    for prefix, metrics in recorded.items():
        try:
            found: dict[TaskName, Predictions] = {
                task: folder.predictions(prefix, task) for task in tasks
            }
            computed = score_all(found, tasks, record.config["overall"], prefix).metrics
        except (RunError, ValueError) as error:
            problems.append(str(error))
            continue
        for key, value in computed.items():
            if metrics.get(key) != value:
                problems.append(f"{key}: recorded {metrics.get(key)}, the predictions give {value}")
    return problems


def checkpoint_problems(folder: RunFolder, record: Record) -> list[str]:
    """The checkpoint must be there, unchanged, and of the selected step."""
    from mtl.runs import checkpoint

    try:
        checkpoint.check_selected(folder, record.best_step)
    except RunError as error:
        return [str(error)]
    return []


def tracking_problems(folder: RunFolder, record: Record) -> list[str]:
    """The W&B copy must hold the recorded metrics."""
    tracked = record.wandb
    if tracked is None or tracked.mode in (None, "disabled") or record.status != "done":
        return []
    from mtl.tracking.wandb_copy import compare, read_back

    try:
        read = read_back(folder.path, tracked.mode, record.run_id)
    except Exception as error:  # whatever the client or the network raises, the finding is the same
        return [f"W&B: could not be read back: {error}"]
    return [f"W&B: {difference}" for difference in compare(record.metrics, read)]
