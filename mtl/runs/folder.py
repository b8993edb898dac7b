"""A run's folder: the truth about a run, on disk, without a server.

    runs/<run_id>/config.yaml         first: what is to be computed
                  metrics.jsonl       while it runs: a line a step, a line an evaluation
                  resume/             while it runs: where an interrupted run goes on
                  predictions/        <split>-<task>.csv: id, gold, outputs
                  checkpoint/         the selected weights, with their sha256
                  record.json         last, and in one piece: nothing without it counts as done
                  test.json           later, if `mtl test` opened the test split

No torch here: reports read runs too.
"""

from __future__ import annotations

import csv
import json
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from mtl.config import yaml as strict_yaml
from mtl.config.schema import RunConfig
from mtl.errors import RunError, RunInUse, suggestion
from mtl.files import write_bytes, write_json
from mtl.locks import LockInUse, LocksUnsupported, exclusive, is_held
from mtl.runs.record import SCHEMA, Opening, Record, damaged, parse_record
from mtl.tasks.metrics import Predictions
from mtl.tasks.registry import TASKS, Split, TaskName

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("config.yaml", "record.json")
GRIDS = "grids"
STUDIES = "studies"
"""The folders among the runs that hold what belongs to grids and studies: no runs themselves."""
LOCK_SECONDS = 1.0
"""How long to try for a run's lock: someone who lists runs holds it for a moment."""


class RunFolder:
    """One run's folder, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def resume(self) -> Path:
        return self.path / "resume"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def record(self) -> Record | None:
        """The record, or None where the run has not ended. Raises RunError for a damaged one."""
        path = self.path / "record.json"
        stored = _read_json(path)
        return None if stored is None else parse_record(path, stored)

    def tests(self) -> list[Opening]:
        """Every opening of the test split, oldest first. Raises RunError for a damaged file."""
        path = self.path / "test.json"
        stored = (_read_json(path) or {}).get("openings", [])
        try:
            return [Opening.model_validate(opening) for opening in stored]
        except ValidationError as error:
            raise damaged(path, error) from None

    def state(self) -> str:
        """The record's status; without one `running` while a process holds the folder, else `unfinished`; or `damaged`."""
        try:
            record = self.record()
        except RunError:
            return "damaged"
        if record is not None:
            return record.status
        return "running" if self.locked() else "unfinished"

    def config(self) -> RunConfig:
        """The config the folder was begun with. Raises RunError."""
        from mtl.config.settings import build

        return build([strict_yaml.read(self.path / "config.yaml")])

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder, so that no second process trains the same run. Raises RunInUse when another one holds it.

        The system lets go of the lock when the process ends, however it ends.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive(self.path / ".lock", timeout=LOCK_SECONDS))
            except LockInUse as holder:
                raise RunInUse(
                    f"{self.path}: in use by {holder}. Wait for it, or stop it first."
                ) from None
            except LocksUnsupported as error:
                raise RunError(f"{error} Put --runs on one that has.") from None
            yield

    def locked(self) -> bool:
        """Whether a process holds the folder now."""
        try:
            return is_held(self.path / ".lock")
        except OSError:
            return True

    def begin(self, config: RunConfig) -> None:
        """Write `config.yaml` and withdraw an earlier record: the run is under way again."""
        (self.path / "record.json").unlink(missing_ok=True)
        for half_written in self.path.rglob(
            ".*.tmp"
        ):  # what a kill left of a file that was not yet in place
            half_written.unlink()
        text = strict_yaml.dump(config.resolved().model_dump(mode="json"))
        write_bytes(self.path / "config.yaml", text.encode())

    def clear(self) -> None:
        """Remove everything but the lock and the count of test openings, which a fresh start must not hide."""
        for item in self.path.iterdir():
            if item.name in (".lock", "test.json"):
                continue
            shutil.rmtree(item) if item.is_dir() else item.unlink()
        if openings := self.tests():
            self._write_tests(
                [opening.model_copy(update={"before_fresh": True}) for opening in openings]
            )

    def finish(self, record: Record) -> None:
        """Write the record: from here on the run has ended. A run that is done needs no resume state."""
        write_json(self.path / "record.json", record.as_json())
        if record.status == "done":
            shutil.rmtree(self.resume, ignore_errors=True)

    def add_test(self, opening: Opening) -> None:
        """Write down that the test split is being opened. Hold the lock."""
        self._write_tests([*self.tests(), opening])

    def complete_test(self, opening: Opening) -> None:
        """Put what the last opening showed in its place. Hold the lock."""
        self._write_tests([*self.tests()[:-1], opening])

    def _write_tests(self, openings: list[Opening]) -> None:
        stored = [opening.as_json() for opening in openings]
        write_json(self.path / "test.json", {"schema": SCHEMA, "openings": stored})

    def save_predictions(self, predictions: Predictions) -> Path:
        """Write one split's predictions; float32 outputs read back exactly."""
        folder = self.path / "predictions"
        folder.mkdir(exist_ok=True)
        path = folder / f"{predictions.split}-{predictions.task}.csv"
        header = ["id", "gold", *(f"output_{i}" for i in range(predictions.outputs.shape[1]))]
        lines = [",".join(header)]
        gold = (
            [""] * len(predictions.ids)
            if predictions.gold is None
            else [repr(float(g)) for g in predictions.gold]
        )
        for row_id, label, outputs in zip(predictions.ids, gold, predictions.outputs, strict=True):
            quoted = (
                '"' + row_id.replace('"', '""') + '"'
            )  # always: an id may hold a comma or a line end of any kind
            lines.append(",".join([quoted, label, *map(str, outputs)]))
        write_bytes(path, ("\n".join(lines) + "\n").encode())
        return path

    def predictions(self, split: Split, task: TaskName) -> Predictions:
        """Read one split's predictions. Raises RunError where there are none or the file is damaged."""
        path = self.path / "predictions" / f"{split}-{task}.csv"
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))[1:]
            width = TASKS[task].outputs
            outputs = np.array([row[2:] for row in rows], dtype=np.float32).reshape(
                len(rows), width
            )
            gold = (
                np.array([float(row[1]) for row in rows]) if all(row[1] for row in rows) else None
            )
        except FileNotFoundError:
            raise RunError(f"{path}: no such predictions.") from None
        except (OSError, ValueError, IndexError) as error:
            raise RunError(f"{path}: damaged: {error}.") from None
        return Predictions(
            task=task, split=split, ids=[row[0] for row in rows], gold=gold, outputs=outputs
        )

    def history(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`. A torn last line, as a kill may leave it, is left out."""
        if not self.metrics.exists():
            return []
        lines = []
        for line in self.metrics.read_text("utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                break
        return lines


def run_folders(root: Path) -> list[RunFolder]:
    """All run folders below `root`, by name; what holds neither a config nor a record is not a run."""
    if not root.is_dir():
        return []
    return [
        RunFolder(path)
        for path in sorted(root.iterdir())
        if any((path / name).is_file() for name in NAMES)
    ]


def runs_named(root: Path, name: str) -> list[RunFolder]:
    """The runs below `root` that a run id means, or the beginning of one; before a seed it may be one too: `3f2a-s1`."""
    folders = run_folders(root)
    beginning, mark, seed = name.rpartition("-s")
    return (
        [folder for folder in folders if folder.run_id == name]
        or [folder for folder in folders if folder.run_id.startswith(name)]
        or [
            one
            for one in folders
            if mark and one.run_id.startswith(beginning) and one.run_id.endswith(mark + seed)
        ]
    )


def find_run(root: Path, name: str) -> RunFolder:
    """The one run that `name` means (`runs_named`), or a folder. Raises RunError with the nearest."""
    folders = run_folders(root)
    as_path = Path(name)
    if any((as_path / file).is_file() for file in NAMES):
        return RunFolder(as_path)
    matches = runs_named(root, name)
    if len(matches) == 1:
        return matches[0]
    if matches:
        there = ", ".join(folder.run_id for folder in matches[:5])
        raise RunError(
            f"{name!r} is the beginning of {len(matches)} runs: {there}. Say more, or add the seed: {name}-s0."
        )
    if not folders:
        raise RunError(f"no run {name!r}: {root} holds no runs yet. `mtl train` makes one.")
    hint = suggestion(name, [folder.run_id for folder in folders])
    raise RunError(
        f"no run {name!r} in {root}.{hint} `mtl runs list --runs {root}` shows what is there."
    )


def load_runs(root: str | Path = "runs") -> pd.DataFrame:
    """Every ended run as one row: run_id, cell, seed, status, settings (`config.train.lr`), metrics (`dev/sts/pearson`),
    the last opening of test (`test/...`), and the record's other numbers. Runs under way are left out; damaged ones
    too, with a warning.
    """
    import pandas as pd

    rows = []
    for folder in run_folders(Path(root)):
        try:
            record = folder.record()
        except RunError as error:
            warnings.warn(str(error), stacklevel=2)
            continue
        if record is None:
            continue
        row: dict[str, Any] = {
            key: getattr(record, key) for key in ("run_id", "cell", "seed", "status")
        }
        row |= {f"config.{key}": value for key, value in flatten(record.config).items()}
        row |= record.metrics
        for opening in folder.tests()[-1:]:
            row |= {} if opening.before_fresh else opening.metrics
        row |= {
            key: getattr(record, key)
            for key in ("best_step", "seconds", "peak_memory", "frozen_unchanged", "error")
        }
        row |= record.throughput.model_dump()
        rows.append(row)
    return pd.DataFrame(rows)


def flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys; lists stay whole."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= (
            flatten(item, f"{prefix}{key}.") if isinstance(item, dict) else {f"{prefix}{key}": item}
        )
    return flat


def differences(records: Iterable[Record]) -> dict[str, list[Any]]:
    """The settings in which runs differ: dotted key -> the value in each run, None where a run has no such key."""
    flats = [flatten(record.config) for record in records]
    keys = dict.fromkeys(key for flat in flats for key in flat)
    values = {key: [flat.get(key) for flat in flats] for key in keys}
    return {
        key: found for key, found in values.items() if any(value != found[0] for value in found)
    }


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: damaged: {error}. Remove it and run again.") from None
    if not isinstance(found, dict):
        raise RunError(f"{path}: damaged: expected an object. Remove it and run again.")
    return found
