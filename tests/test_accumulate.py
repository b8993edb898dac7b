"""`train.accumulate`: micro-batches give the whole batch's step, with less memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mtl.config.settings import config_from
from mtl.data.schedules import Step
from mtl.errors import ConfigError
from mtl.methods import perturbation
from mtl.methods.penalty import Measurements, largest, total
from mtl.methods.toggles import typed_config
from mtl.model.batch import make_batch
from mtl.tasks.task import TaskName
from mtl.training.loop import train
from mtl.training.micro_batches import split
from mtl.training.run import Training
from tests.training_tools import comparable, config, content, losses, started, trained_with_stops

NAMES: tuple[TaskName, ...] = ("sst", "quora", "sts")
STILL = {"train__dropout": 0.0, "train__batch_size": 10, "schedule": "consolidated"}


# --- the split


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.integers(1, 12), min_size=1), st.integers(1, 9))
def test_parts_have_every_row_once_in_order_and_differ_by_one_row(
    sizes: dict[TaskName, int], parts: int
) -> None:
    step: Step = {task: np.arange(size) + 100 for task, size in sizes.items()}
    found = split([step], parts)
    assert len(found) == min(parts, max(sizes.values()))
    for task, rows in step.items():
        pieces = [part[task] for part in found if task in part]
        assert np.concatenate(pieces).tolist() == rows.tolist()
        counts = [len(piece) for piece in pieces]
        assert len(counts) == min(parts, sizes[task])
        assert max(counts) - min(counts) <= 1


def test_passes_that_cannot_be_shared_are_split_each_for_itself() -> None:
    passes: list[Step] = [{"sst": np.arange(3)}, {"sts": np.arange(2)}]
    found = [{task: list(rows) for task, rows in part.items()} for part in split(passes, 2)]
    assert found == [{"sst": [0, 1]}, {"sst": [2]}, {"sts": [0]}, {"sts": [1]}]


# --- the law


def after_a_step(
    tiny: dict[str, Any], folder: Path, rows: Step | None = None, **changes: Any
) -> tuple[dict[str, float], dict[str, Tensor], Training]:
    """Losses and gradients before clipping of a run's second step, and the run.

    After the first step a teacher differs from the model, and AdamW has moments.
    """
    training = started(config(tiny, **{**STILL, **changes}), folder)
    assert training.config.train.max_grad_norm == 1.0  # clipping leaves `.grad` as it was
    steps = [step for step in training.plan.epoch(0) if len(step) == len(training.config.tasks)]
    training.step(steps[0])
    training.step(steps[1] if rows is None else rows)
    result = training.log.pending[-1]
    grads = {
        name: (grad.coalesce() if grad.is_sparse else grad).to_dense().clone()
        for name, value in training.trainable.items()
        if (grad := value.grad) is not None
    }
    found: dict[str, float] = {task: float(loss) for task, loss in result.losses.items()}
    return found, grads | {"norm": result.gradient_norm}, training


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        apart = (one[name] - other[name]).norm() / (one["norm"] + 1e-12)
        assert float(apart) < 2e-5, name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": "pooled", "tasks": ["sts"]},
        {"schedule": "joint", "train__batch_size": 7},
        {"surgery": "pcgrad"},
        {"surgery": "dominant", "schedule": "joint", "train__batch_size": 5},
        {"freeze": {"unfrozen": 1, "scope": ["sts"]}},
        {"freeze": {"unfrozen": 1, "scope": ["sts"]}, "surgery": "pcgrad"},
        {"freeze__unfrozen": 1, "pairing": "concat"},
        {"task_weights": {"sst": 3.0}, "surgery": "dominant"},
        {"smart": {"lambda_s": 0.0, "mu": 2.0, "beta": 0.5}},
    ],
    ids=str,
)
@pytest.mark.parametrize("parts", [2, 3, 99])
def test_the_step_is_the_whole_batchs_to_rounding(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any], parts: int
) -> None:
    whole, expected, run = after_a_step(tiny, tmp_path, **changes)
    found, grads, other = after_a_step(tiny, tmp_path, **changes, train__accumulate=parts)
    assert found == pytest.approx(whole, rel=2e-5)
    assert_same(grads, expected)
    line, split_line = (training.log.pending[-1].surgery for training in (run, other))
    assert (line is None) == (split_line is None) == ("surgery" not in changes)
    if line is not None and split_line is not None:
        assert split_line["norm"] == pytest.approx(line["norm"], rel=1e-3)
        assert split_line["dominant"] == line["dominant"]
        assert split_line["projected"] == line["projected"]
    assert other.state.passes > run.state.passes
    assert other.state.examples == run.state.examples
    assert other.state.tokens == run.state.tokens


def test_a_part_counts_by_its_rows(tiny: dict[str, Any], tmp_path: Path) -> None:
    """Five rows in two parts, 3 and 2: the loss is 3/5 of one mean and 2/5 of the other."""
    training = started(config(tiny, train__dropout=0.0), tmp_path)
    rows: Step = {"sts": np.arange(5)}
    parts: list[Step] = [{"sts": rows["sts"][:3]}, {"sts": rows["sts"][3:]}]

    def loss(part: Step, whole: Step | None = None) -> float:
        return training.stepper.losses(part, whole)["sts"].item()

    alone = [loss(part) for part in parts]
    shares = [loss(part, rows) for part in parts]
    assert shares == pytest.approx([3 / 5 * alone[0], 2 / 5 * alone[1]])
    assert sum(shares) == pytest.approx(loss(rows), rel=1e-5)


def saved_bytes(training: Training, rows: Step) -> int:
    """The most that one pass keeps for its backward, in bytes."""
    most, now = 0, 0
    inner = training.stepper.losses

    def counted(rows: Step, whole: Step | None = None) -> dict[TaskName, Tensor]:
        nonlocal now
        now = 0
        return inner(rows, whole)

    def pack(tensor: Tensor) -> Tensor:
        nonlocal most, now
        if not isinstance(tensor, torch.nn.Parameter):
            now += tensor.nbytes
            most = max(most, now)
        return tensor

    training.stepper.losses = counted  # type: ignore[method-assign]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        training.step(rows)
    return most


def test_four_parts_keep_about_a_quarter_for_the_backward_pass(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    rows: Step = {task: np.arange(16) for task in NAMES}
    whole, quarter = (
        saved_bytes(started(config(tiny, train__accumulate=parts), tmp_path), rows)
        for parts in (1, 4)
    )
    assert 0.2 < quarter / whole < 0.4


# --- in a run


def test_one_part_is_the_plain_run_bit_for_bit(tiny: dict[str, Any], tmp_path: Path) -> None:
    plain, one = config(tiny), config(tiny, train__accumulate=1)
    records = [train(plain, runs=tmp_path / "a"), train(one, runs=tmp_path / "b")]
    assert comparable(records[0]) == comparable(records[1])
    folders = [tmp_path / "a" / records[0].run_id, tmp_path / "b" / records[1].run_id]
    assert content(folders[0]) == content(folders[1])
    assert records[0].diagnostics.passes == records[0].steps


@pytest.mark.parametrize("changes", [{}, {"schedule": "consolidated", "surgery": "pcgrad"}])
def test_a_resumed_run_equals_an_uninterrupted_one(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    chosen = config(tiny, train__accumulate=3, train__epochs=1, **changes)
    whole = train(chosen, runs=tmp_path / "whole")
    record, stops = trained_with_stops(chosen, tmp_path / "stopped", every=4)
    assert stops >= 2
    assert comparable(record) == comparable(whole)
    folders = [tmp_path / name / whole.run_id for name in ("whole", "stopped")]
    assert content(folders[0]) == content(folders[1])


def test_with_dropout_it_does_something_and_the_record_says_how_often(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    plain, halves = (
        train(config(tiny, train__epochs=1, train__accumulate=parts), runs=tmp_path)
        for parts in (1, 2)
    )
    assert plain.cell != halves.cell
    assert losses(tmp_path / plain.run_id) != losses(tmp_path / halves.run_id)
    assert plain.steps == halves.steps == 18
    assert (plain.diagnostics.passes, halves.diagnostics.passes) == (18, 36)
    assert plain.diagnostics.examples == halves.diagnostics.examples


def test_dead_examples_are_counted_over_all_parts(tiny: dict[str, Any], tmp_path: Path) -> None:
    changes = {"heads": {"sts": "cosine"}, "train__dropout": 0.0, "train__max_steps": 6}
    records = [
        train(config(tiny, tasks=["sts"], train__accumulate=parts, **changes), runs=tmp_path)
        for parts in (1, 3)
    ]
    dead = [record.diagnostics.dead_examples_per_epoch for record in records]
    assert dead[0] == dead[1]


# --- SMART


def test_smarts_measures_of_a_step_are_those_of_the_whole_batch(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    changes = {"smart": {"lambda_s": 0.0, "mu": 1.0, "beta": 0.5}}
    lines = []
    for parts in (1, 3):
        _, _, training = after_a_step(tiny, tmp_path, **changes, train__accumulate=parts)
        lines.append(training.penalty.report(1, {})["smart"])
    for task in NAMES:
        assert lines[0][task]["d_breg"] > 0
        assert lines[1][task]["d_breg"] == pytest.approx(lines[0][task]["d_breg"], rel=1e-3)


def test_values_of_parts_are_joined_by_share_or_as_the_quantity_asks(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    training = started(config(tiny), tmp_path)
    rows: Step = {"sts": np.arange(5)}
    measured = Measurements(largest=largest, skipped=total)
    for part, value in ((rows["sts"][:3], 1.0), (rows["sts"][3:], 2.0)):
        batch = make_batch(
            training.prepared.train,
            {"sts": part},
            training.prepared.pairer,
            training.device,
            whole=rows,
        )
        for quantity in ("r_s", "largest", "skipped"):
            measured.note(0, quantity, {"sts": torch.tensor(value)}, batch)
    numbers = measured.report(0, {})["sts"]
    assert numbers == pytest.approx({"r_s": 3 / 5 * 1 + 2 / 5 * 2, "largest": 2, "skipped": 3})


def test_each_micro_batch_has_noise_of_its_own(tiny: dict[str, Any], tmp_path: Path) -> None:
    training = started(config(tiny, smart={}), tmp_path)
    prepared, rows = training.prepared, np.arange(4)
    # The same rows, as the whole of a step, as its first part and as its second.
    noise = []
    for whole in (rows, np.arange(8), np.array([20, 21, 22, 23, 0, 1, 2, 3])):
        batch = make_batch(
            prepared.train, {"sts": rows}, prepared.pairer, training.device, whole={"sts": whole}
        )
        like = torch.zeros(batch.packed.tokens, 8)
        noise.append(perturbation.start(batch, like, 1.0, 0, 3))
    assert torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[0], noise[2])


@pytest.mark.parametrize("surgery", ["sum", "pcgrad"])
def test_smart_runs_in_micro_batches(tiny: dict[str, Any], tmp_path: Path, surgery: str) -> None:
    changes = {"schedule": "joint", "surgery": surgery, "smart": {"projection": "normalise"}}
    record = train(config(tiny, train__max_steps=4, train__accumulate=2, **changes), runs=tmp_path)
    assert record.status == "done"
    assert record.diagnostics.smart is not None
    for part in record.diagnostics.smart.values():
        assert part.largest == pytest.approx(1.0)
        assert part.r_s is not None
        assert part.r_s > 0


# --- settings


def test_more_parts_than_rows_are_as_many_as_rows() -> None:
    def parts(*words: str) -> int:
        return config_from(list(words)).resolved().train.accumulate

    assert parts("train.accumulate=4") == 4
    assert parts("train.accumulate=99") == 16
    assert parts("train.accumulate=99", "train.batch_size=1") == 1


def test_without_rows_to_split_it_has_no_effect() -> None:
    with pytest.raises(ConfigError, match="train.batch_size=1 is whole"):
        typed_config(["train.batch_size=1", "train.accumulate=2"])
    with pytest.raises(ConfigError, match="train.accumulate: must be greater"):
        config_from(["train.accumulate=0"])
