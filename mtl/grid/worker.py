"""A worker: a process that trains runs, one after another, and sends events.

`mtl.grid.pool` starts it and talks to it over one connection. When the connection closes, the
coordinator has ended or wants the worker to stop: the run in flight saves itself between two steps,
as after SIGTERM, and the process ends.
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, Protocol

from mtl.config import identity
from mtl.config.schema import RunConfig
from mtl.errors import MtlError, RunInUse
from mtl.runs.options import RunOptions
from mtl.runs.prepare import Sources
from mtl.runs.record import Record
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Task
from mtl.training.progress import Progress

EVENT_SECONDS = 0.25
"""Least time between two progress events of a run."""
SIGN_SECONDS = 1.0
"""Time between two signs of life."""


class Train(Protocol):
    """How an engine trains a run: `mtl.train`, or a function with the same signature."""

    def __call__(
        self, config: RunConfig, options: RunOptions, *, progress: Progress, sources: Sources
    ) -> Record: ...


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a worker gets before its first job: how to train, and the options of all its runs.

    `tasks` are those that the coordinator knows: a worker may not find their files by name.
    """

    train: Train
    options: RunOptions
    tasks: tuple[Task, ...] = field(default_factory=TASKS.known)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to train. `data` and `encoder` are the fingerprints that its name was made from."""

    run_id: str
    config: RunConfig
    data: str = ""
    encoder: str = ""


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Ask the run, if it is in flight, to save itself and end. The worker stays."""

    run_id: str


@dataclass(frozen=True, kw_only=True)
class Alive:
    """The worker of a run computes, though it has nothing to report."""

    run_id: str


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """The cache of frozen layers holds this share of what the run needs."""

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
    """A run is no longer in flight here.

    `recorded`: its record says how it ended. `busy`: another process has its lock. `changed`: its
    data or encoder are not those of the plan, and it was not trained. `error`: it raised; `reason`
    is one line, `detail` the traceback. `lost`: its worker died or hangs; `reason` says how.
    """

    run_id: str
    how: Literal["recorded", "busy", "changed", "error", "lost"]
    reason: str | None = None
    detail: str | None = None


Report = Alive | Preparing | Stepped | Scored
Event = Report | Ended


class _Outbox:
    """Sends events, from any thread. A closed connection is ignored: the worker stops soon."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def send(self, event: Event) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._connection.send(event)


class _EventSender(Progress):
    """Sends progress to the coordinator."""

    def __init__(self, outbox: _Outbox, run_id: str, current: _CurrentRun) -> None:
        self._outbox, self._run_id, self._sent, self._current = outbox, run_id, 0.0, current

    def begin(self, run_id: str, step: int, total: int) -> None:
        self._total = total
        self._send(Stepped(run_id=self._run_id, step=step, total=total))
        self._current.check()

    def preparing(self, done: int, total: int) -> None:
        if self._due() or done == total:
            self._send(Preparing(run_id=self._run_id, share=done / max(1, total)))

    def stepped(self, step: int, losses: Mapping[str, float], tokens_per_second: float) -> None:
        if self._due():
            self._send(Stepped(run_id=self._run_id, step=step, total=self._total))

    def evaluated(self, step: int, metrics: Mapping[str, float | None]) -> None:
        self._send(Scored(run_id=self._run_id, step=step, metrics=dict(metrics)))

    def _due(self) -> bool:
        """Whether the next progress event is due."""
        now = time.monotonic()
        due = now - self._sent >= EVENT_SECONDS
        self._sent = now if due else self._sent
        return due

    def _send(self, event: Event) -> None:
        self._outbox.send(event)


class _CurrentRun:
    """The run in flight, which can be cancelled.

    On SIGINT a run in flight saves itself and ends (`mtl.training.interrupt`). Without a run the
    signal does nothing here, so a late or early cancellation is harmless.
    """

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, lambda number, frame: None)
        self._lock = threading.Lock()
        self._run_id: str | None = None
        self._cancelled = False

    @property
    def run_id(self) -> str | None:
        """The run in flight."""
        return self._run_id

    def begin(self, run_id: str | None) -> None:
        """Set the run in flight, or None after its end."""
        with self._lock:
            self._run_id, self._cancelled = run_id, False

    def cancel(self, run_id: str) -> None:
        """Cancel the run if it is in flight."""
        with self._lock:
            if run_id == self._run_id:
                self._cancelled = True
                os.kill(os.getpid(), signal.SIGINT)

    def check(self) -> None:
        """Repeat a cancellation that came before the run handled signals."""
        if self._cancelled:
            signal.raise_signal(signal.SIGINT)


def main(descriptor: int) -> None:
    """Serve the connection of a file descriptor until it closes."""
    os.set_inheritable(descriptor, False)
    _volunteer_for_oom()
    connection = Connection(descriptor)
    jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
    setup: Setup = connection.recv()
    TASKS.learn(setup.tasks)
    sources = Sources(setup.options.on_bad_row)
    stopping = threading.Event()
    current, outbox = _CurrentRun(), _Outbox(connection)
    threading.Thread(
        target=_listen, args=(connection, jobs, current, stopping), daemon=True
    ).start()
    threading.Thread(target=_give_signs, args=(outbox, current), daemon=True).start()
    while not stopping.is_set():
        job = jobs.get()
        print(f"--- {job.run_id}", file=sys.stderr, flush=True)
        ended = _run(job, setup, sources, _EventSender(outbox, job.run_id, current))
        current.begin(None)
        outbox.send(ended)


def _listen(
    connection: Connection,
    jobs: queue.SimpleQueue[Job],
    current: _CurrentRun,
    stopping: threading.Event,
) -> None:
    """Receive jobs and cancellations. When the connection closes, stop this process by SIGTERM."""
    with contextlib.suppress(EOFError, OSError):
        while (message := connection.recv()) is not None:
            if isinstance(message, Cancel):
                current.cancel(message.run_id)
            else:
                current.begin(message.run_id)
                jobs.put(message)
    stopping.set()
    os.kill(os.getpid(), signal.SIGTERM)


def _in_a_line(error: Exception) -> str:
    """An error for the view: a traceback is in the log."""
    if isinstance(error, MtlError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}"


def _give_signs(outbox: _Outbox, current: _CurrentRun) -> None:
    """Send a sign of life every `SIGN_SECONDS` in which the main thread computed.

    A long stage without reports, such as a large evaluation, is not a hang. A stopped process sends
    nothing, and a main thread that waits for ever has no processor time.
    """
    clock = _main_thread_clock()
    used = clock()
    while True:
        time.sleep(SIGN_SECONDS)
        before, used = used, clock()
        run_id = current.run_id
        if used > before and run_id is not None:
            outbox.send(Alive(run_id=run_id))


def _main_thread_clock() -> Callable[[], float]:
    """The processor time of the main thread; of the whole process where the system has no other."""
    main_thread = threading.main_thread().ident
    if not hasattr(time, "pthread_getcpuclockid") or main_thread is None:
        return time.process_time
    number = time.pthread_getcpuclockid(main_thread)
    return lambda: time.clock_gettime(number)


def _run(job: Job, setup: Setup, sources: Sources, progress: Progress) -> Ended:
    try:
        if changed := _what_changed(job, sources):
            return Ended(run_id=job.run_id, how="changed", reason=changed)
        setup.train(job.config, setup.options, progress=progress, sources=sources)
    except RunInUse as error:
        return Ended(run_id=job.run_id, how="busy", reason=str(error))
    except Exception as error:  # the error of one run must not end the grid
        traceback.print_exc()
        detail = traceback.format_exc()
        return Ended(run_id=job.run_id, how="error", reason=_in_a_line(error), detail=detail)
    return Ended(run_id=job.run_id, how="recorded")


def _what_changed(job: Job, sources: Sources) -> str:
    """Why the job's config would now train under another name; "" if it would not.

    Raises DataError or EncoderError.
    """
    config = job.config.resolved()
    data, pretrained = sources.fingerprint(config), sources.pretrained(config)
    # Its weights are read again for every run, so its content must be, too.
    encoder = type(pretrained)(pretrained.name, pretrained.folder).fingerprint
    cell = identity.cell(config, data=data, encoder=encoder)
    if identity.run_id(cell, config.seed) == job.run_id:
        return ""
    changed = "mtl"
    if job.data != data:
        changed = f"the data ({config.data})"
    elif job.encoder != encoder:
        changed = f"the encoder ({config.encoder})"
    return f"{changed} changed since the runs were planned. Give the command again."


def _volunteer_for_oom() -> None:
    """Without memory, let the system kill a worker rather than the coordinator or an editor."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
