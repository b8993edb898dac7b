"""minBERT on packed tokens: BERT as published, with no sequence padded to another's length in a linear layer.

LayerNorm(word + position + token type) -> dropout -> N post-norm layers -> a vector a sequence. The flat (T, H) layout
is `mtl.model.packing`'s; queries, keys and values are one product. Source: Devlin et al. 2019 (arXiv:1810.04805).
Shapes: T tokens of S sequences, H width, L the longest sequence, A attention heads.
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
    """One post-norm layer: attention, then a feed-forward block with erf GELU, each with a residual and a norm."""

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
        """(T, H) -> (T, H), with the rows that `Packed.fill` added. `probability` is dropout's, at all three places."""
        mixed = attend(self.qkv(hidden), batch.heads(self.attention_heads), probability)
        attended = self.attention_out(mixed)
        hidden = self.attention_norm(hidden + dropout(attended, probability))
        expanded = self.outer(F.gelu(self.inner(hidden)))
        hidden = self.outer_norm(hidden + dropout(expanded, probability))
        return hidden

    def first(self, hidden: Tensor, batch: Packed, probability: float) -> Tensor:
        """The rows of `forward` at each sequence's first token, (T, H) -> (S, H), with no product over all tokens.

        One query a head meets every token, so what is a key's product with it, q . (K h), is computed as (q K) . h, and the
        mean of values, sum w (V h), as V (sum w h). The keys' bias adds the same to all of a softmax, and so nothing.
        """
        width = hidden.shape[1]
        size = width // self.attention_heads
        to_query, to_key, to_value = self.qkv.weight.view(3, self.attention_heads, size, width)
        of_query, _, of_value = self.qkv.bias.view(3, self.attention_heads, 1, size)
        tokens = batch.pad(hidden)
        first = hidden.index_select(0, batch.starts)
        query = torch.matmul(first, to_query.transpose(1, 2)) + of_query  # (A, S, D)
        scores = (
            torch.matmul(torch.bmm(query, to_key).transpose(0, 1), tokens.transpose(1, 2))
            * size**-0.5
        )  # (S, A, L)
        if batch.mask is not None:
            scores = scores.masked_fill(~batch.mask.squeeze(1), float("-inf"))
        weights = dropout(scores.softmax(-1), probability)
        seen = torch.bmm(weights, tokens).transpose(0, 1)  # (A, S, H)
        mixed = torch.bmm(seen, to_value.transpose(1, 2)) + of_value * weights.sum(
            -1
        ).t().unsqueeze(-1)
        attended = self.attention_out(mixed.transpose(0, 1).reshape(-1, width))
        first = self.attention_norm(first + dropout(attended, probability))
        expanded = self.outer(F.gelu(self.inner(first)))
        normed: Tensor = self.outer_norm(first + dropout(expanded, probability))
        return normed


class Encoder(nn.Module):
    """Embeddings, layers and pooler, in calls of their own so that a part can be frozen, cached or perturbed.

    `embed` gives the (T, H) output of the embedding layer, `run` takes it through layers start..stop, `vectors` through
    all that are left and makes one vector a sequence. The `probability` of dropout is an argument of each call, 0 in
    evaluation: there is no hidden training mode.
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
        how: Pooling = "pooler",
    ) -> Tensor:
        """From the hidden states below layer `start`, (T, H), to one vector a sequence, (S, H).

        tanh(W h_CLS + b), or h_CLS, or the mean or maximum over the sequence's tokens. Where h_CLS is all that counts, it is
        all of the last layer that is computed.
        """
        if how in ("mean", "max"):
            return self._over_tokens(
                self.run(hidden, batch, start=start, probability=probability), batch, how
            )
        if start < len(self.layers):
            hidden = self.run(
                hidden, batch, start=start, stop=len(self.layers) - 1, probability=probability
            )
            last = self.layers[-1]
            assert isinstance(last, Layer)
            first = last.first(hidden, batch, probability)
        else:
            first = hidden.index_select(0, batch.starts)
        return torch.tanh(self.pooler(first)) if how == "pooler" else first

    def _over_tokens(self, hidden: Tensor, batch: Packed, how: Pooling) -> Tensor:
        """(T, H) -> (S, H): the mean or maximum over each sequence's tokens."""
        padded = batch.pad(hidden)
        if how == "mean":
            return padded.sum(1) / batch.lengths[:, None]
        if batch.mask is not None:
            padded = padded.masked_fill(~batch.mask.view(*padded.shape[:2], 1), float("-inf"))
        return padded.amax(1)

    def forward(
        self, batch: Packed, *, probability: float = 0.0, how: Pooling = "pooler"
    ) -> Tensor:
        """A packed batch -> (S, H) sequence vectors."""
        return self.vectors(self.embed(batch, probability), batch, probability=probability, how=how)

    def frozen_parameters(self, layers: int) -> list[nn.Parameter]:
        """The parameters of the embeddings and the first `layers` layers."""
        parts = [self.words, self.positions, self.types, self.embedding_norm, *self.layers[:layers]]
        return [parameter for part in parts for parameter in part.parameters()]
