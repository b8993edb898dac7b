"""`train.ema`: the averaged weights are what is evaluated and kept; training goes on without."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import mtl
from mtl.config.settings import config_from
from mtl.inference.trained import load_trained
from mtl.methods.average import NoAverage, WeightAverage, make_average
from mtl.runs import checkpoint
from mtl.runs.folder import RunFolder

SHORT = ["encoder=random-tiny", "tasks=sst,sts", "limit=40", "train.batch_size=8", "train.lr=1e-2",
         "train.epochs=2"]  # fmt: skip


def test_the_average_is_corrected_for_its_start_at_zero() -> None:
    weight = nn.Parameter(torch.zeros(2))
    average = WeightAverage({"w": weight}, beta=0.9)
    values = [torch.randn(2) for _ in range(30)]
    for value in values:
        weight.data.copy_(value)
        average.update()
    shares = torch.tensor([0.9 ** (29 - step) for step in range(30)])
    expected = (shares[:, None] * torch.stack(values)).sum(0) / shares.sum()
    with average.in_place():
        assert torch.allclose(weight, expected, atol=1e-6)
    assert torch.equal(weight, values[-1])


def test_the_weights_come_back_bit_for_bit_even_after_an_error() -> None:
    weight = nn.Parameter(torch.randn(50))
    average = WeightAverage({"w": weight}, beta=0.5)
    average.update()
    weight.data.add_(1)
    own = weight.detach().clone()
    with pytest.raises(KeyboardInterrupt), average.in_place():
        assert not torch.equal(weight, own)
        raise KeyboardInterrupt
    assert torch.equal(weight, own)


def test_equal_weights_average_to_themselves_and_are_no_distance_apart() -> None:
    weight = nn.Parameter(torch.full((3,), 2.0))
    average = WeightAverage({"w": weight}, beta=0.99)
    for _ in range(5):
        average.update()
    assert average.distance() == pytest.approx(0, abs=1e-6)
    assert make_average({"w": weight}, None).distance() is None


@pytest.mark.parametrize("select", ["best", "last"])
def test_a_run_keeps_the_average_and_trains_as_without(
    tiny_data: Path, tmp_path: Path, select: str
) -> None:
    words = [*SHORT, f"data={tiny_data}", f"train.select={select}"]
    plain = mtl.train(config_from(words), runs=tmp_path)
    record = mtl.train(config_from([*words, "train.ema=0.9"]), runs=tmp_path)
    logs = [RunFolder(tmp_path / one.run_id).metrics.read_text() for one in (plain, record)]
    losses = [[line for line in log.splitlines() if '"loss"' in line] for log in logs]
    assert losses[0] == losses[1], "the steps do not know of the average"
    assert record.metrics != plain.metrics
    assert record.diagnostics is not None and record.diagnostics.average_distance
    assert plain.diagnostics is not None and plain.diagnostics.average_distance is None
    kept, _ = checkpoint.load(RunFolder(tmp_path / record.run_id).checkpoint, "model")
    other, _ = checkpoint.load(RunFolder(tmp_path / plain.run_id).checkpoint, "model")
    assert any(not torch.equal(kept[name], other[name]) for name in kept)
    again = load_trained(RunFolder(tmp_path / record.run_id), "cpu")
    assert again.record.run_id == record.run_id


def test_a_beta_near_zero_is_the_run_without(tiny_data: Path, tmp_path: Path) -> None:
    words = [*SHORT, f"data={tiny_data}"]
    plain = mtl.train(config_from(words), runs=tmp_path)
    record = mtl.train(config_from([*words, "train.ema=1e-12"]), runs=tmp_path)
    for key, value in plain.metrics.items():
        assert record.metrics[key] == pytest.approx(value, abs=1e-4), key


def test_no_average_changes_nothing() -> None:
    average = NoAverage()
    average.update()
    with average.in_place():
        assert average.tensors() == {}
