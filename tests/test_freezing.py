"""Frozen parameters keep their bytes under every schedule and surgery, and the run says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from mtl.config.sections import Schedule
from mtl.training.loop import train
from mtl.training.outcome import frozen_unchanged
from tests.training_tools import config, started


@pytest.mark.parametrize("scope", ["all", ["sts"], ["sst", "quora"]], ids=str)
@pytest.mark.parametrize(
    ("schedule", "surgery"),
    [(name, "sum") for name in get_args(Schedule)]
    + [("consolidated", "dominant"), ("consolidated", "pcgrad")],
)
def test_freezing_by_scope_holds_under_every_schedule_and_surgery(
    tiny: dict[str, Any], tmp_path: Path, schedule: str, surgery: str, scope: Any
) -> None:
    """Layers below the cut get a gradient only in steps with a task outside the scope."""
    freeze = {"unfrozen": 1, "scope": scope}
    training = started(
        config(tiny, freeze=freeze, schedule=schedule, surgery=surgery, train__weight_decay=0.1),
        tmp_path,
    )
    below = [value for name, value in training.model.encoder.named_parameters() if _layer(name) < 1]
    below = [value for value in below if value is not training.model.encoder.pooler.weight]
    below = [value for value in below if value is not training.model.encoder.pooler.bias]
    kinds = set()
    for rows in training.plan.epoch(0) + training.plan.epoch(1):
        inside = scope == "all" or all(task in scope for task in rows)
        kinds.add(inside)
        before = [value.detach().clone() for value in below]
        training.step(rows)
        moved = [not torch.equal(value, old) for value, old in zip(below, before, strict=True)]
        assert any(moved) != inside
        assert all((value.grad is None) == inside for value in below)
    every_step_has_all = schedule == "joint"
    assert kinds == ({True} if scope == "all" else {False} if every_step_has_all else {True, False})


@pytest.mark.parametrize("unfrozen", [0, 1, 2])
def test_frozen_bytes_stay_and_the_rest_moves(
    tiny: dict[str, Any], tmp_path: Path, unfrozen: int
) -> None:
    chosen = config(tiny, freeze={"unfrozen": unfrozen}, train__weight_decay=0.1)
    training = started(chosen, tmp_path)
    before = {name: value.clone() for name, value in training.model.encoder.named_parameters()}
    for rows in training.plan.epoch(0):
        training.step(rows)
    moved = {
        name
        for name, value in training.model.encoder.named_parameters()
        if not torch.equal(value, before[name])
    }
    trains = {name for name in before if name.startswith("pooler") or _layer(name) >= 2 - unfrozen}
    assert moved == trains
    assert frozen_unchanged(training.model, training.prepared.pretrained, 0) is True
    assert not any(name.startswith("encoder.words") for name in training.trainable)


def test_a_frozen_run_says_so_and_an_unfrozen_one_says_nothing(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    assert train(config(tiny, freeze__unfrozen=1), runs=tmp_path).frozen_unchanged is True
    assert train(config(tiny), runs=tmp_path).frozen_unchanged is None


def test_a_scoped_step_leaves_the_frozen_part_without_gradient_moment_or_decay(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    chosen = config(tiny, freeze={"unfrozen": 1, "scope": ["sts"]}, train__weight_decay=0.1)
    training = started(chosen, tmp_path)
    frozen = dict(training.model.named_parameters())
    frozen = {
        name: value
        for name, value in frozen.items()
        if "encoder." in name and _layer(name.removeprefix("encoder.")) < 1
    }
    frozen = {name: value for name, value in frozen.items() if "pooler" not in name}
    steps = training.plan.epoch(0)
    for rows in [step for step in steps if "sts" not in step][:2]:
        training.step(rows)
    before = {name: value.clone() for name, value in frozen.items()}
    for rows in [step for step in steps if "sts" in step]:
        training.step(rows)
        assert all(value.grad is None for value in frozen.values())
    assert all(torch.equal(value, before[name]) for name, value in frozen.items())
    training.step(next(step for step in steps if "sts" not in step))
    assert not all(torch.equal(value, before[name]) for name, value in frozen.items())


def _layer(name: str) -> int:
    return int(name.split(".")[1]) if name.startswith("layers.") else -1
