"""`mtl predict` with several runs: the mean of their probabilities or scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import mtl
from mtl.commands.predict import json_lines, table_lines
from mtl.config.settings import config_from
from mtl.data import new_text
from mtl.data.rows import Rows
from mtl.inference.ensemble import ensemble
from mtl.inference.trained import Trained
from mtl.tasks.metrics import Predictions
from mtl.tasks.registry import TASKS
from tests.cli_tools import mtl as command
from tests.cli_tools import two_runs

__all__ = ["two_runs"]

PAIRS = "id\tsentence1\tsentence2\nx1\ta good cat\ta cat\nx2\tno dog\ta film\n"
SENTENCES = "id\tsentence\nx1\ta good cat\nx2\tno dog\nx3\ta film\n"
TEXTS = {"sst": SENTENCES, "quora": PAIRS, "sts": PAIRS}
SHORT = ["encoder=random-tiny", "train.epochs=1", "train.lr=1e-3", "train.batch_size=8"]


class Fixed:
    """A stand-in for a trained run that has the given outputs for every text."""

    def __init__(self, task: str, outputs: list[list[float]]) -> None:
        self.tasks = (task,)
        self.outputs = np.array(outputs, dtype=np.float32)

    def predict(self, rows: Rows) -> Predictions:
        return Predictions(
            task=self.tasks[0], split="test", ids=rows.ids, gold=None, outputs=self.outputs
        )


def mean_of(task: str, *outputs: list[list[float]]) -> Predictions:
    """The ensemble of runs with these outputs."""
    ids = [f"x{row}" for row in range(len(outputs[0]))]
    rows = Rows(task=TASKS[task], split="test", ids=ids, first=ids, second=None, labels=None)
    return ensemble([cast("Trained", Fixed(task, part)) for part in outputs], rows)


def predicted(runs: Path, task: str, *words: str) -> list[dict[str, Any]]:
    """The rows of `mtl predict --json`."""
    result = command("predict", *words, "--task", task, "--runs", runs, "--json", stdin=TEXTS[task])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_mean_of_two_runs_by_hand() -> None:
    # Probabilities 3/4 and 1/3, mean 13/24; 1/4 and 1/3, mean 7/24. The first run alone is surer,
    # and the mean of its logits, (log 3 - log 2) / 2, would give 0.5505 in place of 0.5417.
    logits = mean_of("quora", [[np.log(3)], [-np.log(3)]], [[-np.log(2)], [-np.log(2)]])
    rows = [json.loads(line) for line in json_lines(TASKS["quora"], logits, 2)]
    assert [row["probability"] for row in rows] == pytest.approx([13 / 24, 7 / 24], abs=1e-7)
    assert [row["prediction"] for row in rows] == [1, 0]
    assert [row["members"] for row in rows] == [2, 2]
    assert list(table_lines(TASKS["quora"], logits)) == ["x0\t1\t0.541667", "x1\t0\t0.291667"]


def test_classes_and_scores_by_hand() -> None:
    # (1/2, 1/8, 1/8, 1/8, 1/8) and (1/12, 2/3, 1/12, 1/12, 1/12): the second class wins the mean.
    outputs = mean_of("sst", [[np.log(4), 0, 0, 0, 0]], [[0, np.log(8), 0, 0, 0]])
    (line,) = json_lines(TASKS["sst"], outputs, 2)
    row = json.loads(line)
    expected = [7 / 24, 19 / 48, 5 / 48, 5 / 48, 5 / 48]
    assert row["probabilities"] == pytest.approx(expected, abs=1e-7)
    assert (row["prediction"], row["probability"]) == (1, row["probabilities"][1])
    assert mean_of("sts", [[1.5], [4.0]], [[2.5], [5.0]]).outputs.tolist() == [[2.0], [4.5]]


@pytest.mark.parametrize("task", list(TEXTS))
def test_the_command_gives_the_mean_of_what_each_run_gives(
    two_runs: tuple[Path, list[str]], task: str
) -> None:
    runs, ids = two_runs  # of unlike pairing
    parts = [predicted(runs, task, run) for run in ids]
    for row, *single in zip(predicted(runs, task, *ids), *parts, strict=True):
        assert row["members"] == 2
        assert all("members" not in part and part["id"] == row["id"] for part in single)
        key = "score" if task == "sts" else "probabilities"
        expected = np.mean([part[key] for part in single], axis=0)
        assert row[key] == pytest.approx(expected, abs=1e-12)
        if task == "sst":
            assert row["prediction"] == int(expected.argmax())


def test_one_run_keeps_its_bits(two_runs: tuple[Path, list[str]]) -> None:
    run = Fixed("sts", [[1.1], [2.3]])
    alone = mean_of("sts", run.outputs.tolist())
    assert alone.outputs.dtype == np.float32
    assert alone.outputs.tobytes() == run.outputs.tobytes()
    runs, ids = two_runs
    row = predicted(runs, "sst", ids[0])[0]
    assert list(row) == ["id", "prediction", "probability", "name", "probabilities"]


def test_every_block_of_lines_goes_through_every_run(
    two_runs: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, ids = two_runs
    words = ("predict", *ids, "--task", "sst", "--runs", runs)
    text = "id\tsentence\n" + "".join(f"x{row}\ta good film {row % 7}\n" for row in range(10))
    whole = command(*words, stdin=text)
    sizes: list[int] = []
    predict = Trained.predict

    def counted(self: Trained, rows: Rows) -> Predictions:
        sizes.append(len(rows.ids))
        return predict(self, rows)

    monkeypatch.setattr(Trained, "predict", counted)
    monkeypatch.setattr(new_text.new_rows, "__defaults__", (4,))
    assert command(*words, stdin=text).stdout == whole.stdout
    assert sizes == [4, 4, 4, 4, 2, 2]


def test_a_run_that_is_named_twice_is_refused(two_runs: tuple[Path, list[str]]) -> None:
    runs, ids = two_runs
    for again in (ids[0], ids[0][:-3], str(runs / ids[0])):
        result = command(
            "predict", ids[0], ids[1], again, "--task", "sst", "--runs", runs, stdin=SENTENCES
        )
        assert result.exit_code == 2
        assert f"{ids[0]} is named twice" in result.stderr
        assert result.stdout == ""


def own_run(folder: Path, *, beside: tuple[str, ...] = (), **changes: object) -> str:
    """Train a run on a task `tone` of its own definition, into `runs` beside the folder.

    `beside` are more settings; the word TONE in them is the path of the task. Returns the run's id.
    """
    folder.mkdir(exist_ok=True)
    labels = cast("list[str]", changes.get("labels", ["good", "bad"]))
    lines = [f"number {row % 7} {row},{labels[row % len(labels)]}" for row in range(40)]
    (folder / "tone.csv").write_text("body,mood\n" + "\n".join(lines) + "\n")
    definition = {
        "task": "tone",
        "task_type": "classification",
        "text": "body",
        "label": "mood",
        "labels": labels,
        "metric": "accuracy",
        "data": {
            "path": "csv",
            "data_files": {"train": "tone.csv"},
            "splits": {"train": "train", "dev": {"from": "train", "share": 0.3}},
        },
    }
    path = folder / "tone.yaml"
    path.write_text(json.dumps(definition | changes))
    words = beside or ("tasks=TONE",)
    config = config_from([*(word.replace("TONE", str(path)) for word in words), *SHORT])
    run = mtl.train(config, runs=folder.parent / "runs")
    TASKS.forget()
    return run.run_id


def test_runs_of_other_labels_have_no_mean(tmp_path: Path) -> None:
    first = own_run(tmp_path / "a")
    other = own_run(tmp_path / "b", labels=["good", "bad", "even"])
    words = ("--task", "tone", "--runs", tmp_path / "runs")
    result = command("predict", first, other, *words, stdin="body\na film\n")
    assert result.exit_code == 2
    assert f"{first} and {other} define it differently" in result.stderr
    assert "labels: ['good', 'bad'] and ['good', 'bad', 'even']" in result.stderr
    assert result.stdout == ""


def test_the_weight_of_a_task_may_differ(tmp_path: Path) -> None:
    runs = [own_run(tmp_path / "a"), own_run(tmp_path / "b", weight=2.0)]
    assert len(set(runs)) == 2
    words = ("--task", "tone", "--runs", tmp_path / "runs", "--json")
    result = command("predict", *runs, *words, stdin="body\na film\n")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["members"] == 2


def test_a_run_without_the_task_is_named(two_runs: tuple[Path, list[str]], tmp_path: Path) -> None:
    runs, ids = two_runs
    other = own_run(tmp_path / "a")
    words = ("--task", "sst", "--runs", runs)
    result = command("predict", ids[0], str(tmp_path / "runs" / other), *words, stdin=SENTENCES)
    assert result.exit_code == 2
    assert f"--task sst: {other} was trained on tone." in result.stderr


def test_other_tasks_of_the_runs_may_share_a_name(tiny_data: Path, tmp_path: Path) -> None:
    beside = ("tasks=[sst,TONE]", f"data={tiny_data}")
    runs = [
        own_run(tmp_path / "a", beside=beside),
        own_run(tmp_path / "b", beside=beside, labels=["good", "bad", "even"]),
    ]
    parts = [predicted(tmp_path / "runs", "sst", run) for run in runs]
    for names in (runs, runs[::-1]):
        for row, *single in zip(predicted(tmp_path / "runs", "sst", *names), *parts, strict=True):
            expected = np.mean([part["probabilities"] for part in single], axis=0)
            assert row["probabilities"] == pytest.approx(expected, abs=1e-12)
