"""Gradient surgery on matrices: values worked by hand, laws, and what a run records of it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mtl.config.surgeries import Surgery as SurgeryName
from mtl.methods import conflicts
from mtl.methods.dominant import Dominant
from mtl.methods.pcgrad import PCGrad
from mtl.methods.registry import SURGERIES
from mtl.methods.surgery import Sum
from mtl.rng import numpy_stream
from mtl.runs.folder import RunFolder
from mtl.training.loop import train
from tests.surgery_tools import combined, drawn, every_real_surgery, projected
from tests.training_tools import config, losses

GRADIENTS = st.integers(1, 4).flatmap(
    lambda tasks: st.lists(
        st.lists(st.integers(-4, 4), min_size=3, max_size=3), min_size=tasks, max_size=tasks
    )
)
every_surgery = pytest.mark.parametrize("name", SURGERIES)


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


# --- on matrices: values worked by hand


def test_dominant_projects_the_smaller_off_the_larger() -> None:
    # g1 . g2 = -3, |g1|^2 = 9: g2 + 3/9 g1 = (0, 1)
    gradients = matrix([3, 0], [-1, 1])
    assert projected(Dominant(), gradients, drawn()).tolist() == [[3, 0], [0, 1]]
    assert combined(Dominant(), gradients, drawn()).tolist() == [3, 1]


def test_dominant_leaves_conflicts_between_two_others_alone() -> None:
    # g1 is largest; g2 . g1 = -8 of 16: g2 + g1 / 2 = (0, 1). g3 conflicts with g2 only (-4).
    gradients = matrix([-2, 1], [4, 0], [1, -2])
    assert projected(Dominant(), gradients, drawn()).tolist() == [[0, 1], [4, 0], [1, -2]]
    assert combined(Dominant(), gradients, drawn()).tolist() == [5, -1]


def test_pcgrad_projects_both_off_each_others_original() -> None:
    # g1 + 3/2 g2 = (1.5, 1.5), g2 + 3/9 g1 = (0, 1)
    gradients = matrix([3, 0], [-1, 1])
    assert projected(PCGrad(), gradients, drawn()).tolist() == [[1.5, 1.5], [0, 1]]
    assert combined(PCGrad(), gradients, drawn()).tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("order", "after", "total"),
    [
        # g2 . g3 = 0: g2 conflicts with g3 only once it has been moved off g1.
        ([0, 1, 2], [[0, 0], [-0.5, 0.5], [-0.5, -0.5]], [-1, 0]),
        ([2, 1, 0], [[0, 0], [0, 1], [0, -1]], [0, 0]),
    ],
)
def test_pcgrad_visits_the_others_in_the_order_drawn(
    order: list[int], after: Any, total: Any
) -> None:
    gradients = matrix([1, 0], [-1, 1], [-1, -1])
    assert projected(PCGrad(), gradients, Fixed(order, order, order)).tolist() == after
    assert combined(PCGrad(), gradients, Fixed(order, order, order)).tolist() == total


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


def test_every_surgery_that_a_config_can_name_is_registered_and_no_other() -> None:
    assert SURGERIES.keys() == set(get_args(SurgeryName))


@pytest.mark.parametrize("name", ["sum", "pcgrad", "dominant"])
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
    assert torch.allclose(combined(Sum(), gradients, drawn()), gradients.sum(0), rtol=1e-12)


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
        combined(PCGrad(), gradients, Fixed(*orders)), theirs, rtol=1e-10, atol=1e-12
    )
    assert tasks == 1 or not torch.allclose(theirs, gradients.sum(0))


# --- what is told


def test_a_line_says_what_surgery_saw() -> None:
    # sts (3, 0), sst (-1, 1), quora (0, 0): g_sst . g_sts = -3, so (1, 0) is removed.
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
