"""A training run that is a formula: studies are tested on it without training.

The score rises over epochs towards a level that depends on the settings as in practice: a best
learning rate, joined pairs, some frozen layers, a little noise by seed. `FormulaPool` replaces
worker processes; `instant` is a `train` for real ones.
"""

from __future__ import annotations

import math
import time
from collections import deque
from pathlib import Path
from typing import Any

from mtl.config import identity
from mtl.config.schema import RunConfig
from mtl.grid.worker import Ended, Event, Job, Scored, Stepped
from mtl.rng import numpy_stream
from mtl.runs.failed import failed_record
from mtl.runs.folder import RunFolder
from mtl.runs.options import RunOptions
from mtl.runs.record import Record
from mtl.training.interrupt import Interrupted, Interruption

STEPS_AN_EPOCH = 10


def level(config: RunConfig) -> float:
    """What the score rises to."""
    unfrozen = 6 if config.freeze.unfrozen == "all" else config.freeze.unfrozen
    rate = -0.08 * (math.log10(config.train.lr) + 4) ** 2
    depth = -0.006 * (unfrozen - 4) ** 2
    heads = 0.02 * (config.head("sst") == "mlp") + 0.01 * (config.pooling == "mean")
    smart = 0.0 if config.smart is None else 0.02 - 0.01 * abs(math.log10(config.smart.lambda_s))
    return 0.6 + 0.06 * (config.pairing == "concat") + rate + depth + heads + smart


def score(config: RunConfig, epoch: int) -> float:
    """Dev at an epoch, from 1."""
    name = "/".join(
        str(value) for value in (config.train.lr, config.pairing, config.freeze.unfrozen, epoch)
    )
    noise = 0.004 * float(numpy_stream(config.seed, name).standard_normal())
    return level(config) * (1 - 0.4 * 0.6**epoch) + noise


def total(config: RunConfig) -> int:
    return STEPS_AN_EPOCH * config.train.epochs


def record(config: RunConfig, run_id: str, status: str, epoch: int) -> Record:
    """What a run leaves after so many epochs."""
    metrics = {"dev/overall": max((score(config, at + 1) for at in range(epoch)), default=None)}
    metrics |= {"dev/sst/accuracy": level(config) / 2, "dev/sts/pearson": 1.2 - level(config)}
    return failed_record(config, run_id, "").model_copy(
        update={
            "status": status,
            "metrics": metrics,
            "steps": STEPS_AN_EPOCH * epoch,
            "seconds": 1.0,
            "error": None,
        }
    )


class FormulaPool:
    """A pool with a number of slots. Each wait trains every run for one epoch.

    `steps` counts the epochs of all runs.
    """

    def __init__(self, root: Path, slots: int = 2) -> None:
        self.root, self.slots, self.steps, self.began = root, slots, 0, list[str]()
        self.running: dict[str, tuple[Job, int]] = {}
        self.cancelled: deque[str] = deque()

    def room(self) -> int:
        return self.slots - len(self.running)

    def start(self, job: Job) -> None:
        RunFolder(self.root / job.run_id).path.mkdir(parents=True, exist_ok=True)
        self.running[job.run_id] = job, 0
        self.began.append(job.run_id)

    def cancel(self, run_id: str) -> None:
        self.cancelled.append(run_id)

    def wait(self, seconds: float) -> list[Event]:
        events: list[Event] = []
        for run_id, (job, epoch) in list(self.running.items()):
            if run_id in self.cancelled or epoch == job.config.train.epochs:
                status = "done" if epoch == job.config.train.epochs else "interrupted"
                RunFolder(self.root / run_id).finish(record(job.config, run_id, status, epoch))
                events.append(Ended(run_id=run_id, how="recorded"))
                del self.running[run_id]
                continue
            if epoch == 0:
                events.append(Stepped(run_id=run_id, step=0, total=total(job.config)))
            self.steps += STEPS_AN_EPOCH
            self.running[run_id] = job, epoch + 1
            metrics = {"dev/overall": score(job.config, epoch + 1)}
            events.append(Scored(run_id=run_id, step=STEPS_AN_EPOCH * (epoch + 1), metrics=metrics))
        return events

    def stop(self) -> None:
        self.running.clear()

    def close(self) -> None:
        self.running.clear()


def instant(config: RunConfig, options: RunOptions, **more: Any) -> Record:
    """A run by the formula in a worker process, 20 ms an epoch.

    It notes its end, and resumes where it was stopped.
    """
    sources, progress = more["sources"], more["progress"]
    config = config.resolved()
    run_id = identity.run_id(sources.cell(config), config.seed)
    folder = RunFolder(options.runs / run_id)
    with folder.lock(), Interruption() as interruption:
        known = folder.record()
        if known is not None and known.status == "done":
            return known
        first = 0 if known is None else (known.steps or 0) // STEPS_AN_EPOCH
        folder.begin(config)
        progress.begin(run_id, STEPS_AN_EPOCH * first, total(config))
        for epoch in range(first, config.train.epochs):
            time.sleep(0.02)
            try:
                interruption.check()
            except Interrupted:
                stopped = record(config, run_id, "interrupted", epoch)
                folder.finish(stopped)
                return stopped
            progress.evaluated(
                STEPS_AN_EPOCH * (epoch + 1), {"dev/overall": score(config, epoch + 1)}
            )
        done = record(config, run_id, "done", config.train.epochs)
        with (options.runs / "ends.log").open("a") as file:
            file.write(f"{run_id}\n")
        folder.finish(done)
        return done
