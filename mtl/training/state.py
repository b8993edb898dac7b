"""What a run remembers between steps, and the result of one step."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from torch import Tensor

from mtl.methods import conflicts
from mtl.methods.penalty import Summary
from mtl.tasks.task import TaskName


@dataclass(kw_only=True)
class State:
    """A run's counters and what it has selected: all of its saved state that is no tensor.

    `selected` are the metrics of `best_step`, `reasons` says why some of them are undefined.
    `half_steps` and `half_overall` are the step and overall score of the best evaluation on each
    half of dev (`mtl.runs.halves`), `last` the dev metrics of the last one. `seconds` is wall
    time, `step_seconds` that of optimiser steps. `passes` counts passes of training, micro-batches
    each. `dead_examples` counts by task and epoch. `gradient_norms` and the summaries hold sums and
    counts. `clipped_alone` counts, by task, the steps with this task alone whose gradient was
    clipped. `log_bytes` is the length of the log when the state was saved.
    """

    step: int = 0
    evaluated_at: int = -1
    best_step: int | None = None
    best_overall: float | None = None
    selected: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    half_steps: dict[str, int] = field(default_factory=dict)
    half_overall: dict[str, float | None] = field(default_factory=dict)
    last: dict[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0
    step_seconds: float = 0.0
    examples: int = 0
    tokens: int = 0
    passes: int = 0
    tasks_per_step: dict[str, int] = field(default_factory=dict)
    dead_examples: dict[str, list[int]] = field(default_factory=dict)
    penalties: dict[str, Summary] = field(default_factory=dict)
    simcse: dict[str, float] = field(default_factory=dict)
    losses: Summary = field(default_factory=dict)
    gradient_norms: dict[str, list[float]] = field(default_factory=dict)
    clipped_alone: dict[str, int] = field(default_factory=dict)
    surgery: conflicts.Totals = field(default_factory=dict)
    log_bytes: int = 0

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over saved values. Raises ValueError for unknown ones and for wrong types.

        Version 0.1.0 saved the summary of SMART as `smart`, and no choice by halves: a run that it
        had evaluated already gets no cross-fitted scores.
        """
        values = dict(saved)
        if "smart" in values:
            values["penalties"] = {"smart": values.pop("smart")}
        if unknown := values.keys() - vars(self).keys():
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        # Checked only: a whole number that a float field would widen stays a whole number.
        TypeAdapter(State).validate_json(json.dumps(values), strict=True)
        vars(self).update(values)


class Clock:
    """Adds wall time to a run's seconds."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.start()

    def start(self) -> None:
        """Count from now on."""
        self.last = time.monotonic()

    def charge(self) -> None:
        """Add the time since the last call, or since the start."""
        now = time.monotonic()
        self.state.seconds += now - self.last
        self.last = now


class StepResult(NamedTuple):
    """A finished step that is not logged yet: losses and gradient norm are still on the device."""

    step: int
    losses: dict[TaskName, Tensor]
    gradient_norm: Tensor
    learning_rate: float
    surgery: conflicts.Line | None

    def line(self) -> dict[str, Any]:
        """The step's line in the log."""
        line = {
            "step": self.step,
            "loss": {task: float(loss) for task, loss in self.losses.items()},
            "grad_norm": float(self.gradient_norm),
            "lr": self.learning_rate,
        }
        return line if self.surgery is None else line | {"surgery": self.surgery}


class Diverged(Exception):
    """A loss, a gradient or an output is not finite."""


def not_finite(line: Mapping[str, Any]) -> list[str]:
    """Which numbers of a step's line are not finite, in words."""
    losses, norms = line["loss"], line.get("surgery", {}).get("norm", {})
    names = [f"the loss of {task}" for task, loss in losses.items() if not finite(loss)]
    names += [f"the gradient of {task}" for task, norm in norms.items() if not finite(norm)]
    return names if finite(line["grad_norm"]) else [*names, "the gradient's norm"]


def finite(value: float) -> bool:
    """Whether a number is neither NaN nor infinite."""
    return value - value == 0
