"""`schedule: joint`: a batch of every task in each step, and surgery on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.config.settings import config_from
from mtl.data.schedules import SCHEDULES, Step, joint, joint_examples, joint_length, pooled
from mtl.errors import ConfigError
from mtl.report.document import Table
from mtl.report.sections.reasons import examples_seen
from mtl.tasks.task import TaskName
from mtl.training.loop import train
from tests.training_tools import comparable, config, content, losses, trained_with_stops

NAMES: tuple[TaskName, ...] = ("sst", "quora", "sts")
SIZES = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 60), min_size=1)
BATCH, SEED = st.integers(1, 20), st.integers(0, 2**32 - 1)


def lengths(steps: list[Step], task: TaskName) -> list[int]:
    return [len(step[task]) for step in steps]


def test_a_small_plan_by_hand() -> None:
    """Three rows are batches of 2 and 1, five are 2, 2 and 1. The shorter task goes on."""
    sizes: dict[TaskName, int] = {"sst": 3, "sts": 5}
    first, second = (joint(sizes, 2, 0, epoch, 2) for epoch in (0, 1))
    assert lengths(first, "sts") == lengths(second, "sts") == [2, 2, 1]
    assert lengths(first, "sst") == [2, 1, 2]
    assert lengths(second, "sst") == [1, 2, 1]
    rows = [int(row) for step in first + second for row in step["sst"]]
    assert [sorted(rows[start : start + 3]) for start in (0, 3, 6)] == [[0, 1, 2]] * 3


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, batch_size=BATCH, seed=SEED, epoch=st.integers(0, 5))
def test_every_step_has_every_task_and_the_largest_has_each_row_once_an_epoch(
    sizes: dict[TaskName, int], batch_size: int, seed: int, epoch: int
) -> None:
    steps = joint(sizes, batch_size, seed, epoch, 6)
    assert len(steps) == joint_length(sizes, batch_size)
    assert all(list(step) == list(sizes) for step in steps)
    assert all(1 <= len(rows) <= batch_size for step in steps for rows in step.values())
    largest = max(sizes, key=lambda task: sizes[task])
    rows = [int(row) for step in steps for row in step[largest]]
    assert sorted(rows) == list(range(sizes[largest]))


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, batch_size=BATCH, seed=SEED)
def test_each_task_meets_the_batches_of_pooled_pass_after_pass(
    sizes: dict[TaskName, int], batch_size: int, seed: int
) -> None:
    """So every pass is a new permutation, and no row comes again before all others have come."""
    steps = [step for epoch in range(4) for step in joint(sizes, batch_size, seed, epoch, 4)]
    for task in sizes:
        came = [step[task].tolist() for step in steps]
        passes = -(-len(came) * batch_size // sizes[task]) + 1
        expected = [
            step[task].tolist()
            for number in range(passes)
            for step in pooled({task: sizes[task]}, batch_size, seed, number, passes)
        ]
        assert came == expected[: len(came)]


def test_a_short_task_is_not_replayed_in_its_first_order() -> None:
    sizes: dict[TaskName, int] = {"sts": 8, "quora": 80}
    came = [tuple(step["sts"].tolist()) for step in joint(sizes, 4, 0, 0, 1)]
    assert len(came) == 20
    orders = {came[place] + came[place + 1] for place in range(0, 20, 2)}
    assert len(orders) == 10
    assert all(sorted(order) == list(range(8)) for order in orders)


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, batch_size=BATCH, steps=st.integers(0, 40))
def test_examples_are_counted_without_making_the_plan(
    sizes: dict[TaskName, int], batch_size: int, steps: int
) -> None:
    made: list[Step] = []
    epoch = 0
    while len(made) < steps:
        made += joint(sizes, batch_size, 1, epoch, 9)
        epoch += 1
    seen = sum(len(rows) for step in made[:steps] for rows in step.values())
    assert joint_examples(sizes, batch_size, steps) == seen


def test_in_a_run_all_tasks_meet_in_every_step_and_the_record_counts_the_examples(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    record = train(config(tiny, schedule="joint", train__max_steps=8), runs=tmp_path)
    assert record.diagnostics.tasks_per_step == {"3": 8}
    assert record.diagnostics.examples == 8 * 3 * 4
    assert all(set(line["loss"]) == set(NAMES) for line in losses(tmp_path / record.run_id))


def test_a_report_says_how_many_examples_each_arm_saw(tiny: dict[str, Any], tmp_path: Path) -> None:
    arms = {
        name: [train(config(tiny, schedule=name, train__max_steps=4), runs=tmp_path)]
        for name in ("pooled", "joint")
    }
    assert examples_seen({"pooled": arms["pooled"]}) == []
    (found,) = examples_seen(arms)
    assert isinstance(found, Table)
    assert [[cell.text for cell in row] for row in found.rows] == [
        ["pooled", "4", "16", "4.0"],
        ["joint", "4", "48", "12.0"],
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"surgery": "pcgrad"},
        {"surgery": "dominant", "train__batch_size": 5, "train__accumulate": 2},
        {"smart": {"projection": "normalise", "dropout": True}, "train__accumulate": 3},
    ],
    ids=str,
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    chosen = config(
        tiny,
        schedule="joint",
        freeze={"unfrozen": 1, "scope": ["sts"]},
        train__max_examples=100,
        train__decay="linear",
        **changes,
    )
    whole = train(chosen, runs=tmp_path / "whole")
    record, stops = trained_with_stops(chosen, tmp_path / "stopped", every=3)
    assert stops >= 2
    assert comparable(record) == comparable(whole)
    folders = [tmp_path / name / whole.run_id for name in ("whole", "stopped")]
    assert content(folders[0]) == content(folders[1])


@pytest.mark.parametrize("surgery", ["dominant", "pcgrad"])
def test_surgery_takes_joint_batches_even_of_one_row(surgery: str) -> None:
    words = [f"surgery={surgery}", "schedule=joint", "train.batch_size=1"]
    assert config_from(words).surgery == surgery


def test_a_refused_surgery_names_both_schedules_that_go() -> None:
    with pytest.raises(ConfigError, match="Use schedule=consolidated or schedule=joint, or surg"):
        config_from(["surgery=pcgrad", "schedule=sqrt"])
    with pytest.raises(ConfigError, match="Use a larger batch or schedule=joint, or surgery=sum"):
        config_from(["surgery=pcgrad", "schedule=consolidated", "train.batch_size=1"])


def test_it_can_be_named() -> None:
    assert SCHEDULES["joint"] is joint
