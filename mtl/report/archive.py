"""The kept records of a report: all that it is made from, in one file beside it.

    reports/<name>/records.json.gz    plain JSON

A grid or a run keeps its design and results; the record, evaluations and test openings of every
run; and its dev outputs: for sts the scores (float32), for other tasks the chosen classes, and for
a few runs everything. It keeps no sentence of the data and no path. Sections read the results from
here and judge nothing.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mtl.ablation.ensembles import Ensemble
from mtl.ablation.evidence import Runs
from mtl.ablation.grid_design import GridDesign
from mtl.ablation.results import Results
from mtl.errors import RunError
from mtl.files import write_bytes
from mtl.runs.record import Metrics, Opening, Record
from mtl.tasks.metrics import Predictions, chosen_classes
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

SCHEMA = 3
"""`mtl.report.upgrade` judges the runs of earlier schemas again, on reading."""
FILE = "records.json.gz"


class Part(BaseModel):
    """A part of an archive: frozen, and strict about its keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True
    )


class Evaluation(Part):
    """The scores of a run at one moment: `dev/sst/accuracy` -> value."""

    step: int
    epoch: float | None
    metrics: dict[str, float | None]


class Outputs(Part):
    """The dev outputs of a run on one task, in base64.

    `outputs` holds all of them, `chosen` only the classes. `rows` names the rows in the archive.

    `error` says why there are none.
    """

    outputs: str | None = None
    chosen: str | None = None
    rows: str | None = None
    error: str | None = None


class DevRows(Part):
    """The rows that runs were scored on: their ids, and their gold labels where there are any."""

    task: TaskName
    ids: list[str]
    gold: list[float] | None


class ArchivedRun(Part):
    """One run. `reason` says why it has no scores, and is empty where it has them.

    `dev` are the outputs of the best evaluation, `cross` those that are judged
    (`mtl.runs.halves`); runs of earlier versions have none.
    """

    record: Record | None
    reason: str
    history: tuple[Evaluation, ...]
    tests: tuple[Opening, ...]
    dev: dict[TaskName, Outputs]
    cross: dict[TaskName, Outputs] = {}


class Leak(Part):
    """Dev rows that also stand in train, and dev rows that share a sentence with it."""

    rows: int
    rows_share: float | None
    sentences: int
    sentences_share: float | None


class Archive(Part):
    """The kept records of a grid or a run. `text`: the report may quote sentences.

    `rows` are named by `Outputs.rows`. `leaks` go by the fingerprint of the data, then by task.
    `ensembles` need all outputs, so they are made when the runs are read. Records without any lack
    the key, as those of earlier versions do. An earlier version refuses the key as damaged.
    """

    schema_number: Literal[3] = Field(default=3, alias="schema")
    kind: Literal["grid", "run"]
    text: bool
    design: GridDesign
    runs: dict[str, ArchivedRun]
    rows: dict[str, DevRows]
    leaks: dict[str, dict[TaskName, Leak]]
    results: Results
    ensembles: tuple[Ensemble, ...] | None = Field(
        default=None, exclude_if=lambda ensembles: not ensembles
    )

    @property
    def name(self) -> str:
        """The name of the grid or run."""
        return self.design.name


class StudyArchive(Part):
    """The kept records of a study: its results as `mtl study` wrote them."""

    schema_number: Literal[3] = Field(default=3, alias="schema")
    kind: Literal["study"] = "study"
    name: str
    question: str
    text: Literal[False] = False
    study: dict[str, Any]


AnyArchive = Archive | StudyArchive


def as_json(archive: AnyArchive) -> dict[str, Any]:
    """An archive as plain data."""
    return archive.model_dump(mode="json", by_alias=True)


def from_json(plain: Mapping[str, Any]) -> AnyArchive:
    """An archive from plain data. Raises ValidationError."""
    return (StudyArchive if plain.get("kind") == "study" else Archive).model_validate(plain)


def write(path: Path, archive: AnyArchive) -> None:
    """Write the records; equal records give equal bytes.

    Raises ValueError for NaN: an unknown value is null.
    """
    text = json.dumps(as_json(archive), indent=0, allow_nan=False, ensure_ascii=False)
    write_bytes(path, gzip.compress(text.encode("utf-8", "surrogatepass"), 9, mtime=0))


def read_json(path: Path) -> dict[str, Any]:
    """The records of a file as plain data, of any schema.

    Raises RunError where they are missing or damaged.
    """
    try:
        plain = json.loads(gzip.decompress(path.read_bytes()).decode("utf-8", "surrogatepass"))
    except FileNotFoundError:
        raise RunError(
            f"{path}: no records. `mtl report NAME` writes them beside the report."
        ) from None
    except (OSError, EOFError, ValueError) as error:
        raise RunError(f"{path}: damaged: {error}. Make the report again from its runs.") from None
    if not isinstance(plain, dict):
        raise RunError(f"{path}: damaged: expected an object. Make the report again from its runs.")
    return plain


def pack(predictions: Predictions, *, whole: bool) -> dict[str, str]:
    """One task's dev outputs of one run: all of them, or what its score rests on."""
    task = TASKS[predictions.task]
    if whole or task.kind == "score" or task.metric == "auc":
        return {"outputs": _encode(predictions.outputs.astype("<f4"))}
    return {"chosen": _encode(chosen_classes(predictions).astype(_class_type(task.outputs)))}


def _class_type(classes: int) -> str:
    """The type of a kept class: one byte for up to 256 classes, else two."""
    return "<u1" if classes <= 256 else "<u2"


def unpack(task: TaskName, packed: Outputs, rows: DevRows) -> Predictions:
    """The predictions that were packed.

    Where only classes were kept, the outputs are logits that choose them.
    """
    width = TASKS[task].outputs
    if packed.outputs is not None:
        outputs: np.ndarray = _decode(packed.outputs, "<f4").reshape(-1, width)
    else:
        assert packed.chosen is not None
        classes = _decode(packed.chosen, _class_type(width)).astype(np.int64)
        outputs = (2.0 * classes[:, None] - 1.0) if width == 1 else np.eye(width)[classes]
    gold = None if rows.gold is None else np.array(rows.gold, dtype=np.float64)
    return Predictions(
        task=task, split="dev", ids=rows.ids, gold=gold, outputs=outputs.astype(np.float32)
    )


class ArchivedRuns(Runs):
    """The runs of an archive."""

    def __init__(self, runs: Mapping[str, ArchivedRun], rows: Mapping[str, DevRows]) -> None:
        super().__init__()
        self._runs, self._rows = runs, rows
        self._unpacked: dict[tuple[str, TaskName], Predictions] = {}

    def record(self, run_id: str) -> Record | None:
        return self._runs[run_id].record

    def why_unscored(self, run_id: str) -> str:
        return self._runs[run_id].reason

    def predictions(self, run_id: str, task: TaskName) -> Predictions:
        if (run_id, task) not in self._unpacked:
            self._unpacked[run_id, task] = self._read(run_id, task, self._runs[run_id].dev)
        return self._unpacked[run_id, task]

    def cross_fitted(self, run_id: str, task: TaskName) -> Predictions:
        return self._read(run_id, task, self._runs[run_id].cross)

    def evaluations(self, run_id: str) -> list[Metrics]:
        return [evaluation.metrics for evaluation in self._runs[run_id].history]

    def _read(self, run_id: str, task: TaskName, kept: Mapping[TaskName, Outputs]) -> Predictions:
        packed = kept.get(task)
        if packed is None or packed.rows is None:
            error = packed.error if packed else None
            raise RunError(error or f"{run_id}: no dev predictions of {task}.")
        return unpack(task, packed, self._rows[packed.rows])

    def has_all_outputs(self, run_id: str, task: TaskName) -> bool:
        """Whether all outputs were kept, so that probabilities are known."""
        packed = self._runs[run_id].dev.get(task)
        return packed is not None and packed.outputs is not None


def _encode(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _decode(text: str, kind: Any) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=kind)
