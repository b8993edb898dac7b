"""minBERT on packed tokens: BERT as published, with no token of padding in a linear layer.

LayerNorm(word + position + token type) -> dropout -> N post-norm layers -> a vector a sequence. The flat (T, H) layout
is `mtl.packing`'s; queries, keys and values are one product. Source: Devlin et al. 2019 (arXiv:1810.04805).
Shapes: T tokens of S sequences, H width, L the longest sequence, A attention heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl.attention import attend
from mtl.config import Pooling
from mtl.dropout import dropout
from mtl.packing import Packed
from mtl.shape import Shape


class Layer(nn.Module):
    """One post-norm layer: attention, then a feed-forward block with erf GELU, each with a residual and a norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_heads = shape.attention_heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.attention_out = nn.Linear(shape.width, shape.width)
        self.attention_norm = nn.LayerNorm(shape.width, eps=shape.norm_epsilon)
        self.inner = nn.Linear(shape.width, shape.inner)
        self.outer = nn.Linear(shape.inner, shape.width)
        self.outer_norm = nn.LayerNorm(shape.width, eps=shape.norm_epsilon)

    def forward(self, hidden: Tensor, batch: Packed, probability: float) -> Tensor:
        """(T, H) -> (T, H). `probability` is dropout's, at all three places of the layer."""
        mixed = attend(self.qkv(hidden), batch.heads(self.attention_heads), probability)
        attended = self.attention_out(mixed)
        hidden = self.attention_norm(hidden + dropout(attended, probability))
        expanded = self.outer(F.gelu(self.inner(hidden)))
        hidden = self.outer_norm(hidden + dropout(expanded, probability))
        return hidden


class Encoder(nn.Module):
    """Embeddings, layers and pooler, in three calls so that a part can be frozen, cached or perturbed.

    `embed` gives the (T, H) output of the embedding layer, `run` takes it through layers start..stop, `pool` makes one
    vector a sequence. The `probability` of dropout is an argument of each call, 0 in evaluation: there is no hidden training mode.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.words = nn.Embedding(shape.vocabulary, shape.width, sparse=True)
        self.positions = nn.Embedding(shape.positions, shape.width)
        self.types = nn.Embedding(shape.types, shape.width)
        self.embedding_norm = nn.LayerNorm(shape.width, eps=shape.norm_epsilon)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.pooler = nn.Linear(shape.width, shape.width)

    def embed(self, batch: Packed, probability: float = 0.0) -> Tensor:
        """Token ids -> (T, H)."""
        # The published order of the sum, so that it equals the reference bit for bit.
        summed = self.words(batch.ids) + self.types(batch.types) + self.positions(batch.positions)
        return dropout(self.embedding_norm(summed), probability)

    def run(
        self, hidden: Tensor, batch: Packed, *, start: int = 0, stop: int | None = None, probability: float = 0.0
    ) -> Tensor:
        """(T, H) through layers start..stop (stop excluded; None is the end) -> (T, H)."""
        for layer in self.layers[start:stop]:
            hidden = layer(hidden, batch, probability)
        return hidden

    def pool(self, hidden: Tensor, batch: Packed, how: Pooling = "pooler") -> Tensor:
        """(T, H) -> (S, H): tanh(W h_CLS + b), or h_CLS, or the mean or maximum over the sequence's tokens."""
        if how == "pooler":
            return torch.tanh(self.pooler(hidden.index_select(0, batch.starts)))
        if how == "cls":
            return hidden.index_select(0, batch.starts)
        padded = batch.pad(hidden)
        if how == "mean":
            return padded.sum(1) / batch.lengths[:, None]
        if batch.mask is not None:
            padded = padded.masked_fill(~batch.mask.view(*padded.shape[:2], 1), float("-inf"))
        return padded.amax(1)

    def forward(self, batch: Packed, *, probability: float = 0.0, how: Pooling = "pooler") -> Tensor:
        """A packed batch -> (S, H) sequence vectors."""
        return self.pool(self.run(self.embed(batch, probability), batch, probability=probability), batch, how)

    def frozen_parameters(self, layers: int) -> list[nn.Parameter]:
        """The parameters of the embeddings and the first `layers` layers."""
        parts = [self.words, self.positions, self.types, self.embedding_norm, *self.layers[:layers]]
        return [parameter for part in parts for parameter in part.parameters()]
