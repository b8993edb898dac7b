"""`mtl ablate` as it is typed: the plan that it prints, the grid that it runs, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mtl.cli import main


def ablate(*words: object, code: int = 0) -> Result:
    found = CliRunner(env={"COLUMNS": "140"}).invoke(main, ["ablate", *map(str, words)])
    assert found.exit_code == code, found.output
    return found


@pytest.fixture
def grid(tiny_data: Path, tmp_path: Path) -> list[object]:
    """The words of a grid of two arms on two seeds, small enough to train here."""
    factors = ["--grid", "heads.sst=mlp,linear", "--grid", "seed=0,1"]
    settings = ["encoder=random-tiny", f"data={tiny_data}", "train.epochs=1", "train.batch_size=8"]
    return [*factors, *settings, "--runs", tmp_path / "runs"]


def test_a_dry_run_prints_the_plan_and_trains_nothing(grid: list[object], tmp_path: Path) -> None:
    shown = ablate(*grid, "--dry-run").stdout
    assert "heads.sst=linear" in shown
    assert "2 arms, 4 runs: 4 to train" in shown
    plan = json.loads(ablate(*grid, "--dry-run", "--json").stdout)
    assert {(run["seed"], run["state"], run["seconds"]) for run in plan["runs"]} == {
        (0, "missing", None),
        (1, "missing", None),
    }
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_says_how_many_seeds_may_be_added(grid: list[object]) -> None:
    shown = ablate(*grid, "--dry-run", "--until-decided", "--max-seeds", 5).stdout
    assert "up to 10 runs with --max-seeds 5" in shown


def test_a_grid_is_run_judged_and_not_run_again(grid: list[object], tmp_path: Path) -> None:
    words = [*grid, "--wandb", "disabled", "--quiet"]
    first = json.loads(ablate(*words, "--json").stdout)
    assert len(first["arms"]) == 2
    records = sorted((tmp_path / "runs").glob("*/record.json"))
    assert len(records) == 4
    before = [path.stat().st_mtime_ns for path in records]
    again = ablate(*words)
    assert [path.stat().st_mtime_ns for path in records] == before
    assert "heads.sst=linear" in again.stdout
    assert "4 runs: nothing to train" in ablate(*grid, "--dry-run").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["quickstart"], "`mtl ablate --grid quickstart`"),
        (["--grid", "quickstart", "--grid", "seed=0,1"], "cannot be joined"),
        (["--grid", "quickstart", "--base", "final"], "has a base of its own"),
        (["--grid", "quickstrat"], "quickstart"),
        (["--grid", "quickstart", "--until-decided"], "--max-seeds"),
    ],
)
def test_what_cannot_be_meant_is_told_with_the_way_out(
    words: list[str], said: str, tmp_path: Path
) -> None:
    assert said in ablate(*words, "--runs", tmp_path, code=2).output
