"""Surgery: laws and hand-worked values on matrices, then the same on a model, parameter by parameter."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mtl.methods import conflicts
from mtl.methods.gradients import gram, put, take
from mtl.methods.surgery import SURGERIES, Dominant, PCGrad, Sum, Surgery
from mtl.rng import numpy_stream
from mtl.runs.folder import RunFolder
from mtl.tasks.registry import TaskName
from mtl.training.loop import Training, train
from tests.test_training import config, losses, started

GRADIENTS = st.integers(1, 4).flatmap(
    lambda tasks: st.lists(
        st.lists(st.integers(-4, 4), min_size=3, max_size=3), min_size=tasks, max_size=tasks
    )
)
every_surgery = pytest.mark.parametrize("name", SURGERIES)
every_real_surgery = pytest.mark.parametrize("name", ["dominant", "pcgrad"])


class Fixed(np.random.Generator):
    """A generator whose permutations are given."""

    def __init__(self, *orders: list[int]) -> None:
        super().__init__(np.random.PCG64(0))
        self.orders = list(orders)

    def permutation(self, x: Any, axis: int = 0) -> Any:
        order = self.orders.pop(0)
        assert sorted(order) == list(range(x))
        return np.array(order)


def matrix(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def drawn() -> np.random.Generator:
    return np.random.default_rng(0)


def projected(surgery: Surgery, gradients: Tensor, generator: np.random.Generator) -> Tensor:
    """Each task's gradient after surgery, (T, P)."""
    return (
        torch.from_numpy(surgery.coefficients((gradients @ gradients.T).numpy(), generator))
        @ gradients
    )


# --- on matrices: values worked by hand


def test_dominant_projects_the_smaller_off_the_larger() -> None:
    # g1 . g2 = -3, |g1|^2 = 9: g2 + 3/9 g1 = (0, 1)
    gradients = matrix([3, 0], [-1, 1])
    assert projected(Dominant(), gradients, drawn()).tolist() == [[3, 0], [0, 1]]
    assert Dominant().combine(gradients, drawn()).tolist() == [3, 1]


def test_dominant_leaves_conflicts_between_two_others_alone() -> None:
    # g1 is largest; g2 . g1 = -8 of 16: g2 + g1 / 2 = (0, 1); g3 agrees with g1 and conflicts with g2 (-4).
    gradients = matrix([-2, 1], [4, 0], [1, -2])
    assert projected(Dominant(), gradients, drawn()).tolist() == [[0, 1], [4, 0], [1, -2]]
    assert Dominant().combine(gradients, drawn()).tolist() == [5, -1]


def test_pcgrad_projects_both_off_each_others_original() -> None:
    # g1 + 3/2 g2 = (1.5, 1.5), g2 + 3/9 g1 = (0, 1)
    gradients = matrix([3, 0], [-1, 1])
    assert projected(PCGrad(), gradients, drawn()).tolist() == [[1.5, 1.5], [0, 1]]
    assert PCGrad().combine(gradients, drawn()).tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("order", "after", "combined"),
    [
        # g2 . g3 = 0: g2 conflicts with g3 only once it has been moved off g1.
        ([0, 1, 2], [[0, 0], [-0.5, 0.5], [-0.5, -0.5]], [-1, 0]),
        ([2, 1, 0], [[0, 0], [0, 1], [0, -1]], [0, 0]),
    ],
)
def test_pcgrad_visits_the_others_in_the_order_drawn(
    order: list[int], after: Any, combined: Any
) -> None:
    gradients = matrix([1, 0], [-1, 1], [-1, -1])
    assert projected(PCGrad(), gradients, Fixed(order, order, order)).tolist() == after
    assert PCGrad().combine(gradients, Fixed(order, order, order)).tolist() == combined


def test_pcgrads_order_comes_from_the_generator_alone() -> None:
    products = (matrix([1, 0], [-1, 1], [-1, -1]) @ matrix([1, 0], [-1, 1], [-1, -1]).T).numpy()
    torch.manual_seed(0)
    found = [
        tuple(PCGrad().weights(products, numpy_stream(0, f"surgery/{step}"))) for step in range(30)
    ]
    torch.manual_seed(1)
    assert found == [
        tuple(PCGrad().weights(products, numpy_stream(0, f"surgery/{step}"))) for step in range(30)
    ]
    assert len(set(found)) > 1


# --- on matrices: laws


@every_surgery
@settings(max_examples=200, deadline=None)
@given(rows=GRADIENTS, seed=st.integers(0, 9))
def test_gradients_that_agree_pass_unchanged(name: Any, rows: list[list[int]], seed: int) -> None:
    gradients = matrix(*rows).abs()
    weights = SURGERIES[name]().weights(
        (gradients @ gradients.T).numpy(), np.random.default_rng(seed)
    )
    assert weights.tolist() == [1] * len(rows)


@every_surgery
@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_task_alone_and_gradients_of_zero_pass_unchanged(name: Any, size: int) -> None:
    assert SURGERIES[name]().weights(np.array([[7.0]]), drawn()).tolist() == [1]
    assert SURGERIES[name]().weights(np.zeros((size, size)), drawn()).tolist() == [1] * size


@settings(max_examples=300, deadline=None)
@given(rows=GRADIENTS)
def test_the_dominant_gradient_is_never_changed_and_nothing_conflicts_with_it_after(
    rows: list[list[int]],
) -> None:
    gradients = matrix(*rows)
    after = projected(Dominant(), gradients, drawn())
    largest = int(gradients.norm(dim=1).argmax())
    assert torch.equal(after[largest], gradients[largest])
    assert (after @ gradients[largest] >= -1e-9).all()
    for before, now in zip(gradients, after, strict=True):
        if before @ gradients[largest] >= 0:
            assert torch.equal(now, before)
        else:
            assert abs(now @ gradients[largest]) < 1e-9


@settings(max_examples=300, deadline=None)
@given(rows=GRADIENTS, seed=st.integers(0, 99))
def test_pcgrad_leaves_no_conflict_with_the_gradient_visited_last(
    rows: list[list[int]], seed: int
) -> None:
    gradients, draw = matrix(*rows), np.random.default_rng(seed)
    orders = [draw.permutation(len(rows)).tolist() for _ in rows]
    after = projected(PCGrad(), gradients, Fixed(*orders))
    for i, (order, now) in enumerate(zip(orders, after, strict=True)):
        others = [j for j in order if j != i]
        if others:
            assert now @ gradients[others[-1]] >= -1e-9
        if all(gradients[i] @ gradients[j] >= 0 for j in others):
            assert torch.equal(now, gradients[i])


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(st.lists(st.integers(-4, 4), min_size=3, max_size=3), min_size=2, max_size=2))
def test_for_two_tasks_both_kinds_treat_the_smaller_gradient_alike(rows: list[list[int]]) -> None:
    gradients = matrix(*rows)
    smaller = 1 - int(gradients.norm(dim=1).argmax())
    one, two = (projected(kind, gradients, drawn())[smaller] for kind in (Dominant(), PCGrad()))
    assert torch.equal(one, two)


def test_sum_is_the_sum() -> None:
    gradients = torch.randn(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(Sum().combine(gradients, drawn()), gradients.sum(0), rtol=1e-12)


@pytest.mark.parametrize("tasks", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("seed", range(5))
def test_pcgrad_equals_torchjd(tasks: int, seed: int) -> None:
    torchjd = pytest.importorskip("torchjd.aggregation")
    gradients = torch.randn(
        tasks, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    if tasks > 1 and gradients[0] @ gradients[1] > 0:
        gradients[1] *= -1  # so that there is a conflict
    torch.manual_seed(seed)
    orders = [torch.randperm(tasks).tolist() for _ in range(tasks)]
    torch.manual_seed(seed)
    theirs = torchjd.PCGrad()(gradients)
    assert torch.allclose(
        PCGrad().combine(gradients, Fixed(*orders)), theirs, rtol=1e-10, atol=1e-12
    )
    assert tasks == 1 or not torch.allclose(theirs, gradients.sum(0))


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


def test_inner_products_of_sparse_gradients_count_the_rows_that_both_touch_and_rows_given_twice() -> (
    None
):
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


def begun(tiny: dict[str, Any], folder: Path, **changes: Any) -> Training:
    """A consolidated run without dropout, with three tasks in the step to come."""
    training = started(config(tiny, **{**STILL, **changes}), folder)
    training.rows = next(step for step in training.epoch(0) if len(step) == 3)
    return training


def step_gradient(
    training: Training, tasks: tuple[TaskName, ...] | None = None
) -> dict[str, Tensor]:
    """What the run's surgery leaves in `.grad`, dense, by name; parameters without a gradient are not there."""
    training.optimizer.zero_grad()
    groups = training.model.frozen_groups(tasks or tuple(training.rows))
    training.surgery.backward(groups, training.losses_of, numpy_stream(0, "surgery/0"))
    return grads(training)


def grads(training: Training) -> dict[str, Tensor]:
    named = training.trainable.items()
    found = {name: value.grad for name, value in named if value.grad is not None}
    # Coalesced first, as the optimiser does: rows given twice are then added in one and the same order.
    return {
        name: (grad.coalesce() if grad.is_sparse else grad).to_dense().clone()
        for name, grad in found.items()
    }


def task_gradients(training: Training) -> dict[TaskName, dict[str, Tensor]]:
    """Each task's plain gradient on its rows of the step."""
    found = {}
    for task in training.rows:
        training.optimizer.zero_grad()
        training.losses_of((task,))[task].backward()
        found[task] = grads(training)
    return found


def flat(training: Training) -> Tensor:
    """The backbone's gradients in one matrix, (T, P) float64, zeros where a task has none."""
    shapes = {
        name: value for name, value in training.trainable.items() if name.startswith("encoder.")
    }
    rows = []
    for found in task_gradients(training).values():
        parts = [
            found.get(name, torch.zeros_like(value)).flatten() for name, value in shapes.items()
        ]
        rows.append(torch.cat(parts).double())
    return torch.stack(rows)


def test_sum_equals_one_backward_of_the_summed_loss_and_each_task_on_its_own(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    training = begun(tiny, tmp_path)
    found = step_gradient(training)
    training.optimizer.zero_grad()
    torch.stack(list(training.losses_of(tuple(training.rows)).values())).sum().backward()
    once = grads(training)
    assert found.keys() == once.keys() == training.trainable.keys()
    assert all(torch.equal(found[name], once[name]) for name in once)
    groups = [tuple(training.rows)]
    training.optimizer.zero_grad()
    Surgery.backward(training.surgery, groups, training.losses_of, drawn())
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
    training = begun(tiny, tmp_path, surgery=name, **cut)
    tasks = [task for group in training.model.frozen_groups(tuple(training.rows)) for task in group]
    training.rows = {task: training.rows[task] for task in tasks}
    gradients = flat(training)
    taken = []
    for task in tasks:
        training.optimizer.zero_grad()
        training.losses_of((task,))[task].backward()
        taken.append(take(training.surgery.backbone))
    products = (gradients @ gradients.T).numpy()
    assert np.allclose(gram(taken), products, rtol=1e-5, atol=1e-9 + 1e-6 * products.max())
    expected = training.surgery.combine(gradients, numpy_stream(0, "surgery/0"))
    assert (gradients @ gradients.T < 0).any(), "no conflict: this test would show nothing"
    assert not torch.allclose(expected, gradients.sum(0))
    found = step_gradient(training)
    start = 0
    for key, value in training.trainable.items():
        if key.startswith("encoder."):
            part = expected[start : start + value.numel()].view(value.shape)
            assert torch.allclose(found[key].double(), part, rtol=1e-4, atol=1e-6), key
            start += value.numel()


@every_real_surgery
def test_heads_keep_their_plain_gradients(tiny: dict[str, Any], tmp_path: Path, name: str) -> None:
    training = begun(tiny, tmp_path, surgery=name)
    plain = task_gradients(training)
    found = step_gradient(training)
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
    training = begun(tiny, tmp_path, surgery=name, train__dropout=0.1)
    training.rows = {task: training.rows[task]}
    torch.manual_seed(3)
    plain = task_gradients(training)[task]
    torch.manual_seed(3)
    found = step_gradient(training)
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[key], plain[key]) for key in plain)


@every_real_surgery
def test_the_word_embeddings_gradient_stays_sparse_and_no_graph_is_kept(
    tiny: dict[str, Any], tmp_path: Path, name: str
) -> None:
    training = begun(tiny, tmp_path, surgery=name)
    kept: list[Tensor] = []
    passes: list[tuple[TaskName, ...]] = []

    def watched(tasks: tuple[TaskName, ...]) -> dict[TaskName, Tensor]:
        for loss in kept:
            with pytest.raises(RuntimeError, match="a second time"):
                loss.backward()
        found = training.losses_of(tasks)
        kept.extend(found.values())
        passes.append(tasks)
        return found

    training.surgery.backward(training.model.frozen_groups(tuple(training.rows)), watched, drawn())
    assert passes == [(task,) for task in training.rows]
    words = training.model.encoder.words.weight
    assert words.grad is not None
    assert words.grad.is_sparse


@every_real_surgery
def test_a_scoped_task_leaves_the_frozen_part_to_the_others_and_none_where_it_is_alone(
    tiny: dict[str, Any], tmp_path: Path, name: str
) -> None:
    training = begun(tiny, tmp_path, surgery=name, freeze={"unfrozen": 1, "scope": ["sts"]})
    below = [
        key for key in training.trainable if key.startswith(("encoder.words", "encoder.layers.0."))
    ]
    plain = task_gradients(training)
    assert below
    assert not plain["sts"].keys() & set(below)
    mixed = step_gradient(training)
    for key in below:
        both = torch.stack([plain["sst"][key].flatten(), plain["quora"][key].flatten()]).double()
        weights = torch.linalg.lstsq(both.T, mixed[key].flatten().double()[:, None]).solution
        assert torch.allclose(both.T @ weights, mixed[key].double().reshape(-1, 1), atol=1e-5), key
    training.rows = {"sts": training.rows["sts"]}
    alone = step_gradient(training)
    assert not alone.keys() & set(below)
    before = {key: training.trainable[key].detach().clone() for key in below}
    training.step(training.rows)
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
    assert train(chosen, runs=tmp_path)["frozen_unchanged"] is True


# --- what is told


def test_a_line_says_what_surgery_saw() -> None:
    # sts (3, 0), sst (-1, 1), quora (0, 0): dominant takes g_sst . g_sts = -3 off, which is the vector (1, 0).
    gradients = matrix([3, 0], [-1, 1], [0, 0])
    products = (gradients @ gradients.T).numpy()
    line = conflicts.describe(
        ("sts", "sst", "quora"), products, Dominant().weights(products, drawn())
    )
    assert line["norm"] == {"sst": 2**0.5, "quora": 0, "sts": 3}
    assert line["cosine"] == {
        "sst/quora": None,
        "sst/sts": pytest.approx(-1 / 2**0.5),
        "quora/sts": None,
    }
    assert (line["conflict"], line["projected"], line["dominant"]) == (True, True, "sts")
    assert line["removed"] == pytest.approx(1)
    assert line["removed_share"] == pytest.approx(1 / (3 + 2**0.5))


def test_the_summary_of_two_lines() -> None:
    totals: conflicts.Totals = {}
    alone = conflicts.describe(("sst",), np.array([[4.0]]), np.array([1.0]))
    both = conflicts.describe(
        ("sst", "sts"), np.array([[4.0, -3.0], [-3.0, 9.0]]), np.array([1.0, 4 / 3])
    )
    for line in (alone, both):
        conflicts.add(totals, line)
    found = conflicts.summarise(totals)
    assert (found["steps"], found["multi_task"], found["conflict"], found["projected"]) == (
        2,
        0.5,
        0.5,
        0.5,
    )
    assert found["cosine"] == {"sst/sts": -0.5}
    assert found["conflict_of_pair"] == {"sst/sts": 1}
    assert found["dominant"] == {"sts": 1}
    assert found["norm"] == {"sst": 2, "sts": 3}
    assert found["removed_share"] == pytest.approx(1 / 5)
    assert conflicts.summarise({})["conflict"] is None


@every_real_surgery
def test_a_run_writes_each_step_down_and_sums_up_in_its_record(
    tiny: dict[str, Any], tmp_path: Path, name: str
) -> None:
    record = train(config(tiny, schedule="consolidated", surgery=name), runs=tmp_path)
    found = record.diagnostics.surgery
    assert found is not None
    lines = [line["surgery"] for line in losses(tmp_path / record.run_id)]
    assert len(lines) == found.steps == record.steps
    assert found.conflict == sum(line["conflict"] for line in lines) / len(lines)
    several = [line for line in lines if len(line["norm"]) > 1]
    assert 0 < len(several) < len(lines), "both kinds of steps are wanted here"
    assert found.multi_task == len(several) / len(lines)
    assert sum(found.dominant.values()) == len(several)
    assert found.cosine.keys() == {"sst/quora", "sst/sts", "quora/sts"}
    together = {int(count): steps for count, steps in record.diagnostics.tasks_per_step.items()}
    assert together[1] == len(lines) - len(several)
    assert record.diagnostics.gradient_norms.keys() <= {"sst", "quora", "sts"}


def test_a_run_without_surgery_says_so_and_knows_the_norms_of_steps_of_one_task(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    record = train(config(tiny), runs=tmp_path)
    assert record.diagnostics.surgery is None
    lines = [line for line in RunFolder(tmp_path / record.run_id).history() if "loss" in line]
    assert not any("surgery" in line for line in lines)
    for task, mean in record.diagnostics.gradient_norms.items():
        norms = [line["grad_norm"] for line in lines if task in line["loss"]]
        assert mean == pytest.approx(sum(norms) / len(norms))


def test_a_gradient_that_is_not_finite_stops_the_run_and_is_written_as_diverged(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    changes = {
        "schedule": "consolidated",
        "surgery": "pcgrad",
        "train__lr": 1e18,
        "train__max_grad_norm": None,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = train(config(tiny, **changes), runs=tmp_path)
    assert record.status == "diverged"
    assert "is not finite" in (record.error or "")
    assert "the gradient of s" in (record.error or "")
