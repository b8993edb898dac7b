"""A study's report: the two scores of the winner, every trial, and figures that are the same from the same numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mtl.data.prepare import Sources
from mtl.study.document import study_document
from mtl.study.drawings import draw
from mtl.study.engine import Found
from tests.study_tools import SPACE, by_formula, make_study


@pytest.fixture(scope="module")
def found(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    space = {**SPACE, "odd": {"a|b": {"limit": 3}, "<i>": {"limit": 4}}}
    study = make_study(tiny_data, space=space, budget={"trials": 12}, fresh=2)
    return by_formula(study, tmp_path_factory.mktemp("runs"), sources=Sources())[0]


def test_the_report_says_what_won_and_what_that_is_worth(found: Found, tmp_path: Path) -> None:
    assert found.write(tmp_path)
    assert not found.write(tmp_path), "the same results, and called others"
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


def test_every_trial_has_its_row(found: Found) -> None:
    table = next(one for one in study_document(found.results).tables() if one.name == "trials")
    assert [row[0].sort for row in table.rows] == [one.number for one in found.results.trials]
    assert [row[1].sort for row in table.rows] == [
        one.values[0] if one.values else None for one in found.results.trials
    ]


def test_names_cannot_break_a_table(found: Found, tmp_path: Path) -> None:
    found.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "a&#124;b" in text
    assert "<i>" not in text


def test_equal_numbers_give_equal_pictures(found: Found) -> None:
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
