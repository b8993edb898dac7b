"""`mtl submit` writes the course's six files and their zip; the files hold what the run scored."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mtl.data.course.files import read_course
from mtl.errors import DataError
from mtl.inference.submission import file_text
from mtl.runs.folder import RunFolder
from mtl.tasks.metrics import Predictions, pearson
from mtl.tasks.registry import TASKS
from tests.cli_tools import mtl, tiny_words, two_runs

__all__ = ["two_runs"]

HEADERS = {
    "sst": "id \t Predicted_Sentiment ",
    "para": "id \t Predicted_Is_Paraphrase ",
    "sts": "id \t Predicted_Similiary ",
}


def parsed(path: Path) -> dict[str, str]:
    """Id -> prediction of a file; its lines are `id , prediction `."""
    header, *lines = path.read_text().splitlines()
    assert header == HEADERS[path.name.partition("-")[0]]
    pairs = [line.split(" , ") for line in lines]
    assert all(value.endswith(" ") for _, value in pairs)
    return {row_id: value.strip() for row_id, value in pairs}


def dev_scores(folder: Path, data: Path) -> dict[str, float | None]:
    """The dev scores of the written files, against the labels of the data's files."""
    scores: dict[str, float | None] = {}
    for stem, task in zip(("sst", "para", "sts"), TASKS.values(), strict=True):
        gold = read_course(data, task, "dev")
        written = parsed(folder / f"{stem}-dev-output.csv")
        assert list(written) == gold.ids
        values = np.array([float(value) for value in written.values()])
        assert gold.labels is not None
        scores[f"dev/{task.metric_key}"] = (
            pearson(values, gold.labels)[0]
            if task.kind == "score"
            else float((values == gold.labels).mean())
        )
    return scores


def test_the_files_hold_the_scores_of_the_record(
    two_runs: tuple[Path, list[str]], tiny_data: Path, tmp_path: Path
) -> None:
    runs, ids = two_runs
    for run in ids:
        output = tmp_path / run
        result = mtl("submit", run, "--runs", runs, "--output", output)
        assert result.exit_code == 0, result.output
        metrics = json.loads((runs / run / "record.json").read_text())["metrics"]
        for key, score in dev_scores(output, tiny_data).items():
            assert score == pytest.approx(metrics[key], abs=1e-6)
        with zipfile.ZipFile(f"{output}.zip") as archive:
            assert len(archive.namelist()) == 6
            for name in archive.namelist():
                assert archive.read(name) == (output / Path(name).name).read_bytes()
                assert name.startswith("predictions/")


def test_an_ensemble_is_the_mean_of_its_runs(
    two_runs: tuple[Path, list[str]], tmp_path: Path
) -> None:
    runs, ids = two_runs
    assert mtl("submit", *ids, "--runs", runs, "--output", tmp_path / "all").exit_code == 0
    parts = [RunFolder(runs / run).predictions("dev", "sts").outputs[:, 0] for run in ids]
    written = [float(x) for x in parsed(tmp_path / "all" / "sts-dev-output.csv").values()]
    assert written == pytest.approx(np.mean(parts, axis=0).tolist(), abs=1e-5)
    quora = [RunFolder(runs / run).predictions("dev", "quora").outputs[:, 0] for run in ids]
    chances = np.mean([1 / (1 + np.exp(-logits.astype(float))) for logits in quora], axis=0)
    classes = [float(x) for x in parsed(tmp_path / "all" / "para-dev-output.csv").values()]
    assert classes == [float(chance > 0.5) for chance in chances]


def test_students_have_test_sentences_without_labels(tiny_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    for task in TASKS.values():
        lines = (data / task.file_name("test")).read_text().splitlines()
        rows = [line.rpartition("\t")[0] for line in lines]
        sentences = "\t" * len(task.sentence_columns)
        rows.append(f"9\tempty{sentences}")  # an empty sentence gets its line too
        (data / task.student_file).write_text("\n".join(rows) + "\n")
        (data / task.file_name("test")).unlink()
    done = mtl("train", *tiny_words(data), "--runs", tmp_path / "runs", "--json", "-q")
    run = json.loads(done.stdout)["run_id"]
    checked = mtl("data", "check", data)
    assert checked.exit_code == 0, checked.output
    assert "--splits train,dev" in checked.stderr
    output = tmp_path / "predictions"
    result = mtl("submit", run, "--runs", tmp_path / "runs", "--output", output)
    assert result.exit_code == 0, result.output
    for stem in ("sst", "para", "sts"):
        assert "empty" in parsed(output / f"{stem}-test-output.csv")
    assert not (tmp_path / "runs" / run / "test.json").exists()


def test_a_strangers_file_stays_as_it_is(two_runs: tuple[Path, list[str]], tmp_path: Path) -> None:
    runs, ids = two_runs
    words = ("submit", ids[0], "--runs", runs, "--output", tmp_path / "predictions")
    assert mtl(*words).exit_code == 0
    assert mtl(*words).exit_code == 0  # its own files are replaced
    for strange in (tmp_path / "predictions.zip", tmp_path / "predictions" / "sst-dev-output.csv"):
        content = strange.read_bytes()
        strange.write_text("mine")
        result = mtl(*words)
        assert result.exit_code == 2
        assert f"{strange}: not written by `mtl submit`" in result.stderr
        assert strange.read_text() == "mine"
        strange.write_bytes(content)
    link = tmp_path / "predictions" / "sts-dev-output.csv"
    link.rename(tmp_path / "elsewhere.csv")
    link.symlink_to(tmp_path / "elsewhere.csv")
    assert mtl(*words).exit_code == 2
    assert link.is_symlink()


def test_a_task_without_a_run_and_an_id_with_a_comma_are_refused(
    tiny_data: Path, tmp_path: Path
) -> None:
    done = mtl("train", *tiny_words(tiny_data), "tasks=sst", "--runs", tmp_path, "--json", "-q")
    run = json.loads(done.stdout)["run_id"]
    result = mtl("submit", run, "--runs", tmp_path, "--output", tmp_path / "predictions")
    assert result.exit_code == 2
    assert "No run was trained on quora, sts" in result.stderr
    assert not (tmp_path / "predictions").exists()
    part = Predictions(
        task="sst", split="dev", ids=["a,b"], gold=None, outputs=np.zeros((1, 5), np.float32)
    )
    with pytest.raises(DataError, match="no comma and no line end"):
        file_text(TASKS["sst"], part)
