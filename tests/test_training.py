"""Laws of a run: the same seed gives the same numbers, and toggles do just what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl.rng import numpy_stream
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import prepare
from mtl.runs.verify import verify
from mtl.tracking.outcome import DISABLED
from mtl.training.loop import train
from tests.training_tools import comparable, config, content, losses, started


def test_the_same_seed_gives_the_same_numbers_to_the_last_bit(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    one = train(config(tiny), runs=tmp_path / "one")
    two = train(config(tiny), runs=tmp_path / "two")
    assert comparable(one) == comparable(two)
    assert content(tmp_path / "one" / one.run_id) == content(tmp_path / "two" / two.run_id)


def test_another_seed_gives_other_numbers_in_the_same_cell(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    one, two = (train(config(tiny, seed=seed), runs=tmp_path) for seed in (0, 1))
    assert one.cell == two.cell
    assert one.run_id != two.run_id
    assert losses(tmp_path / one.run_id)[0] != losses(tmp_path / two.run_id)[0]


NEUTRAL: dict[str, dict[str, Any]] = {
    "scope of every task": {"freeze__scope": ["sts", "sst", "quora"]},
    "scope and dropout of a freezing that is off": {
        "freeze__scope": ["sts"],
        "freeze__dropout": True,
    },
    "no warm-up and no decay": {"train__warmup": 0.0, "train__decay": "none"},
    "a step limit beyond the end": {"train__max_steps": 10_000},
    "a limit beyond the data": {"limit": 10_000},
    "a clip that nothing reaches": {"train__max_grad_norm": 1e9},
    "a shorter length that no sentence reaches": {"max_length": 100},
    "heads written out": {"heads": {"sst": "mlp", "quora": "dot", "sts": "dot"}},
    "no weight decay": {"train__weight_decay": 0.0},
    "plain sum": {"surgery": "sum"},
    "no SMART": {"smart": None},
    "no R-Drop": {"rdrop": None},
    "SMART without weights": {"smart": {"lambda_s": 0.0, "mu": 0.0, "steps": 3}},
    "the other checkpoint rule": {"train__select": "last"},
    "the other overall": {"overall": "shifted"},
}


@pytest.fixture(scope="module")
def baseline_losses(
    tiny_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    runs = tmp_path_factory.mktemp("baseline")
    plain = {
        "encoder": "random-tiny",
        "data": str(tiny_data),
        "train": {"epochs": 2, "batch_size": 4, "lr": 1e-3},
    }
    record = train(config(plain, train__max_grad_norm=None), runs=runs)
    return losses(runs / record.run_id)


@pytest.mark.parametrize("changes", NEUTRAL.values(), ids=NEUTRAL.keys())
def test_a_toggle_at_its_neutral_value_gives_the_baselines_losses_bit_for_bit(
    tiny: dict[str, Any],
    tmp_path: Path,
    baseline_losses: list[dict[str, Any]],
    changes: dict[str, Any],
) -> None:
    record = train(config(tiny, **{"train__max_grad_norm": None, **changes}), runs=tmp_path)
    assert losses(tmp_path / record.run_id) == baseline_losses


@pytest.mark.parametrize(
    "changes",
    [
        {"train__dropout": 0.0},
        {"train__lr": 2e-3},
        {"train__warmup": 0.5},
        {"train__decay": "linear"},
        {"train__weight_decay": 0.1},
        {"train__max_grad_norm": 1e-3},
        {"train__max_examples": 50},
        {"train__batch_size": 5},
        {"train__accumulate": 2},
        {"train__precision": "bf16"},
        {"pairing": "concat"},
        {"pooling": "mean"},
        {"pooling": "max"},
        {"pooling": "cls"},
        {"heads": {"sts": "cosine"}},
        {"heads": {"quora": "features"}},
        {"heads": {"sst": "linear"}},
        {"task_weights": {"sst": 2.0}},
        {"task_weights": "uncertainty"},
        {"schedule": "consolidated"},
        {"schedule": "joint"},
        {"schedule": "round_robin"},
        {"schedule": "sqrt"},
        {"schedule": "annealed"},
        {"freeze__unfrozen": 1},
        {"freeze": {"unfrozen": 1, "dropout": True}},
        {"freeze": {"unfrozen": 0, "scope": ["sts"]}},
        {"smart": {"mu": 0.0}},
        {"smart": {"lambda_s": 0.0}},
        {"smart": {"projection": "normalise", "dropout": True, "steps": 2}},
        {"rdrop": 0.5},
        {"lora": {}},
        {"limit": 10},
        {"max_length": 8},
    ],
    ids=str,
)
def test_every_toggle_does_something(
    tiny: dict[str, Any],
    tmp_path: Path,
    baseline_losses: list[dict[str, Any]],
    changes: dict[str, Any],
) -> None:
    record = train(config(tiny, **{"train__max_grad_norm": None, **changes}), runs=tmp_path)
    assert record.status == "done"
    assert losses(tmp_path / record.run_id) != baseline_losses
    assert verify(RunFolder(tmp_path / record.run_id)) == []


@pytest.mark.parametrize("batch_size", [3, 12])
def test_every_surgery_does_something_to_consolidated_batches(
    tiny: dict[str, Any], tmp_path: Path, batch_size: int
) -> None:
    """Without dropout, whose masks differ where each task has a pass of its own."""
    seen = []
    for name in ("sum", "dominant", "pcgrad"):
        changes = {
            "schedule": "consolidated",
            "train__batch_size": batch_size,
            "train__dropout": 0.0,
        }
        record = train(
            config(tiny, surgery=name, train__max_grad_norm=None, **changes), runs=tmp_path
        )
        assert record.status == "done"
        assert verify(RunFolder(tmp_path / record.run_id)) == []
        seen.append([line["loss"] for line in losses(tmp_path / record.run_id)])
    assert seen[0][0] == pytest.approx(seen[1][0], rel=1e-5)
    assert seen[1][0] == pytest.approx(seen[2][0], rel=1e-5)
    for one, two in ((0, 1), (0, 2), (1, 2)):
        apart = [
            abs(a[task] - b[task]) for a, b in zip(seen[one], seen[two], strict=True) for task in a
        ]
        assert max(apart) > 1e-4


def test_a_task_alone_has_the_same_steps_under_both_schedules(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    one, two = (
        prepare(config(tiny, tasks=["sts"], schedule=name)) for name in ("pooled", "consolidated")
    )
    assert one.run_id == two.run_id
    record = train(config(tiny, tasks=["sts"], schedule="consolidated"), runs=tmp_path)
    assert set(record.metrics) >= {"dev/sts/pearson", "dev/overall"}
    assert not any("sst" in key or "quora" in key for key in record.metrics)


def test_consolidated_steps_sum_the_tasks_mean_losses(tiny: dict[str, Any], tmp_path: Path) -> None:
    chosen = config(
        tiny,
        schedule="consolidated",
        train__batch_size=12,
        train__dropout=0.0,
        train__max_grad_norm=None,
    )
    training = started(chosen, tmp_path)
    rows = next(step for step in training.plan.epoch(0) if len(step) == 3)
    summed = {name: torch.zeros_like(value) for name, value in training.trainable.items()}
    for task in rows:
        training.optimizer.zero_grad()
        training.stepper.losses({task: rows[task]})[task].backward()
        for name, value in training.trainable.items():
            summed[name] += 0 if value.grad is None else value.grad.to_dense()
    training.optimizer.zero_grad()
    generator = numpy_stream(0, "surgery/0")
    training.surgery.backward(training.model.passes(rows), training.stepper.losses, generator)
    for name, value in training.trainable.items():
        assert value.grad is not None
        assert torch.allclose(value.grad.to_dense(), summed[name], atol=1e-6), name


def test_the_record_is_complete_and_holds_no_nan(tiny: dict[str, Any], tmp_path: Path) -> None:
    record = train(config(tiny, heads__sts="cosine"), runs=tmp_path)
    stored = (tmp_path / record.run_id / "record.json").read_text()
    assert json.loads(stored).items() >= record.as_json().items()
    assert "NaN" not in stored
    promised = """schema run_id cell seed status config metrics best_step seconds throughput
    peak_memory diagnostics frozen_unchanged data environment wandb error""".split()
    assert set(promised) <= set(record.as_json())
    for key in (
        "dev/sst/accuracy",
        "dev/quora/accuracy",
        "dev/sts/pearson",
        "dev/overall",
        "train/sst/accuracy",
    ):
        assert key in record.metrics
    assert sum(record.diagnostics.dead_examples_per_epoch["sts"]) >= 0
    assert len(record.diagnostics.dead_examples_per_epoch["sts"]) == 2
    assert record.wandb == DISABLED
