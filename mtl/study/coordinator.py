"""The coordinator of a study: proposes trials until the budget is spent.

Its state is in the storage and in the runs' folders. A killed coordinator loses nothing: the next
one ends the trials whose runs are done, requeues the others, and resumes.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from mtl.errors import ConfigError
from mtl.grid.executor import POLL_SECONDS
from mtl.rng import stream_seed
from mtl.runs.prepare import Sources
from mtl.study.definition import Study
from mtl.study.lease import CoordinatorLease, seconds_spent
from mtl.study.recovery import recover_trials
from mtl.study.space import Point, in_words
from mtl.study.strategy import make_pruner, make_sampler, most_epochs
from mtl.study.trial_runner import TrialRunner
from mtl.study.trials import CELL, FIRST, OUTCOME, POINT, find_finished, is_waiting, suggest
from mtl.training.interrupt import Interruption

if TYPE_CHECKING:
    import optuna

RECOVERY_SECONDS = 5.0
"""Time between looks for trials that other coordinators abandoned."""
IDLE_BEFORE_RANDOM = 5
"""Proposals in a row without a run before one is drawn at random: a sampler may repeat itself."""
IDLE_BEFORE_STOP = 200
"""Proposals in a row without a run before the study stops."""
MOST_POINTS = 1000
"""Points of a space that are listed: of such a space each point is tried once."""
FAILED_BEFORE_STOP = 5
"""Failed trials in a row before the study stops."""


class Coordinator:
    """Proposes trials to a runner. `shared`: other coordinators may propose at the same time."""

    def __init__(
        self,
        definition: Study,
        study: optuna.Study,
        runner: TrialRunner,
        *,
        sources: Sources,
        lease: CoordinatorLease,
        workers: int,
        shared: bool = False,
    ) -> None:
        self.definition, self.study, self.runner, self.lease = definition, study, runner, lease
        self.sources, self.workers, self.shared = sources, workers, shared
        self.trials, self.execution, self.view = runner.trials, runner.execution, runner.view
        self.space = definition.make_space()
        self.idle = 0
        self.stopped: str | None = None
        self.nothing_left = False
        self.started: set[str] = set()
        self.refusals: set[str] = set()
        self._recovered = 0.0
        epochs = most_epochs(definition.space, definition.below())
        study.pruner = make_pruner(definition.pruner, epochs)

    def run(self, interruption: Interruption) -> None:
        """Propose and run trials until the budget is spent and none is in flight.

        Raises Interrupted after SIGINT or SIGTERM, once runs in flight have saved themselves.
        """
        for name, point in self.definition.points().items():
            self.trials.enqueue(f"first {name}", point, **{FIRST: name})
        self.recover()
        while True:
            self.lease.renew()
            if time.monotonic() - self._recovered > RECOVERY_SECONDS:
                self.recover()
            while self.wants_trial():
                self.propose()
            if not self.runner.running:
                if not self.trials.others_running():
                    self.recover()
                    if not self.wants_trial():
                        if self.nothing_left:
                            self.stopped = f"all {len(self.cells or {})} points have been tried"
                        return
                    continue
                time.sleep(POLL_SECONDS)
            self.execution.turn(interruption)

    def recover(self) -> None:
        """Recover the trials of coordinators that ended early."""
        self._recovered = time.monotonic()
        objectives, root = self.definition.objectives, self.runner.root
        recover_trials(self.trials, objectives, root, self.view.note)

    def wants_trial(self) -> bool:
        """Whether there is a free worker, budget for one more trial, and a point to try."""
        self.nothing_left = False
        busy = self.execution.room() < 1 or len(self.runner.running) >= 2 * self.workers
        if self.stopped or busy:
            return False
        trials, hours = self.definition.trials, self.definition.hours
        if trials is not None and len(self.trials.counted()) >= trials:
            return False
        if hours is not None and seconds_spent(self.study.user_attrs) > hours * 3600:
            self.stopped = f"{hours:g} hours are spent"
        elif self.idle >= IDLE_BEFORE_STOP:
            self.stopped = f"{IDLE_BEFORE_STOP} proposals in a row are refused or known already"
        elif self.runner.failed_in_a_row >= FAILED_BEFORE_STOP:
            self.stopped = f"{FAILED_BEFORE_STOP} trials in a row failed"
        elif self.idle and self.untried() == [] and not self.is_queued():
            self.nothing_left = True
        return self.stopped is None and not self.nothing_left

    @cached_property
    def cells(self) -> dict[str, Point] | None:
        """A point of each cell of the space; None where the space is not finite, or too large."""
        points = self.space.points(MOST_POINTS)
        if points is None:
            return None
        cells: dict[str, Point] = {}
        for point in points:
            with suppress(ConfigError):  # a point that the config refuses
                config = self.space.plain(point)
                config.check()
                cells.setdefault(self.sources.cell(config), point)
        return cells

    def untried(self) -> list[Point] | None:
        """A point of each cell that no trial has; None where the space cannot be listed.

        A trial of an earlier call that failed may be tried again.
        """
        if self.cells is None:
            return None
        tried = self.started | {
            trial.user_attrs[CELL]
            for trial in self.trials.all()
            if CELL in trial.user_attrs and trial.user_attrs.get(OUTCOME) not in ("failed", "lost")
        }
        return [point for cell, point in self.cells.items() if cell not in tried]

    def is_queued(self) -> bool:
        """Whether a point waits in the queue."""
        return any(map(is_waiting, self.trials.all()))

    def propose(self) -> None:
        """Draw a trial and start it."""
        definition, count = self.definition, len(self.trials.all())
        name = "random" if self.idle >= IDLE_BEFORE_RANDOM else definition.sampler
        # Each trial has its own seed, so that a resumed study does not repeat its draws.
        stream = f"study/{definition.name}/{count}/{self.lease.id if self.shared else ''}"
        seed = stream_seed(0, stream)
        self.study.sampler = make_sampler(name, definition.space, definition.objectives, seed)
        if self.idle and (untried := self.untried()) and not self.is_queued():
            # The sampler repeated itself: of a space that can be listed, another point is taken.
            point = untried[seed % len(untried)]
            self.study.enqueue_trial(dict(point), user_attrs={POINT: dict(point)})
        trial = self.study.ask()
        if self.trials.claim(trial):
            drawn = self.space.draw(lambda parameter: suggest(trial, parameter))
            # A queued point keeps its digits; the sampler would round them.
            queued = trial.user_attrs.get(POINT, {})
            point = queued if queued.keys() == drawn.keys() else drawn
            self.trials.write(trial, **{POINT: point})
            self.start(trial, point)

    def start(self, trial: optuna.Trial, point: Point) -> None:
        """Run a trial, unless its config is refused or its cell is known or in flight."""
        try:
            config = self.space.plain(point)
            config.check()
            cell = self.sources.cell(config)
        except ConfigError as error:
            self.idle += 1
            self.refuse(trial, point, " ".join(str(error).splitlines()))
            return
        known = find_finished(self.trials.all(), cell)
        if (known or cell in self.runner.running) and self.cells and FIRST not in trial.user_attrs:
            self.idle += 1
            self.trials.end(trial.number, "surplus", reason="its point has a trial")
        elif known is not None:
            self.idle += 1
            self.runner.copy(trial, known)
        elif cell in self.runner.running:
            self.idle += 1
            self.runner.running[cell].followers.append(trial)
        else:
            self.idle = 0
            self.started.add(cell)
            self.runner.start(trial, point, config, cell)

    def refuse(self, trial: optuna.Trial, point: Point, reason: str) -> None:
        """End a trial that the config refuses; note each reason once."""
        self.trials.end(trial.number, "refused", reason=reason)
        if reason not in self.refusals:
            self.refusals.add(reason)
            self.view.note(f"not run: {in_words(point)}: {reason}")
