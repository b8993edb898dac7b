"""Pools of workers: the interface between engine and processes, and the processes of this machine.

The engine starts jobs on a `Pool` while it has room, and receives events. A cluster's scheduler can
replace `LocalPool`: it needs the six methods of `Pool`, and folders that both sides see.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Protocol

from mtl.errors import ConfigError
from mtl.grid.wording import duration
from mtl.grid.worker import Cancel, Ended, Event, Job, Setup

LONGEST_LOOK = 5.0
"""Seconds of silence between two looks at workers that count at most.

A coordinator that was stopped, or a machine that slept, has heard nothing in that time.
"""
MEMORY_A_WORKER = 3e9
"""Bytes to plan for a worker on a CPU: a base-sized encoder, its optimiser's state, and torch."""


class Pool(Protocol):
    """Trains runs. Every started job ends in one `Ended` event."""

    def room(self) -> int:
        """How many jobs can start now."""

    def start(self, job: Job) -> None:
        """Start a run. Call it only while there is room."""

    def cancel(self, run_id: str) -> None:
        """Ask a run to save itself and end. Does nothing if the run is not in flight."""

    def wait(self, seconds: float) -> list[Event]:
        """The events since the last call. Waits up to `seconds` for the first."""

    def stop(self) -> None:
        """Ask all runs to save themselves and end."""

    def close(self) -> None:
        """End all workers at once."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One worker's share of the machine."""

    device: str
    threads: int


def slots(workers: int | None, device: str | None, runs: int) -> list[Slot]:
    """One slot per worker, at most `runs` of them by default.

    The default is one worker per GPU, or one per core as far as memory allows. The workers share
    the machine's cores. `OMP_NUM_THREADS` limits the threads of each. Raises ConfigError for a
    device that the machine does not have.
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    gpus = [] if device == "cpu" else [f"cuda:{number}" for number in range(gpu_count())]
    known = {None: gpus, "cuda": gpus, "cpu": ["cpu"]} | {name: [name] for name in gpus}
    devices = known.get(device, []) or (["cpu"] if device is None else [])
    if not devices:
        raise ConfigError(
            f"--device {device}: not on this machine. It has {', '.join(['cpu', *gpus])}."
        )
    if workers is None:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        workers = (
            len(devices)
            if devices != ["cpu"]
            else min(cores, max(1, int(memory / MEMORY_A_WORKER)))
        )
        workers = max(1, min(workers, runs))
    threads = max(1, cores // workers)
    if (limit := os.environ.get("OMP_NUM_THREADS", "")).isdigit() and int(limit) > 0:
        threads = min(threads, int(limit))
    return [
        Slot(device=devices[number % len(devices)], threads=threads) for number in range(workers)
    ]


def gpu_count() -> int:
    """How many CUDA devices torch sees. Torch is not loaded on a system without any."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return 0
    import torch

    return torch.cuda.device_count()


class LocalPool:
    """Worker processes on this machine, one per slot. A worker starts with its first job.

    A worker that dies, whose run raises, or that gives no sign of life for `silence` seconds is
    replaced: its memory is not trusted.
    """

    def __init__(
        self, setup: Setup, slots: Sequence[Slot], logs: Path, *, silence: float = math.inf
    ) -> None:
        self._setup, self._slots, self._logs, self._silence = setup, slots, logs, silence
        self._workers: dict[int, _Worker] = {}
        self._looked = time.monotonic()

    def room(self) -> int:
        return len(self._slots) - sum(worker.job is not None for worker in self._workers.values())

    def start(self, job: Job) -> None:
        number = next(
            n
            for n in range(len(self._slots))
            if n not in self._workers or self._workers[n].job is None
        )
        worker = self._workers.get(number)
        if worker is None or not worker.give(job):
            # It has not started yet, or it died while idle.
            self._drop(number)
            slot = self._slots[number]
            options = self._setup.options.replace(device=slot.device)
            self._workers[number] = worker = _Worker(
                replace(self._setup, options=options),
                slot.threads,
                self._logs / f"worker-{number}.log",
            )
            worker.take(job)

    def cancel(self, run_id: str) -> None:
        for worker in self._workers.values():
            if worker.job is not None and worker.job.run_id == run_id:
                worker.cancel()

    def wait(self, seconds: float) -> list[Event]:
        events: list[Event] = []
        busy = {
            worker.connection: number
            for number, worker in self._workers.items()
            if worker.job is not None
        }
        if not busy:
            return events
        heard = [busy[ready] for ready in wait(list(busy), seconds)]  # type: ignore[index]
        for number in heard:
            event = self._workers[number].receive()
            events.append(event)
            if isinstance(event, Ended) and event.how in ("error", "lost"):
                self._drop(number)
        return events + self._hanging(set(busy.values()) - set(heard))

    def _hanging(self, silent: set[int]) -> list[Event]:
        """End the workers that have been silent for too long."""
        before, self._looked = self._looked, time.monotonic()
        events: list[Event] = []
        for number in silent:
            worker = self._workers[number]
            worker.silent += min(self._looked - before, LONGEST_LOOK)
            if worker.silent > self._silence and worker.job is not None:
                reason = f"its worker gave no sign of life for {duration(self._silence)}"
                reason = f"{reason} and was ended; see {worker.log}"
                events.append(Ended(run_id=worker.job.run_id, how="lost", reason=reason))
                self._drop(number)
        return events

    def stop(self) -> None:
        for worker in self._workers.values():
            worker.stop()

    def close(self) -> None:
        for number in list(self._workers):
            self._drop(number)

    def _drop(self, number: int) -> None:
        if worker := self._workers.pop(number, None):
            worker.kill()


class _Worker:
    """One process, and the job it has."""

    def __init__(self, setup: Setup, threads: int, log: Path) -> None:
        self.job: Job | None = None
        self.log = log
        self.silent = 0.0
        self.connection, other = Pipe()
        with other, log.open("ab") as output:
            # In a new session, Ctrl-C reaches the coordinator only, which asks each worker once.
            self.process = subprocess.Popen(
                [sys.executable, "-c", f"from mtl.grid.worker import main; main({other.fileno()})"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[other.fileno()],
                env=_environ(threads), start_new_session=True,
            )  # fmt: skip
        self._send(setup)

    def give(self, job: Job) -> bool:
        """Send a job. Returns False if the worker has died."""
        if self.process.poll() is not None or not self._send(job):
            return False
        self.job, self.silent = job, 0.0
        return True

    def take(self, job: Job) -> None:
        """Send a new worker its first job. If the worker has died, the job is lost."""
        self.give(job)
        self.job = job

    def receive(self) -> Event:
        """The next event. If the worker has died, its run is lost."""
        assert self.job is not None
        self.silent = 0.0
        try:
            event: Event = self.connection.recv()
        except (EOFError, OSError):
            event = Ended(run_id=self.job.run_id, how="lost", reason=self._death_reason())
        if isinstance(event, Ended):
            self.job = None
        return event

    def cancel(self) -> None:
        """Ask the run to save itself and end. The process stays."""
        assert self.job is not None
        self._send(Cancel(run_id=self.job.run_id))

    def stop(self) -> None:
        """Ask the run to save itself and the process to end."""
        self._send(None)

    def kill(self) -> None:
        """End the process at once."""
        self.connection.close()
        with contextlib.suppress(OSError):
            self.process.kill()
        # A process that waits for a broken disk does not end before the disk answers.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)

    def _send(self, message: Setup | Job | Cancel | None) -> bool:
        try:
            self.connection.send(message)
        except OSError:
            return False
        return True

    def _death_reason(self) -> str:
        try:
            code = self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "its worker closed the connection and hangs"
        how = f"ended with exit code {code}"
        if code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
            how += " (out of memory, perhaps)" if code == -signal.SIGKILL else ""
        return f"its worker {how}; see {self.log}"


def _environ(threads: int) -> Mapping[str, str]:
    return os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
    }
