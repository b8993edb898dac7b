"""The log of a run: losses on their way from the device to the file, the tracker and the screen."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mtl.documents.keys import flatten
from mtl.files import named
from mtl.methods import conflicts
from mtl.methods.penalty import Penalty
from mtl.methods.task_loss import TaskLosses
from mtl.tracking.tracker import Tracker
from mtl.training.progress import Progress
from mtl.training.state import Diverged, State, StepResult, not_finite


class StepLog:
    """Keeps finished steps on the device until `flush`, which writes them down together."""

    def __init__(
        self,
        path: Path,
        state: State,
        total: int,
        penalty: Penalty,
        losses: TaskLosses,
        limit: float | None,
        progress: Progress,
    ) -> None:
        """`limit` is the norm at which gradients are clipped; None: they are not."""
        self.path, self.state, self.total = path, state, total
        self.penalty, self.losses = penalty, losses
        self.limit, self.progress = limit, progress
        self.pending: list[StepResult] = []

    @contextmanager
    def opened(self, tracker: Tracker) -> Iterator[None]:
        """Append to the file, and send means to `tracker`, while the context lasts."""
        with self.path.open("a", encoding="utf-8") as file:
            self.file: IO[str] = file
            self.tracker = tracker
            yield

    def add(self, result: StepResult) -> None:
        """Keep a finished step for the next `flush`."""
        self.pending.append(result)

    def flush(self) -> None:
        """Log the pending steps. Raises Diverged for the first that is not finite."""
        if not self.pending:
            return
        lines = []
        for result in self.pending:
            line = self._checked(result)
            line |= self.penalty.report(result.step - 1, self.state.penalties)
            if parts := self.losses.measurements.report(result.step - 1, self.state.losses):
                line |= {"losses": parts}
            self.write(line)
            self._count(line)
            lines.append(line)
        self._flush()
        self.pending.clear()
        self._report(lines)

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line to the file."""
        with named(self.path):
            self.file.write(json.dumps(line, allow_nan=False) + "\n")

    def evaluated(self, line: Mapping[str, Any]) -> None:
        """Log an evaluation, a line with `step` and `metrics`."""
        self.write(line)
        self._flush()
        self.tracker.log(line["step"], line["metrics"])
        self.progress.evaluated(line["step"], line["metrics"])

    def sync(self) -> int:
        """Bring the file to the disk; returns its length in bytes."""
        self._flush()
        with named(self.path):
            os.fsync(self.file.fileno())
        return self.file.tell()

    def _flush(self) -> None:
        with named(self.path):
            self.file.flush()

    def _checked(self, result: StepResult) -> dict[str, Any]:
        """A step's line. Raises Diverged where a number is not finite."""
        line = result.line()
        if names := not_finite(line):
            self.state.step = result.step
            raise Diverged(
                f"step {result.step} of {self.total}: {' and '.join(names)} is not finite "
                f"(lr {result.learning_rate:g})"
            )
        return line

    def _count(self, line: Mapping[str, Any]) -> None:
        """Add a step's line to the run's diagnostics."""
        if len(line["loss"]) == 1:
            (task,) = line["loss"]
            count, total = self.state.gradient_norms.get(task, [0, 0.0])
            self.state.gradient_norms[task] = [count + 1, total + line["grad_norm"]]
            if self.limit is not None and line["grad_norm"] > self.limit:
                clipped = self.state.clipped_alone
                clipped[task] = clipped.get(task, 0) + 1
        if "surgery" in line:
            conflicts.add(self.state.surgery, line["surgery"])

    def _report(self, lines: list[dict[str, Any]]) -> None:
        """Tell the tracker and the screen the means of some steps."""
        last = lines[-1]
        losses = mean_losses(lines)
        metrics: dict[str, float | None] = {
            f"train/loss/{task}": loss for task, loss in losses.items()
        }
        metrics["train/lr"] = last["lr"]
        surgery: conflicts.Totals = {}
        for line in lines:
            if "surgery" in line:
                conflicts.add(surgery, line["surgery"])
        if surgery:
            for key, value in flatten(conflicts.summarise(surgery)).items():
                if value != {}:  # no pair of tasks met
                    metrics[f"train/surgery/{key.replace('.', '/')}"] = value
        self.tracker.log(last["step"], metrics)
        seconds = self.state.step_seconds
        self.progress.stepped(last["step"], losses, self.state.tokens / seconds if seconds else 0.0)


def mean_losses(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Each task's mean loss over the steps that have it."""
    by_task: dict[str, list[float]] = {}
    for line in lines:
        for task, loss in line["loss"].items():
            by_task.setdefault(task, []).append(loss)
    return {task: sum(losses) / len(losses) for task, losses in by_task.items()}
