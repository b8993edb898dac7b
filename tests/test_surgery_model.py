"""Gradient surgery on tensors and on a model, parameter by parameter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mtl.data.schedules import Step
from mtl.methods.gradients import gram, put, take
from mtl.methods.surgery import Surgery
from mtl.rng import numpy_stream
from mtl.tasks.task import TaskName
from mtl.training.loop import train
from mtl.training.run import Training
from tests.surgery_tools import combined, drawn, every_real_surgery
from tests.training_tools import config, started

# --- on tensors


def sparse(rows: list[int], values: list[list[float]], size: int = 5) -> Tensor:
    return torch.sparse_coo_tensor(
        torch.tensor([rows]),
        torch.tensor(values, dtype=torch.float32),
        (size, len(values[0])),
        check_invariants=True,
    )


def given_gradients(
    parameters: list[nn.Parameter], grads: list[Tensor | None]
) -> list[Tensor | None]:
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad
    return take(parameters)


def test_inner_products_of_sparse_gradients_count_shared_rows_and_repeated_rows() -> None:
    words = [nn.Parameter(torch.zeros(5, 2))]
    one = given_gradients(
        words, [sparse([3, 1, 3], [[1, 2], [5, 0], [1, 0]])]
    )  # row 1: (5, 0), row 3: (2, 2)
    two = given_gradients(words, [sparse([4, 3, 0], [[7, 7], [-3, 1], [1, 1]])])  # row 3: (-3, 1)
    none = given_gradients(words, [sparse([0, 2], [[0, 0], [1, 0]])])
    found = gram([one, two, none])
    assert found.tolist() == [[33, -4, 0], [-4, 110, 0], [0, 0, 1]]
    put(words, [one, two, none], np.array([1.0, 2.0, 1.0]))
    assert words[0].grad is not None
    assert words[0].grad.is_sparse
    assert words[0].grad.to_dense().tolist() == [[2, 2], [5, 0], [1, 0], [-4, 4], [14, 14]]


def test_a_parameter_takes_only_the_gradients_that_reach_it_and_none_where_none_does() -> None:
    both, first, neither = parameters = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    one = given_gradients(parameters, [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0]), None])
    two = given_gradients(parameters, [torch.tensor([-1.0, 1.0]), None, None])
    assert gram([one, two]).tolist() == [[14, 1], [1, 2]]
    put(parameters, [one, two], np.array([2.0, 1.0]))
    assert both.grad is not None
    assert both.grad.tolist() == [1, 5]
    assert first.grad is not None
    assert first.grad.tolist() == [6, 0]
    assert neither.grad is None


# --- on a model


STILL = {
    "schedule": "consolidated",
    "train__batch_size": 12,
    "train__dropout": 0.0,
    "train__max_grad_norm": None,
}


def begun(tiny: dict[str, Any], folder: Path, **changes: Any) -> tuple[Training, Step]:
    """A consolidated run without dropout, and a step with three tasks."""
    training = started(config(tiny, **{**STILL, **changes}), folder)
    return training, next(step for step in training.plan.epoch(0) if len(step) == 3)


def step_gradient(training: Training, rows: Step) -> dict[str, Tensor]:
    """What the run's surgery leaves in `.grad`, dense, by name, where there is a gradient."""
    training.optimizer.zero_grad()
    passes = training.model.passes(rows)
    training.surgery.backward(passes, training.stepper.losses, numpy_stream(0, "surgery/0"))
    return grads(training)


def grads(training: Training) -> dict[str, Tensor]:
    named = training.trainable.items()
    found = {name: value.grad for name, value in named if value.grad is not None}
    # Coalesced first, as the optimiser does, so that repeated rows are added in the same order.
    return {
        name: (grad.coalesce() if grad.is_sparse else grad).to_dense().clone()
        for name, grad in found.items()
    }


def task_gradients(training: Training, rows: Step) -> dict[TaskName, dict[str, Tensor]]:
    """Each task's plain gradient on its rows of the step."""
    found = {}
    for task in rows:
        training.optimizer.zero_grad()
        training.stepper.losses({task: rows[task]})[task].backward()
        found[task] = grads(training)
    return found


def flat(training: Training, rows: Step) -> Tensor:
    """The backbone's gradients in one matrix, (T, P) float64, zeros where a task has none."""
    shapes = {
        name: value for name, value in training.trainable.items() if name.startswith("encoder.")
    }
    matrix_rows = []
    for found in task_gradients(training, rows).values():
        parts = [
            found.get(name, torch.zeros_like(value)).flatten() for name, value in shapes.items()
        ]
        matrix_rows.append(torch.cat(parts).double())
    return torch.stack(matrix_rows)


def test_sum_equals_one_backward_of_the_summed_loss_and_each_task_on_its_own(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    training, rows = begun(tiny, tmp_path)
    found = step_gradient(training, rows)
    training.optimizer.zero_grad()
    torch.stack(list(training.stepper.losses(rows).values())).sum().backward()
    once = grads(training)
    assert found.keys() == once.keys() == training.trainable.keys()
    assert all(torch.equal(found[name], once[name]) for name in once)
    training.optimizer.zero_grad()
    Surgery.backward(training.surgery, [rows], training.stepper.losses, drawn())
    apart = grads(training)
    assert apart.keys() == once.keys()
    for name in once:
        assert torch.allclose(apart[name], once[name], rtol=1e-4, atol=1e-6), name


CUTS: dict[str, dict[str, Any]] = {
    "all layers": {},
    "one layer": {"freeze__unfrozen": 1},
    "one layer for sts": {"freeze": {"unfrozen": 1, "scope": ["sts"]}},
}


@every_real_surgery
@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
def test_parameter_by_parameter_is_what_the_law_says_of_the_whole_matrix(
    tiny: dict[str, Any], tmp_path: Path, name: str, cut: dict[str, Any]
) -> None:
    training, rows = begun(tiny, tmp_path, surgery=name, **cut)
    rows = {task: index for part in training.model.passes(rows) for task, index in part.items()}
    gradients = flat(training, rows)
    taken = []
    for task in rows:
        training.optimizer.zero_grad()
        training.stepper.losses({task: rows[task]})[task].backward()
        taken.append(take(training.surgery.backbone))
    products = (gradients @ gradients.T).numpy()
    assert np.allclose(gram(taken), products, rtol=1e-5, atol=1e-9 + 1e-6 * products.max())
    expected = combined(training.surgery, gradients, numpy_stream(0, "surgery/0"))
    assert (gradients @ gradients.T < 0).any(), "no conflict: this test would show nothing"
    assert not torch.allclose(expected, gradients.sum(0))
    found = step_gradient(training, rows)
    start = 0
    for key, value in training.trainable.items():
        if key.startswith("encoder."):
            part = expected[start : start + value.numel()].view(value.shape)
            assert torch.allclose(found[key].double(), part, rtol=1e-4, atol=1e-6), key
            start += value.numel()


@every_real_surgery
def test_heads_keep_their_plain_gradients(tiny: dict[str, Any], tmp_path: Path, name: str) -> None:
    training, rows = begun(tiny, tmp_path, surgery=name)
    plain = task_gradients(training, rows)
    found = step_gradient(training, rows)
    heads = [key for key in training.trainable if key.startswith("heads.")]
    assert heads
    for key in heads:
        task: Any = key.split(".")[1]
        assert torch.equal(found[key], plain[task][key]), key


@every_real_surgery
@pytest.mark.parametrize("task", ["sst", "quora", "sts"])
def test_with_one_task_in_the_step_the_gradient_is_the_plain_one_bit_for_bit(
    tiny: dict[str, Any], tmp_path: Path, name: str, task: Any
) -> None:
    training, rows = begun(tiny, tmp_path, surgery=name, train__dropout=0.1)
    rows = {task: rows[task]}
    torch.manual_seed(3)
    plain = task_gradients(training, rows)[task]
    torch.manual_seed(3)
    found = step_gradient(training, rows)
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[key], plain[key]) for key in plain)


@every_real_surgery
def test_the_word_embeddings_gradient_stays_sparse_and_no_graph_is_kept(
    tiny: dict[str, Any], tmp_path: Path, name: str
) -> None:
    training, rows = begun(tiny, tmp_path, surgery=name)
    kept: list[Tensor] = []
    passes: list[list[TaskName]] = []

    def watched(part: Step) -> dict[TaskName, Tensor]:
        for loss in kept:
            with pytest.raises(RuntimeError, match="a second time"):
                loss.backward()
        found = training.stepper.losses(part)
        kept.extend(found.values())
        passes.append(list(part))
        return found

    training.surgery.backward(training.model.passes(rows), watched, drawn())
    assert passes == [[task] for task in rows]
    words = training.model.encoder.words.weight
    assert words.grad is not None
    assert words.grad.is_sparse


@every_real_surgery
def test_a_scoped_task_leaves_the_frozen_part_to_the_others_and_none_where_it_is_alone(
    tiny: dict[str, Any], tmp_path: Path, name: str
) -> None:
    training, rows = begun(tiny, tmp_path, surgery=name, freeze={"unfrozen": 1, "scope": ["sts"]})
    below = [
        key for key in training.trainable if key.startswith(("encoder.words", "encoder.layers.0."))
    ]
    plain = task_gradients(training, rows)
    assert below
    assert not plain["sts"].keys() & set(below)
    mixed = step_gradient(training, rows)
    for key in below:
        both = torch.stack([plain["sst"][key].flatten(), plain["quora"][key].flatten()]).double()
        weights = torch.linalg.lstsq(both.T, mixed[key].flatten().double()[:, None]).solution
        assert torch.allclose(both.T @ weights, mixed[key].double().reshape(-1, 1), atol=1e-5), key
    rows = {"sts": rows["sts"]}
    alone = step_gradient(training, rows)
    assert not alone.keys() & set(below)
    before = {key: training.trainable[key].detach().clone() for key in below}
    training.step(rows)
    assert all(torch.equal(training.trainable[key], before[key]) for key in below)


@every_real_surgery
@pytest.mark.parametrize("unfrozen", [0, 1])
def test_frozen_parameters_enter_nothing_and_keep_their_bytes(
    tiny: dict[str, Any], tmp_path: Path, name: str, unfrozen: int
) -> None:
    chosen = config(
        tiny, **{**STILL, "surgery": name, "freeze__unfrozen": unfrozen, "train__weight_decay": 0.1}
    )
    training = started(chosen, tmp_path)
    assert {id(value) for value in training.surgery.backbone} == {
        id(value) for key, value in training.trainable.items() if key.startswith("encoder.")
    }
    assert train(chosen, runs=tmp_path).frozen_unchanged is True
