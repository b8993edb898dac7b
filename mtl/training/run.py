"""A run's parts, set up in order, and what its loop does with them."""

from __future__ import annotations

import time
from itertools import chain

import torch

from mtl.cache import CACHE_BYTES
from mtl.data.schedules import Step
from mtl.data.tokens import TokenizedRows
from mtl.inference.evaluate import Evaluator
from mtl.methods.average import make_average
from mtl.methods.registry import make_penalty, make_surgery, make_weighing
from mtl.methods.task_loss import make_losses
from mtl.model.frozen.cache import make_frozen_cache
from mtl.model.multitask import MultiTaskModel
from mtl.model.pairing import distinct, lay_out
from mtl.rng import stream_seed
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import Prepared
from mtl.training.evaluation import evaluate, is_better, say_if_undefined, select, select_by_halves
from mtl.training.interrupt import Interrupted, Interruption
from mtl.training.log import StepLog
from mtl.training.optim import Optimizer
from mtl.training.progress import Progress
from mtl.training.rates import rate_factors
from mtl.training.saving import Saver
from mtl.training.simcse import pre_train
from mtl.training.state import Clock, Diverged, State
from mtl.training.step import Stepper
from mtl.training.step_plan import StepPlan


class Training:
    """A run in progress. Set up, it has taken no step; `mtl.training.loop` runs it."""

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
        """`save_seconds`: time between saved states. `cache_bytes`: the frozen cache's limit."""
        config = prepared.config
        self.prepared, self.config, self.folder, self.device = prepared, config, folder, device
        self.interruption, self.progress, self.save_seconds = interruption, progress, save_seconds
        self.state = State()
        self.clock = Clock(self.state)
        self.plan = StepPlan(config, prepared.train)

        self.model = MultiTaskModel(config, prepared.pretrained.load(config.seed)).place(device)
        self.trainable = self.model.trainable()
        factors = rate_factors(self.model, config.train)
        self.optimizer = Optimizer(self.trainable, config.train, factors)
        self.average = make_average(self.trainable, config.train.ema)
        self.penalty = make_penalty(config, self.model)
        self.surgery = make_surgery(config, self.model.backbone())
        self.weighing = make_weighing(config, self.plan.epoch_steps, device)
        self.losses = make_losses(config, prepared.train)
        self.frozen_cache = make_frozen_cache(
            config,
            self.model.encoder,
            self.model.freezing.cacheable_layers,
            prepared.pretrained.fingerprint,
            device,
            cache_bytes=cache_bytes,
            check_stop=interruption.check,
            note=progress.note,
            preparing=progress.preparing,
        )
        self.stepper = Stepper(
            prepared,
            self.plan,
            self.state,
            self.model,
            self.penalty,
            self.surgery,
            self.weighing,
            self.losses,
            self.optimizer,
            self.frozen_cache,
            device,
        )
        self.evaluator = Evaluator(
            self.model,
            prepared.pairer,
            device,
            config.train.precision,
            interruption.check,
            self.frozen_cache,
        )
        self.log = StepLog(
            folder.metrics,
            self.state,
            self.plan.total,
            self.penalty,
            self.losses,
            config.train.max_grad_norm,
            progress,
        )
        self.saver = Saver(
            prepared,
            folder,
            self.state,
            self.model,
            self.optimizer,
            {
                "penalty": self.penalty,
                "surgery": self.surgery,
                "weighing": self.weighing,
                "average": self.average,
            },
            device,
            self.plan.total,
        )
        torch.manual_seed(stream_seed(config.seed, "dropout"))

    def encoded_rows(self) -> list[TokenizedRows]:
        """All rows that the encoder will see: those of the steps to come, dev and the slice."""
        prepared = self.prepared
        used = self.plan.used_rows()
        return [*used.values(), *prepared.dev.values(), *prepared.train_slice.values()]

    def fill_frozen_cache(self) -> None:
        """Compute and store what the run's sequences lack of the frozen layers' outputs."""
        self.frozen_cache.fill(*distinct(self.encoded_rows(), self.prepared.pairer))

    def begin(self) -> None:
        """The pre-step of a run that has taken no step, where the config has one."""
        if self.config.simcse is None:
            return
        rows = [self.prepared.train[task] for task in self.config.tasks]
        self.state.simcse = pre_train(
            self.config, self.model, rows, self.prepared.pairer, self.device, self.interruption
        )
        self.penalty.begin()
        self.save()  # a run that is stopped now does not repeat it

    def prefetch(self, steps: list[Step]) -> None:
        """Compute the frozen layers' outputs for some steps together, where they are not stored."""
        started = time.monotonic()
        laid_out = [
            lay_out(self.prepared.train[task], index, self.prepared.pairer)
            for step in steps
            for task, index in step.items()
        ]
        ids, types = (list(chain.from_iterable(part)) for part in zip(*laid_out, strict=True))
        self.frozen_cache.prefetch(ids, types)
        self.state.step_seconds += time.monotonic() - started

    def step(self, rows: Step) -> None:
        """Train on some rows; the result is logged at the next flush."""
        self.log.add(self.stepper.step(rows))
        self.average.update()

    def save(self) -> None:
        """Log what is pending, then save all that resuming from here needs."""
        self.log.flush()
        self.state.log_bytes = self.log.sync()
        self.clock.charge()
        self.saver.save()

    def evaluate(self) -> None:
        """Score dev and the slice of train; keep weights and predictions by the config's rule."""
        try:
            with self.average.in_place():
                self._evaluate()
        except Interrupted:
            self.save()  # for the seconds spent
            raise

    def keep_weights(self) -> None:
        """Make the weights that are evaluated the run's checkpoint."""
        with self.average.in_place():
            self.saver.keep_weights()

    def _evaluate(self) -> None:
        state, keep_last = self.state, self.config.train.select == "last"
        self.progress.evaluating(state.step)
        try:
            evaluation = evaluate(self.evaluator, self.prepared)
        except Diverged as diverged:
            raise Diverged(f"step {state.step} of {self.plan.total}: {diverged}") from None
        state.evaluated_at = state.step
        epoch = state.step / self.plan.epoch_steps
        self.log.evaluated({"step": state.step, "epoch": epoch, "metrics": evaluation.metrics})
        state.last = {
            key: value for key, value in evaluation.metrics.items() if key.startswith("dev/")
        }
        if not keep_last:
            select_by_halves(evaluation, state, self.folder, self.config.overall)
        if keep_last or is_better(evaluation, state):
            select(evaluation, state, self.folder)
            if not keep_last:
                say_if_undefined(state)
                self.saver.keep_weights()
