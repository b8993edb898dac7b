"""Progress of a grid: a live table on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mtl.grid.costs import Costs
from mtl.grid.plan import Plan, PlannedRun
from mtl.grid.wording import duration
from mtl.grid.worker import Alive, Preparing, Report, Scored
from mtl.runs.record import Record
from mtl.training.progress import dev_line, is_terminal, shown, tell

if TYPE_CHECKING:
    from rich.console import RenderableType


SILENT_SECONDS = 60.0
"""Silence of a worker that the view mentions."""


class View:
    """Counts the runs of a grid. `print_line` receives lines to keep; the default drops them."""

    EVERY = 60.0
    """Seconds between lines on runs in flight."""

    def __init__(self, print_line: Callable[[str], None] = lambda line: None) -> None:
        self.note = print_line
        self.running: dict[str, _Running] = {}
        self.held: dict[str, _Running] = {}
        self.printed = time.monotonic()

    def begin(self, plan: Plan, costs: Costs) -> None:
        """The pending runs of a plan are about to start."""
        self.costs, self.workers = costs, plan.workers
        self.total, self.done = len(plan.runs), len(plan.runs) - len(plan.pending)
        self.left = {run.run_id: run for run in plan.pending}

    def started(self, run: PlannedRun) -> None:
        """A worker got the run."""
        self.held.pop(run.run_id, None)
        self.running[run.run_id] = _Running(run)

    def heard(self, run: PlannedRun, event: Report) -> None:
        """A run gave a sign of life, made progress or scored dev."""
        self.running[run.run_id].hear(event)

    def ended(self, run: PlannedRun, record: Record) -> None:
        """A run has its final record, here or from another process."""
        self.costs.learn(record)
        self.held.pop(run.run_id, None)
        self.running.pop(run.run_id, None)
        self.left.pop(run.run_id, None)
        self.done += 1
        outcome = f"dev  {dev_line(record.metrics)}"
        if record.status != "done":
            outcome = f"{record.status}: {record.error}"
        self.printed = time.monotonic()
        count, seconds = f"[{self.done}/{self.total}]", f"{record.seconds or 0:.0f} s"
        self.note(f"{count} {named(run)}  {seconds}  {outcome}{self._left()}")

    def failed(self, run: PlannedRun, reason: str, *, again: bool) -> None:
        """A run failed. `again`: it will be retried."""
        self.running.pop(run.run_id, None)
        if not again:
            self.left.pop(run.run_id, None)
            self.done += 1
        self.note(f"{named(run)}  {'retrying' if again else 'FAILED'}: {reason}")

    def elsewhere(self, run: PlannedRun) -> None:
        """Another process trains the run."""
        self.running.pop(run.run_id, None)
        self.held.setdefault(run.run_id, _Running(run))
        self.note(f"{named(run)}  is in flight in another process; its record will be used")

    def tick(self) -> None:
        """Called often. Every `EVERY` seconds, print the progress of runs in flight."""
        if time.monotonic() - self.printed <= self.EVERY:
            return
        if self.held:
            self.printed = time.monotonic()
            waits = [
                f"{named(run.run)} ({duration(self.printed - run.started)})"
                for run in self.held.values()
            ]
            self.note(f"in flight in another process: {', '.join(waits)}")
        if self.running:
            self.printed = time.monotonic()
            shares = [
                f"{named(run.run)} {run.share:.0%}{run.silence}" for run in self.running.values()
            ]
            self.note(f"in flight: {', '.join(shares)}{self._left()}")

    def end(self) -> None:
        """The grid has ended."""

    def eta(self) -> float | None:
        """Estimated seconds until all runs are done; None if nothing is known."""
        known: list[float] = []
        for run in self.left.values():
            running = self.running.get(run.run_id)
            whole = self.costs.seconds(run.config, run.examples)
            if whole is None and running is not None:
                whole = running.whole()
            if whole is not None:
                known.append(whole * (1 - (0.0 if running is None else running.share)))
        left = len(self.left)
        if not known:
            return None if left else 0.0
        return sum(known) / len(known) * left / min(self.workers, left)

    def _left(self) -> str:
        eta = self.eta()
        return f"  about {duration(eta)} left" if self.left and eta is not None else ""


class _Running:
    """A run in flight."""

    def __init__(self, run: PlannedRun) -> None:
        self.run, self.started = run, time.monotonic()
        self.heard = self.started
        self.first = self.step = self.total = 0
        self.prepared = 1.0
        self.dev: float | None = None

    def hear(self, event: Report) -> None:
        self.heard = time.monotonic()
        if isinstance(event, Alive):
            return
        if isinstance(event, Preparing):
            self.prepared, self.started = event.share, time.monotonic()
            return
        self.step = event.step
        if isinstance(event, Scored):
            self.dev = event.metrics["dev/overall"]
        elif not self.total:
            self.first, self.total, self.started = event.step, event.total, time.monotonic()

    @property
    def share(self) -> float:
        return self.step / self.total if self.total else 0.0

    @property
    def stage(self) -> str:
        """`12/300` steps, or the stage before the first step."""
        if not self.total:
            return f"starting{self.silence}"
        stage = (
            f"{self.step}/{self.total}"
            if self.prepared == 1
            else f"frozen layers {self.prepared:.0%}"
        )
        return f"{stage}{self.silence}"

    @property
    def silence(self) -> str:
        """`, no sign for 3 min`; empty for a run that was heard of lately."""
        seconds = time.monotonic() - self.heard
        return f", no sign for {duration(seconds)}" if seconds > SILENT_SECONDS else ""

    def whole(self) -> float | None:
        """Estimated seconds of the whole run at its pace so far."""
        steps = self.step - self.first
        return (time.monotonic() - self.started) / steps * self.total if steps > 0 else None


class LiveView(View):
    """A table of runs in flight with progress and dev score. Lines to keep scroll above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self.console = Console(stderr=True, highlight=False, markup=False)
        super().__init__(lambda line: self.console.print(line, soft_wrap=True))
        self.live = Live(
            console=self.console, get_renderable=self._table, refresh_per_second=4, transient=True
        )

    def begin(self, plan: Plan, costs: Costs) -> None:
        super().begin(plan, costs)
        self.live.start()

    def tick(self) -> None:
        """The table shows progress."""

    def end(self) -> None:
        self.live.stop()

    def _table(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if not hasattr(self, "left"):
            return Text("")
        table = Table.grid(padding=(0, 2))
        for running in list(self.running.values()):
            bar = ProgressBar(total=max(1, running.total), completed=running.step, width=24)
            table.add_row(named(running.run), bar, running.stage, f"dev {shown(running.dev)}")
        eta = self.eta()
        left = "" if eta is None else f", about {duration(eta)} left"
        return Group(table, Text(f"{self.done} of {self.total} runs done{left}"))


def make_view(quiet: bool) -> View:
    """Nothing when quiet, a live table on a terminal, plain lines otherwise."""
    if quiet:
        return View()
    return LiveView() if is_terminal(sys.stderr) else View(tell)


def named(run: PlannedRun) -> str:
    """`pairing=concat, seed 2`."""
    return f"{run.arm}, seed {run.config.seed}"
