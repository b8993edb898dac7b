"""A worker: a process that trains the runs it is given, one after another, and tells how they go.

It is started by `mtl.grid.pool` and talks to it over one connection. When the connection ends, its coordinator is gone
or wants it to stop: the run under way is saved between two steps, as after SIGTERM, and the process ends.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, Protocol

from mtl.config.schema import RunConfig
from mtl.errors import MtlError, RunInUse
from mtl.runs.options import RunOptions
from mtl.runs.prepare import Sources
from mtl.runs.record import Record
from mtl.training.progress import Progress

TELL_SECONDS = 0.25
"""How often a running cell says which step it is at."""


class Train(Protocol):
    """How an engine trains a run: `mtl.train`, or a function with the same signature."""

    def __call__(
        self, config: RunConfig, options: RunOptions, *, progress: Progress, sources: Sources
    ) -> Record: ...


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a worker gets before its first job: how to train, and the options of all its runs."""

    train: Train
    options: RunOptions


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to train."""

    run_id: str
    config: RunConfig


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """The run, if it is under way, is to save itself and end; the worker lives on."""

    run_id: str


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """What frozen layers compute has been had in advance for this share of what the run needs."""

    run_id: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """A run is at `step` of `total`."""

    run_id: str
    step: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Dev was scored at `step`."""

    run_id: str
    step: int
    metrics: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run is no longer under way here.

    `recorded`: its record says how it ended. `busy`: another process has it. `error`: it raised; `reason` is a line and
    `detail` the traceback. `lost`: its worker died; `reason` says how.
    """

    run_id: str
    how: Literal["recorded", "busy", "error", "lost"]
    reason: str | None = None
    detail: str | None = None


Event = Preparing | Stepped | Scored | Ended


class _Telling(Progress):
    """Tells the coordinator. One that is gone is no reason to fail: the worker is about to be asked to stop."""

    def __init__(self, connection: Connection, run_id: str, current: _Current) -> None:
        self._connection, self._run_id, self._said, self._current = connection, run_id, 0.0, current

    def begin(self, run_id: str, step: int, total: int) -> None:
        self._total = total
        self._tell(Stepped(run_id=self._run_id, step=step, total=total))
        self._current.check()

    def preparing(self, done: int, total: int) -> None:
        if self._due() or done == total:
            self._tell(Preparing(run_id=self._run_id, share=done / max(1, total)))

    def stepped(self, step: int, losses: Mapping[str, float], tokens_per_second: float) -> None:
        if self._due():
            self._tell(Stepped(run_id=self._run_id, step=step, total=self._total))

    def evaluated(self, step: int, metrics: Mapping[str, float | None]) -> None:
        self._tell(Scored(run_id=self._run_id, step=step, metrics=dict(metrics)))

    def _due(self) -> bool:
        """Whether it is time to say something again."""
        now = time.monotonic()
        due = now - self._said >= TELL_SECONDS
        self._said = now if due else self._said
        return due

    def _tell(self, event: Event) -> None:
        with contextlib.suppress(OSError):
            self._connection.send(event)


class _Current:
    """The run under way, which may be cancelled.

    A run under way takes SIGINT as a wish to save itself and end (`mtl.training.interrupt`). Outside of one the signal does nothing
    here, so a cancellation that comes too late, or too early to be heard, harms nobody.
    """

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, lambda number, frame: None)
        self._lock = threading.Lock()
        self._run_id: str | None = None
        self._cancelled = False

    def begin(self, run_id: str | None) -> None:
        """Another run is about to be under way, or none is any more."""
        with self._lock:
            self._run_id, self._cancelled = run_id, False

    def cancel(self, run_id: str) -> None:
        """Have the run end, if it is this one."""
        with self._lock:
            if run_id == self._run_id:
                self._cancelled = True
                os.kill(os.getpid(), signal.SIGINT)

    def check(self) -> None:
        """Repeat a cancellation that came before the run could hear it."""
        if self._cancelled:
            signal.raise_signal(signal.SIGINT)


def main(descriptor: int) -> None:
    """Serve the connection behind a file descriptor until it ends."""
    os.set_inheritable(descriptor, False)
    _die_first()
    connection = Connection(descriptor)
    jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
    setup: Setup = connection.recv()
    sources = Sources(setup.options.on_bad_row)
    stopping = threading.Event()
    current = _Current()
    threading.Thread(
        target=_listen, args=(connection, jobs, current, stopping), daemon=True
    ).start()
    while not stopping.is_set():
        job = jobs.get()
        print(f"--- {job.run_id}", file=sys.stderr, flush=True)
        ended = _run(job, setup, sources, _Telling(connection, job.run_id, current))
        current.begin(None)
        with contextlib.suppress(OSError):
            connection.send(ended)


def _listen(
    connection: Connection,
    jobs: queue.SimpleQueue[Job],
    current: _Current,
    stopping: threading.Event,
) -> None:
    """Take jobs and cancellations as they come. When no more can come, ask this process to stop as anybody would."""
    with contextlib.suppress(EOFError, OSError):
        while (message := connection.recv()) is not None:
            if isinstance(message, Cancel):
                current.cancel(message.run_id)
            else:
                current.begin(message.run_id)
                jobs.put(message)
    stopping.set()
    os.kill(os.getpid(), signal.SIGTERM)


def _run(job: Job, setup: Setup, sources: Sources, progress: Progress) -> Ended:
    try:
        setup.train(job.config, setup.options, progress=progress, sources=sources)
    except RunInUse as error:
        return Ended(run_id=job.run_id, how="busy", reason=str(error))
    except Exception as error:  # one cell's error is not the grid's
        traceback.print_exc()
        line = str(error) if isinstance(error, MtlError) else f"{type(error).__name__}: {error}"
        return Ended(run_id=job.run_id, how="error", reason=line, detail=traceback.format_exc())
    return Ended(run_id=job.run_id, how="recorded")


def _die_first() -> None:
    """Where memory runs out, let the system end a worker rather than the coordinator or somebody's editor."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
