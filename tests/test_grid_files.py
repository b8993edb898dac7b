"""The design and the results of a grid as files: they read back, also those of earlier versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mtl.ablation.engine import Grid
from mtl.ablation.grid_files import (
    DESIGN_FILE,
    RESULTS_FILE,
    read_grid_design,
    read_history,
    write_results,
)
from mtl.ablation.history import History
from mtl.ablation.results import Results
from mtl.errors import RunError
from mtl.report import archive
from mtl.report.publish import make
from mtl.report.subject import find_subject
from mtl.report.upgrade import read
from mtl.report.write import check_report, write_report
from tests.report_runs import fill_grid, write_grid

GRID = """
question: Which of these help?
name: kept
set: {encoder: random-tiny, heads.sts: auto}
seeds: [0, 1]
arms:
  better: {freeze.unfrozen: 1}
  shifted: {overall: shifted}
grid: {pairing: [siamese, concat], pooling: [pooler, mean]}
margin: 0.02
claims:
  - {claim: It helps sts, arm: better, task: sts, expect: helps, published: {arm: 0.6, where: dev}}
  - {claim: Class 2 is worst, arm: better, expect: worst class, class: 2}
  - {claim: Of two groups, arm: shifted, than: better, expect: helps}
"""
COMMITTED = Path(__file__).parents[1] / "reports"


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    grid = write_grid(tmp_path / "runs", GRID, tmp_path / "definitions", max_seeds=4)
    fill_grid(grid, gains={"better": 0.5})
    return grid


def as_schema_1(folder: Path) -> None:
    """Rewrite `grid.json` as version 0.1.0 wrote it."""
    path = folder / DESIGN_FILE
    plain = json.loads(path.read_text())
    path.write_text(json.dumps({"schema": 1, "looks": 1, "runs": plain["runs"]}))


def test_the_design_reads_back_as_it_was_planned(grid: Grid) -> None:
    assert read_grid_design(grid.folder) == grid.planned()


def test_a_design_of_schema_1_is_expanded_from_its_definition(grid: Grid) -> None:
    as_schema_1(grid.folder)
    before = grid.planned().model_copy(update={"history": History()})
    assert read_grid_design(grid.folder) == before
    assert read_history(grid.folder) == History()


def test_a_design_of_schema_2_had_no_history(grid: Grid) -> None:
    path = grid.folder / DESIGN_FILE
    plain = json.loads(path.read_text())
    del plain["history"]
    path.write_text(json.dumps(plain | {"schema": 2, "looks": 3}))
    before = grid.planned().model_copy(update={"history": History()})
    assert read_grid_design(grid.folder) == before
    assert read_history(grid.folder) == History()


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 3}', '{"schema": 3, "history": {"a": 1}}'])
def test_a_damaged_history_is_not_begun_again(grid: Grid, text: str) -> None:
    path = grid.folder / DESIGN_FILE
    path.write_text(text)
    with pytest.raises(RunError, match=r"grid.json: damaged: .*when this grid was planned"):
        Grid(grid.definition, runs=grid.runs)
    assert path.read_text() == text


def test_results_read_back_from_their_file(grid: Grid) -> None:
    results = grid.results()
    assert write_results(results, grid.folder)
    assert not write_results(results, grid.folder), "equal results were called changed"
    plain = json.loads((grid.folder / RESULTS_FILE).read_text())
    assert plain["schema"] == 3
    assert Results.model_validate(plain) == results


def test_arms_that_do_not_compare_are_judged_in_groups_of_their_own(grid: Grid) -> None:
    results = grid.results()
    assert [[arm.name for arm in group.arms] for group in results.groups][1] == ["shifted"]
    assert results.arm("shifted").verdicts["overall"].word == "no verdict"
    assert "same data" in results.arm("shifted").verdicts["overall"].reason
    assert [claim.judged for claim in results.claims][2] == "undecided"
    assert [len(group.claims) for group in results.groups] == [2, 0]


def test_a_report_reads_the_design_and_not_the_definition(grid: Grid, tmp_path: Path) -> None:
    before = make(find_subject("kept", grid.runs, tmp_path).gather(text=False)).markdown
    (grid.folder / "definition.yaml").unlink()
    assert make(find_subject("kept", grid.runs, tmp_path).gather(text=False)).markdown == before


def test_a_report_leaves_the_results_beside_the_runs(grid: Grid, tmp_path: Path) -> None:
    write_report("kept", runs=grid.runs, output=tmp_path / "reports", text=False)
    plain = json.loads((grid.folder / RESULTS_FILE).read_text())
    assert plain == grid.results().as_json()


def test_checking_a_report_writes_nothing(grid: Grid, tmp_path: Path) -> None:
    write_report("kept", runs=grid.runs, output=tmp_path / "reports", text=False)
    (grid.folder / RESULTS_FILE).unlink()
    assert check_report("kept", runs=grid.runs, output=tmp_path / "reports").stale is None
    assert not (grid.folder / RESULTS_FILE).exists()


def test_sections_read_the_results_that_were_kept(grid: Grid, tmp_path: Path) -> None:
    records = find_subject("kept", grid.runs, tmp_path).gather(text=False)
    plain = archive.as_json(records)
    verdict = plain["results"]["groups"][0]["arms"][1]["verdicts"]["overall"]
    verdict["estimate"]["value"] = 0.4321
    assert "+0.432" in make(archive.from_json(plain)).markdown


@pytest.mark.parametrize("name", ["quickstart", "half-precision"])
def test_committed_records_of_schema_1_give_the_same_report_in_schema_3(
    name: str, tmp_path: Path
) -> None:
    kept = read(COMMITTED / name / archive.FILE)
    archive.write(tmp_path / archive.FILE, kept)
    assert read(tmp_path / archive.FILE) == kept
    assert make(read(tmp_path / archive.FILE)).markdown == make(kept).markdown


def newer(plain: dict[str, Any]) -> dict[str, Any]:
    return plain | {"schema": 4}


def without_arms(plain: dict[str, Any]) -> dict[str, Any]:
    return plain | {"arms": []}


def unknown_setting(plain: dict[str, Any]) -> dict[str, Any]:
    plain["arms"][1]["config"]["surgery"] = "nonsense"
    return plain


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (newer, r"expected schema 3, got 4"),
        (without_arms, r"damaged at arms"),
        (unknown_setting, r"damaged at arms\.1\.config\.surgery"),
    ],
)
def test_a_damaged_design_names_the_place_and_the_remedy(
    grid: Grid, spoil: Any, message: str
) -> None:
    path = grid.folder / DESIGN_FILE
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    with pytest.raises(RunError, match=message) as error:
        read_grid_design(grid.folder)
    assert str(path) in str(error.value)
    assert "mtl ablate --grid kept" in str(error.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda plain: plain | {"runs": plain["runs"] | {"better": {}}}, "damaged at runs.better"),
        (lambda plain: plain | {"runs": plain["runs"] | {"better": {"0": 3}}}, "runs.better.0"),
        (lambda plain: plain | {"runs": []}, "damaged at runs"),
    ],
)
def test_a_damaged_design_of_schema_1_names_the_place_and_the_remedy(
    grid: Grid, spoil: Any, message: str
) -> None:
    as_schema_1(grid.folder)
    path = grid.folder / DESIGN_FILE
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    with pytest.raises(RunError, match=message) as error:
        read_grid_design(grid.folder)
    assert str(path) in str(error.value)
    assert "mtl ablate --grid kept" in str(error.value)


def test_a_design_without_the_runs_of_an_arm_is_damaged(grid: Grid) -> None:
    path = grid.folder / DESIGN_FILE
    plain = json.loads(path.read_text())
    del plain["runs"]["better"]
    path.write_text(json.dumps(plain))
    with pytest.raises(RunError, match=r"damaged at runs: .*better"):
        read_grid_design(grid.folder)
