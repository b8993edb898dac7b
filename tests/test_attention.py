"""Attention with a hand-written backward equals attention by autograd, however it is grouped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mtl.model.attention import HeadLayout, attend, length_groups
from mtl.model.dropout import dropout, mask

LENGTHS = np.array([5, 1, 9, 3, 9, 2])
HEADS, SIZE = 2, 3


def layout(worth: int) -> HeadLayout:
    starts = np.concatenate([[0], np.cumsum(LENGTHS)[:-1]])
    return HeadLayout(starts, LENGTHS, HEADS, length_groups(LENGTHS, worth), torch.device("cpu"))


def random_qkv() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(
        int(LENGTHS.sum()), 3 * HEADS * SIZE, dtype=torch.float64, generator=generator
    ).requires_grad_()


def naive(qkv: Tensor) -> Tensor:
    """Sequence by sequence and head by head, as the formula says."""
    rows = []
    for part in qkv.split(LENGTHS.tolist()):
        query, key, value = part.view(len(part), 3, HEADS, SIZE).unbind(1)
        heads = [
            torch.softmax(query[:, h] @ key[:, h].T / SIZE**0.5, dim=-1) @ value[:, h]
            for h in range(HEADS)
        ]
        rows.append(torch.cat(heads, dim=1))
    return torch.cat(rows)


@pytest.mark.parametrize("worth", [0, 40, 10**9])
def test_values_and_gradients_equal_the_formula(worth: int) -> None:
    one, two = random_qkv(), random_qkv()
    weights = torch.randn(len(one), HEADS * SIZE, dtype=torch.float64)
    found, expected = attend(one, layout(worth), 0.0), naive(two)
    assert torch.allclose(found, expected)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    assert one.grad is not None
    assert two.grad is not None
    assert torch.allclose(one.grad, two.grad)


def test_the_gradient_with_dropout_is_that_of_finite_differences() -> None:
    made = layout(40)

    def seeded(qkv: Tensor) -> Tensor:
        torch.manual_seed(5)
        return attend(qkv, made, 0.3)

    assert len(made.groups) > 1
    assert torch.autograd.gradcheck(seeded, (random_qkv(),))


def test_the_way_of_other_devices_and_precisions_gives_the_same() -> None:
    qkv = random_qkv().detach()
    found = attend(qkv.to(torch.bfloat16), layout(40), 0.0)
    assert torch.allclose(found.double(), naive(qkv), atol=0.03)


def test_groups_hold_every_sequence_once_and_spare_padding() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, size=64)
    groups = length_groups(lengths)
    assert sorted(np.concatenate(groups).tolist()) == list(range(64))
    assert len(groups) > 1
    area = sum(len(group) * int(lengths[group].max()) ** 2 for group in groups)
    assert area < 0.7 * len(lengths) * int(lengths.max()) ** 2
    assert len(length_groups(np.full(8, 7))) == 1
    assert len(length_groups(np.array([7]))) == 1


def test_dropout_zeroes_its_share_and_keeps_the_expectation() -> None:
    torch.manual_seed(0)
    for probability in (0.1, 0.5, 0.9):
        found = mask(torch.Size([1000, 1000]), probability, torch.float64)
        dropped = float((found == 0).double().mean())
        assert dropped == pytest.approx(
            probability, abs=4 * (probability * (1 - probability) / 1e6) ** 0.5
        )
        assert set(found.unique().tolist()) == {0.0, 65536 / (65536 - round(probability * 65536))}
        assert float(found.mean()) == pytest.approx(1.0, abs=0.02)


def test_neighbouring_elements_are_dropped_independently() -> None:
    torch.manual_seed(1)
    found = (mask(torch.Size([400_000]), 0.5, torch.float64) == 0).double() - 0.5
    for lag in (1, 2, 3, 4, 8):
        assert abs(float((found[lag:] * found[:-lag]).mean())) < 4 * 0.25 / 400_000**0.5


def test_no_dropout_is_the_same_tensor_and_draws_nothing() -> None:
    values = torch.ones(3)
    before = torch.get_rng_state()
    assert dropout(values, 0.0) is values
    assert torch.equal(torch.get_rng_state(), before)


def test_an_odd_number_of_elements_is_served_too() -> None:
    for count in (1, 2, 3, 5):
        assert dropout(torch.ones(count), 0.5).shape == (count,)
