"""Saves a run's state, resumes from it, and keeps the selected weights.

A run that is interrupted resumes from its last saved state and gives the same numbers as one that
was not: the order of the data is a function of seed and epoch, and the state holds weights,
optimiser moments, the methods' tensors, dropout's random state and all counters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import torch
from pydantic import ValidationError
from torch import Tensor

from mtl.errors import RunError
from mtl.methods.stateful import Stateful
from mtl.model.multitask import MultiTaskModel
from mtl.runs import checkpoint
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import Prepared
from mtl.runs.record import problem_of
from mtl.training.optim import Optimizer
from mtl.training.state import State


class Saver:
    """Writes and reads `resume/` and `checkpoint/` in a run's folder."""

    def __init__(
        self,
        prepared: Prepared,
        folder: RunFolder,
        state: State,
        model: MultiTaskModel,
        optimizer: Optimizer,
        methods: Mapping[str, Stateful],
        device: torch.device,
        total: int,
    ) -> None:
        """`methods` are saved under their names. `total` is the number of the run's steps."""
        self.total = total
        self.prepared, self.config, self.folder = prepared, prepared.config, folder
        self.state, self.optimizer, self.methods = state, optimizer, methods
        self.trainable, self.device = model.trainable(), device

    def save(self) -> None:
        """Write all that resuming from here needs."""
        tensors: dict[str, Tensor] = {
            **_prefixed("model.", self.trainable),
            **_prefixed("optimizer.", self.optimizer.moments()),
            "random.cpu": torch.get_rng_state(),
        }
        for name, method in self.methods.items():
            tensors |= _prefixed(f"{name}.", method.tensors())
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        checkpoint.save(self.folder.resume, "state", tensors, state=asdict(self.state))

    def resume(self) -> bool:
        """Restore the last saved state, if there is one; log lines written after it are dropped."""
        if checkpoint.notes(self.folder.resume, "state") is None:
            self.folder.metrics.unlink(missing_ok=True)
            return False
        tensors, notes = checkpoint.load(self.folder.resume, "state")
        saved = State()
        try:
            saved.restore(notes["state"])
            self._check_counters(saved)
            self._restore(tensors)
        except torch.OutOfMemoryError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunError(
                f"{self.folder.resume}: not a saved state of this run: "
                f"{_problem(error)}. {checkpoint.REMEDY}"
            ) from None
        self._check_files(saved)
        vars(self.state).update(vars(saved))
        with self.folder.metrics.open("r+b") as file:
            file.truncate(self.state.log_bytes)
        return True

    def keep_weights(self) -> None:
        """Make the trained weights the run's checkpoint; frozen ones are in the encoder's files."""
        encoder = {"name": self.config.encoder, "fingerprint": self.prepared.pretrained.fingerprint}
        checkpoint.save(
            self.folder.checkpoint, "model", self.trainable, step=self.state.step, encoder=encoder
        )

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.trainable.items():
                saved = tensors[f"model.{name}"]
                if saved.shape != parameter.shape or saved.dtype != parameter.dtype:
                    raise ValueError(f"{name} has another shape or type")
                parameter.copy_(saved)
        self.optimizer.load_moments(_without_prefix("optimizer.", tensors))
        for name, method in self.methods.items():
            method.load(_without_prefix(f"{name}.", tensors))
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)

    def _check_counters(self, state: State) -> None:
        """Raise ValueError for counters that are beyond the run's end."""
        total = self.total
        if not 0 <= state.step <= total:
            raise ValueError(f"step {state.step} of {total}")
        for step in (state.evaluated_at, state.best_step, *state.half_steps.values()):
            if step is not None and not -1 <= step <= state.step:
                raise ValueError(f"it evaluated at step {step} and is at step {state.step}")

    def _check_files(self, state: State) -> None:
        """Check the files that a saved state relies on. Raises RunError for a missing one."""
        log = self.folder.metrics
        size = log.stat().st_size if log.is_file() else 0
        if not 0 <= state.log_bytes <= size:
            raise RunError(
                f"{log}: has {size} bytes; the saved state expects {state.log_bytes}. "
                f"{checkpoint.REMEDY}"
            )
        if state.best_step is None:
            return
        for split in ("dev", "train"):
            for task in self.config.tasks:
                self.folder.predictions(split, task)
        for task in self.config.tasks if state.half_steps else ():
            self.folder.cross_fitted(task)
        if self.config.train.select == "best":
            checkpoint.check(self.folder.checkpoint, "model")


def _problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return problem_of(error)
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def _without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
