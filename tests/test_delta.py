"""`delta` in a definition: read strictly, judged over the arms, and shown everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mtl.ablation.definition import read_definition
from mtl.ablation.delta_table import delta_row
from mtl.ablation.design import expand
from mtl.ablation.grid_design import grid_design
from mtl.ablation.grid_files import read_grid_design
from mtl.ablation.results import Delta, Results
from mtl.ablation.sentences import tracked_numbers
from mtl.errors import ConfigError
from mtl.runs.folder import RunFolder
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Metric
from tests.definition_tools import there_and_back
from tests.design_tools import cell_of, define, plan
from tests.report_runs import fill_grid, write_grid
from tests.report_tools import built, mtl, section, tables, written

ARMS = """
set: {encoder: random-tiny, tasks: [sst, quora, sts], heads.sts: auto}
arms:
  baseline:
  better: {freeze.unfrozen: 1}
  sst alone: {tasks: [sst]}
  quora alone: {tasks: [quora]}
  two: {tasks: [sst, sts]}
baseline: baseline
"""
DELTA = "delta: {sst: sst alone, quora: quora alone}\n"
GRID = f"name: tiny\nquestion: Do the tasks help each other?\nseeds: [0, 1, 2]\n{ARMS}{DELTA}"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def results(text: str = GRID, **options: object) -> Results:
    grid = write_grid(Path("runs"), text, Path("definitions"))
    fill_grid(grid, gains={"better": 0.6}, **options)  # type: ignore[arg-type]
    return grid.results()


def delta(found: Results) -> Delta:
    assert found.delta is not None
    return found.delta


def test_a_definition_with_delta_reads_back_and_one_without_is_as_it_was(tmp_path: Path) -> None:
    asked = define(tmp_path, ARMS + DELTA)
    assert asked.delta == {"sst": "sst alone", "quora": "quora alone"}
    assert there_and_back(asked, tmp_path).delta == asked.delta
    assert "delta" not in define(tmp_path, ARMS).canonical()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("delta: {sst: sst alon}", "delta.sst: no arm 'sst alon'; there are baseline, better,"),
        ("delta: {sst: sst alon}", "Did you mean 'sst alone'?"),
        (
            "delta: {sst: two}",
            "delta.sst: expected an arm that trains sst alone, but 'two' trains sst, sts. Name one "
            "with `tasks: [sst]`.",
        ),
        ("delta: {sts: sst alone}", "expected an arm that trains sts alone, but 'sst alone'"),
        ("delta: {nonsense: sst alone}", "delta.nonsense: expected an arm that trains nonsense"),
        ("delta: sst alone", "delta: expected the arm that trains each task alone"),
        ("delta: {sst: 3}", "delta: expected the arm that trains each task alone"),
    ],
)
def test_a_mistake_in_delta_is_named_with_its_line(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        plan(tmp_path, f"{ARMS}{line}\n")
    text = str(refusal.value)
    assert message in text
    assert text.startswith(f"{tmp_path / 'mine.yaml'}:11: ")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        plan(tmp_path, f"{ARMS}delta: {{sst: two, quora: none}}\n")
    assert len(str(refusal.value).splitlines()) == 2


def test_delta_needs_an_arm_that_trains_all_its_tasks(tmp_path: Path) -> None:
    arms = "arms: {a: {tasks: [sst]}, b: {tasks: [quora]}, c: {tasks: [sst, sts]}}\nbaseline: c\n"
    with pytest.raises(ConfigError, match="no other arm trains sst, quora, so there is nothing"):
        plan(tmp_path, f"set: {{encoder: random-tiny}}\n{arms}delta: {{sst: a, quora: b}}\n")


def test_a_merged_arm_may_be_named(tmp_path: Path) -> None:
    text = """
set: {encoder: random-tiny}
grid:
  which: {all: {tasks: [sst, quora]}, sst: {tasks: [sst]}, quora: {tasks: [quora]}}
  pairing: [siamese, concat]
delta: {sst: which=sst}
"""
    design = plan(tmp_path, text)
    alone = design.find("which=sst")
    assert alone is not None and len(alone.merged) == 1  # one sentence: pairing changes nothing
    asked = define(tmp_path, text.replace("{sst: which=sst}", f"{{sst: '{alone.merged[0]}'}}"))
    design = expand(asked, cell_of)
    grid = grid_design(asked, design, {arm.name: (0, 1) for arm in design.arms})
    assert grid.delta == {"sst": alone.name}


def test_gains_are_those_of_the_scores() -> None:
    found = results()
    gains = {gain.arm: gain for gain in delta(found).gains}
    assert list(gains) == ["baseline", "better", "two"]
    means = {arm.name: {s: score.mean for s, score in arm.scores.items()} for arm in found.arms}
    for name in ("baseline", "better"):
        shares = {
            task: means[name][task] / means[single][task] - 1
            for task, single in delta(found).singles.items()
        }
        assert gains[name].tasks == pytest.approx(shares)
        estimate = gains[name].estimate
        assert estimate is not None and estimate.seeds == (0, 1, 2)
        assert estimate.value == pytest.approx(np.mean(list(shares.values())))
        assert estimate.low < estimate.value < estimate.high
        assert estimate.level == 0.95
    assert gains["two"].reason == "it does not train quora"
    better = gains["better"].estimate
    assert better is not None and better.low > 0
    numbers = tracked_numbers(found)
    assert numbers["better/delta"] == better.value
    assert numbers["two/delta"] is None


def test_results_without_delta_are_as_they_were() -> None:
    found = results(GRID.replace(DELTA, ""))
    assert found.delta is None
    assert "delta" not in found.as_json()
    assert "delta" not in read_grid_design(Path("runs/grids/tiny")).as_json()


def test_a_gain_that_was_asked_for_after_the_runs_is_exploratory() -> None:
    assert [gain.planned for gain in delta(results()).gains[:2]] == [True, True]
    later = GRID.replace("name: tiny", "name: later")
    grid = write_grid(Path("runs"), later.replace(DELTA, ""), Path("definitions"))
    fill_grid(grid)
    grid.results()
    after = delta(write_grid(Path("runs"), later, Path("definitions")).results())
    assert [gain.planned for gain in after.gains[:2]] == [False, False]
    assert delta_row(after.gains[0], ["sst"])[-1].endswith("] (exploratory)")


def test_another_look_widens_the_interval() -> None:
    first = results()
    more = write_grid(Path("runs"), GRID.replace("[0, 1, 2]", "[0, 1, 2, 3]"), Path("definitions"))
    fill_grid(more, gains={"better": 0.6})
    second = more.results()
    levels = [delta(found).gains[1].estimate for found in (first, second)]
    assert levels[0] is not None and levels[1] is not None
    assert levels[0].level == 0.95 < levels[1].level


def test_arms_on_other_rows_say_so() -> None:
    grid = write_grid(Path("runs"), GRID, Path("definitions"))
    apart = [(arm.name, seed) for arm in grid.design.arms for seed in (0, 1, 2)]
    fill_grid(grid, leave_out=[run for run in apart if run[0] == "sst alone"])
    fill_grid(grid, leave_out=[run for run in apart if run[0] != "sst alone"], parts="f" * 16)
    found = grid.results()
    assert found.groups
    for gain in delta(found).gains:
        assert gain.estimate is None
        assert "other dev rows" in gain.reason or "does not train" in gain.reason
    assert [gain.arm for gain in delta(found).gains] == ["baseline", "better", "two"]


STS = GRID.replace("  quora alone: {tasks: [quora]}", "  sts alone: {tasks: [sts]}").replace(
    DELTA, "delta: {sst: sst alone, sts: sts alone}\n"
)


@pytest.mark.parametrize("overall", ["mean", "shifted"])
@pytest.mark.parametrize("metric", ["pearson", "rmse"])
def test_shares_are_of_the_metric_itself_whatever_overall_counts(
    metric: Metric, overall: str
) -> None:
    """A share of r is none of (r + 1) / 2, and less of an rmse is a gain."""
    with TASKS.using([replace(TASKS["sts"], metric=metric)]):
        text = STS.replace("heads.sts: auto", f"heads.sts: auto, overall: {overall}")
        found = results(text)
        gain = delta(found).gains[1]
        raw = {
            arm.name: np.mean([
                metric_of(run_id, f"dev/sts/{metric}")
                for run_id in read_grid_design(Path("runs/grids/tiny")).runs[arm.name].values()
            ])
            for arm in found.arms
            if "sts" in arm.tasks
        }  # fmt: skip
        share = raw["better"] / raw["sts alone"] - 1
        assert gain.tasks["sts"] == pytest.approx(-share if metric == "rmse" else share)
        assert gain.estimate is not None and gain.estimate.value == pytest.approx(
            np.mean(list(gain.tasks.values()))
        )


def metric_of(run_id: str, key: str) -> float:
    """A metric of a run's last evaluation; these runs are judged there."""
    lines = RunFolder(Path("runs") / run_id).history()
    return float([line["metrics"] for line in lines if "metrics" in line][-1][key])


def test_the_command_the_results_and_the_report_show_the_gains() -> None:
    results()
    path = Path("definitions/definition.yaml")
    shown = mtl("ablate", "--grid", str(path)).output
    assert "mean relative gain [95 %]" in shown
    assert "unknown: it does not train quora" in shown
    assert "delta-m (Maninis et al. 2019)" in shown.replace("\n", " ")
    assert read_definition(path).delta
    stored = json.loads(Path("runs/grids/tiny/results.json").read_text())["delta"]
    assert stored["singles"] == {"sst": "sst alone", "quora": "quora alone"}
    (table,) = tables(section(built(), "Relative gain"))
    assert [row["arm"] for row in table] == ["baseline", "better", "two"]
    better = stored["gains"][1]["estimate"]
    assert table[1]["mean relative gain [95 %]"] == (
        f"{100 * better['value']:+.1f} % [{100 * better['low']:+.1f} %, "
        f"{100 * better['high']:+.1f} %]"
    )
    mtl("report", "tiny")
    assert "## Relative gain" in written()
    assert Path("reports/tiny/records.json.gz").exists()
