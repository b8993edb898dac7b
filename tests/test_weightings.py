"""GradVac, and the surgeries of TorchJD: their own arithmetic, from inner products."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchjd import aggregation

import mtl
from mtl.config import surgeries
from mtl.config.identity import cell
from mtl.config.settings import config_from
from mtl.config.surgeries import NEEDS, REFUSED, missing_for
from mtl.errors import ConfigError
from mtl.methods.gradvac import GradVac
from mtl.methods.registry import SURGERIES

every_weighting = pytest.mark.parametrize("word", NEEDS)
AGGREGATORS: dict[str, Any] = {
    "mgda": aggregation.MGDA,
    "imtlg": aggregation.IMTLG,
    "alignedmtl": aggregation.AlignedMTL,
    "cagrad": lambda: aggregation.CAGrad(c=0.5),
    "upgrad": aggregation.UPGrad,
    "dualproj": aggregation.DualProj,
    "fairgrad": lambda: aggregation.FairGrad(alpha=1.0),
}
SCALES = {"mgda": 3, "imtlg": 3, "alignedmtl": 3, "cagrad": 3 / 1.5, "upgrad": 3, "dualproj": 3}
"""Three tasks: what TorchJD's result is multiplied by. FairGrad's depends on the norms."""


def drawn(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def gradients(seed: int, tasks: int = 3, width: int = 20) -> np.ndarray:
    return drawn(seed).normal(size=(tasks, width)) * drawn(seed + 1).uniform(0.5, 2, (tasks, 1))


@pytest.mark.parametrize("word", [word for word in NEEDS if word != "random"])
@pytest.mark.parametrize("seed", range(5))
def test_the_step_is_torchjds_own_times_the_scale(word: str, seed: int) -> None:
    rows = gradients(seed)
    ours = SURGERIES[word]().weights(rows @ rows.T, drawn()) @ rows
    theirs = AGGREGATORS[word]()(torch.from_numpy(rows)).numpy()
    scale = SCALES.get(word) or math.sqrt(float((rows**2).sum(1).mean()))
    assert np.allclose(ours, scale * theirs, rtol=1e-3, atol=2e-3)


@every_weighting
@pytest.mark.parametrize("norm", [1e-3, 1.0, 50.0])
def test_orthogonal_gradients_of_one_norm_add_up(word: str, norm: float) -> None:
    weights = SURGERIES[word]().weights(norm**2 * np.eye(3), drawn())
    assert weights.mean() == pytest.approx(1, rel=1e-4)
    if word != "random":
        assert np.allclose(weights, 1, rtol=1e-3)


@every_weighting
def test_a_gradient_of_zero_is_left_out(word: str) -> None:
    rows = gradients(3)
    rows[1] = 0
    with_zero = SURGERIES[word]().weights(rows @ rows.T, drawn())
    without = SURGERIES[word]().weights(rows[[0, 2]] @ rows[[0, 2]].T, drawn())
    assert with_zero[1] == 0
    assert np.allclose(with_zero[[0, 2]], without)
    assert SURGERIES[word]().weights(np.zeros((2, 2)), drawn()).tolist() == [1, 1]


@every_weighting
def test_chance_comes_from_the_steps_stream_alone(word: str) -> None:
    rows = gradients(4)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = SURGERIES[word]().weights(rows @ rows.T, drawn(7))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert np.array_equal(SURGERIES[word]().weights(rows @ rows.T, drawn(7)), first)


def test_a_gradient_that_is_not_finite_is_left_to_the_loop() -> None:
    gram = np.array([[math.nan, 0], [0, 1]])
    assert SURGERIES["upgrad"]().weights(gram, drawn()).tolist() == [1, 1]


def test_gradvac_equals_torchjds_for_two_tasks() -> None:
    ours, theirs = GradVac(), aggregation.GradVacWeighting(beta=0.5)
    for seed in range(30):
        rows = gradients(seed, tasks=2)
        gram = rows @ rows.T
        weights = ours.weights(gram, drawn(seed), ["sst", "sts"])
        assert np.allclose(weights, theirs(torch.from_numpy(gram)).numpy(), atol=1e-6), seed


def test_gradvac_reaches_its_target_and_starts_as_pcgrad() -> None:
    rows = np.array([[3.0, 0.0], [-1.0, 1.0]])
    gram = rows @ rows.T
    surgery = GradVac()
    first = surgery.weights(gram, drawn(), ["sst", "sts"])
    assert np.allclose(first, SURGERIES["pcgrad"]().weights(gram, drawn()))
    phi = -3 / math.sqrt(9 * 2)
    assert surgery.targets == pytest.approx({("sst", "sts"): phi / 2, ("sts", "sst"): phi / 2})
    surgery.targets = {("sst", "sts"): 0.6, ("sts", "sst"): -1.0}
    step = surgery.weights(gram, drawn(), ["sst", "sts"])
    turned = rows[0] + (step[1] - 1) * rows[1]
    assert turned @ rows[1] / np.linalg.norm(turned) / np.linalg.norm(rows[1]) == pytest.approx(0.6)


def test_gradvac_keeps_the_target_of_a_pair_that_does_not_meet() -> None:
    surgery = GradVac()
    rows = gradients(0)
    surgery.weights(rows @ rows.T, drawn(), ["sst", "quora", "sts"])
    kept = dict(surgery.targets)
    surgery.weights(rows[:2] @ rows[:2].T, drawn(), ["sst", "quora"])
    changed = {pair for pair, value in surgery.targets.items() if kept[pair] != value}
    assert changed == {("sst", "quora"), ("quora", "sst")}
    again = GradVac()
    again.load(surgery.tensors())
    assert again.targets == surgery.targets


@pytest.mark.parametrize("word", ["gradvac", *NEEDS])
def test_a_run_trains(word: str, tiny_data: Path, tmp_path: Path) -> None:
    words = ["encoder=random-tiny", f"data={tiny_data}", "schedule=joint", "limit=20",
             "train.batch_size=4", "train.max_steps=3", "train.lr=1e-2"]  # fmt: skip
    record = mtl.train(config_from([*words, f"surgery={word}"]), runs=tmp_path)
    plain = mtl.train(config_from(words), runs=tmp_path)
    assert record.status == "done" and record.last != plain.last
    assert record.diagnostics is not None and record.diagnostics.surgery is not None


@pytest.mark.parametrize("word", REFUSED)
def test_an_aggregator_that_is_not_offered_has_its_reason(word: str) -> None:
    with pytest.raises(ConfigError, match=f"{word} is not offered: {REFUSED[word]}"):
        config_from([f"surgery={word}", "schedule=joint"])


def test_without_torchjd_there_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surgeries, "find_spec", lambda name: None)
    assert missing_for("upgrad") == ["torchjd", "qpsolvers", "quadprog"]
    assert missing_for("pcgrad") == []
    with pytest.raises(ConfigError, match=r"pip install 'mtl-ablate\[torchjd\]'"):
        config_from(["surgery=upgrad", "schedule=joint"]).check()


def test_the_version_of_torchjd_is_in_the_name_of_its_cells_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def names() -> list[str]:
        words = (["surgery=pcgrad"], ["surgery=mgda"])
        configs = [config_from([*word, "schedule=joint"]) for word in words]
        return [cell(config, data="0" * 16, encoder="1" * 16) for config in configs]

    before = names()
    monkeypatch.setattr("mtl.config.schema.torchjd_version", lambda: "0.99")
    after = names()
    assert before[0] == after[0] and before[1] != after[1]
