"""BERT on packed tokens, as published; linear layers see no padding.

LayerNorm(word + position + token type) -> dropout -> N post-norm layers -> one vector a sequence.
Queries, keys and values come from one product. The flat layout is that of `mtl.model.packing`.
Source: Devlin et al. 2019 (arXiv:1810.04805).
Shapes: T tokens of S sequences, H width, L tokens of the longest sequence, A heads of size D.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl.config.sections import Pooling
from mtl.model.attention import attend
from mtl.model.dropout import dropout
from mtl.model.encoder_config import EncoderConfig
from mtl.model.linear import Linear
from mtl.model.packing import Packed


class Layer(nn.Module):
    """One post-norm layer: attention, then a feed-forward block with erf GELU.

    Each has a residual connection and a LayerNorm. `probability` is that of dropout, on attention
    weights and on both outputs.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.attention_heads = config.attention_heads
        self.qkv = Linear(config.width, 3 * config.width)
        self.attention_out = Linear(config.width, config.width)
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.inner = Linear(config.width, config.inner)
        self.outer = Linear(config.inner, config.width)
        self.outer_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)

    def forward(self, hidden: Tensor, batch: Packed, probability: float) -> Tensor:
        """(T, H) -> (T, H), where T includes the rows that `Packed.fill` added."""
        mixed = attend(self.qkv(hidden), batch.heads(self.attention_heads), probability)
        attended = self.attention_out(mixed)
        hidden = self.attention_norm(hidden + dropout(attended, probability))
        expanded = self.outer(F.gelu(self.inner(hidden)))
        hidden = self.outer_norm(hidden + dropout(expanded, probability))
        return hidden

    def forward_first(self, hidden: Tensor, batch: Packed, probability: float) -> Tensor:
        """`forward` at each sequence's first token only, (T, H) -> (S, H).

        With one query q a head, products over all tokens are not needed: a score q . (K h) is
        (q K) . h, and the mixed values sum w (V h) are V (sum w h). The keys' bias adds the same
        number to every score of a softmax, so it is left out.
        """
        width = hidden.shape[1]
        size = width // self.attention_heads
        to_query, to_key, to_value = self.qkv.weight.view(3, self.attention_heads, size, width)
        query_bias, _, value_bias = self.qkv.bias.view(3, self.attention_heads, 1, size)
        tokens = batch.pad(hidden)
        first = hidden.index_select(0, batch.starts)
        query = torch.matmul(first, to_query.transpose(1, 2)) + query_bias  # (A, S, D)
        scores = (
            torch.matmul(torch.bmm(query, to_key).transpose(0, 1), tokens.transpose(1, 2))
            * size**-0.5
        )  # (S, A, L)
        if batch.mask is not None:
            scores = scores.masked_fill(~batch.mask.squeeze(1), float("-inf"))
        weights = dropout(scores.softmax(-1), probability)
        averaged = torch.bmm(weights, tokens).transpose(0, 1)  # (A, S, H)
        mixed = torch.bmm(averaged, to_value.transpose(1, 2)) + value_bias * weights.sum(
            -1
        ).t().unsqueeze(-1)
        attended = self.attention_out(mixed.transpose(0, 1).reshape(-1, width))
        first = self.attention_norm(first + dropout(attended, probability))
        expanded = self.outer(F.gelu(self.inner(first)))
        normed: Tensor = self.outer_norm(first + dropout(expanded, probability))
        return normed


class Encoder(nn.Module):
    """Embeddings, layers and pooler, with a call for each, so that a part can be frozen.

    `embed` gives the embedding layer's output, `run` takes it through some layers, and `vectors`
    takes it through the rest and pools. Dropout's `probability` is an argument of each call, 0 in
    evaluation; there is no training mode.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocabulary, config.width, sparse=True)
        self.positions = nn.Embedding(config.positions, config.width)
        self.types = nn.Embedding(config.types, config.width)
        self.embedding_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.pooler = Linear(config.width, config.width)

    def embed(self, batch: Packed, probability: float = 0.0) -> Tensor:
        """Token ids -> (T, H)."""
        # The published order of the sum, so that it equals the reference bit for bit.
        summed = self.words(batch.ids) + self.types(batch.types) + self.positions(batch.positions)
        return dropout(self.embedding_norm(summed), probability)

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
        hidden = batch.fill(hidden)
        for layer in self.layers[start:stop]:
            hidden = layer(hidden, batch, probability)
        return hidden[: batch.tokens]

    def vectors(
        self,
        hidden: Tensor,
        batch: Packed,
        *,
        start: int = 0,
        probability: float = 0.0,
        pooling: Pooling = "pooler",
    ) -> Tensor:
        """From the hidden states below layer `start`, (T, H), to one vector a sequence, (S, H).

        `pooler` is tanh(W h_CLS + b), `cls` is h_CLS, `mean` and `max` are over the sequence's
        tokens. For the first two the last layer is computed at the first token only.
        """
        if pooling in ("mean", "max"):
            return self._pool_tokens(
                self.run(hidden, batch, start=start, probability=probability), batch, pooling
            )
        if start < len(self.layers):
            hidden = self.run(
                hidden, batch, start=start, stop=len(self.layers) - 1, probability=probability
            )
            last = self.layers[-1]
            assert isinstance(last, Layer)
            first = last.forward_first(hidden, batch, probability)
        else:
            first = hidden.index_select(0, batch.starts)
        return torch.tanh(self.pooler(first)) if pooling == "pooler" else first

    def _pool_tokens(self, hidden: Tensor, batch: Packed, pooling: Pooling) -> Tensor:
        """The mean or maximum over each sequence's tokens, (T, H) -> (S, H)."""
        padded = batch.pad(hidden)
        if pooling == "mean":
            return padded.sum(1) / batch.lengths[:, None]
        if batch.mask is not None:
            padded = padded.masked_fill(~batch.mask.view(*padded.shape[:2], 1), float("-inf"))
        return padded.amax(1)

    def forward(
        self, batch: Packed, *, probability: float = 0.0, pooling: Pooling = "pooler"
    ) -> Tensor:
        """A packed batch -> (S, H) sequence vectors."""
        return self.vectors(
            self.embed(batch, probability), batch, probability=probability, pooling=pooling
        )

    def lower_parameters(self, layers: int) -> list[nn.Parameter]:
        """The parameters of the embeddings and the first `layers` layers."""
        parts = [self.words, self.positions, self.types, self.embedding_norm, *self.layers[:layers]]
        return [parameter for part in parts for parameter in part.parameters()]
