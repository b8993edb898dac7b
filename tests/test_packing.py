"""Packed batches: the same tokens as a padded batch, there and back, with the right gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mtl.model.packing import Packed, pack

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def sequences(lengths: list[int]) -> list[np.ndarray]:
    """Sequences of distinct ids, from 100 on."""
    ends = np.cumsum(lengths)
    return [
        np.arange(100 + end - length, 100 + end, dtype=np.int32)
        for end, length in zip(ends, lengths, strict=True)
    ]


def padded(rows: list[Tensor], longest: int) -> Tensor:
    """The obvious construction: each (l, C) below zeros up to (longest, C)."""
    return torch.stack(
        [torch.cat([row, row.new_zeros(longest - len(row), row.shape[1])]) for row in rows]
    )


def flat(packed: Packed, width: int = 3) -> Tensor:
    return torch.randn(
        packed.tokens, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )


def test_a_batch_by_hand() -> None:
    packed = pack([np.array([7, 8, 9]), np.array([5])], [np.array([0, 0, 1]), np.array([0])])
    assert packed.ids.tolist() == [7, 8, 9, 5]
    assert packed.positions.tolist() == [0, 1, 2, 0]
    assert packed.types.tolist() == [0, 0, 1, 0]
    assert packed.slots.tolist() == [0, 1, 2, 3]
    assert packed.starts.tolist() == [0, 3]
    assert packed.lengths.tolist() == [3, 1]
    assert (packed.longest, packed.tokens, packed.sequences) == (3, 4, 2)
    assert packed.mask is not None
    assert packed.mask.tolist() == [[[[True, True, True]]], [[[True, False, False]]]]


def test_slots_are_places_in_the_padded_layout() -> None:
    packed = pack([np.array([1]), np.array([2, 3, 4]), np.array([5, 6])])
    assert packed.slots.tolist() == [0, 3, 4, 5, 6, 7]


def test_without_padding_there_is_no_mask() -> None:
    packed = pack(sequences([4, 4]))
    assert packed.mask is None
    assert packed.types.tolist() == [0] * 8


@settings(max_examples=100, deadline=None)
@given(LENGTHS)
def test_every_token_keeps_its_place(lengths: list[int]) -> None:
    rows = sequences(lengths)
    packed = pack(rows, [row % 2 for row in rows])
    assert packed.ids.tolist() == [token for row in rows for token in row]
    assert packed.types.tolist() == [token % 2 for row in rows for token in row]
    assert packed.positions.tolist() == [place for length in lengths for place in range(length)]
    assert [packed.ids[start].item() for start in packed.starts] == [row[0] for row in rows]
    for tensor in (
        packed.ids,
        packed.positions,
        packed.types,
        packed.slots,
        packed.starts,
        packed.lengths,
    ):
        assert tensor.dtype == torch.int64
    if packed.mask is not None:
        assert packed.mask.shape == (len(lengths), 1, 1, max(lengths))
        assert packed.mask.dtype == torch.bool
        assert packed.mask.sum((1, 2, 3)).tolist() == lengths
    assert (packed.mask is None) == (len(set(lengths)) == 1)


@settings(max_examples=100, deadline=None)
@given(LENGTHS)
def test_pad_gives_the_obvious_padded_batch_with_zeros(lengths: list[int]) -> None:
    packed = pack(sequences(lengths))
    values = flat(packed)
    assert torch.equal(packed.pad(values), padded(list(torch.split(values, lengths)), max(lengths)))


@settings(max_examples=100, deadline=None)
@given(LENGTHS)
def test_slots_take_the_tokens_back_out_of_the_padded_batch(lengths: list[int]) -> None:
    packed = pack(sequences(lengths))
    values = flat(packed)
    assert torch.equal(packed.pad(values).flatten(0, 1)[packed.slots], values)


@pytest.mark.parametrize("lengths", [[3, 1, 2], [2, 2], [1], [1, 4]])
def test_gradients_of_pad_are_right(lengths: list[int]) -> None:
    packed = pack(sequences(lengths))
    values = flat(packed).requires_grad_()
    assert torch.autograd.gradcheck(packed.pad, (values,))
    assert torch.autograd.gradgradcheck(packed.pad, (values,))


@pytest.mark.parametrize("lengths", [[3, 1, 2], [2, 2]])
def test_the_gradient_of_pad_is_the_gradient_at_the_tokens(lengths: list[int]) -> None:
    packed = pack(sequences(lengths))
    values = flat(packed).requires_grad_()
    upstream = torch.randn(len(lengths), max(lengths), 3, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(packed.pad(values), values, upstream)
    assert torch.equal(gradient, upstream.flatten(0, 1)[packed.slots])


def test_moving_to_the_same_device_keeps_everything() -> None:
    packed = pack(sequences([3, 1]))
    moved = packed.to(torch.device("cpu"))
    assert torch.equal(moved.ids, packed.ids)
    elsewhere = packed.to(torch.device("meta"))
    assert {
        elsewhere.ids.device.type,
        elsewhere.slots.device.type,
        elsewhere.starts.device.type,
    } == {"meta"}
    assert elsewhere.mask is not None
    assert elsewhere.mask.device.type == "meta"
    assert elsewhere.longest == 3
