"""Train the last k layers and the pooler; leave embeddings and the first N - k layers as they were loaded.

For the tasks in scope the frozen part is run without a graph, so its parameters get no gradient at all: None, not
zeros, which is what keeps AdamW from moving or decaying them. Where the scope is every task, the frozen part gets no
optimiser state either. `Freezing` with no boundary is plain fine-tuning. Source: Gorti & Thiesmeyer 2023, section 3.5;
layers are counted from the top, as in their text.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtl.config.sections import Freeze, Pooling
from mtl.model.encoder import Encoder
from mtl.model.packing import Packed
from mtl.tasks.registry import TaskName


class Freezing:
    """Which tasks leave which part of the encoder alone.

    `boundary` is the number of layers below the cut, or None where everything trains for everyone.
    """

    def __init__(self, settings: Freeze, layers: int, tasks: tuple[TaskName, ...]) -> None:
        self.boundary = None if settings.unfrozen == "all" else layers - settings.unfrozen
        named = tasks if settings.scope == "all" else settings.scope
        self.scope: frozenset[TaskName] = frozenset() if self.boundary is None else frozenset(named)
        self.everyone = self.scope == frozenset(tasks)
        self.dropout = settings.dropout

    @property
    def fixed(self) -> int | None:
        """How many layers are a fixed function of the tokens, for every task; None where none is, or it is not worth it."""
        return self.boundary if self.boundary and self.everyone and not self.dropout else None

    def frozen_parameters(self, encoder: Encoder) -> list[nn.Parameter]:
        """The parameters that no task moves: none unless the scope is every task."""
        return (
            encoder.frozen_parameters(self.boundary)
            if self.everyone and self.boundary is not None
            else []
        )

    def embed(self, encoder: Encoder, batch: Packed, *, frozen: bool, probability: float) -> Tensor:
        """The embedding layer's output, (T, H), without a graph where `frozen`."""
        if not frozen or self.boundary is None:
            return encoder.embed(batch, probability)
        with torch.no_grad():
            return encoder.embed(batch, self._below(probability))

    def vectors(
        self,
        encoder: Encoder,
        embedded: Tensor,
        batch: Packed,
        *,
        frozen: bool,
        probability: float,
        how: Pooling,
        through_frozen: bool = False,
    ) -> Tensor:
        """From `embedded`, (T, H), to one vector a sequence, (S, H).

        With `frozen` no gradient reaches below the boundary, unless `through_frozen` asks for the one of `embedded`.
        """
        if not frozen or self.boundary is None:
            return encoder.vectors(embedded, batch, probability=probability, how=how)
        with torch.set_grad_enabled(through_frozen and torch.is_grad_enabled()):
            prefix = encoder.run(
                embedded, batch, stop=self.boundary, probability=self._below(probability)
            )
        return self.above(encoder, prefix, batch, probability=probability, how=how)

    def above(
        self, encoder: Encoder, prefix: Tensor, batch: Packed, *, probability: float, how: Pooling
    ) -> Tensor:
        """From the hidden states at the boundary, (T, H), to one vector a sequence, (S, H)."""
        return encoder.vectors(
            prefix, batch, start=self.boundary or 0, probability=probability, how=how
        )

    def _below(self, probability: float) -> float:
        """Dropout's probability inside the frozen part."""
        return probability if self.dropout else 0.0
