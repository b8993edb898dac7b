"""The learning rate at each step, by hand, and weight decay only where it belongs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from mtl.config.sections import Train
from mtl.training.optim import Optimizer, TouchedRows, learning_rate


def rates(total: int, **settings: Any) -> list[float]:
    train = Train(lr=8.0, **settings)
    return [learning_rate(step, total, train) for step in range(total)]


def test_without_warmup_and_decay_the_rate_is_constant() -> None:
    assert rates(5) == [8.0] * 5


def test_the_rate_rises_in_equal_steps_over_the_warmups_share() -> None:
    assert rates(10, warmup=0.4) == pytest.approx([2, 4, 6, 8, 8, 8, 8, 8, 8, 8])


def test_linear_decay_falls_in_equal_steps_to_0_at_the_end() -> None:
    assert rates(4, decay="linear") == pytest.approx([8, 6, 4, 2])
    assert rates(6, warmup=1 / 3, decay="linear") == pytest.approx([4, 8, 8, 6, 4, 2])
    assert learning_rate(4, 4, Train(lr=8.0, decay="linear")) == 0


def test_cosine_decay_is_half_a_cosine() -> None:
    half = 8 * (1 + math.sqrt(0.5)) / 2
    assert rates(4, decay="cosine") == pytest.approx([8, half, 4, 8 - half])
    assert rates(6, warmup=1 / 3, decay="cosine") == pytest.approx([4, 8, 8, half, 4, 8 - half])
    assert learning_rate(4, 4, Train(lr=8.0, decay="cosine")) == pytest.approx(0)


def test_a_warmup_of_all_steps_reaches_the_peak_at_the_last_one() -> None:
    for decay in ("none", "linear", "cosine"):
        assert rates(4, warmup=1.0, decay=decay) == pytest.approx([2, 4, 6, 8])


@pytest.mark.parametrize(
    ("warmup", "total", "steps"), [(0.1, 30, 3), (0.07, 100, 7), (0.29, 100, 29), (0.1, 1000, 100)]
)
def test_a_share_of_the_steps_is_that_many_steps(warmup: float, total: int, steps: int) -> None:
    found = rates(total, warmup=warmup)
    assert found[steps - 1] == pytest.approx(8)
    assert found[steps - 2] == pytest.approx(8 * (steps - 1) / steps)


def test_no_rate_is_0_or_above_the_peak_while_training() -> None:
    for decay in ("none", "linear", "cosine"):
        for warmup in (0.0, 0.1, 0.5, 1.0):
            for total in (1, 2, 3, 17):
                assert all(0 < rate <= 8 for rate in rates(total, warmup=warmup, decay=decay))


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(3, 2)
        self.norm = nn.LayerNorm(2)
        self.linear = nn.Linear(2, 2)
        nn.init.ones_(self.linear.bias)
        nn.init.ones_(self.norm.bias)


def after_a_step(module: nn.Module, settings: Train, skip: str = "") -> dict[str, torch.Tensor]:
    """Parameters after a step with zero gradients (None for `skip`), as shares of those before."""
    parameters = dict(module.named_parameters())
    before = {name: value.detach().clone() for name, value in parameters.items()}
    optimizer = Optimizer(parameters, settings)
    for name, value in parameters.items():
        value.grad = None if name == skip else torch.zeros_like(value)
    optimizer.step(settings.lr)
    return {name: value.detach() / before[name] for name, value in parameters.items()}


def test_weights_decay_and_biases_and_norms_do_not() -> None:
    torch.manual_seed(0)
    shares = after_a_step(Tiny(), Train(lr=0.1, weight_decay=0.5))
    for name in ("linear.weight", "words.weight"):
        assert torch.allclose(shares[name], torch.tensor(0.95)), name
    for name in ("linear.bias", "norm.weight", "norm.bias"):
        assert torch.equal(shares[name], torch.ones(2)), name


def test_without_weight_decay_nothing_decays() -> None:
    torch.manual_seed(0)
    assert all((share == 1).all() for share in after_a_step(Tiny(), Train(lr=0.1)).values())


def test_a_parameter_without_a_gradient_is_neither_moved_nor_decayed() -> None:
    torch.manual_seed(0)
    shares = after_a_step(Tiny(), Train(lr=0.1, weight_decay=0.5), skip="words.weight")
    assert (shares["words.weight"] == 1).all()


def test_every_parameter_is_optimised_once() -> None:
    module = Tiny()
    groups = Optimizer(dict(module.named_parameters()), Train()).adamw.param_groups
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in module.parameters())


def test_one_step_is_adamw_as_bert_was_published() -> None:
    # First step, gradient g: moments (1 - beta) g and (1 - beta) g^2, corrected to g and g^2.
    weight = nn.Parameter(torch.full((1, 1), 3.0))
    optimizer = Optimizer({"weight": weight}, Train(lr=0.1, weight_decay=0.5))
    for gradient, wanted in [(1e-6, 3 * 0.95 - 0.1 * 0.5)]:
        weight.grad = torch.full((1, 1), gradient)
        optimizer.step(0.1)
        assert weight.item() == pytest.approx(wanted, abs=1e-5)
    assert all(group["betas"] == (0.9, 0.999) for group in optimizer.adamw.param_groups)


def test_touched_rows_and_fused_clipping_equal_dense_gradients_and_plain_clipping() -> None:
    settings = Train(lr=0.05, weight_decay=0.1, max_grad_norm=0.5)

    def made() -> nn.ModuleDict:
        torch.manual_seed(0)
        return nn.ModuleDict({"words": nn.Embedding(9, 4), "out": nn.Linear(4, 3)}).double()

    ours, theirs = made(), made()
    ours["words"].sparse = True
    optimizer = Optimizer(dict(ours.named_parameters()), settings)
    decayed = [value for value in theirs.parameters() if value.ndim > 1]
    plain = [value for value in theirs.parameters() if value.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, lr=0.05, betas=(0.9, 0.999), eps=1e-6)
    for ids in ([1, 1, 3], [3, 8], [0], [1, 8, 8, 8], [5]):
        for module in (ours, theirs):
            module.zero_grad(set_to_none=True)
            (30 * module["out"](module["words"](torch.tensor(ids))).square().mean()).backward()
        norm = optimizer.step(0.05)
        expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        reference.step()
        assert norm == pytest.approx(expected.item())
        for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.allclose(one, two, atol=1e-6)


STEPS: list[list[int] | None] = [
    [1, 1, 3],
    [3, 8],
    None,
    [0],
    [1, 8, 8, 5],
    [40, 2, 17, 33, 1],
    None,
    [5, 49, 48, 47],
]
"""Which rows of an embedding of 50 each step touches; None where it has no gradient."""


def embedded(decay: float, *, sparse: bool, resumed: bool = False) -> list[torch.Tensor]:
    """The table after each of `STEPS`, by `Optimizer`; `resumed` restores it before each."""
    torch.manual_seed(0)
    table = nn.Embedding(50, 16, sparse=sparse)
    settings = Train(lr=0.05, weight_decay=decay, max_grad_norm=0.01)
    optimizer = Optimizer({"words": table.weight}, settings)
    targets = torch.randn(50, 16)
    found = []
    for ids in STEPS:
        optimizer.zero_grad()
        if ids is not None:
            chosen = torch.tensor(ids)
            (table(chosen) * targets[chosen]).sum().backward()
            optimizer.step(0.05)
        found.append(table.weight.detach().clone())
        if resumed:
            kept = {key: value.clone() for key, value in optimizer.moments().items()}
            optimizer = Optimizer({"words": table.weight}, settings)
            optimizer.load_moments(kept)
    return found


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adamw_over_the_rows_that_were_touched_is_adamw_over_all_bit_for_bit(
    decay: float, resumed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for two rows at first, so that it grows several times."""
    monkeypatch.setattr(TouchedRows, "MIN_CAPACITY", 2)
    ours = embedded(decay, sparse=True, resumed=resumed)
    for one, two in zip(ours, embedded(decay, sparse=False), strict=True):
        assert torch.equal(one, two)


def test_a_row_that_was_never_touched_keeps_its_bytes_and_takes_no_memory() -> None:
    torch.manual_seed(0)
    table = nn.Embedding(5000, 16, sparse=True)
    before = table.weight.detach().clone()
    optimizer = Optimizer({"words": table.weight}, Train(lr=0.05))
    table(torch.tensor([7, 4000])).sum().backward()
    optimizer.step(0.05)
    moved = (table.weight != before).any(1).nonzero().flatten().tolist()
    assert moved == [7, 4000]
    assert optimizer.moments()["words.exp_avg"].shape == (2, 16)
    assert optimizer.adamw.state[optimizer.touched[table.weight].values]["exp_avg"].shape == (
        TouchedRows.MIN_CAPACITY,
        16,
    )


def test_moments_that_lie_otherwise_than_their_weight_are_put_right() -> None:
    """The fused kernel pairs numbers by their place in memory."""
    torch.manual_seed(0)
    found = []
    for lies_as_transpose in (False, True):
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(6, 4))
        if lies_as_transpose:
            weight.data = weight.detach().t().contiguous().t()
        optimizer = Optimizer({"weight": weight}, Train(lr=0.05))
        for step in range(3):
            gradient = torch.arange(24.0).view(6, 4) * (step - 1)
            weight.grad = gradient  # lies in rows, whatever the weight does
            optimizer.step(0.05)
            kept = {key: value.contiguous().clone() for key, value in optimizer.moments().items()}
            optimizer = Optimizer({"weight": weight}, Train(lr=0.05))
            optimizer.load_moments(kept)
        found.append(weight.detach())
    assert torch.equal(*found)
