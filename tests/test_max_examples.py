"""`train.max_examples`: a limit on the examples of a run, and estimates of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.config.schema import RunConfig
from mtl.config.sections import Schedule
from mtl.data.budget import EXAMPLES, expected_examples, steps_within
from mtl.data.schedules import SCHEDULES, Step
from mtl.grid.costs import Costs
from mtl.runs.record import Spent
from mtl.tasks.task import TaskName
from mtl.training.loop import train
from tests.training_tools import config, content, losses, started

every_schedule = pytest.mark.parametrize("schedule", get_args(Schedule))
NAMES: tuple[TaskName, ...] = ("sst", "quora", "sts")
SIZES = st.fixed_dictionaries({task: st.integers(1, 30) for task in NAMES})


def counts(steps: list[Step]) -> list[int]:
    return [sum(map(len, step.values())) for step in steps]


def made(schedule: Schedule, limit: int | None, batch_size: int, epochs: int) -> RunConfig:
    plain = {
        "schedule": schedule,
        "train": {"max_examples": limit, "batch_size": batch_size, "epochs": epochs},
    }
    return RunConfig.model_validate(plain)


@every_schedule
@settings(max_examples=60, deadline=None)
@given(
    sizes=SIZES,
    batch_size=st.integers(1, 12),
    epochs=st.integers(1, 4),
    limit=st.integers(1, 400),
    cut=st.integers(1, 200),
)
def test_a_run_ends_before_the_step_that_would_pass_the_limit(
    schedule: Schedule,
    sizes: dict[TaskName, int],
    batch_size: int,
    epochs: int,
    limit: int,
    cut: int,
) -> None:
    """Against adding up all steps, with a limit of steps too."""
    by_epoch = [SCHEDULES[schedule](sizes, batch_size, 0, e, epochs) for e in range(epochs)]
    each = [count for steps in by_epoch for count in counts(steps)]
    most = min(len(each), cut)
    found = steps_within(
        made(schedule, limit, batch_size, epochs), sizes, most, by_epoch.__getitem__
    )
    assert 1 <= found <= most
    assert found == 1 or sum(each[:found]) <= limit
    assert found == most or sum(each[: found + 1]) > limit


@pytest.mark.parametrize("schedule", EXAMPLES)
@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, batch_size=st.integers(1, 12), epochs=st.integers(1, 4))
def test_the_examples_of_epochs_follow_from_the_sizes(
    schedule: Schedule, sizes: dict[TaskName, int], batch_size: int, epochs: int
) -> None:
    steps = [SCHEDULES[schedule](sizes, batch_size, 0, epoch, epochs) for epoch in range(epochs)]
    seen = sum(sum(counts(epoch)) for epoch in steps)
    assert EXAMPLES[schedule](sizes, batch_size, epochs) == seen
    assert expected_examples(made(schedule, None, batch_size, epochs), sizes) == seen
    assert expected_examples(made(schedule, 20, batch_size, epochs), sizes) == min(20, seen)


@pytest.mark.parametrize("schedule", EXAMPLES)
def test_a_plan_of_very_many_epochs_is_not_made(schedule: Schedule) -> None:
    sizes: dict[TaskName, int] = {"sst": 8, "quora": 16, "sts": 4}
    asked: list[int] = []

    def epoch(number: int) -> list[Step]:
        asked.append(number)
        return SCHEDULES[schedule](sizes, 4, 0, number, 1)

    chosen = made(schedule, 10**12, 4, 10**15)
    found = steps_within(chosen, sizes, 10**15, epoch)
    assert len(asked) == 2
    # pooled: 7 steps for 28 examples; joint: 12 examples a step, all batches being full
    expected = {"pooled": 10**12 // 4, "consolidated": 10**12 // 4, "joint": 10**12 // 12}
    assert found == expected[schedule]


def test_joint_steps_cost_as_many_examples_as_they_have() -> None:
    sizes: dict[TaskName, int] = {"sst": 100, "quora": 160, "sts": 4}
    chosen = RunConfig.model_validate({"schedule": "joint", "train": {"max_steps": 5}})
    assert expected_examples(chosen, sizes) == 5 * (16 + 16 + 4)
    pooled = RunConfig.model_validate({"train": {"max_steps": 5}})
    assert expected_examples(pooled, sizes) == 5 * 16


@pytest.mark.parametrize("schedule", ["pooled", "consolidated", "joint", "annealed"])
def test_arms_with_the_same_limit_see_equally_many_examples_but_for_a_step(
    tiny: dict[str, Any], tmp_path: Path, schedule: str
) -> None:
    record = train(
        config(tiny, schedule=schedule, train__max_examples=50, train__decay="linear"),
        runs=tmp_path,
    )
    seen = record.diagnostics.examples
    assert seen is not None
    assert 50 - 12 < seen <= 50
    rates = [line["lr"] for line in losses(tmp_path / record.run_id)]
    steps = len(rates)
    # The decay is over the steps that the limit leaves.
    assert rates == pytest.approx([1e-3 * (steps - step) / steps for step in range(steps)])
    assert record.best_step is not None


def test_the_first_step_is_always_taken(tiny: dict[str, Any], tmp_path: Path) -> None:
    assert started(config(tiny, train__max_examples=1), tmp_path).plan.total == 1


def test_the_smallest_of_three_limits_counts(tiny: dict[str, Any], tmp_path: Path) -> None:
    """24 rows of each of three tasks in batches of 4: 18 steps an epoch."""

    def total(**changes: Any) -> int:
        chosen = config(tiny, **{f"train__{key}": value for key, value in changes.items()})
        return started(chosen, tmp_path).plan.total

    assert total(epochs=2) == 36
    assert total(epochs=2, max_examples=100) == 25
    assert total(epochs=2, max_examples=100, max_steps=7) == 7
    assert total(epochs=1, max_examples=100, max_steps=99) == 18


def test_a_limit_beyond_the_end_changes_no_bit(tiny: dict[str, Any], tmp_path: Path) -> None:
    plain = train(config(tiny, train__epochs=1), runs=tmp_path)
    limited = train(config(tiny, train__epochs=1, train__max_examples=72), runs=tmp_path)
    assert plain.run_id != limited.run_id
    assert losses(tmp_path / plain.run_id) == losses(tmp_path / limited.run_id)
    one, other = (content(tmp_path / record.run_id) for record in (plain, limited))
    assert one == other


def test_a_record_from_before_a_setting_counts_as_one_at_its_default() -> None:
    """Else every older run would be as far from the default as from any other value."""

    def spent(chosen: dict[str, Any], seconds: float) -> Spent:
        return Spent.model_validate(
            {
                "status": "done",
                "config": chosen,
                "seconds": seconds,
                "diagnostics": {"examples": 10},
            }
        )

    old = RunConfig().model_dump(mode="json")
    del old["train"]["accumulate"]
    split = RunConfig.model_validate({"train": {"accumulate": 4}}).model_dump(mode="json")
    costs = Costs([spent(old, 1.0), spent(split, 5.0)])
    assert costs.seconds(RunConfig(), 10) == 1.0
