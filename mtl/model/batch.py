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

    `labels` is (rows,) float32. `tokens` counts the tokens of all the part's sequences.
    """

    task: TaskName
    rows: int
    vectors: int
    tokens: int
    labels: Tensor

    @property
    def sequences(self) -> int:
        return self.rows * self.vectors


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of tasks that share one pass through the encoder.

    `packed` holds the parts' sequences, one part after another. `frozen_states` are the hidden
    states at the freeze boundary, (tokens, H), where a cache has them; else None.
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
) -> Batch:
    """The batch of a step's rows (row numbers by task)."""
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
            )
        )
    return Batch(
        packed=pack(ids, types).to(device),
        parts=tuple(parts),
        frozen_states=frozen_cache.lookup(ids, types),
    )
