"""One optimiser step, which knows penalties, weights and surgeries only by their interfaces."""

from __future__ import annotations

import time
from functools import partial

import torch

from mtl.data.schedules import Step
from mtl.inference.evaluate import autocast
from mtl.methods.penalty import ByTask, Penalty
from mtl.methods.surgery import Surgery
from mtl.methods.task_loss import TaskLosses
from mtl.methods.weighing import Weighing
from mtl.model.batch import make_batch
from mtl.model.frozen.cache import FrozenCache
from mtl.model.multitask import MultiTaskModel
from mtl.rng import numpy_stream
from mtl.runs.prepare import Prepared
from mtl.training.micro_batches import split
from mtl.training.optim import Optimizer, learning_rate
from mtl.training.state import State, StepResult
from mtl.training.step_plan import StepPlan


class Stepper:
    """Takes a run's optimiser steps, and counts in its state what they do."""

    def __init__(
        self,
        prepared: Prepared,
        plan: StepPlan,
        state: State,
        model: MultiTaskModel,
        penalty: Penalty,
        surgery: Surgery,
        weighing: Weighing,
        losses: TaskLosses,
        optimizer: Optimizer,
        frozen_cache: FrozenCache,
        device: torch.device,
    ) -> None:
        self.prepared, self.config = prepared, prepared.config
        self.plan, self.state, self.device = plan, state, device
        self.model, self.penalty, self.surgery = model, penalty, surgery
        self.weighing, self.task_losses = weighing, losses
        self.model.watched = losses.watched
        self.optimizer, self.frozen_cache = optimizer, frozen_cache

    def step(self, rows: Step) -> StepResult:
        """Train on some rows: gradients, clipping, a move of the weights."""
        started = time.monotonic()
        state, total = self.state, self.plan.total
        rate = learning_rate(state.step, total, self.config.train)
        # Each step has a random stream of its own, so that a resumed run needs no state of it.
        generator = numpy_stream(self.config.seed, f"surgery/{state.step}")
        self.model.epoch = state.step // self.plan.epoch_steps
        self.optimizer.zero_grad()
        passes = split(self.model.passes(rows), self.config.train.accumulate)
        losses_of = partial(self.losses, whole=rows)
        losses, line = self.surgery.backward(passes, losses_of, generator)
        norm = self.optimizer.step(rate)
        self.penalty.after_step(state.step, total)
        losses = self.weighing.plain(losses)
        self.weighing.after_step(losses, state.step)
        self._count(rows)
        state.step_seconds += time.monotonic() - started
        return StepResult(state.step, losses, norm, rate, line)

    def losses(self, rows: Step, whole: Step | None = None) -> ByTask:
        """Each task's mean loss on its rows, penalty and weight included, from one pass.

        Where `whole` has more rows of the task, the step's, it is their share of the step's mean.
        """
        batch = make_batch(
            self.prepared.train,
            rows,
            self.prepared.pairer,
            self.device,
            self.frozen_cache,
            whole=whole,
        )
        self.model.seen.clear()
        with autocast(self.device, self.config.train.precision):
            passes, penalties = self.penalty.forward(batch, self.state.step)
        self.state.tokens += batch.packed.tokens
        self.state.passes += 1
        self._count_dead_examples(passes[0])
        losses = self.task_losses.of(batch, passes, self.state.step, self.model.seen)
        losses |= {task: losses[task] + penalty for task, penalty in penalties.items()}
        micro = [part for part in batch.parts if part.share < 1]
        losses |= {part.task: part.share * losses[part.task] for part in micro}
        return self.weighing.weigh(losses)

    def _count(self, rows: Step) -> None:
        state = self.state
        state.step += 1
        state.examples += sum(len(index) for index in rows.values())
        tasks = str(len(rows))
        state.tasks_per_step[tasks] = state.tasks_per_step.get(tasks, 0) + 1

    def _count_dead_examples(self, outputs: ByTask) -> None:
        """Add the examples without a gradient to this epoch's count, where a head can have them."""
        for task, output in outputs.items():
            counts = self.model.head(task).diagnose(output.detach())
            if "dead_examples" in counts:
                by_epoch = self.state.dead_examples.setdefault(task, [])
                epoch = self.state.step // self.plan.epoch_steps
                by_epoch += [0] * (epoch + 1 - len(by_epoch))
                by_epoch[-1] += counts["dead_examples"]
