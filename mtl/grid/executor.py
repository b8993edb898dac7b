"""Execution of a plan: jobs go to a pool and events to a view, until every run has ended.

All state is on disk. After a kill, the same plan, made again, holds the missing runs. Two processes
may execute plans on one folder of runs: the process that has a run's lock trains it, and the other
process waits for the record.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from mtl.errors import RunError
from mtl.grid.plan import ENDED, PlannedRun
from mtl.grid.pool import Pool
from mtl.grid.view import View
from mtl.grid.worker import Ended, Event, Job, Stepped
from mtl.runs.failed import failed_record
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record
from mtl.training.interrupt import Interrupted, Interruption

POLL_SECONDS = 0.5
ELSEWHERE_SECONDS = 1.0
"""Seconds between looks at a run that another process trains."""
SAVING_SECONDS = 120.0
"""Seconds that runs get to save themselves before a stop."""


class Execution:
    """Runs in flight on a pool.

    `failures` maps run ids to reasons. `trained` are the runs that took steps here and did not
    fail.
    """

    def __init__(self, root: Path, pool: Pool, view: View, *, retry: int, fail_fast: bool) -> None:
        self._root, self._pool, self._view = root, pool, view
        self._retry, self._fail_fast = retry, fail_fast
        self._waiting: deque[PlannedRun] = deque()
        self._running: dict[str, PlannedRun] = {}
        self._held_elsewhere: deque[PlannedRun] = deque()
        self._attempts: dict[str, int] = {}
        self._cancelled: dict[str, Callable[[PlannedRun], None]] = {}
        self._checked = 0.0
        self._begun: set[str] = set()
        self.failures: dict[str, str] = {}
        self.trained: set[str] = set()

    def run(self, runs: Iterable[PlannedRun], interruption: Interruption) -> None:
        """Train the pending runs.

        Raises Interrupted after a signal, once runs in flight have saved themselves.
        """
        self.add(runs)
        while self._waiting or self._running or self._held_elsewhere:
            self.turn(interruption)
            if self.failures and self._fail_fast:
                self._view.note("Stopping at the first failure. Runs in flight are saving.")
                self._stop()
                return

    def add(self, runs: Iterable[PlannedRun]) -> None:
        """Queue the runs that have not ended."""
        self._waiting.extend(run for run in runs if not run.ended)

    def room(self) -> int:
        """How many more runs would start at once."""
        return self._pool.room() - len(self._waiting)

    def turn(self, interruption: Interruption) -> None:
        """Start queued runs and handle events, for at most `POLL_SECONDS`. Raises Interrupted."""
        try:
            interruption.check()
        except Interrupted:
            self._view.note("Stopping. Runs in flight are saving.")
            self._stop()
            raise
        self._check_held_elsewhere()
        while self._waiting and self._pool.room():
            self._start(self._waiting.popleft())
        if not self._running:
            time.sleep(POLL_SECONDS if self._held_elsewhere else 0)
        for event in self._pool.wait(POLL_SECONDS):
            self._take(event)
        self._view.tick()

    def cancel(self, run_id: str, then: Callable[[PlannedRun], None]) -> None:
        """Stop a run once it has saved itself, then call `then`, now or in a later turn.

        `then` is not called if the run ends by itself first.
        """
        for queue in (self._waiting, self._held_elsewhere):
            for run in [run for run in queue if run.run_id == run_id]:
                queue.remove(run)
                then(run)
        if run_id in self._running:
            self._cancelled[run_id] = then
            self._pool.cancel(run_id)

    def _start(self, run: PlannedRun) -> None:
        record = self._record(run)
        if record is not None and record.status in ENDED:
            self._view.ended(run, record)  # by another process, since the plan was made
            return
        self._attempts[run.run_id] = self._attempts.get(run.run_id, 0) + 1
        self._running[run.run_id] = run
        self._view.started(run)
        job = Job(run_id=run.run_id, config=run.config, data=run.data, encoder=run.encoder)
        try:
            self._pool.start(job)
        except OSError as error:  # no worker can be started
            del self._running[run.run_id]
            self._retry_or_fail(run, f"no worker: {error}")

    def _take(self, event: Event) -> None:
        run = self._running.get(event.run_id)
        if run is None:
            return
        if not isinstance(event, Ended):
            if isinstance(event, Stepped):
                self._begun.add(run.run_id)
            self._view.heard(run, event)
            return
        del self._running[run.run_id]
        then = self._cancelled.pop(run.run_id, None)
        record = self._record(run)
        ended = record is not None and record.status in ENDED
        if run.run_id in self._begun and (ended or then is not None):
            self.trained.add(run.run_id)
        if then is not None and not ended:
            then(run)
        elif event.how == "busy":
            self._attempts[run.run_id] -= 1
            self._held_elsewhere.append(run)
            self._view.elsewhere(run)
        elif event.how == "changed":
            self._fail(run, event.reason or "changed")
        elif record is not None and ended:
            # The record counts, even if the worker died after it wrote it.
            self._view.ended(run, record)
        else:
            self._retry_or_fail(
                run, event.reason or (record and record.error) or "no record was written"
            )

    def _retry_or_fail(self, run: PlannedRun, reason: str) -> None:
        """Queue a failed run again, or record its failure once its tries are used up."""
        if self._attempts[run.run_id] <= self._retry:
            self._view.failed(run, reason, again=True)
            self._waiting.append(run)
            return
        self._fail(run, reason)

    def _fail(self, run: PlannedRun, reason: str) -> None:
        """Record a failure, where the run's folder can be written, and go on with other runs."""
        self.failures[run.run_id] = reason
        self._view.failed(run, reason, again=False)
        folder = RunFolder(self._root / run.run_id)
        # If another process has the folder, it tries the run now. A damaged record is left for the
        # user to see.
        with contextlib.suppress(RunError, OSError), folder.lock():
            record = folder.record()
            if record is None or record.status not in (*ENDED, "failed"):
                folder.finish(failed_record(run.config, run.run_id, reason))

    def _check_held_elsewhere(self) -> None:
        """Use the records of runs that another process trained; queue runs that are free again."""
        now = time.monotonic()
        if now - self._checked < ELSEWHERE_SECONDS:
            return
        self._checked = now
        for _ in range(len(self._held_elsewhere)):
            run = self._held_elsewhere.popleft()
            record = self._record(run)
            if record is not None and record.status in ENDED:
                self._view.ended(run, record)
            elif RunFolder(self._root / run.run_id).locked():
                self._held_elsewhere.append(run)
            else:
                self._waiting.append(run)

    def _stop(self) -> None:
        """Ask runs in flight to save themselves, and wait up to `SAVING_SECONDS`."""
        self._pool.stop()
        deadline = time.monotonic() + SAVING_SECONDS
        while self._running and time.monotonic() < deadline:
            for event in self._pool.wait(POLL_SECONDS):
                if isinstance(event, Ended):
                    self._running.pop(event.run_id, None)
                self._view.tick()

    def _record(self, run: PlannedRun) -> Record | None:
        try:
            return RunFolder(self._root / run.run_id).record()
        except RunError:
            return None
