"""Which layers of the encoder are frozen, for which tasks, and from which epoch on no longer.

Freezing to k layers trains the last k layers and the pooler; the embeddings and the layers below
stay as they were loaded. `freeze.scope` limits this to some tasks: their steps leave the lower part
alone, the other tasks' steps train it. Layers are counted from the top, as in the source.
`freeze.thaw` moves the cut down by a layer every so many epochs, and below the lowest layer past
the embeddings.
Sources: Gorti & Thiesmeyer 2023, section 3.5; for thawing Howard & Ruder, ACL 2018
(arXiv:1801.06146), section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mtl.config.schema import RunConfig
from mtl.tasks.task import TaskName


@dataclass(frozen=True, kw_only=True)
class Freezing:
    """What is frozen, epoch by epoch.

    `first` is the number of layers below the cut in the first epoch; None where nothing is frozen.
    `thaw` is the number of epochs from move to move of the cut; None where it stays. `epochs` are
    those of the run. `tasks` are the tasks whose steps do not train below the cut. `dropout`:
    whether the frozen part has dropout.

    Example:
        >>> config = RunConfig.model_validate({"freeze": {"unfrozen": 1, "thaw": 1},
        ...                                    "train": {"epochs": 4}})
        >>> freezing = Freezing.from_config(config, layers=3)
        >>> [freezing.boundary(epoch) for epoch in range(4)]
        [2, 1, 0, None]
    """

    first: int | None
    thaw: int | None
    epochs: int
    tasks: frozenset[TaskName]
    for_all_tasks: bool
    dropout: bool

    @classmethod
    def from_config(cls, config: RunConfig, layers: int) -> Freezing:
        """The freezing of a config for an encoder of so many layers."""
        settings, epochs = config.freeze, config.train.epochs
        if settings.unfrozen == "all":
            return cls(
                first=None,
                thaw=None,
                epochs=epochs,
                tasks=frozenset(),
                for_all_tasks=False,
                dropout=False,
            )
        tasks = frozenset(config.tasks if settings.scope == "all" else settings.scope)
        return cls(
            first=layers - settings.unfrozen,
            thaw=settings.thaw,
            epochs=epochs,
            tasks=tasks,
            for_all_tasks=tasks == frozenset(config.tasks),
            dropout=settings.dropout,
        )

    def boundary(self, epoch: int) -> int | None:
        """How many layers lie below the cut in an epoch (from 0); None where nothing is frozen."""
        if self.first is None:
            return None
        boundary = self.first - (epoch // self.thaw if self.thaw else 0)
        return None if boundary < 0 else boundary

    def boundary_of(self, task: TaskName, epoch: int) -> int | None:
        """How many layers a task's steps leave alone; None where they train everything."""
        return self.boundary(epoch) if task in self.tasks else None

    @property
    def lowest(self) -> int | None:
        """How many layers lie below the cut in the last epoch; None where nothing is frozen."""
        return self.boundary(self.epochs - 1)

    @property
    def cacheable_layers(self) -> int | None:
        """How many layers give each sequence the same hidden states throughout the run.

        None where no layer does: nothing stays frozen, a task trains the layers, or they have
        dropout.
        """
        if not self.lowest or not self.for_all_tasks or self.dropout:
            return None
        return self.lowest

    def describe(self, layers: int, epochs: int) -> dict[str, Any] | None:
        """The record's `diagnostics.thaw`, for an encoder of so many layers after `epochs` epochs.

        None where no epoch of the run was to thaw a layer.
        """
        if self.first is None or self.lowest == self.first:
            return None
        boundaries = [self.boundary(epoch) for epoch in range(epochs)]
        return {
            "layers": [layers - (boundary or 0) for boundary in boundaries],
            "embeddings": boundaries.index(None) + 1 if None in boundaries else None,
        }
