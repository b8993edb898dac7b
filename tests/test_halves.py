"""Cross-fitted scores: the halves are a property of the data, and choosing costs no honesty."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mtl.runs.examples import examples
from mtl.runs.folder import RunFolder
from mtl.runs.halves import half_of_rows, overall_of_half, with_half
from mtl.runs.verify import verify
from mtl.tasks.metrics import Predictions
from mtl.training.evaluation import Evaluation, is_better, select, select_by_halves
from mtl.training.state import State
from tests.fault_tools import as_before_digests

IDS = [f"row {number}" for number in range(101)]


def quora(right: np.ndarray, ids: list[str]) -> Predictions:
    """Predictions that are right on these rows; every gold label is 1."""
    outputs = np.where(right, 1.0, -1.0)[:, None].astype(np.float32)
    return Predictions(task="quora", split="dev", ids=ids, gold=np.ones(len(ids)), outputs=outputs)


def test_the_halves_are_equal_and_do_not_depend_on_the_order_of_rows() -> None:
    halves = dict(zip(IDS, half_of_rows(IDS), strict=True))
    assert sorted(np.bincount(list(halves.values()))) == [50, 51]
    turned = IDS[::-1]
    assert dict(zip(turned, half_of_rows(turned), strict=True)) == halves
    assert half_of_rows(["alone"]).tolist() == [1]
    assert half_of_rows([]).tolist() == []


def test_each_half_is_scored_alone_and_replaced_alone() -> None:
    halves = half_of_rows(IDS)
    on_0, on_1 = quora(halves == 0, IDS), quora(halves == 1, IDS)
    assert [overall_of_half({"quora": on_0}, half, "mean") for half in (0, 1)] == [1.0, 0.0]
    both = with_half(on_0, on_1, 1)
    assert examples(both).score == 1.0  # type: ignore[union-attr]
    assert examples(with_half(on_0, on_1, 0)).score == 0.0  # type: ignore[union-attr]
    assert overall_of_half({"quora": quora(np.array([True]), ["a"])}, 0, "mean") is None


def history(evaluations: list[np.ndarray], folder: RunFolder) -> State:
    """A run with these evaluations, rows right or wrong, by the code of training."""
    state = State()
    for step, right in enumerate(evaluations, start=1):
        state.step = step
        part = quora(right, [f"row {number}" for number in range(len(right))])
        evaluation = Evaluation(
            predictions=(part,), metrics={"dev/overall": float(right.mean())}, reasons={}
        )
        select_by_halves(evaluation, state, folder, "mean")
        if is_better(evaluation, state):
            select(evaluation, state, folder)
    return state


def test_each_half_gets_the_evaluation_that_is_best_on_the_other(tmp_path: Path) -> None:
    """Evaluation 1 is best on half 0, so half 1 is scored with it; evaluation 2 the other way."""
    halves = half_of_rows(IDS)
    first = (halves == 0) | (np.arange(101) % 3 == 0)
    second = (halves == 1) | (np.arange(101) % 3 == 0)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    state = history([first, second, np.zeros(101, dtype=bool)], folder)
    assert state.half_steps == {"0": 1, "1": 2}
    kept = folder.cross_fitted("quora").outputs[:, 0] > 0
    assert kept[halves == 1].tolist() == first[halves == 1].tolist()
    assert kept[halves == 0].tolist() == second[halves == 0].tolist()
    assert kept.mean() < folder.predictions("dev", "quora").outputs[:, 0].mean() / 2 + 0.5


def test_a_run_of_an_earlier_version_that_was_evaluated_stays_without(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    state = State(best_step=3, best_overall=0.5)
    part = quora(np.ones(101, dtype=bool), IDS)
    evaluation = Evaluation(predictions=(part,), metrics={"dev/overall": 1.0}, reasons={})
    select_by_halves(evaluation, state, folder, "mean")
    assert state.half_steps == {} and not (folder.path / "cross-fitted").exists()


def test_more_evaluations_give_a_better_best_on_dev_and_no_better_cross_fitted_score(
    tmp_path: Path,
) -> None:
    """A/A: the true accuracy is 0.7 at every evaluation, of 3 and of 12; each flips some rows."""
    rng = np.random.default_rng(0)
    rows, runs = 300, 150
    found: dict[int, dict[str, list[float]]] = {}
    for count in (3, 12):
        scores = found.setdefault(count, {"best": [], "cross-fitted": []})
        for run in range(runs):
            ease = rng.normal(size=rows)
            evaluations = [
                ease * np.sqrt(0.6) + rng.normal(size=rows) * np.sqrt(0.4) > -0.5244
                for _ in range(count)
            ]
            folder = RunFolder(tmp_path / f"{count}-{run}")
            folder.path.mkdir()
            history(evaluations, folder)
            for name, kept in (
                ("best", folder.predictions("dev", "quora")),
                ("cross-fitted", folder.cross_fitted("quora")),
            ):
                score = examples(kept)
                assert score is not None
                scores[name].append(score.score)

    def gap(name: str) -> tuple[float, float]:
        """12 evaluations minus 3: the mean difference and its standard error."""
        few, many = (np.array(found[count][name]) for count in (3, 12))
        error = np.sqrt(few.var(ddof=1) / runs + many.var(ddof=1) / runs)
        return float(many.mean() - few.mean()), float(error)

    best, honest = gap("best"), gap("cross-fitted")
    print(f"\nbest on dev {best[0]:+.4f} ({best[1]:.4f}), cross-fitted {honest[0]:+.4f} "
          f"({honest[1]:.4f})", end="")  # fmt: skip
    assert best[0] > 3 * best[1]
    assert abs(honest[0]) < 2.5 * honest[1]
    assert abs(np.mean(found[12]["cross-fitted"]) - 0.7) < 0.01 < np.mean(found[12]["best"]) - 0.7


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory.mktemp("run"), "train.epochs=3")


def trained(folder: Path, *words: str) -> RunFolder:
    import mtl
    from tests.conftest import write_tiny_data

    data = write_tiny_data(folder / "data")
    settings = ["encoder=random-tiny", f"data={data}", "train.batch_size=8", "train.lr=1e-2"]
    config = mtl.config_from([*settings, *words])
    record = mtl.train(config, runs=folder / "runs", device="cpu", wandb="disabled")
    return RunFolder(folder / "runs" / record.run_id)


def test_a_run_keeps_its_cross_fitted_predictions_and_their_scores(run: RunFolder) -> None:
    record = run.record()
    assert record is not None and record.cross_fitted is not None
    assert set(record.cross_fitted_steps or {}) == {"0", "1"}
    values = []
    for task, key in (("sst", "sst/accuracy"), ("quora", "quora/accuracy"), ("sts", "sts/pearson")):
        kept, best = run.cross_fitted(task), run.predictions("dev", task)  # type: ignore[arg-type]
        assert kept.ids == best.ids
        found = examples(kept)
        assert found is not None
        assert record.cross_fitted[f"dev/{key}"] == pytest.approx(found.score)
        values.append(found.score)
    assert record.cross_fitted["dev/overall"] == pytest.approx(np.mean(values))
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    last = [line["metrics"] for line in lines if "metrics" in line][-1]
    assert record.last is not None and record.last["dev/overall"] == last["dev/overall"]


def test_verify_sees_a_cross_fitted_prediction_that_was_changed(
    run: RunFolder, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / run.run_id)
    shutil.copytree(run.path, folder.path)
    as_before_digests(folder.path)
    assert verify(folder) == []
    path = folder.path / "cross-fitted" / "sts.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], _with_another_label(lines[1]), *lines[2:]]) + "\n")
    assert any(problem.startswith("cross-fitted dev/sts/") for problem in verify(folder))
    path.unlink()
    assert any("no such predictions" in problem for problem in verify(folder))


def _with_another_label(line: str) -> str:
    name, label, *outputs = line.split(",")
    return ",".join([name, str((float(label) + 1) % 5), *outputs])


def test_a_run_that_keeps_its_last_weights_selects_nothing(tmp_path: Path) -> None:
    folder = trained(tmp_path, "train.select=last", "train.epochs=2")
    record = folder.record()
    assert record is not None and record.cross_fitted is None and record.last is not None
    assert not (folder.path / "cross-fitted").exists()
    assert record.last["dev/overall"] == record.metrics["dev/overall"]
