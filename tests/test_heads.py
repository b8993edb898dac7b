"""Heads and losses give the values of their formulas, worked by hand in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from mtl.config.sections import Pairing
from mtl.model.heads import HEADS, MLP, Cosine, Dot, Features, Head, Linear, make_head
from mtl.model.losses import task_loss
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Kind, TaskName

GELU_1 = 0.8413447460685429  # the normal distribution at 1: the erf form; tanh gives 0.84119
WEIGHTS: dict[str, tuple[list[list[float]], list[float]]] = {
    "first": ([[1, 2], [3, 4]], [1, 0]),
    "second": ([[0, 1], [1, 0]], [0, -1]),
}


def matrix(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def filled(head: Head, **weights: tuple[list[list[float]], list[float]]) -> Head:
    """The head in float64 with the given weights and biases by layer."""
    head = head.double()
    for name, (weight, bias) in weights.items():
        layer = getattr(head, name)
        layer.weight.data = torch.tensor(weight, dtype=torch.float64)
        layer.bias.data = torch.tensor(bias, dtype=torch.float64)
    return head


IDENTITY: tuple[list[list[float]], list[float]] = ([[1, 0], [0, 1]], [0, 0])


# --- values


def test_linear_is_w_y_plus_b() -> None:
    head = filled(Linear(2, 3), out=([[1, 2], [3, 4], [0, -1]], [0.5, 0, 1]))
    assert head(matrix([1, 10], [0, 1]), None, 0.0).tolist() == [[21.5, 43, -9], [2.5, 4, 0]]


def test_linear_has_no_dropout() -> None:
    head = filled(Linear(2, 1), out=([[1, 2]], [0.5]))
    assert head(matrix(*[[1.0, 10.0]] * 50), None, 0.5).tolist() == [21.5] * 50


def test_mlp_is_two_layers_with_an_erf_gelu_between() -> None:
    head = filled(MLP(2, 1), hidden=([[1, 0], [0, 1]], [0, 1]), out=([[2, 5]], [0.5]))
    assert head(matrix([1, -1]), None, 0.0).tolist() == pytest.approx([2 * GELU_1 + 0.5], abs=1e-12)


def test_mlp_drops_hidden_values_and_scales_the_rest() -> None:
    head = filled(MLP(2, 1), hidden=([[1, 0], [0, 0]], [0, 0]), out=([[1, 0]], [0.25]))
    torch.manual_seed(0)
    found = head(matrix(*[[1.0, 0.0]] * 400), None, 0.2)
    dropped = torch.isclose(found, torch.tensor(0.25, dtype=torch.float64))
    assert torch.allclose(found[~dropped], torch.tensor(GELU_1 / 0.8 + 0.25, dtype=torch.float64))
    assert 0.1 < dropped.double().mean() < 0.3


def test_dot_is_the_product_of_two_projections() -> None:
    # (1 + 2 + 1, 3 + 4) . (3, 2 - 1) = 4 * 3 + 7 * 1
    head = filled(Dot(2, 1), **WEIGHTS)
    assert head(matrix([1, 1]), matrix([2, 3]), 0.0).tolist() == [19]


def test_cosine_is_five_times_the_cosine_of_two_projections() -> None:
    head = filled(Cosine(2, 1), **WEIGHTS)
    wanted = 5 * 19 / (math.hypot(4, 7) * math.hypot(3, 1))
    assert head(matrix([1, 1]), matrix([2, 3]), 0.0).tolist() == pytest.approx([wanted], abs=1e-12)
    plain = filled(Cosine(2, 1), first=IDENTITY, second=IDENTITY)
    assert plain(
        matrix([3, 4], [1, 0], [1, 0]), matrix([4, 3], [0, 2], [7, 0]), 0.0
    ).tolist() == pytest.approx([4.8, 0, 5])


def test_cosine_is_0_where_the_cosine_is_negative() -> None:
    head = filled(Cosine(2, 1), first=IDENTITY, second=IDENTITY)
    assert head(matrix([1, 0], [1, 1]), matrix([-1, 0], [-1, 0.5]), 0.0).tolist() == [0, 0]


def test_features_is_an_mlp_over_both_their_distance_and_their_product() -> None:
    # (2, -1, |3|, -2) weighed 1, 10, 100, 1000 gives -1708; 1709 more makes 1.
    head = filled(Features(1, 1), hidden=([[1, 10, 100, 1000]], [1709]), out=([[10]], [1]))
    assert head(matrix([2]), matrix([-1]), 0.0).tolist() == pytest.approx(
        [10 * GELU_1 + 1], abs=1e-9
    )
    unit = filled(Features(1, 1), hidden=([[0, 0, 1, 0]], [0]), out=([[1]], [0]))
    assert (
        unit(matrix([2]), matrix([1]), 0.0).tolist() == unit(matrix([1]), matrix([2]), 0.0).tolist()
    )


@pytest.mark.parametrize("kind", [Dot, Cosine])
def test_dot_and_cosine_have_no_dropout(kind: type[Head]) -> None:
    head = filled(kind(2, 1), **WEIGHTS)
    pair = matrix(*[[1.0, 1.0]] * 20), matrix(*[[2.0, 3.0]] * 20)
    assert torch.equal(head(*pair, 0.9), head(*pair, 0.0))


# --- shapes


@pytest.mark.parametrize("pairing", ["siamese", "concat"])
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("task", list(TASKS))
def test_one_output_a_row_is_a_vector_and_several_are_a_matrix(
    task: TaskName, pairing: Pairing, rows: int
) -> None:
    pair = TASKS[task].pair
    for name in TASKS[task].heads[pairing]:
        head = make_head(name, TASKS[task], pairing, 6, torch.Generator().manual_seed(0))
        second = torch.randn(rows, 6) if pair and pairing == "siamese" else None
        outputs = head(torch.randn(rows, 6), second, 0.1)
        assert outputs.shape == ((rows, 5) if task == "sst" else (rows,)), name


# --- cosine's dead examples


def test_a_dead_example_gives_no_gradient_and_a_living_one_does() -> None:
    head = filled(Cosine(2, 1), first=IDENTITY, second=IDENTITY)
    y = matrix([1, 0], [1, 0]).requires_grad_()
    head(y, matrix([-1, 0.5], [1, 0.5]), 0.0).sum().backward()
    assert y.grad is not None
    assert y.grad[0].tolist() == [0, 0]
    assert y.grad[1].abs().sum() > 0
    head.zero_grad()
    head(matrix([1, 0]), matrix([-1, 0.5]), 0.0).sum().backward()
    assert all(
        parameter.grad is None or not parameter.grad.any() for parameter in head.parameters()
    )


def test_dead_examples_are_counted() -> None:
    head = filled(Cosine(2, 1), first=IDENTITY, second=IDENTITY)
    outputs = head(matrix([1, 0], [1, 0], [1, 0]), matrix([-1, 0.5], [1, 0.5], [-2, 0]), 0.0)
    assert head.diagnose(outputs) == {"dead_examples": 2}
    assert head.diagnose(outputs[1:2]) == {"dead_examples": 0}


def test_other_heads_have_nothing_to_count() -> None:
    assert Dot(2, 1).diagnose(torch.tensor([-1.0, 1.0])) == {}
    assert MLP(2, 5).diagnose(torch.zeros(2, 5)) == {}


# --- first weights


@pytest.mark.parametrize("name", sorted(HEADS))
def test_first_weights_depend_on_the_generator_only(name: str) -> None:
    pairing: Pairing = "siamese" if name in TASKS["sts"].heads["siamese"] else "concat"

    def weights(seed: int, noise: int) -> Tensor:
        torch.manual_seed(noise)
        head = make_head(name, TASKS["sts"], pairing, 8, torch.Generator().manual_seed(seed))
        return nn.utils.parameters_to_vector(head.parameters())

    assert torch.equal(weights(0, 1), weights(0, 2))
    assert not torch.equal(weights(0, 1), weights(1, 1))


@pytest.mark.parametrize("name", sorted(HEADS))
def test_first_weights_are_uniform_within_one_over_the_root_of_fan_in(name: str) -> None:
    pairing: Pairing = "siamese" if name in TASKS["sts"].heads["siamese"] else "concat"
    head = make_head(name, TASKS["sts"], pairing, 64, torch.Generator().manual_seed(0))
    for module in head.modules():
        if isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            assert module.weight.abs().max() <= bound
            assert module.bias.abs().max() <= bound
            if module.weight.numel() > 1000:
                assert module.weight.abs().max() > 0.95 * bound
                assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
            assert module.bias.abs().sum() > 0


def test_the_two_projections_of_a_pair_head_start_apart() -> None:
    head = make_head("dot", TASKS["sts"], "siamese", 8, torch.Generator().manual_seed(0))
    assert isinstance(head, Dot)
    assert not torch.equal(head.first.weight, head.second.weight)


# --- losses


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[0.0, 0, 0, 0, 0], [math.log(4), 0, 0, 0, 0]])
    wanted = (math.log(5) + math.log(2)) / 2  # 1/5 and 4/8 on the gold class
    assert task_loss("classes", logits, torch.tensor([3.0, 0.0])).item() == pytest.approx(
        wanted, abs=1e-6
    )


def test_binary_cross_entropy_by_hand() -> None:
    logits, labels = torch.tensor([0.0, 2.0, -3.0]), torch.tensor([1.0, 1.0, 1.0])
    wanted = (math.log(2) + math.log1p(math.exp(-2)) + math.log1p(math.exp(3))) / 3
    assert task_loss("binary", logits, labels).item() == pytest.approx(wanted, abs=1e-6)


def test_binary_cross_entropy_survives_large_logits() -> None:
    assert task_loss("binary", torch.tensor([-200.0]), torch.tensor([1.0])).item() == pytest.approx(
        200
    )


def test_mean_squared_error_by_hand() -> None:
    assert task_loss(
        "score", torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])
    ).item() == pytest.approx(2.5)


@pytest.mark.parametrize("kind", ["binary", "score"])
@pytest.mark.parametrize(
    ("outputs", "labels"), [((4, 1), (4,)), ((4,), (4, 1)), ((4,), (1,)), ((1,), (4,))]
)
def test_shapes_that_would_broadcast_are_refused(
    kind: Kind, outputs: tuple[int, ...], labels: tuple[int, ...]
) -> None:
    with pytest.raises((AssertionError, ValueError)):
        task_loss(kind, torch.zeros(outputs), torch.zeros(labels))


@pytest.mark.parametrize(
    ("kind", "shape"), [("classes", (3, 5)), ("binary", (3,)), ("score", (3,))]
)
def test_a_loss_is_a_float32_scalar_whatever_the_outputs_are(
    kind: Kind, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    outputs, labels = torch.randn(shape).bfloat16(), torch.tensor([0.0, 1.0, 1.0])
    loss = task_loss(kind, outputs, labels)
    assert loss.dtype == torch.float32
    assert loss.shape == ()
    assert loss.item() == task_loss(kind, outputs.float(), labels).item()
