"""The predictions of a run: `predictions/<split>-<task>.csv`, columns id, gold, output_0, ...

`gold` is empty where labels are hidden. Float32 outputs read back exactly.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from mtl.errors import RunError
from mtl.files import open_regular, write_bytes
from mtl.tasks.metrics import Predictions
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Split, TaskName


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Put the file in place, in one piece."""
    header = _header(predictions.outputs.shape[1])
    gold = (
        [""] * len(predictions.ids)
        if predictions.gold is None
        else [repr(float(label)) for label in predictions.gold]
    )
    lines = [",".join(header)]
    for row_id, label, outputs in zip(predictions.ids, gold, predictions.outputs, strict=True):
        # Every id is quoted: it may hold a comma or a line end of any kind.
        quoted = '"' + row_id.replace('"', '""') + '"'
        lines.append(",".join([quoted, label, *map(str, outputs)]))
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def read_predictions(path: Path, split: Split, task: TaskName) -> Predictions:
    """Read a file. Raises RunError where it is missing or damaged."""
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        if header != _header(TASKS[task].outputs) or not rows:
            raise ValueError("expected the header id, gold, output_0, ..., and rows")
        shape = len(rows), TASKS[task].outputs
        outputs = np.array([row[2:] for row in rows], dtype=np.float32).reshape(shape)
        labelled = any(row[1] for row in rows)
        gold = np.array([float(row[1]) for row in rows]) if labelled else None
        if not np.isfinite(outputs).all() or not (gold is None or np.isfinite(gold).all()):
            raise ValueError("a number is not finite")
    except FileNotFoundError:
        raise RunError(f"{path}: no such predictions.") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}.") from None
    except (ValueError, IndexError, csv.Error) as error:
        raise RunError(f"{path}: damaged: {error}.") from None
    return Predictions(
        task=task, split=split, ids=[row[0] for row in rows], gold=gold, outputs=outputs
    )


def _header(outputs: int) -> list[str]:
    return ["id", "gold", *(f"output_{number}" for number in range(outputs))]
