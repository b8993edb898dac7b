"""Shared by the tests of training: tiny configs, started runs, and what of a run is comparable."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl.config.schema import RunConfig
from mtl.documents.keys import merge
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import prepare
from mtl.runs.record import Record
from mtl.training.interrupt import Interruption
from mtl.training.loop import train
from mtl.training.progress import Progress
from mtl.training.run import Training

TIMES = ("seconds", "throughput", "peak_memory", "ended", "environment")


def config(tiny: dict[str, Any], **changes: Any) -> RunConfig:
    """The tiny run with changes; `train__lr=1` means `train: {lr: 1}`."""
    for key, value in changes.items():
        for part in reversed(key.split("__")):
            value = {part: value}
        tiny = merge(tiny, value)
    return RunConfig.model_validate(tiny)


def thawing(
    tiny: dict[str, Any], unfrozen: int, thaw: int, epochs: int, **changes: Any
) -> RunConfig:
    """The tiny run with layers that thaw, and changes."""
    freeze = {"unfrozen": unfrozen, "thaw": thaw}
    return config(tiny, freeze=freeze, train__epochs=epochs, **changes)


def content(folder: Path) -> dict[str, bytes]:
    """Everything a run leaves that must not depend on when or how often it was stopped."""
    found = {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.csv"))
    }
    found["metrics.jsonl"] = (folder / "metrics.jsonl").read_bytes()
    found |= {path.name: path.read_bytes() for path in (folder / "checkpoint").iterdir()}
    return found


def comparable(record: Record) -> dict[str, Any]:
    return {key: value for key, value in record.as_json().items() if key not in TIMES}


def started(chosen: RunConfig, runs: Path) -> Training:
    """A run set up but not begun, to be stepped by hand."""
    prepared = prepare(chosen)
    return Training(
        prepared, RunFolder(runs / "unused"), torch.device("cpu"), Interruption(), Progress(), 1e9
    )


def losses(folder: Path) -> list[dict[str, Any]]:
    return [line for line in RunFolder(folder).history() if "loss" in line]


def killed_before_its_evaluation(chosen: RunConfig, runs: Path) -> RunFolder:
    """The folder of a run that ended as by a kill, once it had saved its state."""

    class Kill(Progress):
        def evaluating(self, step: int) -> None:
            raise SystemExit

    with pytest.raises(SystemExit):
        train(chosen, runs=runs, progress=Kill())
    (path,) = runs.iterdir()
    return RunFolder(path)


class StopAfter(Progress):
    """Sends SIGTERM to a run after some steps, and SIGINT in an evaluation shortly before."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def begin(self, run_id: str, step: int, total: int) -> None:
        self.step = Training.step
        outer = self

        def counted(training: Training, rows: Any) -> None:
            outer.step(training, rows)
            outer.left -= 1
            if outer.left == 0:
                os.kill(os.getpid(), signal.SIGTERM)

        Training.step = counted  # type: ignore[method-assign]

    def evaluating(self, step: int) -> None:
        if self.left in (1, 2):
            os.kill(os.getpid(), signal.SIGINT)

    def end(self) -> None:
        Training.step = self.step  # type: ignore[method-assign]


def trained_with_stops(chosen: RunConfig, runs: Path, *, every: int) -> tuple[Record, int]:
    """A run that is stopped after so many steps and resumed, again and again; how often."""
    stops = 0
    while True:
        record = train(chosen, runs=runs, progress=StopAfter(every))
        if record.status == "done":
            return record, stops
        stops += 1
        assert record.status == "interrupted"
        assert record.error in ("SIGTERM", "SIGINT")
