"""Writes many small runs, copies of one: `python -m tests.faults.many_runs FOLDER NUMBER`."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from mtl.config.schema import RunConfig
from mtl.runs import checkpoint
from mtl.runs.folder import RunFolder
from mtl.runs.sealed import parse_sealed, sealed
from mtl.tasks.task import TaskName
from tests.report_runs import write_run

ROWS: dict[TaskName, int] = {"sst": 12, "quora": 12, "sts": 12}


def write_many_runs(runs: Path, count: int) -> list[str]:
    """Write finished runs of as many cells, and return their ids."""
    with tempfile.TemporaryDirectory() as place:
        folder = _model(Path(place))
        record = parse_sealed((folder.path / "record.json").read_bytes())
        ids = []
        for number in range(count):
            cell = hashlib.sha256(str(number).encode()).hexdigest()[:12]
            run_id = f"{cell}-s0"
            shutil.copytree(folder.path, runs / run_id, copy_function=shutil.copyfile)
            changed: dict[str, Any] = record | {"run_id": run_id, "cell": cell, "seconds": number}
            (runs / run_id / "record.json").write_bytes(sealed(changed))
            ids.append(run_id)
    return ids


def _model(place: Path) -> RunFolder:
    folder = write_run(place, RunConfig(), "0" * 12, rows=ROWS, diagnostics={"examples": 100})
    for part in ROWS:
        dev = folder.predictions("dev", part)
        folder.save_cross_fitted(dev)
        path = folder.save_predictions(dev)
        path.rename(path.with_name(f"train-{part}.csv"))
        folder.save_predictions(dev)
    record = folder.record()
    assert record is not None
    checkpoint.save(folder.checkpoint, "model", {}, step=record.best_step)
    dev_scores = {key: value for key, value in record.metrics.items() if key.startswith("dev/")}
    train_scores = {key.replace("dev/", "train/"): value for key, value in dev_scores.items()}
    folder.finish(
        record.model_copy(update={"metrics": dev_scores | train_scores, "cross_fitted": dev_scores})
    )
    return folder


if __name__ == "__main__":
    write_many_runs(Path(sys.argv[1]), int(sys.argv[2]))
