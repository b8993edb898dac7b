"""What a toggle is: the facts about one setting that its field in the schema does not hold.

The table of all toggles is in `mtl.methods.toggles`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic.fields import FieldInfo

from mtl.config.idle import Idle
from mtl.config.losses import loss_description
from mtl.config.schema import RunConfig, field_of
from mtl.config.sections import head_description
from mtl.documents.keys import get_key
from mtl.tasks.task import Task

Method = Literal[
    "freezing", "joined pairs", "surgery", "SMART", "schedule", "pooling", "cosine", "one task"
]
"""The columns of ticks in a report's ablation table, in order."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A work to cite, what for, and the runs that use it."""

    title: str
    text: str
    when: Callable[[RunConfig], bool]


@dataclass(frozen=True, kw_only=True)
class Toggle:
    """One setting of a run.

    `cost` says how it changes the seconds of a training example; empty: it does not. `method` is
    the column of ticks that shows the setting, and `tick` the text in that column: None where the
    method is off, else which kind of it is on. `in_tick` tells whether the tick already says that
    the setting differs from the baseline's: by value and all changes. `may_differ` says why a run
    may differ here from a published model and still stand beside it; empty: it may not.
    """

    key: str
    title: str
    cost: str = ""
    method: Method | None = None
    tick: Callable[[RunConfig], str | None] | None = None
    in_tick: Callable[[Any, Mapping[str, Any]], bool] | None = None
    may_differ: str = ""
    sources: tuple[Source, ...] = ()

    @property
    def field(self) -> FieldInfo:
        """The field in the schema: type, bounds, description, and when it has no effect."""
        return field_of(self.key)

    @property
    def neutral(self) -> Any:
        """The default, at which the setting changes nothing; for `smart.*` the published values."""
        return self.field.default

    @property
    def description(self) -> str:
        """One line on what the setting does, with its unit; the schema has it."""
        return self.field.description or ""

    @property
    def idles(self) -> tuple[Idle, ...]:
        """The conditions under which the setting has no effect."""
        return tuple(mark for mark in self.field.metadata if isinstance(mark, Idle))

    def value(self, config: RunConfig) -> Any:
        """The value in a config; None for `smart.*` while SMART is off, and so on."""
        return get_key(config, self.key)

    def idle(self, config: RunConfig) -> str | None:
        """Why the setting has no effect in a run, with a remedy; None if it has an effect."""
        return config.idle(self.key)

    def shows(self, value: Any, changes: Mapping[str, Any]) -> bool:
        """Whether a column of ticks tells this change; `changes` are all changes of the arm."""
        if self.in_tick is not None:
            return self.in_tick(value, changes)
        return self.method is not None


@dataclass(frozen=True, kw_only=True)
class HeadToggle(Toggle):
    """The head of one task: `heads.NAME`. There is one for every known task."""

    task: Task

    @property
    def neutral(self) -> Any:
        return self.task.default_head

    @property
    def description(self) -> str:
        return head_description(self.task)

    @property
    def idles(self) -> tuple[Idle, ...]:
        return _without(self.task)

    def value(self, config: RunConfig) -> Any:
        return config.heads.word(self.task.name)


@dataclass(frozen=True, kw_only=True)
class WeightToggle(Toggle):
    """The weight of one task's loss: `task_weights.NAME`. There is one for every known task."""

    task: Task

    @property
    def neutral(self) -> Any:
        return 1.0

    @property
    def description(self) -> str:
        return f"weight of the loss of {self.task.name}"

    @property
    def idles(self) -> tuple[Idle, ...]:
        return _without(self.task)

    def value(self, config: RunConfig) -> Any:
        return config.task_weights.of(self.task.name)


@dataclass(frozen=True, kw_only=True)
class LossToggle(Toggle):
    """The training loss of one task: `losses.NAME`. There is one for every known task."""

    task: Task

    @property
    def neutral(self) -> Any:
        return self.task.loss

    @property
    def description(self) -> str:
        return loss_description(self.task)

    @property
    def idles(self) -> tuple[Idle, ...]:
        return _without(self.task)

    def value(self, config: RunConfig) -> Any:
        return config.losses.of(self.task.name)


def _without(task: Task) -> tuple[Idle, ...]:
    """A setting of a task has no effect in a run without the task."""
    why = f"tasks={{tasks}} has no {task.name}."
    return (Idle(when=lambda run: task.name not in run.tasks, why=why),)
