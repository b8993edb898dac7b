"""Linear layers by oneDNN equal torch's own, in any layout; the machine decides which is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl.config.schema import RunConfig
from mtl.model import linear
from mtl.model.encoder import Layer
from mtl.model.linear import ONEDNN, ROWS, Linear, arrange, by_onednn
from mtl.model.packing import Packed
from mtl.runs import environment
from mtl.runs.folder import RunFolder
from mtl.training.loop import train

needs_onednn = pytest.mark.skipif(not ONEDNN, reason="this torch has no oneDNN product")


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Whether products are oneDNN's, on any machine."""
    if request.param and not ONEDNN:
        pytest.skip("this torch has no oneDNN product")
    monkeypatch.setattr(linear, "by_onednn", lambda: request.param)
    yield request.param


def gradients(layer: nn.Module, x: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
    """Output, and the gradients to input, weight and bias of a weighted sum of it."""
    x = x.detach().requires_grad_()
    layer.zero_grad()
    y = layer(x)
    (y * weights).sum().backward()
    assert x.grad is not None
    return (y.detach(), x.grad, *(p.grad for p in layer.parameters() if p.grad is not None))


@pytest.mark.parametrize("arranged", [False, True])
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"), [(1, 5, 3), (16, 24, 96), (37, 96, 24), (448, 384, 1536)]
)
def test_outputs_and_gradients_are_those_of_float64(
    onednn: bool, rows: int, inputs: int, outputs: int, arranged: bool
) -> None:
    torch.manual_seed(0)
    layer = Linear(inputs, outputs)
    exact = nn.Linear(inputs, outputs).double()
    exact.load_state_dict(layer.state_dict())
    if arranged:
        arrange(layer)
        assert layer.weight.is_contiguous() == (not onednn or outputs <= inputs)
        assert torch.equal(layer.weight.double(), exact.weight)
    x, weights = torch.randn(rows, inputs), torch.randn(rows, outputs)
    for found, true in zip(
        gradients(layer, x, weights), gradients(exact, x.double(), weights.double()), strict=True
    ):
        assert found.dtype == torch.float32
        assert (found - true).abs().max() <= 2e-6 * max(
            inputs, outputs, rows
        ) ** 0.5 * true.abs().max().clamp(min=1)
    assert layer.weight.grad is not None
    assert layer.weight.grad.stride() == layer.weight.stride(), (
        "the fused optimiser takes that for granted"
    )


@needs_onednn
def test_what_does_not_lie_in_rows_is_taken_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "by_onednn", lambda: True)
    torch.manual_seed(0)
    layer = Linear(8, 4)
    x, weights = torch.randn(8, 6).t(), torch.randn(1, 4).expand(6, 4)
    for found, true in zip(
        gradients(layer, x, weights), gradients(layer.double(), x.double(), weights), strict=True
    ):
        assert (found - true).abs().max() <= 1e-5


@needs_onednn
def test_frozen_weights_and_inputs_without_a_graph_get_no_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linear, "by_onednn", lambda: True)
    layer = Linear(8, 4)
    layer.weight.requires_grad_(False)
    x = torch.randn(3, 8, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is not None
    assert torch.allclose(x.grad, layer.weight.sum(0).expand(3, 8), atol=1e-6)
    without = torch.randn(3, 8)
    assert torch.allclose(layer(without), F.linear(without, layer.weight, layer.bias), atol=1e-6)


@pytest.mark.parametrize("change", ["float64", "autocast"])
def test_other_precisions_go_torchs_own_way(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    monkeypatch.setattr(linear, "by_onednn", lambda: True)
    monkeypatch.setattr(linear, "product", None)
    layer, x = Linear(8, 4), torch.randn(3, 8)
    if change == "float64":
        assert torch.equal(
            layer.double()(x.double()), F.linear(x.double(), layer.weight, layer.bias)
        )
    else:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("capability", "maker", "chosen"),
    [
        ("AVX512", "AuthenticAMD", True),
        ("AVX512", "GenuineIntel", False),
        ("AVX2", "AuthenticAMD", False),
        ("DEFAULT", None, False),
        ("AVX512", None, False),
    ],
)
@needs_onednn
def test_the_processor_alone_decides(
    monkeypatch: pytest.MonkeyPatch, capability: str, maker: str | None, chosen: bool
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(linear, "vendor", lambda: maker)
    assert by_onednn.__wrapped__() is chosen


def test_the_record_says_whose_products_they_were(onednn: bool) -> None:
    assert environment.environment(torch.device("cpu")).products == (
        "onednn" if onednn else "torch"
    )


def steps(folder: Path) -> list[dict[str, Any]]:
    return [line for line in RunFolder(folder).history() if "loss" in line]


@needs_onednn
@pytest.mark.parametrize("surgery", ["sum", "pcgrad"])
def test_a_run_is_the_same_to_rounding_by_either(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, surgery: str
) -> None:
    config = RunConfig.model_validate(tiny | {"surgery": surgery, "schedule": "consolidated"})
    found = []
    for chosen in (True, False):
        monkeypatch.setattr(linear, "by_onednn", lambda chosen=chosen: chosen)
        record = train(config, runs=tmp_path / str(chosen))
        found.append(steps(tmp_path / str(chosen) / record.run_id))
    assert len(found[0]) == len(found[1]) > 10
    for one, two in zip(*found, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=2e-4)
        assert one["grad_norm"] == pytest.approx(two["grad_norm"], rel=2e-3)


def test_layers_see_a_round_number_of_rows_and_the_filling_reaches_nothing(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With numbers in place of the zeros a run is the same, dropout and gradients included."""
    plain = train(RunConfig.model_validate(tiny), runs=tmp_path / "plain")
    spare, rows, forward = set(), set(), Layer.forward

    def watched(layer: Layer, hidden: Tensor, *arguments: Any) -> Tensor:
        rows.add(len(hidden) % ROWS)
        return forward(layer, hidden, *arguments)

    def filled(batch: Packed, flat: Tensor) -> Tensor:
        spare.add(batch.spare)
        noise = torch.linspace(-3, 3, batch.spare * flat.shape[1]).view(batch.spare, flat.shape[1])
        return torch.cat([flat, noise.to(flat.dtype)])

    monkeypatch.setattr(Layer, "forward", watched)
    train(RunConfig.model_validate(tiny), runs=tmp_path / "watched")
    assert rows == {0}
    monkeypatch.setattr(Packed, "fill", filled)
    other = train(RunConfig.model_validate(tiny), runs=tmp_path / "other")
    assert rows == {0}
    assert len(spare) > 3
    assert other.metrics == plain.metrics
    assert steps(tmp_path / "other" / other.run_id) == steps(tmp_path / "plain" / plain.run_id)
