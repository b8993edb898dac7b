"""BERT and its relatives on packed tokens, as published; linear layers see no padding.

LayerNorm(word + position + token type) -> dropout -> N post-norm layers -> one vector a sequence.
Queries, keys and values come from one product. The flat layout is that of `mtl.model.packing`.
Source: Devlin et al. 2019 (arXiv:1810.04805).
Shapes: T tokens of S sequences, H width, L tokens of the longest sequence, A heads of size D.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl.config.sections import Pooling
from mtl.model.any_encoder import AnyEncoder, pool_tokens
from mtl.model.attention import attend
from mtl.model.dropout import dropout
from mtl.model.encoder_config import EncoderConfig
from mtl.model.families import FAMILIES
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

    def forward(
        self, hidden: Tensor, batch: Packed, probability: float, relative: Tensor | None = None
    ) -> Tensor:
        """(T, H) -> (T, H), where T includes the rows that `Packed.fill` added.

        `relative` is added to the attention's scores, (A, M, M).
        """
        layout = batch.heads(self.attention_heads)
        mixed = attend(self.qkv(hidden), layout, probability, relative)
        attended = self.attention_out(mixed)
        hidden = self.attention_norm(hidden + dropout(attended, probability))
        expanded = self.outer(F.gelu(self.inner(hidden)))
        hidden = self.outer_norm(hidden + dropout(expanded, probability))
        return hidden

    def forward_first(
        self, hidden: Tensor, batch: Packed, probability: float, relative: Tensor | None = None
    ) -> Tensor:
        """`forward` at each sequence's first token only, (T, H) -> (S, H).

        With one query q a head, products over all tokens are not needed: a score q . (K h) is
        (q K) . h, and the mixed values sum w (V h) are V (sum w h). The keys' bias adds the same
        number to every score of a softmax, so it is left out.
        """
        width = hidden.shape[1]
        size = width // self.attention_heads
        to_query, to_key, to_value = self.qkv.matrix().view(3, self.attention_heads, size, width)
        query_bias, _, value_bias = self.qkv.bias.view(3, self.attention_heads, 1, size)
        tokens = batch.pad(hidden)
        first = hidden.index_select(0, batch.starts)
        query = torch.matmul(first, to_query.transpose(1, 2)) + query_bias  # (A, S, D)
        scores = (
            torch.matmul(torch.bmm(query, to_key).transpose(0, 1), tokens.transpose(1, 2))
            * size**-0.5
        )  # (S, A, L)
        if relative is not None:
            scores = scores + relative[:, 0, : batch.longest]
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


class Encoder(AnyEncoder):
    """Embeddings, layers and pooler, with a call for each, so that a part can be frozen.

    `embed` gives the embedding layer's output, `run` takes it through some layers, and `vectors`
    takes it through the rest and pools. Dropout's `probability` is an argument of each call, 0 in
    evaluation; there is no training mode.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        family, width = FAMILIES[config.family], config.embedding or config.width
        self.words = nn.Embedding(config.vocabulary, width, sparse=True)
        self.positions = nn.Embedding(config.positions, width)
        self.types = nn.Embedding(config.types, width) if config.types else None
        self.embedding_norm = nn.LayerNorm(width, eps=config.norm_epsilon)
        self.project = Linear(width, config.width) if config.embedding else None
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        heads = config.attention_heads
        self.relative = nn.Embedding(config.buckets, heads) if config.buckets else None
        self.pooler = Linear(config.width, config.width) if family.pooler else None

    def embed(self, batch: Packed, probability: float = 0.0) -> Tensor:
        """Token ids -> (T, H)."""
        # The published order of the sum, so that it equals the reference bit for bit.
        summed = self.words(batch.ids)
        if self.types is not None:
            summed = summed + self.types(batch.types)
        summed = summed + self.positions(self._places(batch))
        embedded = dropout(self.embedding_norm(summed), probability)
        return embedded if self.project is None else self.project(embedded)

    def _places(self, batch: Packed) -> Tensor:
        """The row of each token in the position embeddings, (T,).

        Where the family counts from its padding token, such a token in the text does not count.
        """
        if not self.config.offset:
            return batch.positions
        padding = self.config.offset - 1
        counts = (batch.ids != padding).long()
        ends = counts.cumsum(0)
        before = (ends - counts).index_select(0, batch.starts)
        return (ends - before.repeat_interleave(batch.lengths)) * counts + padding

    def _relative(self, batch: Packed, start: int) -> Tensor | None:
        """The bias of relative positions, (A, M, M), for layers from `start` on.

        All layers share it. Below a frozen part it is frozen: the kept states rest on it.
        """
        if self.relative is None:
            return None
        size = max(batch.longest, batch.spare)
        weight = self.relative.weight.detach() if start else self.relative.weight
        buckets = relative_buckets(size, self.config.buckets).to(weight.device)
        return F.embedding(buckets, weight).permute(2, 0, 1)

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
        hidden, relative = batch.fill(hidden), self._relative(batch, start)
        for layer in self.layers[start:stop]:
            hidden = layer(hidden, batch, probability, relative)
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
            states = self.run(hidden, batch, start=start, probability=probability)
            return pool_tokens(states, batch, pooling)
        if start < len(self.layers):
            hidden = self.run(
                hidden, batch, start=start, stop=len(self.layers) - 1, probability=probability
            )
            last = self.layers[-1]
            assert isinstance(last, Layer)
            first = last.forward_first(hidden, batch, probability, self._relative(batch, start))
        else:
            first = hidden.index_select(0, batch.starts)
        if pooling == "pooler":
            assert self.pooler is not None  # checked by `mtl.runs.prepare`
            first = torch.tanh(self.pooler(first))
        return first

    def lower_parameters(self, layers: int) -> list[nn.Parameter]:
        """The parameters of the embeddings and the first `layers` layers."""
        parts = [self.words, self.positions, self.types, self.embedding_norm, self.project]
        parts += [*self.layers[:layers], self.relative if layers else None]
        return [parameter for part in parts if part is not None for parameter in part.parameters()]


@functools.cache
def relative_buckets(size: int, buckets: int, most: int = 128) -> Tensor:
    """The bucket of each query and key, (size, size) int64, as T5 and MPNet number them.

    Half of the buckets are for keys after the query. Of each half, one half is of single distances,
    the other of ranges that grow up to `most`. Source: Raffel et al. 2020 (arXiv:1910.10683).
    """
    places = torch.arange(size)
    distance = places[:, None] - places[None, :]
    half = buckets // 2
    after = (distance < 0).long() * half
    distance = distance.abs()
    exact = half // 2
    far = torch.log(distance.float() / exact) / math.log(most / exact) * (half - exact)
    ranged = (exact + far.clamp(min=0).long()).clamp(max=half - 1)
    return after + torch.where(distance < exact, distance, ranged)
