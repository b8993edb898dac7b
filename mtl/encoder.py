"""minBERT on packed tokens: BERT as published, with no token of padding in a linear layer.

LayerNorm(word + position + token type) -> dropout -> N post-norm layers -> a vector a sequence. The flat (T, H) layout
is `mtl.packing`'s; queries, keys and values are one product. Source: Devlin et al. 2019 (arXiv:1810.04805).
Shapes: T tokens of S sequences, H width, L the longest sequence, A attention heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl.config import Pooling
from mtl.packing import Packed


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of an encoder, as `config.json` gives them."""

    vocabulary: int
    positions: int
    types: int
    width: int
    layers: int
    attention_heads: int
    inner: int
    norm_epsilon: float = 1e-12
    init_range: float = 0.02


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

    def forward(self, hidden: Tensor, batch: Packed, dropout: float) -> Tensor:
        """(T, H) -> (T, H). `dropout` is the probability at all three places of the layer."""
        attended = self.attention_out(self.attend(self.qkv(hidden), batch, dropout))
        hidden = self.attention_norm(hidden + F.dropout(attended, dropout))
        expanded = self.outer(F.gelu(self.inner(hidden)))
        hidden = self.outer_norm(hidden + F.dropout(expanded, dropout))
        return hidden

    def attend(self, qkv: Tensor, batch: Packed, dropout: float) -> Tensor:
        """Softmax attention inside each sequence: (T, 3H) -> (T, H)."""
        sequences, longest, size = batch.sequences, batch.longest, qkv.shape[1] // 3 // self.attention_heads
        split = batch.pad(qkv).view(sequences, longest, 3, self.attention_heads, size)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=batch.mask, dropout_p=dropout)
        return batch.unpad(mixed.transpose(1, 2).reshape(sequences, longest, -1))


class Encoder(nn.Module):
    """Embeddings, layers and pooler, in three calls so that a part can be frozen, cached or perturbed.

    `embed` gives the (T, H) output of the embedding layer, `run` takes it through layers start..stop, `pool` makes one
    vector a sequence. Dropout is an argument of each call, 0 in evaluation: there is no hidden training mode.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.words = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.positions, shape.width)
        self.types = nn.Embedding(shape.types, shape.width)
        self.embedding_norm = nn.LayerNorm(shape.width, eps=shape.norm_epsilon)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.pooler = nn.Linear(shape.width, shape.width)

    def embed(self, batch: Packed, dropout: float = 0.0) -> Tensor:
        """Token ids -> (T, H)."""
        # The published order of the sum, so that it equals the reference bit for bit.
        summed = self.words(batch.ids) + self.types(batch.types) + self.positions(batch.positions)
        return F.dropout(self.embedding_norm(summed), dropout)

    def run(
        self, hidden: Tensor, batch: Packed, *, start: int = 0, stop: int | None = None, dropout: float = 0.0
    ) -> Tensor:
        """(T, H) through layers start..stop (stop excluded; None is the end) -> (T, H)."""
        for layer in self.layers[start:stop]:
            hidden = layer(hidden, batch, dropout)
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

    def forward(self, batch: Packed, *, dropout: float = 0.0, how: Pooling = "pooler") -> Tensor:
        """A packed batch -> (S, H) sequence vectors."""
        return self.pool(self.run(self.embed(batch, dropout), batch, dropout=dropout), batch, how)

    def frozen_parameters(self, layers: int) -> list[nn.Parameter]:
        """The parameters of the embeddings and the first `layers` layers."""
        parts = [self.words, self.positions, self.types, self.embedding_norm, *self.layers[:layers]]
        return [parameter for part in parts for parameter in part.parameters()]
