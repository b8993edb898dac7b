"""The overall score of tasks with weights: every number of a grid is of the same weighted mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mtl.tasks.registry import TASKS
from tests.report_runs import fill_grid, write_grid

GRID = """
name: weighted
question: Which helps?
set: {encoder: random-tiny, tasks: [sst, quora, sts], heads.sts: auto}
seeds: [0, 1, 2]
grid: {freeze.unfrozen: [all, 1], pooling: [cls, mean]}
"""


@pytest.fixture(autouse=True)
def weighted_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """sst counts three times as much as quora, sts does not count."""
    monkeypatch.chdir(tmp_path)
    with TASKS.using([replace(TASKS["sst"], weight=3.0), replace(TASKS["sts"], weight=0.0)]):
        yield


def test_verdicts_effects_and_the_best_arm_are_of_the_weighted_mean() -> None:
    grid = write_grid(Path("runs"), GRID, Path("definitions"))
    fill_grid(grid, gains={"pooling=mean": 0.3})
    found = grid.results()
    means = {
        arm.name: {score: summary.mean for score, summary in arm.scores.items()}
        for arm in found.arms
    }
    for scores in means.values():
        assert set(scores) == {"sst", "quora", "sts", "overall"}
        assert scores["overall"] == pytest.approx((3 * scores["sst"] + scores["quora"]) / 4)
    baseline = means[found.baseline]["overall"]
    for arm in found.arms[1:]:
        estimate = arm.verdicts["overall"].estimate
        assert estimate is not None
        assert estimate.value == pytest.approx(means[arm.name]["overall"] - baseline)
    assert found.best_of is not None
    assert found.best_of.baseline == pytest.approx(baseline)
    assert found.best_of.observed == pytest.approx(max(m["overall"] for m in means.values()))
    gain = sum(effect.estimate.value for effect in found.shapley if effect.estimate)
    assert gain == pytest.approx(found.best_of.observed - baseline)
