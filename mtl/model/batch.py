"""The data of one pass through the model: rows laid out as sequences, packed, on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mtl.data.schedules import Step
from mtl.data.tokens import TokenizedRows
from mtl.model.frozen.cache import DISABLED, FrozenCache
from mtl.model.packing import Packed, pack
from mtl.model.pairing import Pairer, lay_out
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName


@dataclass(frozen=True, kw_only=True)
class Part:
    """One task's rows in a batch: `rows` of them, each `vectors` sequences of the encoder.

    `labels` is (rows,) float32. `tokens` counts the tokens of all the part's sequences. `start` is
    the place of the first row among the task's rows of the step, and `share` how much of them the
    part has: 0 and 1 but for a micro-batch. `sentences`, (rows, 2), numbers the sentences of pairs;
    equal sentences have one number.
    """

    task: TaskName
    rows: int
    vectors: int
    tokens: int
    labels: Tensor
    start: int = 0
    share: float = 1.0
    sentences: np.ndarray | None = None

    @property
    def sequences(self) -> int:
        return self.rows * self.vectors

    @property
    def draw(self) -> str:
        """A name for random streams of a step: the task, and where a later micro-batch starts."""
        return f"{self.task}/{self.start}" if self.start else self.task


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of tasks that share one pass through the encoder.

    `packed` holds the parts' sequences, one part after another. `frozen_states` are the hidden
    states above the layers that stay frozen, (tokens, H), where a cache has them; else None.
    """

    packed: Packed
    parts: tuple[Part, ...]
    frozen_states: Tensor | None = None


def make_batch(
    data: Mapping[TaskName, TokenizedRows],
    step: Step,
    pairer: Pairer,
    device: torch.device,
    frozen_cache: FrozenCache = DISABLED,
    *,
    whole: Step | None = None,
) -> Batch:
    """The batch of a step's rows (row numbers by task).

    `whole` are all rows of the step, where `step` has consecutive ones of them.
    """
    whole = step if whole is None else whole
    ids: list[np.ndarray] = []
    types: list[np.ndarray] = []
    parts = []
    for task, index in step.items():
        rows = data[task]
        part_ids, part_types = lay_out(rows, index, pairer)
        ids += part_ids
        types += part_types
        assert rows.rows.labels is not None
        parts.append(
            Part(
                task=task,
                rows=len(index),
                vectors=pairer.vectors if TASKS[task].pair else 1,
                tokens=sum(map(len, part_ids)),
                labels=torch.from_numpy(rows.rows.labels[index].astype(np.float32)).to(device),
                start=int(np.flatnonzero(whole[task] == index[0])[0]),
                share=len(index) / len(whole[task]),
                sentences=None
                if rows.second is None
                else np.stack([rows.first[index], rows.second[index]], axis=1),
            )
        )
    return Batch(
        packed=pack(ids, types).to(device),
        parts=tuple(parts),
        frozen_states=frozen_cache.lookup(ids, types),
    )
