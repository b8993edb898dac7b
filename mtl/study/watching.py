"""What a study hears of its runs, passed on to whoever watches: a live table, plain lines, or nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from mtl.grid.costs import Costs
from mtl.grid.plan import Plan, PlannedRun
from mtl.grid.view import View
from mtl.grid.worker import Preparing, Scored, Stepped
from mtl.runs.record import Record


class Listener(Protocol):
    """Who is told how runs go."""

    def heard(self, run: PlannedRun, event: Preparing | Stepped | Scored) -> None:
        """A run is further, or has dev scores."""

    def ended(self, run: PlannedRun, record: Record) -> None:
        """A run has its final record."""

    def gave_up(self, run: PlannedRun, reason: str) -> None:
        """A run cannot be trained."""


class Watching(View):
    """Tells the study, and the view of a person, what happens to runs.

    The trials to come are unknown but for their number; in the person's view runs of the base stand in for them, so that
    it can say how long all will take.
    """

    def __init__(self, view: View) -> None:
        super().__init__(view.note)
        self._view = view
        self.listener: Listener | None = None
        self.trained = 0

    def open(self, costs: Costs, workers: int, stand_in: PlannedRun, runs: int) -> None:
        """The study begins, with about so many runs to train."""
        to_come = [
            replace(stand_in, run_id=f"to come {number}", state="missing") for number in range(runs)
        ]
        self._view.begin(Plan(runs=tuple(to_come), workers=workers), costs)

    def add(self, run: PlannedRun) -> None:
        """A run is one of those that were to come."""
        if run.run_id not in self._view.left:
            self.forget(1)
            self._view.left[run.run_id] = run
            self._view.total = max(self._view.total, self._view.done + len(self._view.left))

    def forget(self, runs: int) -> None:
        """So many of the runs to come will not."""
        for name in [name for name in self._view.left if name.startswith("to come ")][:runs]:
            del self._view.left[name]

    def cancelled(self, run: PlannedRun) -> None:
        """A run was told to stop, and has."""
        self._view.running.pop(run.run_id, None)
        self._view.left.pop(run.run_id, None)
        self._view.done += 1

    def started(self, run: PlannedRun) -> None:
        self.trained += 1
        self._view.started(run)

    def heard(self, run: PlannedRun, event: Preparing | Stepped | Scored) -> None:
        self._view.heard(run, event)
        if self.listener is not None:
            self.listener.heard(run, event)

    def ended(self, run: PlannedRun, record: Record) -> None:
        self._view.ended(run, record)
        if self.listener is not None:
            self.listener.ended(run, record)

    def failed(self, run: PlannedRun, reason: str, *, again: bool) -> None:
        self._view.failed(run, reason, again=again)
        if self.listener is not None and not again:
            self.listener.gave_up(run, reason)

    def elsewhere(self, run: PlannedRun) -> None:
        self._view.elsewhere(run)

    def tick(self) -> None:
        self._view.tick()

    def end(self) -> None:
        self._view.end()
