"""What was planned, and how often it was judged, stands in the grid's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.ablation.claims import Claim
from mtl.ablation.definition import read_definition
from mtl.ablation.engine import Grid
from mtl.ablation.history import History, plan_of
from mtl.ablation.margins import margin_of_words, margin_text
from mtl.ablation.results import Results, Verdict
from mtl.errors import ConfigError
from tests.report_runs import fill_grid, write_grid

GRID = """
question: Which of these help?
name: kept
set: {encoder: random-tiny}
seeds: [0, 1, 2]
arms:
  better: {freeze.unfrozen: 1}
  other: {pooling: mean}
margin: {overall: 0.02, sts: 0.05}
claims:
  - {claim: It helps, arm: better, expect: helps}
"""


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    return write_grid(tmp_path / "runs", GRID, tmp_path / "definitions")


def changed(grid: Grid, text: str) -> Grid:
    """The same grid, asked otherwise now."""
    path = grid.runs.parent / "definitions" / "definition.yaml"
    path.write_text(text)
    again = Grid(read_definition(path), runs=grid.runs)
    again.fix_plan(None)
    return again


def verdict(results: Results, arm: str, score: str = "overall") -> Verdict:
    return results.arm(arm).verdicts[score]  # type: ignore[index]


# --- planned and exploratory


def test_the_plan_stands_with_its_hash_before_the_first_run(grid: Grid) -> None:
    [plan] = grid.history.plans
    assert plan.done == () and plan.looks == 0 and not plan.before
    assert len(plan.hash) == 16 and plan.at.startswith("20")
    grid.fix_plan(None)
    assert grid.history.plans == (plan,), "an equal plan is no new one"


def test_what_stood_before_the_runs_is_planned(grid: Grid) -> None:
    fill_grid(grid, gains={"better": 0.5})
    results = grid.results()
    assert verdict(results, "better").planned is True
    assert verdict(results, "other", "sts").planned is True
    assert results.claims[0].planned is True


def test_a_margin_that_was_changed_after_verdicts_is_exploratory_where_it_matters(
    grid: Grid,
) -> None:
    fill_grid(grid, gains={"better": 0.5})
    grid.results()
    again = changed(grid, GRID.replace("overall: 0.02", "overall: 0.2"))
    results = again.results()
    assert verdict(results, "better").word == "helps"
    assert verdict(results, "better").planned is True, "helps does not rest on the margin"
    assert verdict(results, "other").word == "no difference"
    assert verdict(results, "other").planned is False
    assert verdict(results, "other", "sts").planned is True, "its margin is the same"
    assert results.claims[0].planned is False


def test_an_arm_and_a_claim_that_were_added_before_their_runs_are_planned(grid: Grid) -> None:
    fill_grid(grid)
    grid.results()
    more = GRID.replace("margin:", "  third: {pooling: cls}\nmargin:") + (
        "  - {claim: The third hurts, arm: third, expect: hurts}\n"
        "  - {claim: The other hurts, arm: other, expect: hurts}\n"
    )
    again = changed(grid, more)
    fill_grid(again)
    results = again.results()
    assert verdict(results, "third").planned is True
    assert [claim.planned for claim in results.claims] == [True, True, False]


def test_arms_that_had_all_runs_before_the_plan_are_exploratory(tmp_path: Path) -> None:
    first = write_grid(tmp_path / "runs", GRID, tmp_path / "definitions")
    fill_grid(first)
    late = write_grid(tmp_path / "runs", GRID.replace("kept", "late"), tmp_path / "late")
    results = late.results()
    assert verdict(results, "better").planned is False
    assert results.claims[0].planned is False


def test_a_folder_from_before_plans_were_kept_is_not_known(grid: Grid) -> None:
    fill_grid(grid)
    (grid.folder / "grid.json").unlink()
    (grid.folder / "results.json").write_text("{}")
    again = changed(grid, GRID)
    assert again.history.plans[0].before
    assert verdict(again.results(), "better").planned is None


def test_the_hash_is_of_all_that_fixes_the_verdicts() -> None:
    plain = {
        "arms": {"baseline": "c0", "a": "c1"}, "baseline": "baseline", "margin": 0.01,
        "claims": (), "delta": {}, "seeds": (0, 1), "max_seeds": None, "done": (), "looks": 0,
        "before": False,
    }  # fmt: skip
    hashes = {plan_of(**plain).hash}  # type: ignore[arg-type]
    for key, value in {
        "arms": {"baseline": "c0", "a": "c2"},
        "margin": {"overall": 0.01},
        "claims": (Claim(claim="It helps", arm="a", expect="helps"),),
        "delta": {"sst": "a"},
        "seeds": (0, 1, 2),
        "max_seeds": 4,
    }.items():
        hashes.add(plan_of(**(plain | {key: value})).hash)  # type: ignore[arg-type]
    assert len(hashes) == 7
    later = plan_of(**(plain | {"done": ("a",), "looks": 3}))  # type: ignore[arg-type]
    assert later.hash in hashes


# --- looks


def test_every_look_with_other_seeds_counts_and_the_same_seeds_do_not(grid: Grid) -> None:
    fill_grid(grid)
    assert [grid.results().looks for _ in range(3)] == [1, 1, 1]
    wider = changed(grid, GRID.replace("[0, 1, 2]", "[0, 1, 2, 3, 4]"))
    fill_grid(wider)
    results = wider.results()
    assert results.looks == 2
    look = wider.history.look("better", "baseline")
    assert look is not None and (look.seeds, look.most) == ((3, 5), None)
    estimate = verdict(results, "better").estimate
    assert estimate is not None and estimate.level == pytest.approx(1 - 0.0315, abs=1e-3)
    # Going back to the first seeds is no free look either.
    back = changed(grid, GRID).results()
    estimate = verdict(back, "better").estimate
    assert back.looks == 2 and estimate is not None and estimate.level == pytest.approx(0.97)


def test_looks_of_until_decided_hold_for_the_plain_command_too(tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "runs", GRID, tmp_path / "definitions", max_seeds=4)
    fill_grid(grid)
    assert grid.results().looks == 1
    look = grid.history.look("better", "baseline")
    assert look is not None and (look.seeds, look.most) == ((3, 4), 4)
    plain = changed(grid, GRID.replace("[0, 1, 2]", "[0, 1, 2, 3]"))
    fill_grid(plain)
    results = plain.results()
    estimate = verdict(results, "better").estimate
    assert results.looks == 2 and estimate is not None
    assert estimate.level == pytest.approx(look.level(4, 0.05) * -1 + 1)
    assert estimate.level > 0.95


def test_seeds_that_an_arm_does_not_share_are_no_look_at_it() -> None:
    history = History().with_look({"baseline": (0, 1, 2), "a": (0, 1), "b": (5,)})
    history = history.with_look({"baseline": (0, 1, 2), "a": (0, 1, 2), "b": (5,)})
    look = history.look("a", "baseline")
    assert look is not None and look.seeds == (2, 3)
    assert history.look("b", "baseline") is None
    assert len(history.looks) == 2


# --- adding seeds


def with_chance(results: Results, chance: float | None, seeds: int) -> Results:
    """The results with every other arm open, with this chance to be decided."""
    arms = []
    for arm in results.arms:
        verdicts = {
            score: one.model_copy(update={
                "word": "undecided", "chance": chance,
                "estimate": one.estimate.model_copy(update={"seeds": tuple(range(seeds))})
                if one.estimate else None,
            })
            for score, one in arm.verdicts.items()
        }  # fmt: skip
        arms.append(arm.model_copy(update={"verdicts": verdicts}))
    return results.model_copy(update={"arms": tuple(arms)})


@pytest.mark.parametrize(
    ("chance", "seeds", "goes_on"),
    [(0.5, 3, True), (0.05, 3, False), (0.05, 2, True), (None, 3, True)],
)
def test_an_arm_is_set_aside_by_its_chance_and_never_from_two_seeds(
    grid: Grid, chance: float | None, seeds: int, goes_on: bool
) -> None:
    fill_grid(grid)
    results = with_chance(grid.results(), chance, seeds)
    added, aside = grid.add_seeds(results, 5)
    assert added is goes_on
    assert sorted(aside) == ([] if goes_on else ["better (5 %)", "other (5 %)"])
    assert len(grid.seeds["better"]) == (4 if goes_on else 3)


# --- margins


def test_margins_of_the_command_line() -> None:
    assert margin_of_words(["0.02"]) == 0.02
    assert margin_of_words(["sts=0.03", "overall=0.01"]) == {"sts": 0.03, "overall": 0.01}
    for words, said in (
        (["stss=0.1"], "Did you mean 'sts'"),
        (["sts=-1"], "0 or more, got '-1'"),
        (["x"], "0 or more, got 'x'"),
        (["0.1", "sts=0.2"], "give one number for all scores"),
        (["sts=0.1", "sts=0.2"], "a second time"),
    ):
        with pytest.raises(ConfigError, match=said):
            margin_of_words(words)


def test_each_score_is_judged_by_its_margin(grid: Grid) -> None:
    fill_grid(grid)
    results = grid.results()
    assert results.margins == {"sst": 0.01, "quora": 0.01, "sts": 0.05, "overall": 0.02}
    assert margin_text(results.margins) == "0.02 (sst 0.01, quora 0.01, sts 0.05)"
