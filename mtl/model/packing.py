"""Sequences laid end to end in one flat batch without padding.

Every linear layer and norm of the encoder runs on flat (tokens, H) tensors. `Packed.fill` adds a
few rows of zeros, so that the number of rows is a multiple of 16. Attention has a layout of its
own (`mtl.model.attention`). Pooling uses a padded batch, made by `Packed.pad`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mtl.model.attention import HeadLayout, length_groups
from mtl.model.linear import ROWS


@dataclass(frozen=True, kw_only=True)
class Packed:
    """S sequences with T tokens in all; the longest has L.

    `ids`, `positions`, `types`: (T,) int64. `slots`: (T,) int64, each token's index in the padded
    batch, flattened to S * L. `starts`, `lengths`: (S,) int64. `mask`: (S, 1, 1, L) bool, True at
    tokens; None where all sequences have the same length.
    """

    ids: Tensor
    positions: Tensor
    types: Tensor
    slots: Tensor
    starts: Tensor
    lengths: Tensor
    mask: Tensor | None
    longest: int
    layouts: dict[int, HeadLayout] = field(default_factory=dict, repr=False)

    @property
    def tokens(self) -> int:
        return self.ids.shape[0]

    @property
    def sequences(self) -> int:
        return self.starts.shape[0]

    @property
    def spare(self) -> int:
        """How many rows `fill` adds."""
        return -self.tokens % ROWS

    def to(self, device: torch.device) -> Packed:
        """The same batch on another device."""
        if self.ids.device == device:
            return self
        moved = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return Packed(**{**vars(self), **moved, "layouts": {}})

    def heads(self, number: int) -> HeadLayout:
        """The layout for attention with `number` heads, made once a batch.

        The rows that `fill` adds form a sequence of their own. On a GPU there is one group.
        """
        if number not in self.layouts:
            starts, lengths = self.starts.cpu().numpy(), self.lengths.cpu().numpy()
            if self.spare:
                starts, lengths = np.append(starts, self.tokens), np.append(lengths, self.spare)
            cuts = (
                length_groups(lengths)
                if self.ids.device.type == "cpu"
                else [np.arange(len(lengths))]
            )
            self.layouts[number] = HeadLayout(starts, lengths, number, cuts, self.ids.device)
        return self.layouts[number]

    def fill(self, flat: Tensor) -> Tensor:
        """(T, C) -> (T + spare, C): rows of zeros up to a multiple of `mtl.model.linear.ROWS`."""
        return F.pad(flat, (0, 0, 0, self.spare)) if self.spare else flat

    def pad(self, flat: Tensor) -> Tensor:
        """(T, C) -> (S, L, C), zeros in the padding."""
        if self.mask is None:
            return flat.view(self.sequences, self.longest, -1)
        padded: Tensor = _Pad.apply(flat, self.slots, self.sequences * self.longest)  # type: ignore[no-untyped-call]
        return padded.view(self.sequences, self.longest, -1)


def pack(sequences: Sequence[np.ndarray], types: Sequence[np.ndarray] | None = None) -> Packed:
    """Lay sequences end to end: token ids and token types, each (l,) of any integer type.

    Without `types` every token is of type 0.

    Example:
        >>> packed = pack([np.array([7, 8, 9]), np.array([5])])
        >>> packed.ids.tolist(), packed.positions.tolist(), packed.starts.tolist()
        ([7, 8, 9, 5], [0, 1, 2, 0], [0, 3])
    """
    lengths = np.fromiter((len(ids) for ids in sequences), dtype=np.int64, count=len(sequences))
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    longest = int(lengths.max())
    positions = np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
    slots = positions + np.repeat(np.arange(len(lengths)) * longest, lengths)
    padding = len(slots) < len(lengths) * longest
    mask = (
        torch.from_numpy(np.arange(longest) < lengths[:, None])[:, None, None, :]
        if padding
        else None
    )
    flat_types = (
        np.zeros(len(slots), dtype=np.int64)
        if types is None
        else np.concatenate(types).astype(np.int64)
    )
    return Packed(
        ids=torch.from_numpy(np.concatenate(sequences).astype(np.int64)),
        positions=torch.from_numpy(positions),
        types=torch.from_numpy(flat_types),
        slots=torch.from_numpy(slots),
        starts=torch.from_numpy(starts),
        lengths=torch.from_numpy(lengths),
        mask=mask,
        longest=longest,
    )


class _Pad(torch.autograd.Function):
    """Copies rows to distinct slots of a larger zero tensor.

    Distinct slots need no accumulation, so the gradient is a plain gather.
    """

    @staticmethod
    def forward(ctx: Any, flat: Tensor, slots: Tensor, total: int) -> Tensor:
        ctx.save_for_backward(slots)
        return flat.new_zeros(total, flat.shape[1]).index_copy_(0, slots, flat)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slots,) = ctx.saved_tensors
        return gradients[0].index_select(0, slots), None, None
