"""The calls of an encoder, packed or of `transformers`: what a model, a cache and methods use."""

from __future__ import annotations

from torch import Tensor, nn

from mtl.config.sections import Pooling
from mtl.model.encoder_config import EncoderConfig
from mtl.model.packing import Packed


class AnyEncoder(nn.Module):
    """Embeddings, layers and perhaps a pooler, with a call for each part.

    Dropout's `probability` is an argument of each call, 0 in evaluation; there is no training mode.
    Shapes: T tokens of S sequences, H width.
    """

    config: EncoderConfig
    pooler: nn.Module | None

    def embed(self, batch: Packed, probability: float = 0.0) -> Tensor:
        """Token ids -> (T, H)."""
        raise NotImplementedError

    def run(
        self,
        hidden: Tensor,
        batch: Packed,
        *,
        start: int = 0,
        stop: int | None = None,
        probability: float = 0.0,
    ) -> Tensor:
        """(T, H) through layers start..stop (stop excluded; None is the end) -> (T, H)."""
        raise NotImplementedError

    def vectors(
        self,
        hidden: Tensor,
        batch: Packed,
        *,
        start: int = 0,
        probability: float = 0.0,
        pooling: Pooling = "pooler",
    ) -> Tensor:
        """From the hidden states below layer `start`, (T, H), to one vector a sequence, (S, H)."""
        raise NotImplementedError

    def forward(
        self, batch: Packed, *, probability: float = 0.0, pooling: Pooling = "pooler"
    ) -> Tensor:
        """A packed batch -> (S, H) sequence vectors."""
        embedded = self.embed(batch, probability)
        return self.vectors(embedded, batch, probability=probability, pooling=pooling)

    def lower_parameters(self, layers: int) -> list[nn.Parameter]:
        """The parameters of the embeddings and the first `layers` layers."""
        raise NotImplementedError


def pool_tokens(hidden: Tensor, batch: Packed, pooling: Pooling) -> Tensor:
    """The mean or maximum over each sequence's tokens, (T, H) -> (S, H)."""
    padded = batch.pad(hidden)
    if pooling == "mean":
        return padded.sum(1) / batch.lengths[:, None]
    if batch.mask is not None:
        padded = padded.masked_fill(~batch.mask.view(*padded.shape[:2], 1), float("-inf"))
    return padded.amax(1)
