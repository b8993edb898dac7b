"""Reports of a run's progress on stderr. `Progress` is silent: a no-op.

A stderr that is closed, full or not read never ends a run.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class Progress:
    """The calls that a training run makes. Every method is a no-op here."""

    def begin(self, run_id: str, step: int, total: int) -> None:
        """The run starts, or resumes, at `step` of `total`."""

    def preparing(self, done: int, total: int) -> None:
        """The frozen layers have been computed for `done` of `total` tokens."""

    def stepped(self, step: int, losses: Mapping[str, float], tokens_per_second: float) -> None:
        """Steps up to `step` are done; `losses` are means over the steps since the last report."""

    def evaluating(self, step: int) -> None:
        """Dev is being scored."""

    def evaluated(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Dev and the train slice are scored."""

    def note(self, text: str) -> None:
        """A message for the reader."""

    def end(self) -> None:
        """The run has ended, in whatever way."""


def shown(value: float | None) -> str:
    """A score to three digits, or `-` where it is undefined."""
    return "-" if value is None else f"{value:.3f}"


def dev_line(metrics: Mapping[str, float | None]) -> str:
    """`sst 0.401  quora 0.705  sts 0.524  overall 0.543`, from metrics keyed `dev/...`."""
    from mtl.tasks.registry import TASKS

    keys = {task.name: f"dev/{task.metric_key}" for task in TASKS.readable()} | {
        "overall": "dev/overall"
    }
    return "  ".join(
        f"{name} {shown(metrics[key])}" for name, key in keys.items() if key in metrics
    )


class PlainProgress(Progress):
    """A line on stderr every 15 seconds, for logs and pipes."""

    EVERY = 15.0
    """Seconds between lines."""

    def begin(self, run_id: str, step: int, total: int) -> None:
        self.total, self.first = total, step
        self.started = self.last_line = time.monotonic()
        self.note(f"run {run_id}: step {step} of {total}")

    def preparing(self, done: int, total: int) -> None:
        self.started = time.monotonic()  # the time of steps is counted from here
        if done == total or self.started - self.last_line >= self.EVERY:
            self.last_line = self.started
            self.note(f"frozen layers: {done / total:.0%}")

    def stepped(self, step: int, losses: Mapping[str, float], tokens_per_second: float) -> None:
        now = time.monotonic()
        if now - self.last_line < self.EVERY:
            return
        self.last_line = now
        left = (now - self.started) / max(1, step - self.first) * (self.total - step)
        means = "  ".join(f"{task} {loss:.3f}" for task, loss in losses.items())
        self.note(
            f"step {step}/{self.total}  loss {means}  {tokens_per_second:.0f} tokens/s  "
            f"about {left:.0f} s left"
        )

    def evaluated(self, step: int, metrics: Mapping[str, float | None]) -> None:
        self.note(f"step {step}/{self.total}  dev  {dev_line(metrics)}")

    def note(self, text: str) -> None:
        tell(text)


class LiveProgress(Progress):
    """A bar with the time left, for terminals; evaluations are lines above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar

        self.console = Console(stderr=True, highlight=False)
        self.bar: Bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
        )

    def begin(self, run_id: str, step: int, total: int) -> None:
        self.task = self.bar.add_task(run_id, total=total, completed=step, note="")
        _harmless(self.bar.start)

    def preparing(self, done: int, total: int) -> None:
        _harmless(lambda: self.bar.update(self.task, note=f"frozen layers {done / total:.0%}"))

    def stepped(self, step: int, losses: Mapping[str, float], tokens_per_second: float) -> None:
        means = " ".join(f"{task} {loss:.2f}" for task, loss in losses.items())
        note = f"{means}  {tokens_per_second:.0f} tok/s"
        _harmless(lambda: self.bar.update(self.task, completed=step, note=note))

    def evaluating(self, step: int) -> None:
        _harmless(lambda: self.bar.update(self.task, note="scoring dev"))

    def evaluated(self, step: int, metrics: Mapping[str, float | None]) -> None:
        self.note(f"step {step}  dev  {dev_line(metrics)}")

    def note(self, text: str) -> None:
        _harmless(lambda: self.console.print(text, markup=False))

    def end(self) -> None:
        _harmless(self.bar.stop)


def make_progress(quiet: bool) -> Progress:
    """Silent when quiet, a live bar on a terminal, lines otherwise."""
    if quiet:
        return Progress()
    return LiveProgress() if is_terminal(sys.stderr) else PlainProgress()


def tell(text: str) -> None:
    """Print a line on stderr, if it can be written."""
    if sys.stderr is not None:  # print would take None for stdout
        _harmless(lambda: print(text, file=sys.stderr, flush=True))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; False where it is closed or absent."""
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):
        return False


def _harmless(write: Callable[[], object]) -> None:
    """Write to stderr. After a failure stderr goes to the null device."""
    try:
        write()
    except ValueError:
        return
    except OSError:
        # The buffer's rest would fail again when the process ends, and change its exit code.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stderr.fileno())
            os.close(null)
