"""Which rows each step of a run trains on, how many steps there are, and when dev is scored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mtl.config.schema import RunConfig
from mtl.data.budget import NO_LIMIT, steps_within
from mtl.data.schedules import SCHEDULES, Step
from mtl.data.tokens import TokenizedRows
from mtl.tasks.task import TaskName


class StepPlan:
    """The steps of a run, a pure function of its config and its training rows."""

    def __init__(self, config: RunConfig, train: Mapping[TaskName, TokenizedRows]) -> None:
        self.config, self.train = config, train
        self.sizes = {task: len(train[task]) for task in config.tasks}
        self._current: tuple[int, list[Step]] = (-1, [])
        self.epoch_steps = len(self.epoch(0))
        most = min(config.train.epochs * self.epoch_steps, config.train.max_steps or NO_LIMIT)
        self.total = steps_within(config, self.sizes, most, self.epoch)

    def epoch(self, number: int) -> list[Step]:
        """The steps of an epoch (from 0)."""
        if self._current[0] != number:
            config = self.config
            schedule = SCHEDULES[config.schedule]
            steps = schedule(
                self.sizes, config.train.batch_size, config.seed, number, config.train.epochs
            )
            self._current = number, steps
        return self._current[1]

    def rows(self, step: int) -> Step:
        """The rows of a step (from 0)."""
        return self.next_steps(step, 1)[0]

    def next_steps(self, step: int, count: int) -> list[Step]:
        """Up to `count` steps from `step` on, within its epoch."""
        epoch, position = divmod(step, self.epoch_steps)
        return self.epoch(epoch)[position : position + count]

    def is_evaluation_due(self, step: int) -> bool:
        """Whether dev is scored after so many steps: after each epoch, and at the end."""
        return step > 0 and (step % self.epoch_steps == 0 or step == self.total)

    def used_rows(self) -> dict[TaskName, TokenizedRows]:
        """The training rows that some step uses: not all, where a run ends in its first epoch."""
        if self.total >= self.epoch_steps:
            return dict(self.train)
        steps = self.epoch(0)[: self.total]
        return {
            task: rows.take(np.concatenate([step[task] for step in steps if task in step]))
            for task, rows in self.train.items()
            if any(task in step for step in steps)
        }
