"""One encoder, one head a task: rows in, outputs out.

`Batch` is what a step needs of the data, on the device. All sequences of all tasks with the same freezing go through the
encoder in one packed pass, both sentences of every pair included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mtl.config.schema import RunConfig
from mtl.data.tokens import TokenizedRows
from mtl.model.encoder import Encoder
from mtl.model.freezing import Freezing
from mtl.model.frozen.prefix import NO_PREFIX, Prefix
from mtl.model.heads import Head, make_head
from mtl.model.linear import arrange
from mtl.model.packing import Packed, pack
from mtl.model.pairing import Pairer, lay_out
from mtl.rng import torch_stream
from mtl.tasks.registry import TASKS, TaskName


@dataclass(frozen=True, kw_only=True)
class Part:
    """One task's rows within a batch: `rows` of them, each `vectors` sequences, with labels (rows,) float32.

    `tokens` is the number of tokens of all its sequences.
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
    """Tasks that share one pass through the encoder. The parts' sequences follow one another in `packed`.

    `prefix` are the hidden states at the freeze boundary, (tokens, H), where they were had in advance.
    """

    packed: Packed
    parts: tuple[Part, ...]
    prefix: Tensor | None = None


def make_batch(
    data: Mapping[TaskName, TokenizedRows],
    step: Mapping[TaskName, np.ndarray],
    pairer: Pairer,
    device: torch.device,
    prefix: Prefix = NO_PREFIX,
) -> Batch:
    """The rows of a step (row numbers by task), laid out by the pairing and packed."""
    ids: list[np.ndarray] = []
    types: list[np.ndarray] = []
    parts = []
    for task, index in step.items():
        rows = data[task]
        laid_ids, laid_types = lay_out(rows, index, pairer)
        ids += laid_ids
        types += laid_types
        assert rows.rows.labels is not None
        labels = torch.from_numpy(rows.rows.labels[index].astype(np.float32)).to(device)
        vectors = pairer.vectors if TASKS[task].pair else 1
        tokens = sum(map(len, laid_ids))
        parts.append(
            Part(task=task, rows=len(index), vectors=vectors, tokens=tokens, labels=labels)
        )
    return Batch(
        packed=pack(ids, types).to(device), parts=tuple(parts), prefix=prefix.states(ids, types)
    )


class MultiTaskModel(nn.Module):
    """The shared encoder and the heads. Parameter names are `encoder.*` and `heads.<task>.*`."""

    def __init__(self, config: RunConfig, encoder: Encoder, *, freezing: Freezing) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = config.pooling
        self.freezing = freezing
        self.heads = nn.ModuleDict()
        for task in config.tasks:
            generator = torch_stream(config.seed, f"head/{task}")
            self.heads[task] = make_head(
                config.head(task), TASKS[task], config.pairing, encoder.config.width, generator
            )
        frozen = freezing.frozen_parameters(encoder)
        if self.pooling != "pooler":
            frozen += list(encoder.pooler.parameters())
        for parameter in frozen:
            parameter.requires_grad_(False)

    def placed(self, device: torch.device) -> MultiTaskModel:
        """This model on a device, its weights laid out as products there like them. Once it is, the same rows get the same bits."""
        arrange(self.to(device))
        return self

    def head(self, task: TaskName) -> Head:
        head = self.heads[task]
        assert isinstance(head, Head)
        return head

    def frozen_groups(self, tasks: Sequence[TaskName]) -> list[tuple[TaskName, ...]]:
        """The tasks of a step, grouped into those that can share one pass: same freezing, same graph."""
        inside = tuple(task for task in tasks if task in self.freezing.scope)
        outside = tuple(task for task in tasks if task not in self.freezing.scope)
        return [group for group in (outside, inside) if group]

    def forward(self, batch: Batch, probability: float = 0.0) -> dict[TaskName, Tensor]:
        """Outputs by task: (rows, outputs), or (rows,) for tasks with one output. `probability` is dropout's."""
        if batch.prefix is None:
            vectors = self.vectors(batch, self.embed(batch, probability), probability)
        else:
            vectors = self.vectors_above(batch.prefix, batch.packed, probability)
        return self.outputs(batch, vectors, probability)

    def embed(self, batch: Batch, probability: float = 0.0) -> Tensor:
        """The embedding layer's output, (tokens, H)."""
        frozen = batch.parts[0].task in self.freezing.scope
        return self.freezing.embed(
            self.encoder, batch.packed, frozen=frozen, probability=probability
        )

    def vectors(
        self,
        batch: Batch,
        embedded: Tensor,
        probability: float = 0.0,
        *,
        through_frozen: bool = False,
    ) -> Tensor:
        """From the embedding layer's output to sequence vectors (S, H).

        With `through_frozen` the frozen part has a graph too, for gradients with respect to `embedded`.
        """
        return self.freezing.vectors(
            self.encoder,
            embedded,
            batch.packed,
            frozen=batch.parts[0].task in self.freezing.scope,
            probability=probability,
            how=self.pooling,
            through_frozen=through_frozen,
        )

    def vectors_above(self, prefix: Tensor, packed: Packed, probability: float = 0.0) -> Tensor:
        """From the hidden states at the freeze boundary, (tokens, H), to sequence vectors (S, H)."""
        return self.freezing.above(
            self.encoder, prefix, packed, probability=probability, how=self.pooling
        )

    def outputs(
        self, batch: Batch, vectors: Tensor, probability: float = 0.0
    ) -> dict[TaskName, Tensor]:
        """The heads on sequence vectors (S, H) in the batch's order."""
        outputs = {}
        start = 0
        for part in batch.parts:
            y = vectors[start : start + part.rows]
            second = (
                vectors[start + part.rows : start + part.sequences] if part.vectors == 2 else None
            )
            outputs[part.task] = self.head(part.task)(y, second, probability)
            start += part.sequences
        return outputs

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that training may move, by name."""
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if parameter.requires_grad
        }
