"""Progress of a study: each event of a run goes to the user's view and to the study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from mtl.grid.costs import Costs
from mtl.grid.plan import Plan, PlannedRun
from mtl.grid.view import View
from mtl.grid.worker import Report
from mtl.runs.record import Record

PLACEHOLDER = "placeholder "


class RunListener(Protocol):
    """Receives the events of runs."""

    def heard(self, run: PlannedRun, event: Report) -> None:
        """A run gave a sign of life, made progress or scored dev."""

    def ended(self, run: PlannedRun, record: Record) -> None:
        """A run has its final record."""

    def gave_up(self, run: PlannedRun, reason: str) -> None:
        """A run has failed for good."""


class StudyView(View):
    """Passes events to a listener and to the user's view.

    Future trials are unknown. The user's view holds placeholders for them, runs of the base config,
    so that it can estimate the time left.
    """

    def __init__(self, view: View) -> None:
        super().__init__(view.note)
        self._view = view
        self.listener: RunListener | None = None

    def begin_study(self, costs: Costs, workers: int, base_run: PlannedRun, runs: int) -> None:
        """Begin with `runs` placeholders, copies of a run of the base config."""
        placeholders = [
            replace(base_run, run_id=f"{PLACEHOLDER}{number}", state="missing")
            for number in range(runs)
        ]
        self._view.begin(Plan(runs=tuple(placeholders), workers=workers), costs)

    def add_run(self, run: PlannedRun) -> None:
        """Put a planned run in the place of a placeholder."""
        if run.run_id not in self._view.left:
            self.drop_placeholders(1)
            self._view.left[run.run_id] = run
            self._view.total = max(self._view.total, self._view.done + len(self._view.left))

    def begin_fresh(self, runs: Sequence[PlannedRun], seeds: Sequence[int]) -> None:
        """Begin with the runs of the best trial on fresh seeds."""
        self.note(f"the best again, on fresh seeds: {', '.join(map(str, seeds))}")
        for run in runs:
            self.add_run(run)

    def drop_placeholders(self, count: int) -> None:
        """Drop placeholders of runs that will not be trained."""
        names = [name for name in self._view.left if name.startswith(PLACEHOLDER)]
        for name in names[:count]:
            del self._view.left[name]

    def cancelled(self, run: PlannedRun) -> None:
        """A run was told to stop, and has stopped."""
        self._view.running.pop(run.run_id, None)
        self._view.left.pop(run.run_id, None)
        self._view.done += 1

    def started(self, run: PlannedRun) -> None:
        self._view.started(run)

    def heard(self, run: PlannedRun, event: Report) -> None:
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
