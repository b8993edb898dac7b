"""A run's folder: all that is known of a run is on disk, without a server.

    runs/<run_id>/config.yaml         first: the settings
                  metrics.jsonl       during training: a line per step, a line per evaluation
                  resume/             during training: the saved state of the run
                  predictions/        <split>-<task>.csv: id, gold, outputs
                  cross-fitted/       <task>.csv: those of dev that verdicts use
                                      (`mtl.runs.halves`)
                  checkpoint/         the selected weights, with their sha256
                  record.json         last, in one piece: a run without it has not ended
                  test.json           openings of the test split (`mtl test`)

No torch here: reports read runs too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtl.config.schema import RunConfig
from mtl.config.yaml_file import dump_yaml, read_yaml
from mtl.errors import RunError, RunInUse
from mtl.files import write_bytes, write_json
from mtl.locks import LockInUse, LocksUnsupported, exclusive, is_held
from mtl.runs.predictions import read_predictions, write_predictions
from mtl.runs.record import SCHEMA, Opening, Record, damaged, parse_record
from mtl.tasks.metrics import Predictions
from mtl.tasks.task import Split, TaskName

CONFIG, RECORD, OPENINGS, LOCK = "config.yaml", "record.json", "test.json", ".lock"
GRIDS, STUDIES = "grids", "studies"
"""Folders beside the runs, for grids and studies. They are not runs."""
LOCK_SECONDS = 1.0
"""How long to wait for a run's lock: a process that lists runs holds it for a moment."""


class RunFolder:
    """The folder of one run. It need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def checkpoint(self) -> Path:
        """The folder of the selected weights."""
        return self.path / "checkpoint"

    @property
    def resume(self) -> Path:
        """The folder of the saved state."""
        return self.path / "resume"

    @property
    def metrics(self) -> Path:
        """The log of steps and evaluations."""
        return self.path / "metrics.jsonl"

    # --- state

    def record(self) -> Record | None:
        """The record, or None for a run that has not ended. Raises RunError for a damaged file."""
        path = self.path / RECORD
        stored = _read_json(path)
        return None if stored is None else parse_record(path, stored)

    def state(self) -> str:
        """The record's status. Without a record `running` or `unfinished`; else `damaged`."""
        try:
            record = self.record()
        except RunError:
            return "damaged"
        if record is not None:
            return record.status
        return "running" if self.locked() else "unfinished"

    def config(self) -> RunConfig:
        """The config in `config.yaml`. Raises RunError where it is missing or damaged."""
        from mtl.config.settings import build

        return build([read_yaml(self.path / CONFIG)])

    def history(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`, without a last line that a kill cut off."""
        if not self.metrics.exists():
            return []
        lines = []
        for line in self.metrics.read_text("utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                break
        return lines

    # --- lock

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder, so that only one process trains the run. A killed process releases it.

        Raises RunInUse where another process holds it, and RunError where the disk has no locks.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive(self.path / LOCK, timeout=LOCK_SECONDS))
            except LockInUse as holder:
                raise RunInUse(
                    f"{self.path}: in use by {holder}. Wait for it, or stop it first."
                ) from None
            except LocksUnsupported as error:
                raise RunError(f"{error} Put --runs on a file system with locks.") from None
            yield

    def locked(self) -> bool:
        """Whether a process holds the folder now."""
        try:
            return is_held(self.path / LOCK)
        except OSError:
            return True

    # --- begin and end

    def begin(self, config: RunConfig) -> None:
        """Write `config.yaml`, and remove an earlier record and the temporary files of a kill."""
        (self.path / RECORD).unlink(missing_ok=True)
        for temporary in self.path.rglob(".*.tmp"):
            temporary.unlink()
        text = dump_yaml(config.resolved().model_dump(mode="json"))
        write_bytes(self.path / CONFIG, text.encode())

    def clear(self) -> None:
        """Remove all but the lock and the openings of test, whose count a fresh start keeps."""
        for item in self.path.iterdir():
            if item.name not in (LOCK, OPENINGS):
                shutil.rmtree(item) if item.is_dir() else item.unlink()
        if openings := self.openings():
            self._write_openings(
                [opening.model_copy(update={"before_fresh": True}) for opening in openings]
            )

    def finish(self, record: Record) -> None:
        """Write the record, which ends the run. A run that is done needs no saved state."""
        write_json(self.path / RECORD, record.as_json())
        if record.status == "done":
            shutil.rmtree(self.resume, ignore_errors=True)

    # --- test split

    def openings(self) -> list[Opening]:
        """Every opening of the test split, oldest first. Raises RunError for a damaged file."""
        path = self.path / OPENINGS
        stored = (_read_json(path) or {}).get("openings", [])
        try:
            return [Opening.model_validate(opening) for opening in stored]
        except ValidationError as error:
            raise damaged(path, error) from None

    def add_opening(self, opening: Opening) -> None:
        """Record that the test split is being opened. Hold the lock."""
        self._write_openings([*self.openings(), opening])

    def complete_opening(self, opening: Opening) -> None:
        """Replace the last opening by the one with its scores. Hold the lock."""
        self._write_openings([*self.openings()[:-1], opening])

    def _write_openings(self, openings: list[Opening]) -> None:
        stored = [opening.as_json() for opening in openings]
        write_json(self.path / OPENINGS, {"schema": SCHEMA, "openings": stored})

    # --- predictions

    def save_predictions(self, predictions: Predictions) -> Path:
        """Write one split's predictions of one task, and return the file."""
        path = self._predictions(predictions.split, predictions.task)
        path.parent.mkdir(exist_ok=True)
        write_predictions(path, predictions)
        return path

    def predictions(self, split: Split, task: TaskName) -> Predictions:
        """Read one split's predictions of one task. Raises RunError where missing or damaged."""
        return read_predictions(self._predictions(split, task), split, task)

    def save_cross_fitted(self, predictions: Predictions) -> None:
        """Write the cross-fitted dev predictions of one task."""
        path = self._cross_fitted(predictions.task)
        path.parent.mkdir(exist_ok=True)
        write_predictions(path, predictions)

    def cross_fitted(self, task: TaskName) -> Predictions:
        """Read the cross-fitted dev predictions of one task.

        Raises RunError where missing or damaged.
        """
        return read_predictions(self._cross_fitted(task), "dev", task)

    def _cross_fitted(self, task: TaskName) -> Path:
        return self.path / "cross-fitted" / f"{task}.csv"

    def _predictions(self, split: Split, task: TaskName) -> Path:
        return self.path / "predictions" / f"{split}-{task}.csv"


def _read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None without the file. Raises RunError for a damaged file."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: damaged: {error}. Remove it and run again.") from None
    if not isinstance(content, dict):
        raise RunError(f"{path}: damaged: expected an object. Remove it and run again.")
    return content
