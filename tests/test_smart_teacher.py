"""SMART's dropout masks, its teacher (D_Breg), and its gradients against finite differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl.model.losses import divergence
from mtl.tasks.registry import TASKS
from mtl.training.run import Training
from tests.smart_tools import pairings, smart

ROUNDING = 1e-24
"""The square of a float64 rounding error: equal products may differ in their last bit."""


# --- dropout


def test_with_the_clean_pass_masks_the_floor_is_0_and_training_draws_as_without_smart(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    training, penalty, batch = smart(
        tiny, tmp_path, heads={"quora": "features", "sts": "features"}, train__dropout=0.1
    )
    torch.manual_seed(0)
    plain = training.model(batch, 0.1)
    after = torch.get_rng_state()
    torch.manual_seed(0)
    (outputs,), _ = penalty.forward(batch, 0)
    assert torch.equal(torch.get_rng_state(), after)
    assert all(torch.equal(outputs[task], plain[task]) for task in TASKS)
    clean = penalty.clean_pass(batch)
    floor = penalty.floor(batch, clean, torch.get_rng_state())
    assert floor.keys() == TASKS.keys()
    assert all(float(value) < ROUNDING for value in floor.values()), floor


def test_with_fresh_masks_r_s_has_a_floor_and_measuring_it_changes_nothing(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    _, penalty, batch = smart(
        tiny, tmp_path, train__dropout=0.1, smart={"dropout": True, "sigma": 1e-8}
    )
    states = []
    for step in (10, 11):  # the floor is measured at the first only
        torch.manual_seed(0)
        penalty.forward(batch, step)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
    measured, not_measured = (penalty.report(step, {})["smart"] for step in (10, 11))
    for task in TASKS:
        assert measured[task]["floor"] > 0
        assert measured[task]["r_s"] == pytest.approx(measured[task]["floor"], rel=0.01)
        assert "floor" not in not_measured[task]


# --- D_Breg and its teacher


@pairings
def test_d_breg_is_0_at_step_0_and_not_after_a_step(
    tiny: dict[str, Any], tmp_path: Path, pairing: dict[str, Any]
) -> None:
    training, penalty, batch = smart(tiny, tmp_path, **pairing)
    assert all(
        value < ROUNDING
        for value in penalty.teacher_distance(batch, penalty.clean_pass(batch)).values()
    )
    training.step(training.plan.epoch(0)[0])
    assert all(
        value > ROUNDING
        for value in penalty.teacher_distance(batch, penalty.clean_pass(batch)).values()
    )


def test_the_teacher_is_an_average_worked_by_hand(tiny: dict[str, Any], tmp_path: Path) -> None:
    training, penalty, _ = smart(tiny, tmp_path)
    assert penalty.teacher is not None
    ours, theirs = (
        dict(model.named_parameters())["heads.sst.out.bias"]
        for model in (training.model, penalty.teacher)
    )
    with torch.no_grad():
        theirs.fill_(1.0)
        ours.fill_(2.0)
    # 20 steps: the first tenth is steps 0 and 1, with beta 0.99; then 0.999.
    for step, expected in enumerate([1.01, 1.0199, 1.0199 + 0.001 * 0.9801]):
        penalty.after_step(step, 20)
        assert theirs.tolist() == pytest.approx([expected] * 5, abs=1e-12)
    assert ours.tolist() == [2.0] * 5


def test_gradients_never_move_the_teacher(tiny: dict[str, Any], tmp_path: Path) -> None:
    training, penalty, _ = smart(tiny, tmp_path, freeze__unfrozen=1, smart={"beta": 1.0})
    assert penalty.teacher is not None
    before = {name: value.clone() for name, value in penalty.teacher.named_parameters()}
    for rows in training.plan.epoch(0):
        training.step(rows)
        assert all(
            value.grad is None and not value.requires_grad for value in penalty.teacher.parameters()
        )
    assert all(
        torch.equal(value, before[name]) for name, value in penalty.teacher.named_parameters()
    )
    own = {
        name
        for name, value in penalty.teacher.named_parameters()
        if value is not training.model.get_parameter(name)
    }
    assert own == training.model.trainable().keys()  # frozen tensors are shared, the others cloned


def test_without_mu_there_is_no_teacher(tiny: dict[str, Any], tmp_path: Path) -> None:
    _, penalty, _ = smart(tiny, tmp_path, smart={"mu": 0.0})
    assert penalty.teacher is None
    assert penalty.tensors() == {}


# --- gradients against finite differences


def finite_difference(training: Training, term: Any, seed: int) -> tuple[float, float]:
    """The term's derivative along a random direction of the weights: autograd's, and measured."""
    draw = torch.Generator().manual_seed(seed)
    weights = list(training.trainable.values())
    direction = [torch.randn(value.shape, generator=draw, dtype=value.dtype) for value in weights]
    training.optimizer.zero_grad()
    term().backward()
    ours = sum(
        float((value.grad.to_dense() * way).sum())
        for value, way in zip(weights, direction, strict=True)
        if value.grad is not None
    )

    def at(length: float) -> float:
        with torch.no_grad():
            for value, way in zip(weights, direction, strict=True):
                value.add_(way, alpha=length)
            found = float(term().detach())
            for value, way in zip(weights, direction, strict=True):
                value.sub_(way, alpha=length)
        return found

    h = 1e-6
    return ours, (at(h) - at(-h)) / (2 * h)


@pairings
@pytest.mark.parametrize("freeze", [{}, {"unfrozen": 1}], ids=["all", "1 unfrozen"])
@pytest.mark.parametrize("name", ["r_s", "d_breg"])
@pytest.mark.parametrize("task", list(TASKS))
def test_each_terms_gradient_is_the_one_measured(
    tiny: dict[str, Any],
    tmp_path: Path,
    pairing: dict[str, Any],
    freeze: dict[str, Any],
    name: str,
    task: Any,
) -> None:
    training, penalty, batch = smart(tiny, tmp_path, **pairing, freeze=freeze, train__dropout=0.1)
    assert penalty.teacher is not None
    torch.manual_seed(3)
    state = torch.get_rng_state()
    noise = (
        torch.randn(
            batch.packed.tokens, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        * 0.1
    )
    with torch.no_grad():
        for value in penalty.teacher.parameters():
            if not any(value is mine for mine in training.model.parameters()):
                value.mul_(0.9)

    def term() -> Tensor:
        torch.set_rng_state(state)
        clean = penalty.clean_pass(batch)
        found = (
            penalty.smoothness(batch, clean, noise)
            if name == "r_s"
            else penalty.teacher_distance(batch, clean)
        )
        return found[task]

    for seed in range(3):
        ours, measured = finite_difference(training, term, seed)
        assert abs(ours) > 1e-6
        assert ours == pytest.approx(measured, rel=1e-4)


@pytest.mark.parametrize("freeze", [{}, {"unfrozen": 0}], ids=["all", "none unfrozen"])
def test_the_inner_gradient_is_the_one_measured_and_fills_no_parameters_gradient(
    tiny: dict[str, Any], tmp_path: Path, freeze: dict[str, Any]
) -> None:
    training, penalty, batch = smart(tiny, tmp_path, tasks=["sst"], freeze=freeze)
    clean = penalty.clean_pass(batch)
    draw = torch.Generator().manual_seed(0)
    noisy = clean.embedded.detach() + 0.1 * torch.randn(
        clean.embedded.shape, generator=draw, dtype=torch.float64
    )
    way = torch.randn(noisy.shape, generator=draw, dtype=torch.float64)
    ours = float((penalty.ascent_gradient(batch, clean, noisy.clone()) * way).sum())
    assert all(value.grad is None for value in training.model.parameters())

    def at(length: float) -> float:
        outputs = training.model.outputs(batch, training.model.vectors(batch, noisy + length * way))
        return float(divergence("classes", outputs["sst"], clean.outputs["sst"]).sum().detach())

    assert ours == pytest.approx((at(1e-6) - at(-1e-6)) / 2e-6, rel=1e-5)
