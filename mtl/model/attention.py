"""Softmax attention over packed sequences, with a backward pass written by hand for the CPU.

Sequences are sorted into a few groups of similar length, so that little of an (L, L) matrix is
padding. One gather takes the queries, keys and values of all heads out of the flat batch; another
puts the result back. The hand-written backward works in place; autograd would copy each group's
part once more to join them.

Shapes: T tokens, S sequences, A heads of size D, H = A D. A group has n sequences of up to L
tokens. R is the sum over groups of n A L: one row of D for each position, sequence by sequence and
head by head. Source: Vaswani et al. 2017, with dropout on the attention weights as in BERT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mtl.model.dropout import mask

MIN_SAVING = 2000
"""The (L, L) elements a head that another group must save; it costs some thirty calls a layer."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Sequences of similar length.

    `rows` is their range of the R rows, `matrices` is n * A. `bias` is (n * A, 1, L): 0 at tokens,
    -inf at padding; None without padding.
    """

    rows: slice
    matrices: int
    longest: int
    bias: Tensor | None

    def view(self, part: Tensor) -> Tensor:
        """This group's rows of (R, D), as (n * A, L, D)."""
        return part[self.rows].view(self.matrices, self.longest, -1)


class HeadLayout:
    """The row of each token and head among the R rows. Rows of padding are masked."""

    def __init__(
        self,
        starts: np.ndarray,
        lengths: np.ndarray,
        heads: int,
        cuts: list[np.ndarray],
        device: torch.device,
    ) -> None:
        """`starts` and `lengths` are (S,); `cuts` are the sequence numbers of each group."""
        self.heads = heads
        self.groups: list[Group] = []
        first_row = np.zeros(len(lengths), dtype=np.int64)
        longest = np.zeros(len(lengths), dtype=np.int64)
        rows = 0
        for members in cuts:
            most = int(lengths[members].max())
            first_row[members] = rows + np.arange(len(members)) * heads * most
            longest[members] = most
            count = len(members) * heads * most
            real = np.arange(most) < lengths[members][:, None]
            bias = None
            if not real.all():
                values = np.where(real, 0.0, -np.inf).astype(np.float32)
                bias = torch.from_numpy(values.repeat(heads, axis=0)[:, None]).to(device)
            self.groups.append(
                Group(
                    rows=slice(rows, rows + count),
                    matrices=len(members) * heads,
                    longest=most,
                    bias=bias,
                )
            )
            rows += count
        sequence = np.repeat(np.arange(len(lengths)), lengths)
        position = np.arange(len(sequence)) - starts[sequence]
        place = (
            first_row[sequence][:, None]
            + longest[sequence][:, None] * np.arange(heads)
            + position[:, None]
        )
        place_of_part = place[:, None] + rows * np.arange(3)[:, None]
        parts = np.zeros(3 * rows, dtype=np.int64)
        parts[place_of_part.ravel()] = np.arange(place_of_part.size)
        self.place = torch.from_numpy(place.ravel()).to(device)
        self.place_of_part = torch.from_numpy(place_of_part.ravel()).to(device)
        self.part_at_place = torch.from_numpy(parts).to(device)
        self.rows = rows

    def split(self, qkv: Tensor) -> Tensor:
        """(T, 3H) -> (3, R, D)."""
        size = qkv.shape[1] // 3 // self.heads
        return qkv.reshape(-1, size).index_select(0, self.part_at_place).view(3, self.rows, size)

    def split_gradient(self, parts: Tensor) -> Tensor:
        """The gradient of `split`, (3, R, D) -> (T, 3H): a gather, as padding has no gradient."""
        size = parts.shape[2]
        return (
            parts.view(-1, size).index_select(0, self.place_of_part).view(-1, 3 * self.heads * size)
        )

    def merge(self, mixed: Tensor) -> Tensor:
        """(R, D) -> (T, H)."""
        return mixed.index_select(0, self.place).view(-1, self.heads * mixed.shape[1])

    def merge_gradient(self, merged: Tensor) -> Tensor:
        """The gradient of `merge`, (T, H) -> (R, D), with zeros in the padding."""
        flat = merged.reshape(len(self.place), -1)
        return flat.new_zeros(self.rows, flat.shape[1]).index_copy_(0, self.place, flat)


def length_groups(lengths: np.ndarray, min_saving: int = MIN_SAVING) -> list[np.ndarray]:
    """Sequence numbers in groups of similar length.

    A group is cut in two where that saves at least `min_saving` elements of (L, L).
    """
    order = np.argsort(lengths, kind="stable")
    squares = lengths[order] ** 2
    counts = np.arange(1, len(order))
    area = counts * squares[:-1] + (len(order) - counts) * squares[-1]
    if not len(area) or len(order) * squares[-1] - area.min() < min_saving:
        return [order]
    halves = np.split(order, [int(area.argmin()) + 1])
    return [half[part] for half in halves for part in length_groups(lengths[half], min_saving)]


def attend(
    qkv: Tensor, layout: HeadLayout, probability: float, relative: Tensor | None = None
) -> Tensor:
    """Attention within each sequence, (T, 3H) -> (T, H); `probability` is that of dropout.

    `relative` is added to the scores: (A, M, M) by head, query and key, with M at least the longest
    sequence.
    """
    if qkv.device.type == "cpu" and qkv.dtype in (torch.float32, torch.float64):
        attended: Tensor = _Attention.apply(qkv, layout, probability, relative)  # type: ignore[no-untyped-call]
        return attended
    parts = _Split.apply(qkv, layout)  # type: ignore[no-untyped-call]
    mixed = []
    for group in layout.groups:
        shape = (group.matrices // layout.heads, layout.heads, group.longest, -1)
        query, key, value = (group.view(part).view(shape) for part in parts)
        bias = (
            None
            if group.bias is None
            else group.bias.to(query.dtype).view(shape[0], shape[1], 1, -1)
        )
        if relative is not None:
            of_group = relative[:, : group.longest, : group.longest].to(query.dtype)
            bias = of_group[None] if bias is None else of_group + bias
        result = F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=probability
        )
        mixed.append(result.reshape(-1, result.shape[-1]))
    joined = mixed[0] if len(mixed) == 1 else torch.cat(mixed)
    merged: Tensor = _Merge.apply(joined, layout)  # type: ignore[no-untyped-call]
    return merged


class _Split(torch.autograd.Function):
    """`HeadLayout.split` with its gradient."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, layout: HeadLayout) -> Tensor:
        ctx.layout = layout
        return layout.split(qkv)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.layout.split_gradient(gradients[0].contiguous()), None


class _Merge(torch.autograd.Function):
    """`HeadLayout.merge` with its gradient."""

    @staticmethod
    def forward(ctx: Any, mixed: Tensor, layout: HeadLayout) -> Tensor:
        ctx.layout = layout
        return layout.merge(mixed)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.layout.merge_gradient(gradients[0]), None


class _Attention(torch.autograd.Function):
    """merge(dropout(softmax(q k' / sqrt(D) + bias)) v), one group after another."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, layout: HeadLayout, probability: float, relative: Tensor | None
    ) -> Tensor:
        parts = layout.split(qkv)
        scale = parts.shape[2] ** -0.5
        mixed = torch.empty_like(parts[0])
        saved = []
        for group in layout.groups:
            query, key, value = map(group.view, parts)
            bias = query.new_zeros(()) if group.bias is None else group.bias.to(query.dtype)
            if relative is not None:
                part = relative[:, : group.longest, : group.longest].to(query.dtype)
                bias = bias + part.repeat(group.matrices // layout.heads, 1, 1)
            weights = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scale).softmax(-1)
            kept = mask(weights.shape, probability, weights.dtype) if probability else None
            used = weights if kept is None else weights * kept
            torch.bmm(used, value, out=group.view(mixed))
            saved.append((weights, kept, used))
        ctx.parts, ctx.saved, ctx.layout, ctx.scale = parts, saved, layout, scale
        ctx.relative = None if relative is None else relative.shape
        return layout.merge(mixed)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, Tensor | None]:
        layout: HeadLayout = ctx.layout
        mixed = layout.merge_gradient(gradients[0])
        d_parts = torch.empty_like(ctx.parts)
        d_relative = None
        if ctx.relative is not None and ctx.needs_input_grad[3]:
            d_relative = mixed.new_zeros(ctx.relative)
        for group, (weights, kept, used) in zip(layout.groups, ctx.saved, strict=True):
            query, key, value = map(group.view, ctx.parts)
            d_query, d_key, d_value = map(group.view, d_parts)
            d_mixed = group.view(mixed)
            torch.bmm(used.transpose(1, 2), d_mixed, out=d_value)
            d_weights = torch.bmm(d_mixed, value.transpose(1, 2))
            if kept is not None:
                d_weights.mul_(kept)
            # Softmax: dS = P * (dP - sum(dP * P)).
            d_scores = d_weights.sub_((d_weights * weights).sum(-1, keepdim=True)).mul_(weights)
            if d_relative is not None:
                size = group.longest
                by_head = d_scores.view(-1, layout.heads, size, size).sum(0)
                d_relative[:, :size, :size] += by_head
            torch.baddbmm(d_query, d_scores, key, beta=0, alpha=ctx.scale, out=d_query)
            torch.baddbmm(
                d_key, d_scores.transpose(1, 2), query, beta=0, alpha=ctx.scale, out=d_key
            )
        return layout.split_gradient(d_parts), None, None, d_relative
