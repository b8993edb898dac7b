"""What a run remembers between steps, and a step that is done but not yet written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from mtl.methods import conflicts
from mtl.methods.penalty import Summary
from mtl.tasks.registry import TaskName


@dataclass(kw_only=True)
class State:
    """What a run has to remember between steps besides tensors."""

    step: int = 0
    evaluated_at: int = -1
    best_step: int | None = None
    best_overall: float | None = None
    selected: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    step_seconds: float = 0.0
    examples: int = 0
    tokens: int = 0
    tasks_per_step: dict[str, int] = field(default_factory=dict)
    dead_examples: dict[str, list[int]] = field(default_factory=dict)
    smart: Summary = field(default_factory=dict)
    gradient_norms: dict[str, list[float]] = field(default_factory=dict)
    surgery: conflicts.Totals = field(default_factory=dict)
    log_bytes: int = 0


class Pending(NamedTuple):
    """A step that is done and not yet written down: its losses and its gradient's norm are still on the device."""

    step: int
    losses: dict[TaskName, Tensor]
    norm: Tensor
    rate: float
    surgery: conflicts.Line | None

    def line(self) -> dict[str, Any]:
        """The step's line in the log."""
        losses = {task: float(loss) for task, loss in self.losses.items()}
        line = {"step": self.step, "loss": losses, "grad_norm": float(self.norm), "lr": self.rate}
        return line if self.surgery is None else line | {"surgery": self.surgery}


class Diverged(Exception):
    """A loss or a gradient is not finite."""


def broken(line: Mapping[str, Any]) -> list[str]:
    """What is not finite in a step's line."""
    found = [f"the loss of {task}" for task, value in line["loss"].items() if not finite(value)]
    norms = line.get("surgery", {}).get("norm", {})
    found += [f"the gradient of {task}" for task, value in norms.items() if not finite(value)]
    return found if finite(line["grad_norm"]) else [*found, "the gradient's norm"]


def finite(value: float) -> bool:
    """Whether a number is neither NaN nor infinite."""
    return value - value == 0
