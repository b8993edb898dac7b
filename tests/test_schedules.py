"""Schedules: every row once per epoch or pass, in an order that depends on seed and epoch."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.data.schedules import SCHEDULES, Step, consolidated, pooled
from mtl.tasks.task import TaskName

COURSE: dict[TaskName, int] = {"sst": 8544, "quora": 141506, "sts": 6040}
SMALL: dict[TaskName, int] = {"sst": 37, "quora": 64, "sts": 5}
SST: dict[TaskName, int] = {"sst": 100}
NAMES: tuple[TaskName, ...] = ("sst", "quora", "sts")
SIZES = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 60), min_size=1)
BATCH, SEED, EPOCH = st.integers(1, 20), st.integers(0, 2**32 - 1), st.integers(0, 5)
EPOCHS = 10
every_schedule = pytest.mark.parametrize("name", sorted(SCHEDULES))
STREAMED = ("round_robin", "sqrt", "annealed")
every_streamed = pytest.mark.parametrize("name", STREAMED)


def seen(steps: list[Step]) -> Counter[tuple[TaskName, int]]:
    return Counter(
        (task, int(row)) for step in steps for task, rows in step.items() for row in rows
    )


def plain(steps: list[Step]) -> list[dict[Any, list[int]]]:
    return [{task: rows.tolist() for task, rows in step.items()} for step in steps]


def batches(steps: list[Step], task: TaskName) -> list[list[int]]:
    return [step[task].tolist() for step in steps if task in step]


# --- every schedule


@pytest.mark.parametrize("name", sorted(SCHEDULES.keys() - {*STREAMED, "joint"}))
@settings(max_examples=100, deadline=None)
@given(sizes=SIZES, batch_size=BATCH, seed=SEED, epoch=EPOCH)
def test_every_row_is_seen_exactly_once_an_epoch(
    name: Any, sizes: dict[TaskName, int], batch_size: int, seed: int, epoch: int
) -> None:
    steps = SCHEDULES[name](sizes, batch_size, seed, epoch, EPOCHS)
    assert seen(steps) == Counter(
        {(task, row): 1 for task, size in sizes.items() for row in range(size)}
    )


@pytest.mark.parametrize("name", sorted(SCHEDULES.keys() - {"joint"}))
@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, batch_size=BATCH, seed=SEED, epoch=EPOCH)
def test_no_step_is_empty_or_larger_than_the_batch(
    name: Any, sizes: dict[TaskName, int], batch_size: int, seed: int, epoch: int
) -> None:
    for step in SCHEDULES[name](sizes, batch_size, seed, epoch, EPOCHS):
        assert 1 <= sum(len(rows) for rows in step.values()) <= batch_size
        assert all(len(rows) and rows.dtype == np.int64 for rows in step.values())


@every_schedule
def test_a_schedule_is_a_pure_function_of_seed_and_epoch(name: Any) -> None:
    schedule = SCHEDULES[name]
    np.random.seed(1)
    first = plain(schedule(SMALL, 8, 3, 2, EPOCHS))
    np.random.seed(2)
    schedule(SMALL, 8, 3, 7, EPOCHS)
    assert plain(schedule(dict(SMALL), 8, 3, 2, EPOCHS)) == first


@every_schedule
def test_another_seed_and_another_epoch_give_another_order(name: Any) -> None:
    orders = [
        str(plain(SCHEDULES[name](SMALL, 8, seed, epoch, EPOCHS)))
        for seed in range(4)
        for epoch in range(4)
    ]
    assert len(set(orders)) == 16


@every_schedule
def test_examples_are_shuffled_anew_every_epoch_and_not_dealt_in_fixed_slices(name: Any) -> None:
    first, second = (
        {frozenset(rows) for rows in batches(SCHEDULES[name](SMALL, 8, 0, epoch, EPOCHS), "quora")}
        for epoch in (0, 1)
    )
    assert not first & {rows for rows in second if len(rows) > 2}


@every_schedule
def test_file_order_is_not_the_order_of_training(name: Any) -> None:
    rows = [
        row for batch in batches(SCHEDULES[name](SMALL, 8, 0, 0, EPOCHS), "quora") for row in batch
    ]
    assert rows != sorted(rows)
    assert abs(np.corrcoef(rows, range(len(rows)))[0, 1]) < 0.5


@every_schedule
def test_a_task_alone_has_the_same_steps_under_every_schedule(name: Any) -> None:
    assert plain(SCHEDULES[name]({"sts": 53}, 8, 5, 1, EPOCHS)) == plain(
        pooled({"sts": 53}, 8, 5, 1, EPOCHS)
    )


# --- pooled


@settings(max_examples=100, deadline=None)
@given(sizes=SIZES, batch_size=BATCH, seed=SEED)
def test_a_pooled_step_has_one_task_and_partial_batches_are_kept(
    sizes: dict[TaskName, int], batch_size: int, seed: int
) -> None:
    steps = pooled(sizes, batch_size, seed, 0, EPOCHS)
    assert all(len(step) == 1 for step in steps)
    for task, size in sizes.items():
        full, rest = divmod(size, batch_size)
        assert sorted(map(len, batches(steps, task)), reverse=True) == [batch_size] * full + [
            rest
        ] * (rest > 0)


def test_the_chance_of_a_task_is_its_share_of_the_batches() -> None:
    steps = pooled(COURSE, 16, 0, 0, EPOCHS)
    assert len(steps) == math.ceil(8544 / 16) + math.ceil(141506 / 16) + math.ceil(6040 / 16)
    # The tasks are mixed: the first tenth of the epoch has each task's share (4 standard errors).
    tenth = steps[: len(steps) // 10]
    for task, size in COURSE.items():
        share = math.ceil(size / 16) / len(steps)
        error = math.sqrt(share * (1 - share) / len(tenth))
        assert abs(sum(task in step for step in tenth) / len(tenth) - share) < 4 * error


def test_tasks_take_turns_in_another_order_every_epoch() -> None:
    turns = {
        tuple(task for step in pooled(SMALL, 4, 0, epoch, EPOCHS) for task in step)
        for epoch in range(6)
    }
    assert len(turns) == 6


@pytest.mark.parametrize("others", [{"quora": 64}, {"quora": 64, "sts": 5}, {"sts": 900}])
def test_a_tasks_batches_are_the_same_whatever_other_tasks_are_on(
    others: dict[TaskName, int],
) -> None:
    alone, together = pooled(SST, 8, 4, 2, EPOCHS), pooled(SST | others, 8, 4, 2, EPOCHS)
    assert sorted(batches(together, "sst")) == sorted(batches(alone, "sst"))


@pytest.mark.parametrize("others", [{"quora": 64}, {"quora": 64, "sts": 5}, {"sts": 900}])
def test_a_task_sees_its_examples_in_the_same_order_whatever_other_tasks_are_on(
    others: dict[TaskName, int],
) -> None:
    alone, together = pooled(SST, 8, 4, 2, EPOCHS), pooled(SST | others, 8, 4, 2, EPOCHS)
    assert batches(together, "sst") == batches(alone, "sst")


# --- consolidated


@settings(max_examples=100, deadline=None)
@given(sizes=SIZES, batch_size=BATCH, seed=SEED)
def test_a_consolidated_batch_is_full_but_for_the_last(
    sizes: dict[TaskName, int], batch_size: int, seed: int
) -> None:
    totals = [
        sum(map(len, step.values())) for step in consolidated(sizes, batch_size, seed, 0, EPOCHS)
    ]
    full, rest = divmod(sum(sizes.values()), batch_size)
    assert totals == [batch_size] * full + [rest] * (rest > 0)


def test_a_consolidated_batch_is_grouped_by_task() -> None:
    steps = consolidated(SMALL, 16, 0, 0, EPOCHS)
    assert any(len(step) > 1 for step in steps)
    for step in steps:
        assert all(0 <= row < SMALL[task] for task, rows in step.items() for row in rows)


def chance_of_all(batch_size: int) -> float:
    """P(all three tasks meet in a batch drawn without replacement), by inclusion and exclusion."""
    total = sum(COURSE.values())

    def without(missing: int) -> float:
        return math.comb(total - missing, batch_size) / math.comb(total, batch_size)

    sst, quora, sts = COURSE.values()
    one = without(sst) + without(quora) + without(sts)
    two = without(sst + quora) + without(sst + sts) + without(quora + sts)
    return 1 - one + two


@pytest.mark.parametrize(("batch_size", "percent"), [(8, 9), (16, 27), (32, 60), (64, 90)])
def test_all_three_tasks_meet_as_rarely_as_published(batch_size: int, percent: int) -> None:
    steps = [
        step for epoch in (0, 1) for step in consolidated(COURSE, batch_size, 0, epoch, EPOCHS)
    ]
    share = sum(len(step) == 3 for step in steps) / len(steps)
    chance = chance_of_all(batch_size)
    assert 100 * chance == pytest.approx(percent, abs=1)
    assert abs(share - chance) < 4 * math.sqrt(chance * (1 - chance) / len(steps))


# --- round_robin, sqrt, annealed: a stream a task


def turns(steps: list[Step]) -> list[TaskName]:
    return [task for step in steps for task in step]


@every_streamed
@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, batch_size=BATCH, seed=SEED, epoch=EPOCH)
def test_an_epoch_has_as_many_steps_as_pooled_has_and_one_task_a_step(
    name: Any, sizes: dict[TaskName, int], batch_size: int, seed: int, epoch: int
) -> None:
    steps = SCHEDULES[name](sizes, batch_size, seed, epoch, EPOCHS)
    assert len(steps) == len(pooled(sizes, batch_size, seed, epoch, EPOCHS))
    assert all(len(step) == 1 for step in steps)


@every_streamed
@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, batch_size=BATCH, seed=SEED)
def test_no_row_comes_again_before_all_others_have_come_whatever_the_epochs_border(
    name: Any, sizes: dict[TaskName, int], batch_size: int, seed: int
) -> None:
    steps = [
        step for epoch in range(6) for step in SCHEDULES[name](sizes, batch_size, seed, epoch, 6)
    ]
    for task, size in sizes.items():
        rows = [row for batch in batches(steps, task) for row in batch]
        for start in range(0, len(rows), size):
            one_pass = rows[start : start + size]
            assert len(set(one_pass)) == len(one_pass)
            assert len(one_pass) == size or start + size > len(rows)


@every_streamed
def test_a_task_meets_the_batches_of_pooled_pass_after_pass_partial_ones_too(name: Any) -> None:
    steps = [step for epoch in range(4) for step in SCHEDULES[name](SMALL, 8, 3, epoch, 4)]
    for task in NAMES:
        came = batches(steps, task)
        passes = [
            batch
            for number in range(60)
            for batch in batches(pooled(SMALL, 8, 3, number, 60), task)
        ]
        assert len(came) > len(batches(pooled(SMALL, 8, 3, 0, 1), task))
        assert came == passes[: len(came)]


@every_streamed
def test_a_task_that_comes_often_is_shuffled_anew_at_each_of_its_passes(name: Any) -> None:
    sizes: dict[TaskName, int] = {"quora": 400, "sts": 40}
    came = batches(
        [step for epoch in range(3) for step in SCHEDULES[name](sizes, 8, 0, epoch, 3)], "sts"
    )
    first, second = came[:5], came[5:10]
    assert len(came) >= 10
    assert sorted(sum(first, [])) == sorted(sum(second, [])) == list(range(40))
    assert sum(first, []) != sum(second, [])


def test_round_robin_takes_turns_and_goes_on_over_the_end_of_an_epoch() -> None:
    sizes: dict[TaskName, int] = {"sst": 8, "quora": 16, "sts": 4}  # 2 + 4 + 1 batches of 4
    found = [turns(SCHEDULES["round_robin"](sizes, 4, 0, epoch, 3)) for epoch in range(3)]
    assert found[0] == ["sst", "quora", "sts", "sst", "quora", "sts", "sst"]
    assert found[1] == ["quora", "sts", "sst", "quora", "sts", "sst", "quora"]
    assert found[2] == ["sts", "sst", "quora", "sts", "sst", "quora", "sts"]


def assert_shares(drawn: list[TaskName], chances: dict[TaskName, float]) -> None:
    """Each task's share of the turns is its chance, within four standard errors."""
    assert sum(chances.values()) == pytest.approx(1, abs=1e-4)
    for task, chance in chances.items():
        error = math.sqrt(chance * (1 - chance) / len(drawn))
        assert abs(drawn.count(task) / len(drawn) - chance) < 4 * error, task


def test_sqrt_draws_tasks_by_the_square_root_of_their_size() -> None:
    # sqrt of 8544, 141506, 6040: 92.434, 376.173, 77.717; together 546.324
    found = turns(SCHEDULES["sqrt"](COURSE, 16, 0, 1, 3))
    assert_shares(found, {"sst": 0.16919, "quora": 0.68855, "sts": 0.14226})


@pytest.mark.parametrize(
    ("epoch", "chances"),
    [
        (0, {"sst": 0.05474, "quora": 0.90657, "sts": 0.03870}),  # size ** 1
        (3, {"sst": 0.20226, "quora": 0.62167, "sts": 0.17606}),  # size ** 0.4
        (4, {"sst": 0.27129, "quora": 0.47561, "sts": 0.25311}),  # size ** 0.2
    ],
)
def test_annealed_goes_from_proportional_to_nearly_even(
    epoch: int, chances: dict[TaskName, float]
) -> None:
    assert_shares(turns(SCHEDULES["annealed"](COURSE, 16, 0, epoch, 5)), chances)


def test_annealed_over_one_epoch_is_proportional() -> None:
    found = turns(SCHEDULES["annealed"](COURSE, 16, 0, 0, 1))
    assert_shares(found, {"sst": 0.05474, "quora": 0.90657, "sts": 0.03870})
