"""Trains one run: from a config to a record.

`train` prepares the data and takes the run's folder; `Training` (`mtl.training.run`) sets the parts
up; `run` is the loop: a step, and after each epoch an evaluation of dev and of a slice of train.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Unpack

import torch

from mtl.config.schema import RunConfig
from mtl.errors import RunError
from mtl.model.device import choose_device, keep_memory
from mtl.model.frozen.cache import PREFETCH_STEPS
from mtl.runs import checkpoint
from mtl.runs.folder import RunFolder
from mtl.runs.options import RunKeywords, RunOptions
from mtl.runs.prepare import Sources, prepare
from mtl.runs.record import Record, Status
from mtl.tracking.open import open_tracker
from mtl.tracking.outcome import WandbMode
from mtl.tracking.tracker import Tracker
from mtl.training.interrupt import Interrupted, Interruption
from mtl.training.outcome import make_record, run_info, tracked_metrics
from mtl.training.progress import Progress
from mtl.training.run import Training
from mtl.training.state import Diverged

LOG_EVERY = 10
"""Steps between flushes of the log: a transfer from the device, a check for NaN, a line to W&B."""


def train(
    config: RunConfig,
    options: RunOptions | None = None,
    *,
    fresh: bool = False,
    progress: Progress | None = None,
    sources: Sources | None = None,
    **keywords: Unpack[RunKeywords],
) -> Record:
    """Train one run and return its record, the contents of `record.json`.

    A run that is done or diverged is not trained again: its record is returned. An interrupted or
    failed run resumes from its last saved state. The record's status is `done`, `diverged` (a
    number was not finite) or `interrupted` (SIGINT, SIGTERM).

    Args:
        config: What to compute. It alone decides the run's name and numbers.
        options: How to run it: folder, device, W&B and more; see `mtl.runs.options.RunOptions`.
        fresh: Delete what the run has done so far and start again.
        progress: Gets reports of steps and scores. Default: silence.
        sources: Rows, tokens and encoders that several runs in this process share.
        **keywords: Fields of `RunOptions`, which go over `options`.

    Raises:
        ConfigError, DataError, EncoderError: Before anything is written.
        RunInUse: Another process trains the same run.
        Exception: Any other error, after the record says `failed`.

    Example:
        >>> from mtl import config_from, train
        >>> record = train(config_from(["final", "train.epochs=1"]), runs="runs", device="cpu")
        >>> record.metrics["dev/overall"]  # doctest: +SKIP
        0.52
    """
    options = (options or RunOptions()).replace(**keywords)
    device = choose_device(options.device)
    mode = options.wandb_mode
    prepared = prepare(config, options.on_bad_row, sources)
    folder = RunFolder(options.runs / prepared.run_id)
    with _one_run_at_a_time(), folder.lock():
        if fresh:
            folder.clear()
        record = folder.record()
        if record is not None and record.status in ("done", "diverged"):
            (progress or Progress()).note(f"{prepared.run_id} is {record.status}: nothing to train")
            return record
        keep_memory()
        cuda_devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda_devices), Interruption() as interruption:
            training = Training(
                prepared,
                folder,
                device,
                interruption,
                progress or Progress(),
                options.save_seconds,
                cache_bytes=options.cache_bytes,
            )
            return run_and_record(training, mode, options.group)


def run_and_record(training: Training, mode: WandbMode, group: str | None) -> Record:
    """Run to the end, and write the record of how it ended. Re-raises unexpected errors."""
    prepared, folder, device = training.prepared, training.folder, training.device
    folder.begin(training.config)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    tracker = open_tracker(mode, run_info(prepared, folder, group))
    status: Status = "done"
    error: str | None = None
    unexpected: Exception | None = None
    training.clock.start()
    try:
        run(training, tracker)
    except Interrupted as interrupted:
        status, error = "interrupted", str(interrupted)
    except Diverged as diverged:
        status, error = "diverged", str(diverged)
    except Exception as exception:
        status, error, unexpected = "failed", traceback.format_exc(), exception
    training.progress.end()
    training.clock.charge()
    record = make_record(training, status, error)
    done = status == "done"
    tracked = tracker.finish(tracked_metrics(record)) if done else tracker.abort(error or status)
    record = record.model_copy(update={"wandb": tracked})
    record = folder.finish(record)
    if unexpected is not None:
        raise unexpected
    return record


def run(training: Training, tracker: Tracker) -> None:
    """The loop. Raises Interrupted or Diverged."""
    state, plan, log = training.state, training.plan, training.log
    if resumed := training.saver.resume():
        training.progress.note(f"resuming at step {state.step}")
    training.progress.begin(training.prepared.run_id, state.step, plan.total)
    training.fill_frozen_cache()
    prefetched_until = state.step
    with log.opened(tracker):
        if not resumed:
            training.begin()
        saved_at = time.monotonic()
        while True:
            if plan.is_evaluation_due(state.step) and state.evaluated_at != state.step:
                # Saved first: after a kill the same weights are scored again, on any device.
                training.save()
                saved_at = time.monotonic()
                training.evaluate()
            if state.step >= plan.total:
                break
            stop_if_interrupted(training)
            if state.step == prefetched_until and not training.frozen_cache.complete:
                steps = plan.next_steps(state.step, PREFETCH_STEPS)
                training.prefetch(steps)
                prefetched_until += len(steps)
            training.step(plan.rows(state.step))
            if state.step % LOG_EVERY == 0:
                log.flush()
            if time.monotonic() - saved_at >= training.save_seconds:
                training.save()
                saved_at = time.monotonic()
        if training.config.train.select == "last":
            training.keep_weights()
        checkpoint.check_selected(training.folder, state.best_step)


def stop_if_interrupted(training: Training) -> None:
    """Save and raise Interrupted, if a signal came."""
    try:
        training.interruption.check()
    except Interrupted:
        training.save()
        raise


@contextmanager
def _one_run_at_a_time() -> Iterator[None]:
    """Refuse a second thread: both would draw dropout from torch's global generator."""
    if not _TRAINING.acquire(blocking=False):
        raise RunError("another thread of this process is training; use a process for each run.")
    try:
        yield
    finally:
        _TRAINING.release()


_TRAINING = threading.Lock()
