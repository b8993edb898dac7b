"""Several runs as one model: `mtl test --ensemble`, and the ensembles of a report."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import pearsonr

from mtl.ablation.ensembles import Ensemble, _error, ensembles_of
from mtl.errors import ConfigError, RunError
from mtl.inference.ensemble import score_together
from mtl.report.archive import Archive, as_json
from mtl.report.subject import find_subject
from mtl.report.upgrade import read
from mtl.runs.examples import examples
from mtl.runs.folder import RunFolder
from mtl.runs.mean_predictions import mean_predictions
from mtl.runs.record import Opening
from mtl.tasks.metrics import Predictions, probabilities, score
from mtl.tasks.registry import TASKS
from tests.cli_tools import mtl as command
from tests.cli_tools import tiny_words, two_runs
from tests.prediction_tools import random_predictions
from tests.report_tools import GRID, fill, in_an_empty_folder, mtl, raw, section, written
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


# --- mtl test --ensemble


def test_the_test_scores_of_an_ensemble_are_made_from_the_kept_predictions(
    two_runs: tuple[Path, list[str]],
) -> None:
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


def test_a_report_has_an_ensemble_of_every_arm_and_old_records_have_none() -> None:
    _, folders = fill()
    mtl("report", "tiny", "--no-text")
    archive = read(Path("reports/tiny/records.json.gz"))
    assert isinstance(archive, Archive)
    found = {one.arm: one for one in archive.ensembles or ()}
    assert found.keys() == {"baseline", "better", "same", "sts alone"}
    one = found["better"]
    assert one.seeds == (0, 1, 2, 3) and one.primary == "overall" and not one.cross_fitted
    assert one.scores["overall"] == pytest.approx(
        np.mean([one.scores[task] for task in ("sst", "quora", "sts")])
    )
    gold, _ = raw(folders["better", 0], "sts")
    mean = np.mean([raw(folders["better", seed], "sts")[1] for seed in one.seeds], axis=0)
    assert one.scores["sts"] == pytest.approx(pearsonr(mean.ravel(), gold)[0], abs=1e-5)
    assert one.interval[0] < one.scores["overall"] - one.members["overall"] < one.interval[1]
    text = section(written(), "Ensembles")
    assert "against one run" in text and "better" in text
    mtl("report", "tiny", "--check")
    assert "ensembles" not in as_json(archive.model_copy(update={"ensembles": None}))


def test_one_seed_is_no_ensemble() -> None:
    fill(GRID.replace("seeds: [0, 1, 2, 3]", "seeds: [0]"))
    archive = gathered()
    assert not archive.ensembles and "ensembles" not in as_json(archive)


# --- the interval


def test_the_error_over_examples_is_that_of_a_bootstrap() -> None:
    rng = np.random.default_rng(3)
    count = 400
    gold = rng.integers(0, 2, count).astype(float)
    parts = [
        Predictions(
            task="quora", split="dev", ids=[str(row) for row in range(count)], gold=gold,
            outputs=(gold - 0.5)[:, None] + rng.normal(size=(count, 1)),
        )
        for _ in range(4)
    ]  # fmt: skip

    def difference(rows: np.ndarray) -> float:
        chosen = [
            replace(
                part, gold=gold[rows], outputs=part.outputs[rows], ids=[str(row) for row in rows]
            )
            for part in parts
        ]
        alone = [score(part).metrics["quora/accuracy"] or 0 for part in chosen]
        return float((score(mean_predictions(chosen)).metrics["quora/accuracy"] or 0)
                     - np.mean(alone))  # fmt: skip

    drawn = [difference(rng.integers(0, count, count)) for _ in range(400)]
    values: list[Any] = [examples(part) for part in parts]
    together: Any = examples(mean_predictions(parts))
    each = together.values - np.mean([one.values for one in values], axis=0)
    assert _error({"quora": each}) == pytest.approx(np.std(drawn), rel=0.15)


def judged(*outputs: np.ndarray, gold: np.ndarray) -> Ensemble:
    """The ensemble of an arm whose runs have these logits of quora."""
    ids = [str(row) for row in range(len(gold))]
    parts = {
        f"r{number}": Predictions(
            task="quora", split="dev", ids=ids, gold=gold, outputs=each[:, None]
        )
        for number, each in enumerate(outputs)
    }
    seeds = tuple(range(len(parts)))
    arm = SimpleNamespace(name="a", seeds=seeds, tasks=("quora",), basis="cross-fitted")
    results = SimpleNamespace(arms=(arm,), margins={"quora": 0.01}, primary="quora")
    config = SimpleNamespace(overall="mean")
    design = SimpleNamespace(
        arms=(SimpleNamespace(name="a", config=config),),
        runs={"a": {seed: f"r{seed}" for seed in seeds}},
    )
    runs = SimpleNamespace(cross_fitted=lambda name, task: parts[name])
    (one,) = ensembles_of(cast("Any", results), cast("Any", design), cast("Any", runs))
    return one


def test_independent_errors_average_out_and_equal_runs_gain_nothing() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 2, 500).astype(float)
    noisy = [(gold - 0.5) + rng.normal(size=500) for _ in range(5)]
    one = judged(*noisy, gold=gold)
    assert one.word == "helps" and one.interval[0] > 0 and one.cross_fitted
    same = judged(noisy[0], noisy[0], gold=gold)
    assert same.word == "no verdict" and same.scores == same.members
    few = judged(noisy[0][:19], noisy[1][:19], gold=gold[:19])
    assert few.word == "no verdict"
