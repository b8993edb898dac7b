"""A study's report: the two scores of the winner, every trial, and reproducible figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mtl.cli import main
from mtl.errors import ConfigError, RunError
from mtl.report import archive
from mtl.report.document import Paragraph
from mtl.report.publish import Places
from mtl.report.render.figures import draw
from mtl.report.studies.document import study_document
from mtl.report.studies.files import write_report as write_study_report
from mtl.report.subject import find_subject
from mtl.report.write import check_report, write_report
from mtl.runs.prepare import Sources
from mtl.study.engine import StudyOutcome, write_outcome
from tests.report_runs import fill_grid, write_grid
from tests.study_tools import SPACE, by_formula, make_study

GRID = """
question: Does it help?
name: tiny
set: {encoder: random-tiny, heads.sts: auto}
seeds: [0]
arms: {mean: {pooling: mean}}
"""


@pytest.fixture(scope="module")
def found(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyOutcome:
    space = {**SPACE, "odd": {"a|b": {"limit": 3}, "<i>": {"limit": 4}}}
    study = make_study(tiny_data, space=space, budget={"trials": 12}, fresh=2)
    return by_formula(study, tmp_path_factory.mktemp("runs"), sources=Sources())[0]


def test_the_report_says_what_won_and_what_that_is_worth(
    found: StudyOutcome, tmp_path: Path
) -> None:
    assert write_outcome(found, tmp_path)
    assert not write_outcome(found, tmp_path), "the same results, and called others"
    write_study_report(found.results, tmp_path)
    text = (tmp_path / "report.md").read_text()
    best, (fresh,) = found.results.best, found.results.fresh
    assert best is not None
    assert f"It won with dev/overall {best.values[0]:.3f}" in text
    mean, sd = fresh.scores["dev/overall"].mean, fresh.scores["dev/overall"].sd
    assert f"On 2 fresh seeds it scores {mean:.3f} ± {sd:.3f}" in text
    assert "PED-ANOVA" in text
    assert "fANOVA" in text
    assert json.loads((tmp_path / "results.json").read_text())["best"] == best.number
    for name in ("history", "importances-dev-overall"):
        assert f"(figures/{name}.svg)" in text
        assert (tmp_path / "figures" / f"{name}.svg").read_bytes().startswith(b"<?xml")


def test_every_trial_has_its_row(found: StudyOutcome) -> None:
    table = next(one for one in study_document(found.results).tables() if one.name == "trials")
    assert [row[0].sort for row in table.rows] == [one.number for one in found.results.trials]
    assert [row[1].sort for row in table.rows] == [
        one.values[0] if one.values else None for one in found.results.trials
    ]


def test_names_cannot_break_a_table(found: StudyOutcome, tmp_path: Path) -> None:
    write_study_report(found.results, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "a&#124;b" in text
    assert "<i>" not in text


def test_equal_numbers_give_equal_pictures(found: StudyOutcome) -> None:
    for figure in study_document(found.results).figures():
        assert draw(figure) == draw(figure)


def test_a_front_has_a_picture_and_a_table(tiny_data: Path, tmp_path: Path) -> None:
    keys = ["dev/sst/accuracy", "dev/sts/pearson"]
    study = make_study(tiny_data, objective=keys, budget={"trials": 8}, fresh=0)
    results = by_formula(study, tmp_path, sources=Sources())[0].results
    document = study_document(results)
    (front,) = (figure for figure in document.figures() if figure.name == "front")
    assert sum(point[2] for point in front.data["points"]) == len(results.front)
    assert draw(front)
    winners = next(one for one in document.tables() if one.name == "winners")
    assert len(winners.rows) == len(results.front)
    said = next(
        block.text
        for block in document.blocks()
        if isinstance(block, Paragraph) and block.tone == "verdict"
    )
    best = max(results.winners(), key=lambda trial: trial.values[0])
    assert f"trial {best.number} has the best dev/sst/accuracy ({best.values[0]:.3f})" in said
    nothing = study_document(results.model_copy(update={"trials": (), "front": ()}))
    assert not [figure for figure in nothing.figures() if figure.name == "front"]


# --- the same study through `mtl report`


@pytest.fixture
def runs(found: StudyOutcome, tmp_path: Path) -> Path:
    """A folder of runs with the study among them."""
    folder = tmp_path / "runs/studies" / found.results.name
    folder.mkdir(parents=True)
    write_outcome(found, folder)
    write_study_report(found.results, folder)
    return tmp_path / "runs"


def test_a_study_is_reported_in_every_form_and_checked_without_its_runs(
    found: StudyOutcome, runs: Path, tmp_path: Path
) -> None:
    reports, name = tmp_path / "reports", found.results.name
    done = write_report(name, runs=runs, output=reports, forms=("html", "latex", "csv"))
    assert done.report.results == json.loads(json.dumps(found.results.as_json()))
    assert not done.private
    markdown = (reports / f"study-{name}.md").read_text()
    own = (runs / "studies" / name / "report.md").read_text()
    assert markdown.replace(f"study-{name}/figures/", "figures/") == own
    assert {path.suffix for path in done.files} == {".md", ".gz", ".svg", ".tex", ".csv", ".html"}
    assert "a|b" in (reports / f"study-{name}/tables/trials.csv").read_text()
    for word in (name, f"study-{name}"):
        assert check_report(word, runs=runs, output=reports).stale is None
        away = check_report(word, runs=tmp_path / "none", output=reports)
        assert away.stale is None
        assert not away.subject.has_runs


def test_a_report_of_a_study_that_has_gone_on_is_stale(
    found: StudyOutcome, runs: Path, tmp_path: Path
) -> None:
    reports, name = tmp_path / "reports", found.results.name
    write_report(name, runs=runs, output=reports)
    path = runs / "studies" / name / "results.json"
    results = json.loads(path.read_text())
    results["trials"] = results["trials"][:-1]
    path.write_text(json.dumps(results))
    assert "study.trials" in str(check_report(name, runs=runs, output=reports).stale)


def test_a_grid_of_the_same_name_comes_first_and_the_prefix_means_the_study(
    found: StudyOutcome, runs: Path
) -> None:
    name = found.results.name
    assert find_subject(None, runs, runs).study == runs / "studies" / name
    grid = runs / "grids" / name
    grid.mkdir(parents=True)
    (grid / "grid.json").write_text("{}")
    assert find_subject(name, runs, runs).grid == grid
    assert find_subject(f"study-{name}", runs, runs).study == runs / "studies" / name
    assert find_subject(str(runs / "studies" / name), runs, runs).name == f"study-{name}"


def test_records_of_a_study_hold_no_folder_of_the_machine(found: StudyOutcome, runs: Path) -> None:
    name = found.results.name
    path = runs / "studies" / name / "results.json"
    results = json.loads(path.read_text())
    results["trials"][0] |= {
        "reason": f"{runs.resolve()}/abc-s0: no space",
        "point": {"data": str(runs / "mine")},
    }
    path.write_text(json.dumps(results))
    records = find_subject(name, runs, runs).gather(text=None)
    assert isinstance(records, archive.StudyArchive)
    assert str(runs.resolve()) not in records.model_dump_json()
    assert records.study["trials"][0]["reason"] == "abc-s0: no space"
    assert records.study["trials"][0]["point"] == {"data": "mine"}


def test_damaged_results_are_named(found: StudyOutcome, runs: Path, tmp_path: Path) -> None:
    name = found.results.name
    path = runs / "studies" / name / "results.json"
    results = json.loads(path.read_text())
    results["trials"][3]["number"] = "many"
    path.write_text(json.dumps(results))
    with pytest.raises(RunError, match=r"damaged at trials\.3\.number"):
        write_report(name, runs=runs, output=tmp_path)
    path.write_text("{")
    with pytest.raises(RunError, match=r"results\.json"):
        write_report(name, runs=runs, output=tmp_path)
    with pytest.raises(ConfigError, match="no grid, study or run 'nothing'"):
        write_report("nothing", runs=runs, output=tmp_path)


def test_the_command_reports_a_study(found: StudyOutcome, runs: Path, tmp_path: Path) -> None:
    words = ["report", "--runs", str(runs), "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"study-{found.results.name}: Best: trial")
    plain = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert plain["results"]["name"] == found.results.name
    assert CliRunner().invoke(main, [*words, "--check"]).exit_code == 0


def test_a_study_named_like_a_report_is_found_and_sentences_are_refused(
    found: StudyOutcome, runs: Path, tmp_path: Path
) -> None:
    (runs / "studies" / found.results.name).rename(runs / "studies" / "study-own")
    assert find_subject("study-own", runs, runs).study == runs / "studies" / "study-own"
    write_report(str(runs / "studies" / "study-own"), runs=runs, output=tmp_path)
    for at_hand in (runs, tmp_path / "none"):
        with pytest.raises(ConfigError, match="no sentences"):
            write_report("study-study-own", runs=at_hand, output=tmp_path, text=True)


def test_a_report_of_another_kind_is_not_written_over(
    found: StudyOutcome, runs: Path, tmp_path: Path
) -> None:
    name = found.results.name
    write_report(name, runs=runs, output=tmp_path)
    path = Places(output=tmp_path, name=f"study-{name}").records
    grid = write_grid(runs, GRID, tmp_path / "definitions")
    fill_grid(grid)
    archive.write(path, find_subject("tiny", runs, tmp_path).gather(text=False))
    with pytest.raises(ConfigError, match="report of a grid of that name"):
        write_report(name, runs=runs, output=tmp_path)


def test_a_table_that_has_gone_makes_a_report_stale(
    found: StudyOutcome, runs: Path, tmp_path: Path
) -> None:
    name = found.results.name
    write_report(name, runs=runs, output=tmp_path, forms=("csv",))
    (tmp_path / f"study-{name}/tables/space.csv").unlink()
    assert str(check_report(name, runs=runs, output=tmp_path).stale).endswith("space.csv: missing")
