"""A run's folder: all that is known of a run is on disk, without a server.

    runs/<run_id>/tasks.yaml          first: the tasks that are not as shipped, if there are any
                  config.yaml         the settings
                  metrics.jsonl       during training: a line per step, a line per evaluation
                  resume/             during training: the saved state of the run
                  predictions/        <split>-<task>.csv: id, gold, outputs
                  cross-fitted/       <task>.csv: those of dev that verdicts use
                                      (`mtl.runs.halves`)
                  checkpoint/         the selected weights, with their sha256
                  record.json         last, in one piece: a run without it has not ended
                  test.json           openings of the test split (`mtl test`)

The record holds the sha256 of the other files. `record.json` and `test.json` hold a digest of
themselves (`mtl.runs.sealed`). A damaged file raises RunError wherever it is read. No torch here:
reports read runs too.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtl.config.schema import RunConfig
from mtl.documents.yaml_file import dump_yaml, read_yaml
from mtl.errors import RunError, RunInUse
from mtl.files import read_regular, write_bytes
from mtl.locks import LockInUse, LocksUnsupported, exclusive, is_held
from mtl.runs.definitions import definitions_of, tasks_in
from mtl.runs.hashes import check_hash, hashes_of, stamp_of
from mtl.runs.log import read_log
from mtl.runs.predictions import read_predictions, write_predictions
from mtl.runs.record import (
    OPENINGS_SCHEMA,
    REMEDY,
    Opening,
    Openings,
    Record,
    Spent,
    damaged,
    parse_record,
)
from mtl.runs.sealed import MAX_BYTES, read_sealed, write_sealed
from mtl.tasks.metrics import Predictions
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Split, TaskName

CONFIG, RECORD, OPENINGS, LOCK = "config.yaml", "record.json", "test.json", ".lock"
TASKS_FILE = "tasks.yaml"
GRIDS, STUDIES = "grids", "studies"
"""Folders beside the runs, for grids and studies. They are not runs."""
REMEDY_OF_OPENINGS = (
    "It counts how often test was opened. Bring it back from a copy, or remove it: the count then "
    "begins again."
)
UNHASHED = (RECORD, OPENINGS, "resume", "wandb")
"""Parts of a folder that a record has no sha256 of: they hold their own, or belong to W&B."""
TEST_PREDICTIONS = "predictions/test-"
"""The beginning of the paths of predictions that the openings of test know."""
LOCK_SECONDS = 1.0
"""How long to wait for a run's lock: a process that lists runs holds it for a moment."""


class RunFolder:
    """The folder of one run. It need not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hashes: tuple[tuple[int, ...], dict[str, str]] = (), {}
        self.found: dict[str, str] = {}
        """Hashes that a caller has computed already, so that `check` reads no file twice."""

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
        stored = read_sealed(path, REMEDY, required="files")
        return None if stored is None else parse_record(path, stored)

    def spent(self) -> Spent | None:
        """What the record says of the run's cost, without its digest; None if nothing readable."""
        try:
            return Spent.model_validate_json(read_regular(self.path / RECORD, MAX_BYTES))
        except (OSError, ValueError):
            return None

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
        """The config in `config.yaml`. Raises ConfigError or RunError for a damaged file."""
        from mtl.config.settings import build

        self.check(CONFIG)
        if (self.path / TASKS_FILE).exists():
            self.check(TASKS_FILE)
            stored = read_yaml(self.path / TASKS_FILE)
            TASKS.know(tasks_in(stored.value, stored.source))
        return build([read_yaml(self.path / CONFIG)])

    def history(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`, without a last line that a kill cut off.

        Raises RunError for a damaged file.
        """
        self.check(self.metrics.name)
        return read_log(self.metrics)

    # --- damage

    def hashes(self) -> dict[str, str]:
        """The sha256 of each file but `UNHASHED`, by path. Hidden files are not the run's.

        Raises RunError for a file that cannot be read.
        """
        return hashes_of(self.path, UNHASHED)

    def test_hashes(self) -> dict[str, str]:
        """The sha256 of each file of the last opening of test. Raises RunError as `openings`."""
        last = self.openings()[-1:]
        return {} if not last or last[0].before_fresh else last[0].files or {}

    def check(self, name: str) -> None:
        """Raise RunError where a file does not have its recorded sha256. Readers of files call it.

        Without a record, or with one by an earlier version, there is nothing to check.
        """
        known = self.test_hashes() if name.startswith(TEST_PREDICTIONS) else self._recorded()
        if name in known and self.found.get(name) != known[name]:
            check_hash(self.path / name, known[name])

    def _recorded(self) -> dict[str, str]:
        """The sha256 of each file that the record knows; the record is read again if it changed."""
        stamp = stamp_of(self.path / RECORD)
        if stamp != self._hashes[0]:
            record = self.record()
            self._hashes = stamp, {} if record is None else record.files or {}
        return self._hashes[1]

    def has_leftovers(self) -> bool:
        """Whether a kill left the saved state of a run that is done."""
        return os.path.isdir(self.resume) and self.state() == "done"

    # --- lock

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder, so that only one process trains the run. A killed process releases it.

        What a killed process left is removed. Raises RunInUse where another process holds it, and
        RunError where the disk has no locks or the folder leads elsewhere.
        """
        self._refuse_links()
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
            self._sweep()
            yield

    def locked(self) -> bool:
        """Whether a process holds the folder now."""
        try:
            return is_held(self.path / LOCK)
        except OSError:
            return True

    # --- begin and end

    def begin(self, config: RunConfig) -> None:
        """Write `config.yaml`, `tasks.yaml` if a task is not as shipped, and remove a record."""
        (self.path / RECORD).unlink(missing_ok=True)
        text = dump_yaml(config.resolved().model_dump(mode="json"))
        if own := definitions_of(config.tasks):
            write_bytes(self.path / TASKS_FILE, dump_yaml(own).encode())
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

    def finish(self, record: Record) -> Record:
        """Write the record, which ends the run, with the sha256 of each file; returns it.

        A run that is done needs no saved state.
        """
        hashes = self.hashes()
        files = {key: hashes[key] for key in hashes if not key.startswith(TEST_PREDICTIONS)}
        record = record.model_copy(update={"files": files})
        write_sealed(self.path / RECORD, record.as_json())
        if record.status == "done":
            shutil.rmtree(self.resume, ignore_errors=True)
        return record

    def _refuse_links(self) -> None:
        """Raise RunError for a link: behind it, files that are not the run's would be changed."""
        links = [self.path] if self.path.is_symlink() else []
        with suppress(FileNotFoundError):
            links += [Path(entry) for entry in os.scandir(self.path) if entry.is_symlink()]
        if links:
            raise RunError(
                f"{links[0]}: a link. mtl changes nothing outside a run's folder: put the files "
                f"themselves there, or name the folder that they are in with --runs."
            )

    def _sweep(self) -> None:
        """Remove temporary files, and the saved state of a run that is done."""
        for folder in (self.path, *self.path.iterdir()):
            if folder.is_dir() and folder.name != "wandb":
                for temporary in folder.glob(".*.tmp"):
                    temporary.unlink()
        if self.has_leftovers():
            shutil.rmtree(self.resume, ignore_errors=True)

    # --- test split

    def openings(self) -> list[Opening]:
        """Every opening of the test split, oldest first. Raises RunError for a damaged file."""
        path = self.path / OPENINGS
        stored = read_sealed(path, REMEDY_OF_OPENINGS)
        try:
            return [] if stored is None else Openings.model_validate(stored).openings
        except ValidationError as error:
            raise damaged(path, error, REMEDY_OF_OPENINGS) from None

    def add_opening(self, opening: Opening) -> None:
        """Record that the test split is being opened. Hold the lock."""
        self._write_openings([*self.openings(), opening])

    def complete_opening(self, opening: Opening) -> Opening:
        """Replace the last opening by the one with its scores, once its predictions are saved.

        Hold the lock. Returns it with the sha256 of each file of predictions.
        """
        hashes = self.hashes()
        files = {key: hashes[key] for key in hashes if key.startswith(TEST_PREDICTIONS)}
        opening = opening.model_copy(update={"files": files})
        self._write_openings([*self.openings()[:-1], opening])
        return opening

    def _write_openings(self, openings: list[Opening]) -> None:
        stored = [opening.as_json() for opening in openings]
        write_sealed(self.path / OPENINGS, {"schema": OPENINGS_SCHEMA, "openings": stored})

    # --- predictions

    def save_predictions(self, predictions: Predictions) -> Path:
        """Write one split's predictions of one task, and return the file."""
        path = self._predictions(predictions.split, predictions.task)
        path.parent.mkdir(exist_ok=True)
        write_predictions(path, predictions)
        return path

    def predictions(self, split: Split, task: TaskName) -> Predictions:
        """Read one split's predictions of one task. Raises RunError where missing or damaged."""
        path = self._predictions(split, task)
        self.check(path.relative_to(self.path).as_posix())
        return read_predictions(path, split, task)

    def save_cross_fitted(self, predictions: Predictions) -> None:
        """Write the cross-fitted dev predictions of one task."""
        path = self._cross_fitted(predictions.task)
        path.parent.mkdir(exist_ok=True)
        write_predictions(path, predictions)

    def cross_fitted(self, task: TaskName) -> Predictions:
        """Read the cross-fitted dev predictions of one task.

        Raises RunError where missing or damaged.
        """
        path = self._cross_fitted(task)
        self.check(path.relative_to(self.path).as_posix())
        return read_predictions(path, "dev", task)

    def _cross_fitted(self, task: TaskName) -> Path:
        return self.path / "cross-fitted" / f"{task}.csv"

    def _predictions(self, split: Split, task: TaskName) -> Path:
        return self.path / "predictions" / f"{split}-{task}.csv"
