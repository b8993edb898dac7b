"""The compact records of a report: all it is made from, in one file that can be kept beside it.

    reports/<name>/records.json.gz    plain JSON

It holds the question, the design, every run's record without what belongs to the machine alone, its evaluations, and its dev
outputs: scores of sts as they were put out (float32), of the other tasks the chosen class, and for a few runs everything. No
sentence of the data, no path. What is read back gives the same statistics, bit for bit, as the folder of runs.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtl.ablation.results import Runs
from mtl.errors import RunError
from mtl.files import write_bytes
from mtl.runs.record import Record, parse_record
from mtl.stats import verdicts as stats
from mtl.tasks.metrics import Predictions, probabilities
from mtl.tasks.registry import TASKS, TaskName

SCHEMA = 1
FILE = "records.json.gz"
Archive = dict[str, Any]
"""{schema, kind, name, question, base, margin, looks, claims, text, design, seeds, runs, rows, leaks}, as JSON."""


def write(path: Path, archive: Archive) -> None:
    """Put the records in place; equal records give equal bytes."""
    write_bytes(path, gzip.compress(plain(archive), 9, mtime=0))


def plain(archive: Archive) -> bytes:
    """The records as JSON, in their own order, which counts. Raises ValueError for NaN: unknown is null."""
    return json.dumps(archive, indent=0, allow_nan=False, ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def read(path: Path) -> Archive:
    """The records of a file. Raises RunError where there are none, or they are damaged or of another schema."""
    try:
        found = json.loads(gzip.decompress(path.read_bytes()).decode("utf-8", "surrogatepass"))
    except FileNotFoundError:
        raise RunError(
            f"{path}: no records. `mtl report NAME` writes them beside the report."
        ) from None
    except (OSError, EOFError, ValueError) as error:
        raise RunError(f"{path}: damaged: {error}. Make the report again from its runs.") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        came = found.get("schema") if isinstance(found, dict) else type(found).__name__
        raise RunError(
            f"{path}: expected records of schema {SCHEMA}, came {came}. Make the report again."
        )
    return found


def pack(predictions: Predictions, *, whole: bool) -> dict[str, Any]:
    """One task's dev outputs of one run: everything, or what its score rests on."""
    task, outputs = TASKS[predictions.task], predictions.outputs
    if whole or task.kind == "score":
        return {"outputs": _encode(outputs.astype("<f4"))}
    return {"chosen": _encode(chosen(predictions).astype(np.uint8))}


def chosen(predictions: Predictions) -> np.ndarray:
    """The class that each row got, (n,) int: the largest logit's, or of a single logit its sign's."""
    task = TASKS[predictions.task]
    if task.kind == "binary":
        return (predictions.outputs[:, 0] > 0).astype(np.int64)
    return np.asarray(probabilities(task, predictions.outputs).argmax(1))


def unpack(task: TaskName, packed: Mapping[str, Any], rows: Mapping[str, Any]) -> Predictions:
    """The predictions again. Where only classes were kept, logits that choose them stand for the outputs."""
    width = TASKS[task].outputs
    if "outputs" in packed:  # whole outputs win where both are there
        outputs: np.ndarray = _decode(packed["outputs"], "<f4").reshape(-1, width)
    else:
        classes = _decode(packed["chosen"], np.uint8).astype(np.int64)
        outputs = (2.0 * classes[:, None] - 1.0) if width == 1 else np.eye(width)[classes]
    gold = None if rows["gold"] is None else np.array(rows["gold"], dtype=np.float64)
    return Predictions(
        task=task, split="dev", ids=list(rows["ids"]), gold=gold, outputs=outputs.astype(np.float32)
    )


class ArchivedRuns(Runs):
    """The runs of an archive, where results expect a folder of runs."""

    def __init__(self, archive: Archive) -> None:
        super().__init__(Path())
        self._archive = archive
        self._parsed: dict[str, Record | None] = {}
        self._unpacked: dict[tuple[str, TaskName], Predictions] = {}

    def stored(self, run_id: str) -> Record | None:
        """The record of a run, whatever its status. Raises RunError for a damaged one."""
        if run_id not in self._parsed:
            stored = self._archive["runs"][run_id]["record"]
            self._parsed[run_id] = None if stored is None else parse_record(Path(FILE), stored)
        return self._parsed[run_id]

    def record(self, run_id: str) -> tuple[Record | None, str]:
        """The record of a run with scores; else None and the reason."""
        run = self._archive["runs"][run_id]
        return (self.stored(run_id), "") if not run["reason"] else (None, run["reason"])

    def examples(self, run_id: str, task: TaskName, rule: str) -> stats.Examples | None:
        """A run's dev score on a task, example by example; None where it is undefined. Raises RunError."""
        key = run_id, task, rule
        if key not in self._examples:
            self._examples[key] = stats.examples(self.predictions(run_id, task), rule=rule)
        return self._examples[key]

    def predictions(self, run_id: str, task: TaskName) -> Predictions:
        """What a run put out for dev. Raises RunError where that is not known."""
        if (run_id, task) not in self._unpacked:
            packed = self._archive["runs"][run_id]["dev"].get(task)
            if packed is None or "error" in packed:
                raise RunError(
                    packed["error"] if packed else f"{run_id}: no dev predictions of {task}."
                )
            self._unpacked[run_id, task] = unpack(
                task, packed, self._archive["rows"][packed["rows"]]
            )
        return self._unpacked[run_id, task]

    def whole(self, run_id: str, task: TaskName) -> bool:
        """Whether all outputs were kept, so that probabilities are known."""
        return "outputs" in self._archive["runs"][run_id]["dev"].get(task, {})


def _encode(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _decode(text: str, kind: Any) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=kind)
