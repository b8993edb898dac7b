"""Reports are built from records: what they contain, and what they say of missing runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from mtl.report.paths import without_paths
from mtl.report.publish import make
from mtl.report.subject import find_subject
from mtl.runs.record import Opening
from tests.conftest import write_tiny_data
from tests.fault_tools import edit
from tests.report_runs import fill_grid, write_grid, write_run
from tests.report_tools import (
    GRID,
    built,
    fill,
    in_an_empty_folder,
    mtl,
    records,
    section,
    tables,
    written,
)

__all__ = ["in_an_empty_folder"]


ONE_SEED = GRID.replace("[0, 1, 2, 3]", "[0]")


def write_and_fill(text: str) -> None:
    """A grid with its runs, `better` far better than the others."""
    fill_grid(write_grid(Path("runs"), text, Path("definitions")), gains={"better": 0.6})


# --- the same numbers by other means: csv, numpy and scipy on the raw files


def test_the_report_is_the_same_byte_for_byte_when_made_again_from_its_records_alone() -> None:
    fill()
    mtl("report", "tiny", "--no-text")
    once = {path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()}
    assert len([path for path in once if path.suffix == ".svg"]) == 5
    shutil.rmtree("runs")
    mtl("report", "tiny")
    assert {
        path: path.read_bytes() for path in Path("reports").rglob("*") if path.is_file()
    } == once


def test_records_hold_no_sentence_and_no_place_of_the_machine(tmp_path: Path) -> None:
    fill()
    mtl("report", "tiny")
    assert str(tmp_path) not in records() + written()
    assert "/somewhere" not in records()
    assert "sst-0001" in records()


def test_folders_in_names_made_of_them_are_shortened_as_far_as_they_stay_apart(
    tmp_path: Path,
) -> None:
    places = [
        write_tiny_data(tmp_path / name / "course", seed=seed)
        for seed, name in enumerate(("one", "two"))
    ]
    text = GRID[: GRID.index("arms:")] + f"grid: {{data: {[str(place) for place in places]}}}\n"
    grid = write_grid(Path("runs"), text, Path("definitions"))
    first, second = grid.design.arms
    assert str(tmp_path) in second.name
    for arm in (first, second):
        for seed in grid.seeds[arm.name]:
            write_run(grid.runs, arm.config.model_copy(update={"seed": seed}), arm.cell)
    mtl("report", "tiny")
    assert str(tmp_path) not in records() + written()
    assert "two/course" in written()
    mtl("report", "tiny", "--check")


def test_a_reason_loses_every_folder_of_the_machine() -> None:
    words = "OSError: no space: '/srv/me/data/x.csv' (see https://a.b/c/d, 3/4, and ~/notes/y.txt)"
    assert (
        without_paths(words, Path("runs"))
        == "OSError: no space: 'x.csv' (see https://a.b/c/d, 3/4, and y.txt)"
    )


def test_the_card_says_how_long_and_how_fast_and_on_how_much_of_the_data() -> None:
    _, folders = fill()
    for folder in folders.values():
        path = folder.path / "record.json"
        data = json.loads(path.read_text())["data"]
        edit(path, data=data | {"trained_on": dict.fromkeys(data["trained_on"], 7)})
    card = section(built(), "Comparability")
    assert "| learning rate, batch size | 1e-05 at 16, 2e-05 at 16 |" in card
    assert "| epochs | 3 |" in card
    assert re.search(r"\| 7 of \d+ \|", card)
    assert "of which these runs saw a part" in card


def test_claims_between_arms_that_stand_apart_together_are_judged() -> None:
    text = GRID.replace(
        "  same:",
        "  shifted: {overall: shifted}\n  shifted too: {overall: shifted, train.lr: 3e-5}\n  same:",
    )
    text += "  - {claim: Apart, arm: shifted too, than: shifted, expect: helps}\n"
    text += "  - {claim: Apart and alone, arm: shifted, expect: train above dev}\n"
    write_and_fill(text)
    claims = section(built(), "Claims")
    assert "Not judged" not in claims
    assert {row["claim"] for row in tables(claims)[0]} >= {"Apart", "Apart and alone"}


def test_a_claim_of_no_difference_holds_where_a_sure_difference_is_smaller_than_counts() -> None:
    text = (
        GRID.replace("margin: 0.01", "margin: 0.9")
        + "  - {claim: Nothing much, arm: better, expect: no difference}\n"
    )
    write_and_fill(text)
    markdown = built()
    found = next(
        row for row in tables(section(markdown, "Claims"))[0] if row["claim"] == "Nothing much"
    )
    assert found["judged"] == "reproduced"
    assert found["because"] == "the interval is inside the margin of 0.9"
    ablation = {row["arm"]: row["verdict"] for row in tables(section(markdown, "Ablation"))[0]}
    assert ablation["better"] == "helps"


def test_a_grid_is_reported_from_inside_its_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    fill()
    expected = built()
    monkeypatch.chdir("runs/grids/tiny")
    assert (
        make(find_subject(".", Path("none"), Path("reports")).gather(text=False)).markdown
        == expected
    )
    monkeypatch.chdir("..")
    assert (
        make(find_subject("tiny", Path("none"), Path("reports")).gather(text=False)).markdown
        == expected
    )


# --- what is missing, failed, or not to be compared


def test_runs_without_a_score_are_said_with_their_reason() -> None:
    grid, folders = fill(leave_out=[("same", 3)])
    diverged = folders["better", 3]
    record = diverged.record()
    assert record is not None
    diverged.finish(
        record.model_copy(
            update={"status": "diverged", "error": "step 5 of 9: the loss of sst is not finite"}
        )
    )
    damaged = folders["same", 2].path / "predictions" / "dev-sts.csv"
    damaged.write_text("id,gold,output_0\nx,1.0,nonsense\n")
    markdown = built()
    (missing,) = tables(section(markdown, "Missing runs"))
    said = {(row["arm"], row["seed"]): row for row in missing}
    assert said["same", "3"]["reason"] == "not run"
    assert said["better", "3"]["state"] == "diverged"
    assert "the loss of sst is not finite" in said["better", "3"]["reason"]
    assert "damaged" in said["same", "2"]["reason"]
    rows = {row["arm"]: row for row in tables(section(markdown, "Ablation"))[0]}
    assert rows["better"]["sst"].endswith("(sd, n=3)")
    assert rows["same"]["sst"].endswith("(sd, n=2)")
    for seed in grid.seeds["same"]:
        shutil.rmtree(folders["same", seed].path) if ("same", seed) in folders else None
    markdown = built()
    rows = {row["arm"]: row for row in tables(section(markdown, "Ablation"))[0]}
    assert [rows["same"][task] for task in ("sst", "quora", "sts", "overall")] == ["missing"] * 4
    assert "same: no scores. seed 0, 1, 2, 3: not run" in section(markdown, "Verdict")


def test_a_constant_prediction_counts_as_r_0_and_is_named() -> None:
    _, folders = fill()
    path = folders["same", 1].path / "predictions" / "dev-sts.csv"
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join([lines[0], *(",".join([*line.split(",")[:2], "0.0"]) for line in lines[1:])])
        + "\n"
    )
    record = folders["same", 1].record()
    assert record is not None
    why = "all predictions are equal (0), so the correlation is undefined"
    metrics = record.metrics | {"dev/sts/pearson": None, "dev/overall": None}
    folders["same", 1].finish(
        record.model_copy(
            update={
                "metrics": metrics,
                "undefined": {"dev/sts/pearson": why, "dev/overall": "sts is"},
            }
        )
    )
    markdown = built()
    rows = {row["arm"]: row for row in tables(section(markdown, "Ablation"))[0]}
    assert rows["same"]["sts"].endswith("(sd, n=4)")
    assert rows["same"]["sst"].endswith("(sd, n=4)")
    verdict = section(markdown, "Verdict")
    assert "counted: same, seed 1 (sts: all predictions are 0)." in verdict
    assert why not in markdown


def test_one_seed_gets_no_verdict_and_no_spread() -> None:
    fill(ONE_SEED)
    markdown = built()
    verdict = section(markdown, "Verdict")
    assert "No verdict: better; same" in verdict
    assert "One seed an arm" in verdict
    rows = tables(section(markdown, "Ablation"))[0]
    assert all("±" not in value for row in rows for value in row.values())
    assert rows[1]["verdict"] == "no verdict: one seed"
    assert not re.search(r"\b(helps|hurts)\b", verdict.partition("Keep (helps) and drop")[0])
    assert {row["judged"] for row in tables(section(markdown, "Claims"))[0]} == {"undecided"}


def test_a_grid_without_any_run_says_so() -> None:
    write_grid(Path("runs"), GRID, Path("definitions"))
    markdown = built()
    assert section(markdown, "Missing runs").count("not run") == 16


def test_arms_scored_on_other_rows_or_by_another_rule_stand_apart() -> None:
    text = GRID.replace("  same:", "  shifted: {overall: shifted}\n  same:")
    grid = write_grid(Path("runs"), text, Path("definitions"))
    for arm in grid.design.arms:
        for seed in grid.seeds[arm.name]:
            config = arm.config.model_copy(update={"seed": seed})
            ids = {"sst": [f"other-{i}" for i in range(60)]} if arm.name == "same" else None
            write_run(
                grid.runs,
                config,
                arm.cell,
                ids=ids,
                parts="f" * 16 if arm.name == "same" else "0" * 16,
            )
    markdown = built()
    found = tables(section(markdown, "Ablation"))
    arms = [[row["arm"] for row in table] for table in found]
    assert arms == [
        ["baseline", "better", "sts alone"],
        ["shifted"],
        ["same"],
        ["better", "sts alone"],
    ]
    assert section(markdown, "Verdict").count("Not compared:") == 2
    assert "ffff" in section(markdown, "Comparability")


def test_openings_of_test_are_counted_and_its_scores_shown() -> None:
    _, folders = fill()
    for seed in range(2):
        metrics = {
            "test/sst/accuracy": 0.4 + seed / 10,
            "test/quora/accuracy": 0.7,
            "test/sts/pearson": 0.5,
            "test/overall": 0.55,
        }
        for last in (False, True):  # the last opening's scores are the run's
            shown = metrics if last else dict.fromkeys(metrics, 0.9)
            folders["better", seed].add_opening(
                Opening(at="2026-01-01", data="x", metrics=shown, undefined={})
            )
    markdown = built()
    assert "Test was opened 4 times." in section(markdown, "Choosing, and openings of test")
    assert (
        tables(section(markdown, "Choosing, and openings of test"))[0][0]["by seed"]
        == "seed 0: 2; seed 1: 2"
    )
    row = next(row for row in tables(section(markdown, "Results"))[0] if row["split"] == "test")
    assert row["sst"] == "0.450 ± 0.071 (sd, n=2)"
