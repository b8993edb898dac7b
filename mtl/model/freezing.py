"""Which layers of the encoder are frozen, and for which tasks.

Freezing to k layers trains the last k layers and the pooler; the embeddings and the layers below
stay as they were loaded. `freeze.scope` limits this to some tasks: their steps leave the lower part
alone, the other tasks' steps train it. Layers are counted from the top, as in the source.
Source: Gorti & Thiesmeyer 2023, section 3.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from mtl.config.schema import RunConfig
from mtl.tasks.task import TaskName


@dataclass(frozen=True, kw_only=True)
class Freezing:
    """What is frozen.

    `boundary` is the number of layers below the cut; None where nothing is frozen. `tasks` are the
    tasks whose steps do not train below the cut. `dropout`: whether the frozen part has dropout.
    """

    boundary: int | None
    tasks: frozenset[TaskName]
    for_all_tasks: bool
    dropout: bool

    @classmethod
    def from_config(cls, config: RunConfig, layers: int) -> Freezing:
        """The freezing of a config for an encoder of so many layers."""
        settings = config.freeze
        if settings.unfrozen == "all":
            return cls(boundary=None, tasks=frozenset(), for_all_tasks=False, dropout=False)
        tasks = frozenset(config.tasks if settings.scope == "all" else settings.scope)
        return cls(
            boundary=layers - settings.unfrozen,
            tasks=tasks,
            for_all_tasks=tasks == frozenset(config.tasks),
            dropout=settings.dropout,
        )

    def boundary_of(self, task: TaskName) -> int | None:
        """How many layers a task's steps leave alone; None where they train everything."""
        return self.boundary if task in self.tasks else None

    @property
    def cacheable_layers(self) -> int | None:
        """How many layers give each sequence the same hidden states throughout the run.

        None where no layer does: nothing is frozen, a task trains the layers, or they have dropout.
        """
        if not self.boundary or not self.for_all_tasks or self.dropout:
            return None
        return self.boundary
