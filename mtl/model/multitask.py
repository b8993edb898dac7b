"""One encoder and a head for each task.

All sequences of a batch go through the encoder in one packed pass, both sentences of a pair
included. Below the freeze boundary the pass has no graph, so frozen parameters get no gradient at
all: None rather than zeros, which keeps AdamW from moving or decaying them.
Shapes: T tokens of S sequences, H width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl.config.schema import RunConfig
from mtl.data.schedules import Step
from mtl.model.any_encoder import AnyEncoder
from mtl.model.batch import Batch
from mtl.model.freezing import Freezing
from mtl.model.heads import Head, make_head
from mtl.model.linear import arrange
from mtl.model.lora import add_adapters
from mtl.model.packing import Packed
from mtl.rng import torch_stream
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName


class MultiTaskModel(nn.Module):
    """The shared encoder and the heads. Parameters are named `encoder.*` and `heads.<task>.*`.

    `probability` is that of dropout in every call, 0 in evaluation; there is no training mode.
    `seen` keeps the sentences' vectors of the `watched` tasks, from each pass with a graph since it
    was emptied.
    `epoch` (from 0) says how far the encoder is thawed: which parameters a pass has a graph for.
    """

    def __init__(self, config: RunConfig, encoder: AnyEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = config.pooling
        self.watched: frozenset[TaskName] = frozenset()
        self.seen: dict[TaskName, list[tuple[Tensor, Tensor]]] = {}
        self.freezing = Freezing.from_config(config, encoder.config.layers)
        self.epoch = 0
        replaced = add_adapters(encoder, config, self.freezing.first or 0)
        self.heads = nn.ModuleDict()
        for task in config.tasks:
            self.heads[task] = make_head(
                config.head(task),
                TASKS[task],
                config.pairing,
                encoder.config.width,
                torch_stream(config.seed, f"head/{task}"),
                cut=not config.losses.ranks(task),
            )
        for parameter in self._never_trained(replaced):
            parameter.requires_grad_(False)

    def _never_trained(self, replaced: Sequence[nn.Parameter]) -> list[nn.Parameter]:
        """Parameters that no task trains: those frozen for all to the end, and an unused pooler.

        `replaced` are those that adapters train in place of.
        """
        parameters = list(replaced)
        if self.freezing.for_all_tasks and self.freezing.lowest is not None:
            parameters += self.encoder.lower_parameters(self.freezing.lowest)
        if self.pooling != "pooler" and self.encoder.pooler is not None:
            parameters += self.encoder.pooler.parameters()
        return parameters

    def place(self, device: torch.device) -> MultiTaskModel:
        """Move to a device and lay the weights out for fast products there; returns the model."""
        arrange(self.to(device))
        return self

    def head(self, task: TaskName) -> Head:
        head = self.heads[task]
        assert isinstance(head, Head)
        return head

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that training may move in some epoch, by name."""
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if parameter.requires_grad
        }

    def backbone(self) -> list[nn.Parameter]:
        """The encoder's parameters that training may move in some epoch."""
        return [parameter for parameter in self.encoder.parameters() if parameter.requires_grad]

    def passes(self, step: Step) -> list[Step]:
        """A step's rows, split into those that can share a pass: tasks with the same freezing."""
        frozen = self.freezing.tasks
        trained_fully = {task: rows for task, rows in step.items() if task not in frozen}
        trained_partly = {task: rows for task, rows in step.items() if task in frozen}
        return [rows for rows in (trained_fully, trained_partly) if rows]

    def forward(self, batch: Batch, probability: float = 0.0) -> dict[TaskName, Tensor]:
        """Outputs by task: (rows, outputs), or (rows,) for a task with one output."""
        if batch.frozen_states is None:
            vectors = self.vectors(batch, self.embed(batch, probability), probability)
        else:
            vectors = self.vectors(batch, batch.frozen_states, probability, start=self._cached)
        return self.outputs(batch, vectors, probability)

    def embed(self, batch: Batch, probability: float = 0.0) -> Tensor:
        """The embedding layer's output, (T, H), without a graph where it is frozen."""
        return self._embed(batch.packed, self._boundary(batch), probability)

    def vectors(
        self, batch: Batch, states: Tensor, probability: float = 0.0, *, start: int = 0
    ) -> Tensor:
        """From the hidden states below layer `start`, (T, H), to sequence vectors, (S, H).

        Below the first layer they are the embedding layer's output. The frozen layers have a graph
        only where `states` requires a gradient.
        """
        return self._vectors(batch.packed, self._boundary(batch), states, probability, start)

    def vectors_of_text(self, packed: Packed, probability: float) -> Tensor:
        """Sequence vectors, (S, H), with dropout, of text that belongs to no task."""
        boundary = self.freezing.boundary(self.epoch) if self.freezing.for_all_tasks else None
        states = self._embed(packed, boundary, probability)
        return self._vectors(packed, boundary, states, probability, 0)

    def _embed(self, packed: Packed, boundary: int | None, probability: float) -> Tensor:
        if boundary is None:
            return self.encoder.embed(packed, probability)
        with torch.no_grad():
            return self.encoder.embed(packed, self._frozen_dropout(probability))

    def _vectors(
        self, packed: Packed, boundary: int | None, states: Tensor, probability: float, start: int
    ) -> Tensor:
        if boundary is not None and start < boundary:
            with torch.set_grad_enabled(states.requires_grad and torch.is_grad_enabled()):
                states = self.encoder.run(
                    states,
                    packed,
                    start=start,
                    stop=boundary,
                    probability=self._frozen_dropout(probability),
                )
            start = boundary
        return self._vectors_above(start, states, packed, probability)

    def encode(self, packed: Packed, frozen_states: Tensor | None = None) -> Tensor:
        """Sequence vectors, (S, H), without dropout: from the tokens, or from cached states."""
        if frozen_states is None:
            return self.encoder(packed, pooling=self.pooling)  # type: ignore[no-any-return]
        return self._vectors_above(self._cached, frozen_states, packed, 0.0)

    def outputs(
        self, batch: Batch, vectors: Tensor, probability: float = 0.0
    ) -> dict[TaskName, Tensor]:
        """The heads on sequence vectors (S, H), which come in the batch's order."""
        outputs = {}
        start = 0
        for part in batch.parts:
            middle, end = start + part.rows, start + part.sequences
            first = vectors[start:middle]
            second = vectors[middle:end] if part.vectors == 2 else None
            if part.task in self.watched and second is not None and torch.is_grad_enabled():
                self.seen.setdefault(part.task, []).append((first, second))
            outputs[part.task] = self.head(part.task)(first, second, probability)
            start = end
        return outputs

    def _boundary(self, batch: Batch) -> int | None:
        """The freeze boundary of a batch in this epoch, which its tasks share."""
        return self.freezing.boundary_of(batch.parts[0].task, self.epoch)

    @property
    def _cached(self) -> int:
        """The layer that takes cached states: what is below it stays frozen to the end."""
        return self.freezing.cacheable_layers or 0

    def _frozen_dropout(self, probability: float) -> float:
        return probability if self.freezing.dropout else 0.0

    def _vectors_above(
        self, start: int, states: Tensor, packed: Packed, probability: float
    ) -> Tensor:
        """From the hidden states below layer `start`, (T, H), to sequence vectors, (S, H)."""
        return self.encoder.vectors(
            states, packed, start=start, probability=probability, pooling=self.pooling
        )
