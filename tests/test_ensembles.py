"""Several runs as one model: `mtl test --ensemble`, and the ensembles of a report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import pearsonr
from scipy.stats import t as student

from mtl.ablation.ensembles import Ensemble, ensembles_of
from mtl.errors import ConfigError, RunError
from mtl.inference.ensemble import score_together
from mtl.report.archive import Archive, as_json, read_json
from mtl.report.archive import write as write_archive
from mtl.report.subject import find_subject
from mtl.report.upgrade import read
from mtl.runs.folder import RunFolder
from mtl.runs.mean_predictions import mean_predictions
from mtl.runs.record import Opening
from mtl.stats.contrast import of_given_runs
from mtl.tasks.metrics import Predictions, probabilities, score
from mtl.tasks.registry import TASKS
from tests.cli_tools import mtl as command
from tests.cli_tools import tiny_words, two_runs
from tests.prediction_tools import random_predictions
from tests.report_runs import fill_grid, write_grid
from tests.report_tools import GRID, fill, in_an_empty_folder, mtl, raw, section, tables, written
from tests.test_predict_ensemble import own_run

__all__ = ["in_an_empty_folder", "two_runs"]


# --- the mean


@pytest.mark.parametrize("task", ["sst", "quora", "sts"])
def test_the_mean_has_the_mean_probabilities_or_scores(task: str) -> None:
    rng = np.random.default_rng(0)
    first = random_predictions(task, rng)
    parts = [
        first,
        *(replace(first, outputs=rng.normal(size=first.outputs.shape)) for _ in range(2)),
    ]
    mean = mean_predictions(parts)
    assert mean.ids == first.ids and mean.gold is first.gold
    if task == "sts":
        np.testing.assert_allclose(mean.outputs, np.mean([part.outputs for part in parts], axis=0))
    else:
        expected = np.mean([probabilities(TASKS[task], part.outputs) for part in parts], axis=0)
        np.testing.assert_allclose(probabilities(TASKS[task], mean.outputs), expected, rtol=1e-9)
    assert mean_predictions([first]) is first


def given(task: str, outputs: list[float], gold: list[float]) -> Predictions:
    """Predictions of a task with one output, for rows on dev."""
    return Predictions(
        task=task, split="dev", ids=[f"{task}-{row}" for row in range(len(gold))],
        gold=np.array(gold), outputs=np.array(outputs, dtype=np.float32)[:, None],
    )  # fmt: skip


def test_three_runs_by_hand() -> None:
    # Chances 9/10, 1/5 and 7/10 have the mean 3/5, odds of 3 to 2. Two of three runs say no on the
    # second row, and the mean of 1/3, 1/4 and 19/20 says yes: 23/45.
    rows = [(9.0, 0.5), (0.25, 1 / 3), (7 / 3, 19.0)]
    parts = [given("quora", [np.log(odds) for odds in row], [1, 0]) for row in rows]
    mean = mean_predictions(parts)
    np.testing.assert_allclose(np.exp(mean.outputs[:, 0]), [3 / 2, 23 / 22], rtol=1e-6)
    assert score(mean).metrics["quora/accuracy"] == 0.5
    scores = [given("sts", row, [0, 5]) for row in ([1.0, 4.0], [2.0, 5.0], [6.0, 3.0])]
    assert mean_predictions(scores).outputs.tolist() == [[3.0], [4.0]]


# --- mtl test --ensemble


def test_the_test_scores_of_an_ensemble_are_made_from_the_kept_predictions(
    two_runs: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    runs, ids = two_runs
    result = command("test", *ids, "--ensemble", "--runs", runs, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found.keys() == {*ids, "ensemble"} and found["ensemble"]["members"] == ids
    scores = found["ensemble"]["metrics"]
    kept = {
        task: [RunFolder(runs / run).predictions("test", task) for run in ids] for task in TASKS
    }
    outputs = {task: [part.outputs.astype(float) for part in kept[task]] for task in kept}
    gold = {task: kept[task][0].gold for task in kept}
    assert gold["sst"] is not None and gold["quora"] is not None and gold["sts"] is not None
    chosen = np.mean([softmax(each, axis=1) for each in outputs["sst"]], axis=0).argmax(1)
    assert scores["test/sst/accuracy"] == pytest.approx((chosen == gold["sst"]).mean())
    chances = np.mean([expit(each[:, 0]) for each in outputs["quora"]], axis=0)
    assert scores["test/quora/accuracy"] == pytest.approx(((chances > 0.5) == gold["quora"]).mean())
    mean = np.mean([each[:, 0] for each in outputs["sts"]], axis=0)
    assert scores["test/sts/pearson"] == pytest.approx(pearsonr(mean, gold["sts"])[0])
    opened = [len(RunFolder(runs / run).openings()) for run in ids]
    assert score_together([RunFolder(runs / run) for run in ids]) == found["ensemble"]
    assert [len(RunFolder(runs / run).openings()) for run in ids] == opened
    lines = command("test", *ids, "--ensemble", "--runs", runs).stdout.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == [*ids, "ensemble"]
    assert lines[2].split()[-1] == str(opened[0] + 1) and len(lines[4].split()) == 5
    assert "Dev scores are optimistic" in lines[5]
    assert [len(RunFolder(runs / run).openings()) for run in ids] == [each + 1 for each in opened]
    assert "optimistic" not in command("test", ids[0], "--runs", runs).stdout


def test_runs_that_are_no_ensemble_are_refused_before_test_is_opened(
    two_runs: tuple[Path, list[str]], tiny_data: Path, tmp_path: Path
) -> None:
    runs, ids = two_runs
    before = [len(RunFolder(runs / run).openings()) for run in ids]
    words = ("--ensemble", "--runs", runs)
    assert "Name two runs or more" in command("test", ids[0], *words).stderr
    assert "is named twice" in command("test", ids[0], ids[0], *words).stderr
    trained = command(
        "train", *tiny_words(tiny_data), "tasks=[sst]", "--runs", runs, "--json", "--quiet"
    )
    other = json.loads(trained.stdout)["run_id"]
    result = command("test", ids[0], other, *words)
    assert result.exit_code == 2
    assert f"{other} have different tasks (sst, quora, sts; sst). Name runs" in result.stderr
    (runs / "unfinished-s0").mkdir()
    (runs / "unfinished-s0" / "config.yaml").write_text((runs / other / "config.yaml").read_text())
    result = command("test", ids[0], "unfinished-s0", *words)
    assert result.exit_code != 0
    assert "unfinished-s0: unfinished; only a run that is done has a model" in result.stderr
    assert [len(RunFolder(runs / run).openings()) for run in ids] == before
    assert RunFolder(runs / other).openings() == []


def test_a_task_that_counts_otherwise_is_refused(tmp_path: Path) -> None:
    ids = [own_run(tmp_path / "a"), own_run(tmp_path / "b", weight=2.0)]
    result = command("test", *ids, "--ensemble", "--runs", tmp_path / "runs")
    assert result.exit_code == 2
    assert f"task tone: {ids[0]} and {ids[1]} define it differently (weight: " in result.stderr
    assert not any(RunFolder(tmp_path / "runs" / run).openings() for run in ids)


def test_kept_predictions_of_other_rows_and_damaged_ones_are_refused(
    two_runs: tuple[Path, list[str]], tmp_path: Path
) -> None:
    runs, ids = two_runs
    command("test", *ids, "--runs", runs)
    shutil.copytree(runs, tmp_path / "runs")
    folders = [RunFolder(tmp_path / "runs" / run) for run in ids]
    kept = tmp_path / "runs" / ids[1] / "predictions" / "test-sts.csv"
    whole = kept.read_bytes()
    kept.write_bytes(whole.replace(b"0.", b"1.", 1))
    with pytest.raises(RunError, match=r"test-sts\.csv"):
        score_together(folders)
    kept.write_bytes(whole)
    score_together(folders)
    folders[1].add_opening(Opening(at="2026-01-01T00:00:00+00:00", data="f" * 16))
    with pytest.raises(ConfigError, match=rf"{ids[1]} were scored on different test rows"):
        score_together(folders)


# --- in a report


def gathered() -> Archive:
    source = find_subject("tiny", Path("runs"), Path("reports"))
    archive = source.gather(text=False)
    assert isinstance(archive, Archive)
    return archive


def test_a_report_has_an_ensemble_of_every_arm() -> None:
    _, folders = fill()
    mtl("report", "tiny", "--no-text")
    archive = read(Path("reports/tiny/records.json.gz"))
    assert isinstance(archive, Archive)
    ensembles = {ensemble.arm: ensemble for ensemble in archive.ensembles or ()}
    assert ensembles.keys() == {"baseline", "better", "same", "sts alone"}
    better = ensembles["better"]
    assert better.difference.seeds == (0, 1, 2, 3) and better.primary == "overall"
    tasks = ("sst", "quora", "sts")
    for scores in (better.scores, better.members):
        assert scores["overall"] == pytest.approx(np.mean([scores[task] for task in tasks]))
    both = [raw(folders["better", seed], "sts") for seed in range(4)]
    alone = [pearsonr(outputs[:, 0], gold)[0] for gold, outputs in both]
    mean = np.mean([outputs[:, 0] for _, outputs in both], axis=0)
    assert better.scores["sts"] == pytest.approx(pearsonr(mean, both[0][0])[0], abs=1e-5)
    assert better.members["sts"] == pytest.approx(np.mean(alone), abs=1e-5)
    gain = better.scores["overall"] - better.members["overall"]
    assert better.difference.value == pytest.approx(gain)
    text = section(written(), "Ensembles")
    (rows,) = tables(text)
    row = next(row for row in rows if row["arm"] == "better")
    assert row["sts"] == f"{better.scores['sts']:.3f} ({better.members['sts']:.3f})"
    assert row["difference [95 %]"].startswith(f"{gain:+.3f} [") and row["verdict"] == better.text
    assert next(row for row in rows if row["arm"] == "sts alone")["quora"] == "-"
    assert "for these runs, on new examples" in text and "are optimistic" in text
    mtl("report", "tiny", "--check")


def test_arms_of_other_rows_stand_in_a_table_of_their_own() -> None:
    grid = write_grid(Path("runs"), GRID, Path("definitions"))
    runs = [(arm.name, seed) for arm in grid.design.arms for seed in grid.seeds[arm.name]]
    apart = [run for run in runs if run[0] == "same"]
    fill_grid(grid, leave_out=apart)
    fill_grid(grid, leave_out=[run for run in runs if run not in apart], parts="f" * 16)
    mtl("report", "tiny", "--no-text")
    text = section(written(), "Ensembles")
    assert [[row["arm"] for row in rows] for rows in tables(text)] == [
        ["baseline", "better", "sts alone"], ["same"],
    ]  # fmt: skip
    assert "Apart from these" in text


def test_records_of_an_earlier_version_stay_as_they_are() -> None:
    fill()
    mtl("report", "tiny", "--no-text")
    path = Path("reports/tiny/records.json.gz")
    earlier = read_json(path)
    del earlier["ensembles"]
    archive = read(path)
    assert isinstance(archive, Archive)
    write_archive(path, archive.model_copy(update={"ensembles": None}))
    assert read_json(path) == earlier == as_json(read(path))
    mtl("report", "tiny", "--runs", "nowhere")
    assert "## Ensembles" not in written() and read_json(path) == earlier
    for runs in ("nowhere", "runs"):
        mtl("report", "tiny", "--check", "--runs", runs)


def test_one_seed_is_no_ensemble() -> None:
    fill(GRID.replace("seeds: [0, 1, 2, 3]", "seeds: [0]"))
    archive = gathered()
    assert not archive.ensembles and "ensembles" not in as_json(archive)


# --- the interval


Runs = Sequence[Mapping[str, Predictions]]


def judged(runs: Runs, *, basis: str = "cross-fitted", select: str = "best") -> Ensemble:
    """The ensemble of an arm with these runs, each with its predictions by task."""
    tasks = tuple(runs[0])
    arm = SimpleNamespace(name="a", seeds=tuple(range(len(runs))), tasks=tasks, basis=basis)
    primary = "overall" if len(tasks) > 1 else tasks[0]
    results = SimpleNamespace(arms=(arm,), margins={primary: 0.01}, primary=primary)
    config = SimpleNamespace(overall="mean", train=SimpleNamespace(select=select))
    design = SimpleNamespace(
        arms=(SimpleNamespace(name="a", config=config),),
        runs={"a": {seed: seed for seed in arm.seeds}},
    )
    kept = {"cross_fitted" if basis == "cross-fitted" else "predictions": lambda run, task:
            runs[run][task]}  # fmt: skip
    (ensemble,) = ensembles_of(
        cast("Any", results), cast("Any", design), cast("Any", SimpleNamespace(**kept))
    )
    return ensemble


def noisy(count: int, members: int, *tasks: str) -> list[dict[str, Predictions]]:
    """Runs whose outputs are the gold labels and independent noise."""
    rng = np.random.default_rng(3)
    runs: list[dict[str, Predictions]] = [{} for _ in range(members)]
    for task in tasks:
        gold = rng.integers(0, 2 if task == "quora" else 6, count).astype(float)
        signal = gold - 0.5 if task == "quora" else gold
        for run in runs:
            run[task] = given(task, list(signal + rng.normal(size=count)), list(gold))
    return runs


def without(part: Predictions, row: int) -> Predictions:
    assert part.gold is not None
    return replace(
        part, ids=part.ids[:row] + part.ids[row + 1 :], gold=np.delete(part.gold, row),
        outputs=np.delete(part.outputs, row, axis=0),
    )  # fmt: skip


def gain(parts: Sequence[Predictions]) -> float:
    """The score of the mean, minus the mean of the scores."""
    key = TASKS[parts[0].task].metric_key
    scores = [score(part).metrics[key] or 0.0 for part in (mean_predictions(parts), *parts)]
    return scores[0] - float(np.mean(scores[1:]))


def test_the_interval_is_that_of_a_jackknife_over_the_examples() -> None:
    count, runs = 200, noisy(200, 3, "quora", "sts")
    ensemble = judged(runs)
    parts = {task: [run[task] for run in runs] for task in ("quora", "sts")}
    values = {
        task: np.array([gain([without(part, row) for part in members]) for row in range(count)])
        for task, members in parts.items()
    }
    assert ensemble.difference.value == pytest.approx(
        np.mean([gain(members) for members in parts.values()])
    )
    variances = [(count - 1) ** 2 / count * each.var(ddof=1) / 4 for each in values.values()]
    error = np.sqrt(sum(variances))
    df = sum(variances) ** 2 / sum(part**2 / (count - 1) for part in variances)
    half = (ensemble.difference.high - ensemble.difference.low) / 2
    assert half == pytest.approx(student.ppf(0.975, df) * error, rel=0.02)


def test_examples_alone_make_the_error_of_given_runs() -> None:
    # Values 1 0 0 1 and 0 0 2 2 have the variances 1/3 and 4/3; over 4 rows and 2 tasks squared.
    estimate = of_given_runs(
        {"a": np.array([1.0, 0, 0, 1]), "b": np.array([0.0, 0, 2, 2])}, seeds=(0, 1)
    )
    assert estimate.value == 0.75
    assert estimate.standard_error**2 == pytest.approx((1 / 3 + 4 / 3) / 16)
    assert estimate.example_df == pytest.approx((1 / 3 + 4 / 3) ** 2 / ((1 / 9 + 16 / 9) / 3))
    half = student.ppf(0.975, estimate.example_df) * estimate.standard_error
    assert estimate.interval() == pytest.approx((0.75 - half, 0.75 + half))


def test_independent_errors_average_out_and_equal_runs_gain_nothing() -> None:
    runs = noisy(500, 5, "quora")
    ensemble = judged(runs)
    assert ensemble.word == "helps" and ensemble.difference.low > 0
    assert ensemble.scores.keys() == {"quora"} and ensemble.primary == "quora"
    same = judged([runs[0], runs[0], runs[0]])
    assert same.word == "no difference" and same.scores == same.members
    assert (same.difference.low, same.difference.value, same.difference.high) == (0, 0, 0)
    undecided = judged(noisy(60, 2, "quora"))
    assert undecided.text == "undecided: any difference is below 0.105"
    few = judged(noisy(19, 3, "quora"))
    assert few.text == "no verdict: 19 dev examples; a verdict needs 20 of each task"


@pytest.mark.parametrize(
    ("basis", "select", "chosen"),
    [("cross-fitted", "best", False), ("last epoch", "best", True), ("last epoch", "last", False)],
)
def test_scores_are_optimistic_only_where_the_scored_rows_chose(
    basis: str, select: str, chosen: bool
) -> None:
    assert judged(noisy(50, 2, "sts"), basis=basis, select=select).chosen_on_dev is chosen
