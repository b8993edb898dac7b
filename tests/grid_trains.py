"""Ways to train a run that tests hand to the engine. Workers import this module by name."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from mtl.config.schema import RunConfig
from mtl.locks import LocksUnsupported
from mtl.runs.options import RunOptions
from mtl.runs.record import Record
from tests.study_trains import instant


def plainly(config: RunConfig, options: RunOptions, **more: Any) -> Record:
    """Train as `mtl train` does, saving often."""
    from mtl.training.loop import train

    return train(config, options, save_seconds=0.2, **more)


def counted(config: RunConfig, options: RunOptions, **more: Any) -> Record:
    """Train, and add a line to `ends.log` beside the runs for every run that this call finished."""
    begun: list[str] = []
    progress = more["progress"]
    begin = progress.begin

    def noted(run_id: str, step: int, total: int) -> None:
        begun.append(run_id)
        begin(run_id, step, total)

    progress.begin = noted
    record = plainly(config, options, **more)
    if record.status == "done" and begun:
        with (options.runs / "ends.log").open("a") as file:
            file.write(f"{record.run_id}\n")
    return record


def dies_on_seed_1(config: RunConfig, options: RunOptions, **more: Any) -> Record:
    """Be killed, as when memory runs out, on every try of seed 1."""
    if config.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return counted(config, options, **more)


def raises_on_seed_1(config: RunConfig, options: RunOptions, **more: Any) -> Record:
    """Raise on every try of seed 1."""
    if config.seed == 1:
        raise MemoryError("no memory for seed 1")
    return counted(config, options, **more)


def raises_once(config: RunConfig, options: RunOptions, **more: Any) -> Record:
    """Raise on the first try of every run."""
    tried = options.runs / f"tried.{config.pairing}.{config.seed}"
    if not tried.exists():
        tried.touch()
        raise OSError("the disk had a bad moment")
    return counted(config, options, **more)


def dies_once_on_seed_1(config: RunConfig, options: RunOptions, **more: Any) -> Record:
    """By the formula; the first try of each run of seed 1 is killed."""
    tried = options.runs / f"tried.{config.pairing}"
    if config.seed == 1 and not tried.exists():
        tried.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return instant(config, options, **more)


def hangs_by_seed(config: RunConfig, options: RunOptions, **more: Any) -> Record:
    """Seed 0 sleeps for ever, 1 is stopped, 2 waits for itself, 3 computes in silence for 20 s."""
    if config.seed == 0:
        time.sleep(1e6)
    elif config.seed == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    elif config.seed == 2:
        lock = threading.Lock()
        with lock:
            lock.acquire()
    elif config.seed == 3:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            sum(range(1000))
            time.sleep(0.01)
    return instant(config, options, **more)


def no_locks(path: Path, **more: Any) -> NoReturn:
    """What a lock does on a disk without locks."""
    raise LocksUnsupported(f"{path}: this file system has no file locks (No locks available).")


def without_locks(config: RunConfig, options: RunOptions, **more: Any) -> Record:
    """By the formula, on a disk without locks."""
    from mtl.runs import folder

    folder.exclusive = no_locks
    return instant(config, options, **more)
