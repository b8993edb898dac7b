"""`judge` takes plain arrays and tables, gives what the grid gives, and names what is wrong."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtl.stats import judge, pearson_values
from tests.simulated_studies import compared
from tests.simulated_worlds import arms_of, simulate

RNG = np.random.default_rng(0)
RIGHT = {
    "baseline": RNG.random((3, 400)) < 0.6,
    "better": RNG.random((3, 400)) < 0.8,
    "same": RNG.random((3, 400)) < 0.6,
}


def table() -> pd.DataFrame:
    return pd.DataFrame([
        {"arm": arm, "seed": seed, "example": example, "value": float(value)}
        for arm, values in RIGHT.items()
        for seed, row in enumerate(values)
        for example, value in enumerate(row)
    ])  # fmt: skip


def test_arrays_and_tables_of_the_same_runs_give_the_same_verdicts() -> None:
    arrays, frame = judge(RIGHT), judge(table())
    columns = judge({name: list(column) for name, column in table().items()})
    shuffled = judge(table().sample(frac=1, random_state=1))
    assert list(arrays) == ["better", "same"]
    assert arrays["better"].word == "helps"
    for other in (frame, columns, shuffled):
        assert {name: str(one) for name, one in other.items()} == {
            name: str(one) for name, one in arrays.items()
        }
    assert str(arrays).splitlines()[0].startswith("better  +0.2")


def test_it_is_the_estimator_of_grids() -> None:
    values = simulate(np.random.default_rng(1), "plain", arms=4, seeds=3)
    expected = compared(arms_of(values))
    rows = pd.DataFrame([
        {"arm": str(arm), "seed": seed, "task": task, "example": example, "value": value}
        for task, of_task in values.items()
        for arm, of_arm in enumerate(of_task)
        for seed, run in enumerate(of_arm)
        for example, value in enumerate(run[:60])
    ])  # fmt: skip
    short = compared(arms_of({task: of_task[:, :, :60] for task, of_task in values.items()}))
    found = judge(rows, baseline="0")
    assert found.tasks == ("sst", "quora", "sts") and len(expected) == 4
    for name, estimate in short.items():
        one = found[name].estimate
        assert one is not None
        assert one.value == pytest.approx(estimate.value)
        assert one.seed_variance == pytest.approx(estimate.seed_variance)


def test_scores_alone_are_judged_over_seeds() -> None:
    rows = [("baseline", 0.50), ("baseline", 0.52), ("baseline", 0.51),
            ("better", 0.60), ("better", 0.615), ("better", 0.61)]  # fmt: skip
    columns = {
        "arm": [arm for arm, _ in rows],
        "seed": [0, 1, 2, 0, 1, 2],
        "score": [score for _, score in rows],
    }
    found = judge(columns)
    assert found["better"].word == "helps"
    arrays = judge({"baseline": [0.50, 0.52, 0.51], "better": [0.60, 0.615, 0.61]})
    assert arrays["better"].estimate == found["better"].estimate


def test_pearson_by_its_values() -> None:
    rng = np.random.default_rng(2)
    gold = rng.uniform(0, 5, 300)
    noise = {"baseline": 3.0, "better": 1.0}
    values = {
        arm: np.array([pearson_values(gold + rng.normal(0, sd, 300), gold) for _ in range(3)])
        for arm, sd in noise.items()
    }
    assert judge(values)["better"].word == "helps"
    assert pearson_values(np.ones(300), gold).tolist() == [0.0] * 300
    with pytest.raises(ValueError, match="all gold scores are equal"):
        pearson_values(gold, np.ones(300))


def test_looks_that_were_and_will_be_make_levels_stricter() -> None:
    assert judge(RIGHT)["better"].level == 0.95
    planned = judge(RIGHT, looks=[3, 4, 5, 6], most_seeds=6)
    assert planned["better"].level == pytest.approx(1 - 0.05 / 2)


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"arm": ["a"], "seed": [0]}, "no column score"),
        ({"arm": ["a"], "score": [0.5]}, "no column seed"),
        ({"arm": ["a"], "seed": [0], "value": [0.5]}, "no column example"),
        ({"arm": ["a", "b"], "seed": [0], "score": [0.5]}, "columns of one length"),
        ({"arm": ["a", "a"], "seed": [0, 0], "score": [0.5, 0.5]}, "arm 'a', seed 0 occurs twice"),
        ({"arm": ["a"], "seed": [0], "score": [float("nan")]}, "seed 0: nan is not finite"),
        ({"a": [0.5, 0.6], "b": [0.5, 0.6]}, "got 'baseline'. Name it with baseline="),
        ({"baseline": [[[0.5]]]}, "got the shape"),
        ({"baseline": [0.5, float("inf")]}, "'baseline': a score is not finite"),
        ([0.5, 0.6], "expected a table"),
        ({}, "expected a table"),
    ],
)
def test_what_is_wrong_is_named(scores: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        judge(scores)


def test_runs_on_other_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="has 399 examples"):
        judge({"baseline": RIGHT["baseline"], "better": RIGHT["better"][:, :399]})


def test_the_library_needs_neither_torch_nor_records() -> None:
    code = (
        "import sys, mtl.stats; "
        "print([name for name in ('torch', 'pandas', 'pydantic', 'mtl.runs', 'mtl.tasks', "
        "'mtl.config') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
