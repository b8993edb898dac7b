"""Runs as training leaves them, made up: reports are tested on them without training anything."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtl.ablation.definition import Definition, read_definition
from mtl.ablation.engine import Grid
from mtl.config import identity
from mtl.config.schema import RunConfig
from mtl.runs.failed import failed_record
from mtl.runs.folder import RunFolder
from mtl.runs.record import SCHEMA, Record
from mtl.tasks.metrics import Predictions, score_all
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

ROWS: dict[TaskName, int] = {"sst": 60, "quora": 50, "sts": 40}
FINGERPRINT = "0123456789abcdef"


def write_grid(runs: Path, text: str, folder: Path, *, max_seeds: int | None = None) -> Grid:
    """A definition, and where its grid will look for runs; no run is there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "definition.yaml"
    path.write_text(text, "utf-8")
    grid = Grid(read_definition(path), runs=runs)
    grid.fix_plan(max_seeds)
    return grid


def fill_grid(
    grid: Grid,
    *,
    gains: Mapping[str, float] | None = None,
    rows: Mapping[TaskName, int] = ROWS,
    leave_out: Sequence[tuple[str, int]] = (),
    **options: Any,
) -> dict[tuple[str, int], RunFolder]:
    """A run for each arm and seed; `gains` make an arm right more often.

    Returns the folders by arm and seed.
    """
    found = {}
    for arm in grid.design.arms:
        for seed in grid.seeds[arm.name]:
            if (arm.name, seed) not in leave_out:
                config = arm.config.model_copy(update={"seed": seed})
                gain = (gains or {}).get(arm.name, 0.0)
                found[arm.name, seed] = write_run(
                    grid.runs, config, arm.cell, gain=gain, rows=rows, **options
                )
    return found


def write_run(
    runs: Path,
    config: RunConfig,
    cell: str,
    *,
    gain: float = 0.0,
    rows: Mapping[TaskName, int] = ROWS,
    diagnostics: Mapping[str, Any] | None = None,
    ids: Mapping[TaskName, Sequence[str]] | None = None,
    parts: str = FINGERPRINT,
) -> RunFolder:
    """A finished run: predictions of dev, three evaluations, and a record.

    The record's scores are those of the predictions.
    """
    folder = RunFolder(runs / identity.run_id(cell, config.seed))
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.begin(config)
    dev = {
        task: predictions(task, rows[task], config.seed, cell, gain, (ids or {}).get(task))
        for task in config.tasks
    }
    for one in dev.values():
        folder.save_predictions(one)
    scores = score_all(dev, config.tasks, config.overall, "dev")
    train = {
        key.replace("dev/", "train/"): None if value is None else min(1.0, value + 0.1)
        for key, value in scores.metrics.items()
    }
    lines = [
        {
            "step": 10 * epoch,
            "epoch": float(epoch),
            "metrics": {
                key: _part(value, epoch) for key, value in (scores.metrics | train).items()
            },
        }
        for epoch in (1, 2, 3)
    ]
    folder.metrics.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    record = Record.model_validate(failed_record(config, folder.run_id, "").as_json() | {
        "schema": SCHEMA,
        "status": "done",
        "error": None,
        "metrics": scores.metrics | train,
        "undefined": scores.reasons,
        "best_step": 30,
        "steps": 30,
        "seconds": 20.0 + config.seed,
        "throughput": {"examples_per_second": 50.0, "tokens_per_second": 1000.0},
        "peak_memory": 2**30,
        "diagnostics": {"trained_bytes": 2**20, "frozen_bytes": 0, "surgery": None, "smart": None}
                       | dict(diagnostics or {}),
        "data": {
            "fingerprint": parts,
            "parts": {f"{split}/{task}": f"{parts}-{task}"
                      for split in ("train", "dev") for task in config.tasks},
            "rows": {f"{split}/{task}": rows[task]
                     for split in ("train", "dev") for task in config.tasks},
            "trained_on": {task: rows[task] for task in config.tasks},
            "skipped": {},
        },
        "environment": {"python": "3.11.7", "packages": {"torch": "2.13.0"}, "numerics": 1,
                        "processor": "a processor", "cores": 2, "threads": 1, "device": "cpu",
                        "cuda": None, "platform": "/somewhere"},
    })  # fmt: skip
    folder.finish(record)
    return folder


def predictions(
    task: TaskName, count: int, seed: int, cell: str, gain: float, ids: Sequence[str] | None = None
) -> Predictions:
    """What a model might put out for dev. The rows are the same for every seed and cell."""
    kind = TASKS[task]
    truth = np.random.default_rng(zlib.crc32(task.encode()))
    gold = (
        truth.integers(0, 26, count) / 5
        if kind.kind == "score"
        else truth.integers(0, int(kind.high) + 1, count).astype(float)
    )
    luck = np.random.default_rng([seed, zlib.crc32(f"{task}{cell}".encode())])
    shift = truth.normal(size=(count, kind.outputs)) + 0.7 * luck.normal(size=(count, kind.outputs))
    signal = (gold[:, None] - 2.5) / 1.5 if kind.kind == "score" else 2 * gold[:, None] - 1
    if kind.kind == "classes":
        signal = np.eye(kind.outputs)[gold.astype(int)]
    outputs = (signal * (1 + gain) + shift).astype(np.float32)
    return Predictions(
        task=task,
        split="dev",
        ids=list(ids or [f"{task}-{i:04d}" for i in range(count)]),
        gold=gold,
        outputs=outputs,
    )


def make_definition(path: Path) -> Definition:
    """The definition in a file."""
    return read_definition(path)


def _part(value: float | None, epoch: int) -> float | None:
    return None if value is None else value * epoch / 3
