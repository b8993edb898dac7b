"""One run, from a config to a record.

`train` prepares the data, takes the run's folder, and hands over to `Training`, whose `run` is the loop: a step, then at
the end of each epoch an evaluation of dev and of a slice of train. Methods are met only through their seams: freezing
(which part has a graph), pairing (rows to sequences), heads (vectors to outputs), a penalty per task loss
(SMART), surgery (losses to a gradient).

A run that is interrupted goes on from its last saved state and gives the same numbers as one that was not: data order is
a function of seed and epoch, and the state holds weights, optimiser, the random state of dropout and the counters.
"""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from mtl.cache import CACHE_BYTES
from mtl.config.keys import flatten
from mtl.config.schema import RunConfig
from mtl.data.schedules import SCHEDULES, Step
from mtl.data.tokens import TokenizedRows
from mtl.errors import RunError
from mtl.inference.evaluate import Evaluator, autocast
from mtl.methods import conflicts
from mtl.methods.smart import make_penalty
from mtl.methods.surgery import SURGERIES, Group
from mtl.model.device import choose_device, keep_memory
from mtl.model.freezing import Freezing
from mtl.model.frozen.prefix import AHEAD, make_prefix
from mtl.model.losses import task_loss
from mtl.model.multitask import MultiTaskModel, make_batch
from mtl.model.pairing import distinct, lay_out
from mtl.rng import numpy_stream, stream_seed
from mtl.runs import checkpoint
from mtl.runs.folder import RunFolder
from mtl.runs.options import RunKeywords, RunOptions
from mtl.runs.prepare import Prepared, Sources, prepare
from mtl.runs.record import Record, Status
from mtl.tasks.metrics import Scores, score_all
from mtl.tasks.registry import TASKS, TaskName
from mtl.tracking.open import open_tracker
from mtl.tracking.outcome import WandbMode
from mtl.tracking.tracker import Tracker
from mtl.training.interrupt import Interrupted, Interruption
from mtl.training.optim import Optimizer, learning_rate
from mtl.training.outcome import make_record, run_info
from mtl.training.progress import Progress
from mtl.training.state import Diverged, Pending, State, broken, finite

LOG_EVERY = 10
"""Steps between looks at the losses: one transfer from the device, one check for NaN, one line to W&B."""


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
    failed run resumes from its last saved state. The record's status is `done`, `diverged` (a loss
    or gradient was not finite) or `interrupted` (SIGINT, SIGTERM).

    Args:
        config: What to compute. It alone decides the run's name and numbers.
        options: How to run it: folder, device, W&B and more; see `mtl.runs.options.RunOptions`.
        fresh: Delete what the run has done so far and start again.
        progress: Hears of steps and scores. Default: silence.
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
    where = choose_device(options.device)
    mode = options.wandb_mode
    prepared = prepare(config, options.on_bad_row, sources)
    folder = RunFolder(options.runs / prepared.run_id)
    with _one_at_a_time(), folder.lock():
        if fresh:
            folder.clear()
        record = folder.record()
        if record is not None and record.status in ("done", "diverged"):
            return record
        keep_memory()
        with (
            torch.random.fork_rng(devices=[where] if where.type == "cuda" else []),
            Interruption() as interruption,
        ):
            training = Training(
                prepared,
                folder,
                where,
                interruption,
                progress or Progress(),
                options.save_seconds,
                cache_bytes=options.cache_bytes,
            )
            return training.recorded(mode, options.group)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Dropout draws from torch's global generator, so two runs in two threads would draw from each other's stream."""
    if not _TRAINING.acquire(blocking=False):
        raise RunError("another thread of this process is training; use a process for each run.")
    try:
        yield
    finally:
        _TRAINING.release()


_TRAINING = threading.Lock()


class Training:
    """A run under way: model, optimiser, state and the loop."""

    def __init__(
        self,
        prepared: Prepared,
        folder: RunFolder,
        device: torch.device,
        interruption: Interruption,
        progress: Progress,
        save_seconds: float,
        *,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        config = prepared.config
        self.prepared, self.config, self.folder, self.device = prepared, config, folder, device
        self.interruption, self.progress, self.save_seconds = interruption, progress, save_seconds

        freezing = Freezing(config.freeze, prepared.pretrained.encoder_config.layers, config.tasks)
        self.model = MultiTaskModel(config, prepared.pretrained.load(), freezing=freezing).placed(
            device
        )
        self.trainable = self.model.trainable()
        self.optimizer = Optimizer(self.trainable, config.train)
        self.penalty = make_penalty(self.model, config)
        self.surgery = SURGERIES[config.surgery](
            [p for p in self.model.encoder.parameters() if p.requires_grad]
        )
        self.prefix = make_prefix(
            config,
            self.model.encoder,
            freezing.fixed,
            prepared.pretrained.fingerprint,
            device,
            cache_bytes=cache_bytes,
            tick=interruption.check,
            note=progress.note,
            preparing=progress.preparing,
        )
        self.evaluator = Evaluator(
            self.model,
            prepared.pairer,
            device,
            config.train.precision,
            interruption.check,
            self.prefix,
        )

        self.sizes = {task: len(prepared.train[task]) for task in config.tasks}
        self.epoch_steps = len(self.epoch(0))
        self.total = min(config.train.epochs * self.epoch_steps, config.train.max_steps or 2**62)
        self.state = State()
        self.rows: Step = {}
        self.pending: list[Pending] = []
        torch.manual_seed(stream_seed(config.seed, "dropout"))

    def epoch(self, number: int) -> list[Step]:
        """The steps of an epoch (from 0)."""
        config = self.config
        return SCHEDULES[config.schedule](
            self.sizes, config.train.batch_size, config.seed, number, config.train.epochs
        )

    def recorded(self, mode: WandbMode, group: str | None) -> Record:
        """Run to the end, whatever the end is, and write it down. Re-raises errors that are not the run's own."""
        self.folder.begin(self.config)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        tracker = open_tracker(mode, run_info(self.prepared, self.folder, group))
        status: Status = "done"
        error: str | None = None
        unexpected: Exception | None = None
        self.clock = time.monotonic()
        try:
            self.run(tracker)
        except Interrupted as interrupted:
            status, error = "interrupted", str(interrupted)
        except Diverged as diverged:
            status, error = "diverged", str(diverged)
        except Exception as problem:
            status, error, unexpected = "failed", traceback.format_exc(), problem
        self.progress.end()
        self.spend()
        record = make_record(self.prepared, self.state, self.model, self.device, status, error)
        tracked = (
            tracker.finish(record.metrics) if status == "done" else tracker.abort(error or status)
        )
        record = record.model_copy(update={"wandb": tracked})
        self.folder.finish(record)
        if unexpected is not None:
            raise unexpected
        return record

    def run(self, tracker: Tracker) -> None:
        """The loop. Raises Interrupted or Diverged."""
        state = self.state
        self.resume()
        self.progress.begin(self.prepared.run_id, state.step, self.total)
        self.prefix.fill(*distinct(self.wanted(), self.prepared.pairer))
        with self.folder.metrics.open("a", encoding="utf-8") as self.log:
            saved = time.monotonic()
            steps: list[Step] = []
            ahead = state.step
            while True:
                if self.due() and state.evaluated_at != state.step:
                    self.flush(tracker)
                    # What an evaluation keeps can then never be of a step that the saved state has not reached: after a
                    # kill the same weights are scored again, on any device.
                    self.save()
                    saved = time.monotonic()
                    self.evaluate(tracker)
                if state.step == self.total:
                    break
                epoch, position = divmod(state.step, self.epoch_steps)
                if position == 0 or not steps:
                    steps = self.epoch(epoch)
                try:
                    self.interruption.check()
                except Interrupted:
                    self.flush(tracker)
                    self.save()
                    raise
                if state.step == ahead and not self.prefix.complete:
                    ahead += self.look_ahead(steps[position : position + AHEAD])
                self.step(steps[position])
                if state.step % LOG_EVERY == 0:
                    self.flush(tracker)
                if time.monotonic() - saved >= self.save_seconds:
                    self.flush(tracker)
                    self.save()
                    saved = time.monotonic()
            if self.config.train.select == "last":
                self.keep()
            checkpoint.check_selected(self.folder, state.best_step)

    def wanted(self) -> list[TokenizedRows]:
        """The rows that will go through the encoder: of the training rows, those of the steps that there are."""
        prepared, chosen = self.prepared, self.prepared.train
        if self.total < self.epoch_steps:
            steps = self.epoch(0)[: self.total]
            chosen = {
                task: rows.take(np.concatenate([step[task] for step in steps if task in step]))
                for task, rows in prepared.train.items()
                if any(task in step for step in steps)
            }
        return [*chosen.values(), *prepared.dev.values(), *prepared.train_slice.values()]

    def look_ahead(self, steps: list[Step]) -> int:
        """Have the frozen part of the next steps computed together; returns how many they are."""
        started = time.monotonic()
        laid = [
            lay_out(self.prepared.train[t], rows, self.prepared.pairer)
            for step in steps
            for t, rows in step.items()
        ]
        self.prefix.ahead(*(list(chain.from_iterable(part)) for part in zip(*laid, strict=True)))
        self.state.step_seconds += time.monotonic() - started
        return len(steps)

    def due(self) -> bool:
        """Whether dev is scored at this step: after each epoch, and at the end."""
        return self.state.step > 0 and (
            self.state.step % self.epoch_steps == 0 or self.state.step == self.total
        )

    def step(self, rows: Step) -> None:
        """One optimiser step on the given rows."""
        state = self.state
        started = time.monotonic()
        rate = learning_rate(state.step, self.total, self.config.train)
        self.optimizer.zero_grad()
        self.rows = rows
        # A stream a step, so that going on from a saved step needs no state of it.
        generator = numpy_stream(self.config.seed, f"surgery/{state.step}")
        losses, seen = self.surgery.backward(
            self.model.frozen_groups(tuple(rows)), self.losses_of, generator
        )
        norm = self.optimizer.step(rate)
        self.penalty.stepped(state.step, self.total)

        state.step += 1
        state.examples += sum(len(index) for index in rows.values())
        together = str(len(rows))
        state.tasks_per_step[together] = state.tasks_per_step.get(together, 0) + 1
        self.pending.append(Pending(state.step, losses, norm, rate, seen))
        state.step_seconds += time.monotonic() - started

    def losses_of(self, tasks: Group) -> dict[TaskName, Tensor]:
        """Each task's mean loss on its rows of this step, with its penalty, in one pass through the encoder."""
        batch = make_batch(
            self.prepared.train,
            {t: self.rows[t] for t in tasks},
            self.prepared.pairer,
            self.device,
            self.prefix,
        )
        self.state.tokens += batch.packed.tokens
        with autocast(self.device, self.config.train.precision):
            outputs, penalties = self.penalty.forward(batch, self.state.step)
        for task in tasks:
            self.count(task, self.model.head(task).diagnose(outputs[task].detach()))
        losses = {
            part.task: task_loss(TASKS[part.task].kind, outputs[part.task], part.labels)
            for part in batch.parts
        }
        return losses | {task: losses[task] + penalty for task, penalty in penalties.items()}

    def count(self, task: TaskName, counts: Mapping[str, int]) -> None:
        """Add a head's counts to this epoch's."""
        if "dead_examples" in counts:
            by_epoch = self.state.dead_examples.setdefault(task, [])
            by_epoch += [0] * (self.state.step // self.epoch_steps + 1 - len(by_epoch))
            by_epoch[-1] += counts["dead_examples"]

    def flush(self, tracker: Tracker) -> None:
        """Write the pending steps down. Raises Diverged naming the first step that is not finite."""
        if not self.pending:
            return
        sums: dict[str, list[float]] = {}
        seen: conflicts.Totals = {}
        for one in self.pending:
            line = one.line()
            if wrong := broken(line):
                self.state.step = one.step
                raise Diverged(
                    f"step {one.step} of {self.total}: {' and '.join(wrong)} is not finite (lr {one.rate:g})"
                )
            line |= self.penalty.report(one.step - 1, self.state.smart)
            values = line["loss"]
            self.log.write(json.dumps(line, allow_nan=False) + "\n")
            for task, value in values.items():
                sums.setdefault(task, []).append(value)
            if len(values) == 1:
                (alone,) = values
                count, total = self.state.gradient_norms.get(alone, [0, 0.0])
                self.state.gradient_norms[alone] = [count + 1, total + line["grad_norm"]]
            if one.surgery is not None:
                conflicts.add(seen, one.surgery)
                conflicts.add(self.state.surgery, one.surgery)
        self.log.flush()
        self.pending.clear()
        means = {task: sum(values) / len(values) for task, values in sums.items()}
        told: dict[str, float | None] = {f"train/loss/{task}": mean for task, mean in means.items()}
        told["train/lr"] = one.rate
        if seen:
            summary = flatten(conflicts.summarise(seen))
            told |= {
                f"train/surgery/{key.replace('.', '/')}": value
                for key, value in summary.items()
                if value != {}
            }
        tracker.log(one.step, told)
        speed = self.state.tokens / self.state.step_seconds if self.state.step_seconds else 0.0
        self.progress.stepped(one.step, means, speed)

    def evaluate(self, tracker: Tracker) -> None:
        """Score dev and the train slice; keep the weights and predictions if they are the ones to select."""
        state, config = self.state, self.config
        self.progress.evaluating(state.step)
        scored: list[Scores] = []
        try:
            predictions = [
                self.evaluator.predict_all(part)
                for part in (self.prepared.dev, self.prepared.train_slice)
            ]
        except Interrupted:
            self.save()  # the seconds spent
            raise
        for prefix, found in zip(("dev", "train"), predictions, strict=True):
            for one in found.values():
                if not all(map(finite, one.outputs.ravel())):
                    raise Diverged(
                        f"step {state.step} of {self.total}: an output for {prefix}/{one.task} is not finite"
                    )
            scored.append(score_all(found, config.tasks, config.overall, prefix))
        metrics = scored[0].metrics | scored[1].metrics
        state.evaluated_at = state.step
        line = {"step": state.step, "epoch": state.step / self.epoch_steps, "metrics": metrics}
        self.log.write(json.dumps(line, allow_nan=False) + "\n")
        self.log.flush()
        tracker.log(state.step, metrics)
        self.progress.evaluated(state.step, metrics)
        overall = metrics["dev/overall"]
        better = overall is not None and (
            state.best_overall is None or overall > state.best_overall
        )
        if state.best_step is None or better or config.train.select == "last":
            state.best_step, state.best_overall = state.step, overall
            state.selected, state.reasons = metrics, scored[0].reasons | scored[1].reasons
            for found in predictions:
                for one in found.values():
                    self.folder.save_predictions(one)
            if config.train.select == "best":
                self.keep()

    def keep(self) -> None:
        """Write the trained weights as the run's checkpoint; frozen ones are the encoder's own."""
        encoder = {"name": self.config.encoder, "fingerprint": self.prepared.pretrained.fingerprint}
        checkpoint.save(
            self.folder.checkpoint, "model", self.trainable, step=self.state.step, encoder=encoder
        )

    def save(self) -> None:
        """Write all that going on from here needs."""
        self.log.flush()
        os.fsync(self.log.fileno())
        self.state.log_bytes = self.log.tell()
        self.spend()
        tensors: dict[str, Tensor] = {
            f"model.{name}": parameter for name, parameter in self.trainable.items()
        }
        tensors |= {
            f"optimizer.{name}": moment for name, moment in self.optimizer.moments().items()
        }
        tensors |= {f"penalty.{name}": value for name, value in self.penalty.tensors().items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        checkpoint.save(self.folder.resume, "state", tensors, state=asdict(self.state))

    def resume(self) -> None:
        """Go back to the last saved state, if there is one; lines logged after it are dropped."""
        if checkpoint.notes(self.folder.resume, "state") is None:
            self.folder.metrics.unlink(missing_ok=True)
            return
        tensors, notes = checkpoint.load(self.folder.resume, "state")
        self.check_pieces(notes["state"])
        vars(self.state).update(notes["state"])
        with torch.no_grad():
            for name, parameter in self.trainable.items():
                parameter.copy_(tensors[f"model.{name}"])
        self.optimizer.load_moments(_below("optimizer.", tensors))
        self.penalty.load(_below("penalty.", tensors))
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        with self.folder.metrics.open("r+b") as file:
            file.truncate(self.state.log_bytes)
        self.progress.note(f"going on from step {self.state.step}")

    def check_pieces(self, saved: dict[str, Any]) -> None:
        """What a saved state counts on besides itself must be there. Raises RunError naming what is not."""
        log = self.folder.metrics
        size = log.stat().st_size if log.is_file() else 0
        if size < saved["log_bytes"]:
            raise RunError(
                f"{log}: {size} bytes, {saved['log_bytes']} were written. Start again with --fresh."
            )
        if saved["best_step"] is not None:
            for prefix in ("dev", "train"):
                for task in self.config.tasks:
                    self.folder.predictions(prefix, task)
            if self.config.train.select == "best":
                checkpoint.check(self.folder.checkpoint, "model")

    def spend(self) -> None:
        """Add the time since the last call to the run's seconds."""
        now = time.monotonic()
        self.state.seconds += now - self.clock
        self.clock = now


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
