"""The first screen says what to do, what is not known, and what it would cost to know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from mtl.ablation.claim_results import expected_false
from mtl.ablation.engine import Grid
from mtl.ablation.evidence import FolderRuns
from mtl.ablation.outlook import Outlook, warning
from mtl.ablation.sentences import by_action, next_step, sentence, to_decide
from mtl.cli import main
from mtl.grid.wording import duration
from mtl.runs.folder import RunFolder
from mtl.tasks.registry import TASKS
from tests.report_runs import fill_grid, write_grid

GRID = """
question: Which of these help?
name: screen
set: {encoder: random-tiny}
seeds: [0, 1, 2]
arms:
  better: {freeze.unfrozen: 1}
  worse: {pooling: mean}
  open: {pooling: cls}
claims:
  - {claim: 1. It helps sts, arm: better, task: sts, expect: helps}
  - {claim: 1. It helps sst, arm: better, task: sst, expect: helps}
  - {claim: 2. It hurts, arm: worse, expect: hurts}
  - {claim: 2. It helps quora, arm: worse, task: quora, expect: no difference}
  - {claim: Alone, arm: open, expect: helps}
"""


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    grid = write_grid(tmp_path / "runs", GRID, tmp_path / "definitions")
    fill_grid(grid, gains={"better": 0.6, "worse": -0.6})
    return grid


def test_arms_stand_under_what_to_do_with_them(grid: Grid) -> None:
    results = grid.results()
    groups = {action: [arm.name for arm in arms] for action, arms in by_action(results).items()}
    assert groups == {"Keep": ["better"], "Drop": ["worse"], "Not known yet": ["open"]}
    said = {arm.name: sentence(arm, results) for arm in results.arms[1:]}
    assert said["better"].startswith("better: helps; overall +0.")
    assert said["worse"].startswith("worse: hurts; overall -0.")
    assert said["open"].startswith("open: undecided, any difference is below 0.")


def test_not_knowing_has_a_price_in_seeds_runs_and_time(grid: Grid) -> None:
    results = grid.results()
    arm = results.arm("open")
    verdict = arm.verdicts["overall"].model_copy(update={"more_seeds": 4})
    arm = arm.model_copy(update={"verdicts": {"overall": verdict}})
    assert arm.seconds is not None
    seconds = 4 * (arm.seconds.mean + results.arms[0].seconds.mean)  # type: ignore[union-attr]
    assert to_decide(arm, results) == (
        "to decide: about 4 more seeds, 8 runs with the baseline, about "
        f"{duration(seconds)} of training"
    )
    changed = results.model_copy(update={"arms": (*results.arms[:-1], arm)})
    assert next_step(changed) == (
        "To decide 1 more arm: mtl ablate --grid screen --until-decided --max-seeds 7"
    )
    for more, said in ((None, "no number of seeds decides it"), (101, "over 100 more seeds")):
        verdict = verdict.model_copy(update={"more_seeds": more})
        one = arm.model_copy(update={"verdicts": {"overall": verdict}})
        assert said in to_decide(one, results)


def test_claims_are_families_with_their_correction_and_a_mark(grid: Grid) -> None:
    claims = grid.results().claims
    assert [claim.family for claim in claims] == ["1", "1", "2", "2", "Alone"]
    first, second = (claim.verdict for claim in claims[:2])
    assert first is not None and second is not None
    assert first.estimate is not None and second.estimate is not None
    low, high = sorted((first.estimate.p, second.estimate.p))
    adjusted = sorted(one.adjusted_p or 0 for one in (first, second))
    assert adjusted == pytest.approx([2 * low, max(2 * low, high)])
    alone = claims[4].verdict
    assert alone is not None and alone.estimate is not None
    assert alone.adjusted_p == pytest.approx(alone.estimate.p)
    assert claims[2].survives is True and claims[4].survives is None
    assert expected_false(claims) == pytest.approx(3 * 0.05)


def test_runs_without_cross_fitted_scores_are_judged_at_the_last_epoch(grid: Grid) -> None:
    run_id = grid.planned().runs["better"][0]
    folder = RunFolder(grid.runs / run_id)
    record = folder.record()
    assert record is not None
    runs = FolderRuns(grid.runs)
    before = runs.judged(run_id, "sst", "mean").examples
    assert before is not None
    last = {f"dev/{task.metric_key}": 0.125 for task in TASKS.values()}
    folder.finish(record.model_copy(update={"last": last}))
    judged, basis, _, _ = FolderRuns(grid.runs).judged(run_id, "sst", "mean")
    assert judged is not None and basis == "last epoch"
    assert judged.score == 0.125
    assert np.array_equal(judged.values, before.values)  # type: ignore[arg-type]
    shifted = FolderRuns(grid.runs).judged(run_id, "sts", "shifted").examples
    assert shifted is not None and shifted.score == pytest.approx((0.125 + 1) / 2)
    arm = grid.results().arm("better")
    assert arm.last["sst"].mean < arm.best["sst"].mean
    assert "last epoch" in arm.basis


def run(*words: object, code: int = 0) -> str:
    found = CliRunner(env={"COLUMNS": "140"}).invoke(main, [*map(str, words)])
    assert found.exit_code == code, found.output
    return found.output


def test_a_dry_run_says_what_can_be_found_and_warns_of_margins_out_of_reach(
    grid: Grid, tmp_path: Path
) -> None:
    definition = tmp_path / "definitions" / "definition.yaml"
    words = ["ablate", "--grid", definition, "--dry-run", "--runs"]
    said = run(*words, tmp_path / "none")
    assert "variances of small BERT encoders" in said
    assert "warning: margins out of reach, whatever the seeds: " in said
    wide = run(*words, tmp_path / "none", "--margin", "0.6")
    assert "warning:" not in wide
    assert "variances of the runs that are there" in run(*words, grid.runs)
    assert "nothing can be found: add seeds" in run(*words, tmp_path / "none", "seed=0")


def test_a_margin_out_of_reach_is_said_with_one_that_is_not() -> None:
    plain = {
        "score": "sst", "arms": 3, "seeds_planned": 3, "smallest": 0.1, "margin": 0.01,
        "chance": 0.0, "resolved": 0.069, "seeds": None, "rows": 2.5, "measured": False,
    }  # fmt: skip
    one = Outlook(**plain)  # type: ignore[arg-type]
    assert warning([one]) == (
        "margins out of reach, whatever the seeds: sst 0.01. They need 2.5 times the dev rows. "
        "Read the bounds of the verdicts, or ask what these runs can resolve: --margin sst=0.069"
    )
    reachable = Outlook(**(plain | {"seeds": 40}))  # type: ignore[arg-type]
    assert warning([reachable]) == ""
