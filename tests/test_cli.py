"""The command line as people meet it: what is printed where, what bad input is answered, and which exit code ends it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mtl.cli import COMMANDS, main
from mtl.model.random_tiny import write_random
from mtl.runs.folder import RunFolder
from tests.conftest import write_tiny_data


def mtl(*words: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], input=stdin)


def tiny_words(data: Path) -> list[str]:
    return [
        "encoder=random-tiny",
        f"data={data}",
        "train.epochs=1",
        "train.batch_size=8",
        "train.lr=1e-3",
    ]


@pytest.fixture(scope="module")
def two_runs(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with a siamese and a concatenated run, and their ids."""
    runs = tmp_path_factory.mktemp("runs")
    ids = []
    for pairing in ("siamese", "concat"):
        result = mtl(
            "train",
            *tiny_words(tiny_data),
            f"pairing={pairing}",
            "--runs",
            runs,
            "--json",
            "--quiet",
        )
        assert result.exit_code == 0, result.output
        ids.append(json.loads(result.stdout)["run_id"])
    return runs, ids


def test_train_prints_a_table_of_dev_scores_on_stdout_and_progress_on_stderr(
    tiny_data: Path, tmp_path: Path
) -> None:
    result = mtl("train", *tiny_words(tiny_data), "--runs", tmp_path)
    assert result.exit_code == 0
    for word in (
        "SST-5 sentiment",
        "Quora paraphrase",
        "STS similarity",
        "overall",
        "record.json",
        "tokens/s",
    ):
        assert word in result.stdout
    assert "step 0 of 9" in result.stderr
    assert "dev  sst 0." in result.stderr
    assert "step 0 of 9" not in result.stdout
    again = mtl("train", *tiny_words(tiny_data), "--runs", tmp_path)
    assert again.stdout == result.stdout
    assert again.stderr == ""


def test_runs_list_show_and_diff(two_runs: tuple[Path, list[str]]) -> None:
    runs, ids = two_runs
    listed = json.loads(mtl("runs", "list", "--runs", runs, "--json").stdout)
    assert {row["run_id"]: row["status"] for row in listed} == dict.fromkeys(ids, "done")
    assert all(name in mtl("runs", "list", "--runs", runs).stdout for name in ids)
    shown = json.loads(mtl("runs", "show", ids[0], "--runs", runs, "--json").stdout)
    assert shown["run_id"] == ids[0]
    assert shown["test"] == []
    assert "pairing: siamese" in mtl("runs", "show", ids[0][:6], "--runs", runs).stdout
    diff = json.loads(mtl("runs", "diff", *ids, "--runs", runs, "--json").stdout)
    assert diff["config"]["pairing"] == ["siamese", "concat"]
    assert set(diff["config"]) == {"pairing", "heads.quora", "heads.sts"}
    assert "concat" in mtl("runs", "diff", *ids, "--runs", runs).stdout
    assert mtl("runs", "diff", ids[0], "--runs", runs).exit_code == 2


def test_an_unknown_run_is_answered_with_the_nearest(two_runs: tuple[Path, list[str]]) -> None:
    runs, ids = two_runs
    result = mtl("runs", "show", ids[0][:-1] + "9", "--runs", runs)
    assert result.exit_code == 1
    assert f"Did you mean '{ids[0]}'?" in result.stderr


def test_verify_finds_what_was_changed(two_runs: tuple[Path, list[str]], tmp_path: Path) -> None:
    runs, ids = two_runs
    assert mtl("runs", "verify", "--runs", runs).exit_code == 0

    def damaged(change: Any) -> str:
        copy = tmp_path / "runs"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(runs, copy)
        change(copy / ids[0])
        result = mtl("runs", "verify", ids[0], "--runs", copy)
        assert result.exit_code == 1
        return result.stdout

    def flip(folder: Path) -> None:
        (path,) = (folder / "checkpoint").glob("*.safetensors")
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)

    def edit_prediction(folder: Path) -> None:
        path = folder / "predictions" / "dev-sts.csv"
        lines = path.read_text().splitlines()
        lines[1] = lines[1].rsplit(",", 1)[0] + ",4.5"
        path.write_text("\n".join(lines) + "\n")

    def edit_metric(folder: Path) -> None:
        record = json.loads((folder / "record.json").read_text())
        record["metrics"]["dev/overall"] = 0.99
        (folder / "record.json").write_text(json.dumps(record))

    def edit_config(folder: Path) -> None:
        path = folder / "config.yaml"
        path.write_text(path.read_text().replace("batch_size: 8", "batch_size: 9"))

    def tear(folder: Path) -> None:
        path = folder / "record.json"
        path.write_text(path.read_text()[:-50])

    assert "damaged" in damaged(flip)
    assert "dev/sts/pearson: recorded" in damaged(edit_prediction)
    assert "dev/overall: recorded 0.99" in damaged(edit_metric)
    assert "config.yaml differs" in damaged(edit_config)
    assert "record.json: damaged" in damaged(tear)
    assert "no such predictions" in damaged(
        lambda folder: (folder / "predictions" / "dev-sst.csv").unlink()
    )


def test_predict_labels_new_text_the_same_in_every_form(
    two_runs: tuple[Path, list[str]], tmp_path: Path
) -> None:
    runs, ids = two_runs
    table = '\tid\tsentence1\tsentence2\n0\tx1\ta good cat\ta cat\n1\tx2\tno dog\t"a ""film"""\n'
    lines = '{"id": "x1", "sentence1": "a good cat", "sentence2": "a cat"}\n{"id": "x2", "sentence1": "no dog", "sentence2": "a \\"film\\""}\n'
    (tmp_path / "in.csv").write_text(table)
    for run in ids:
        from_file = mtl(
            "predict", run, "--task", "quora", "--input", tmp_path / "in.csv", "--runs", runs
        )
        assert from_file.exit_code == 0, from_file.output
        from_pipe = mtl("predict", run, "--task", "quora", "--runs", runs, stdin=lines)
        assert from_pipe.stdout == from_file.stdout
        header, *rows = [line.split("\t") for line in from_file.stdout.splitlines()]
        assert header == ["id", "prediction", "probability"]
        assert [row[0] for row in rows] == ["x1", "x2"]
        assert all((float(row[2]) > 0.5) == (row[1] == "1") for row in rows)
    out = tmp_path / "out.tsv"
    assert (
        mtl(
            "predict",
            ids[0],
            "--task",
            "sts",
            "--input",
            tmp_path / "in.csv",
            "--output",
            out,
            "--runs",
            runs,
        ).exit_code
        == 0
    )
    header, *rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert header == ["id", "prediction", "score"]
    assert all(int(row[1]) == round(min(max(float(row[2]), 0), 5)) for row in rows)
    found = mtl(
        "predict",
        ids[0],
        "--task",
        "sst",
        "--json",
        "--runs",
        runs,
        stdin="sentence\na good film\n",
    )
    row = json.loads(found.stdout)
    assert row["id"] == "0"
    assert row["prediction"] == max(range(5), key=row["probabilities"].__getitem__)
    assert sum(row["probabilities"]) == pytest.approx(1)


def test_predict_gives_dev_rows_the_outputs_that_the_run_saved(
    two_runs: tuple[Path, list[str]], tiny_data: Path
) -> None:
    runs, ids = two_runs
    for run in ids:
        saved = RunFolder(runs / run).predictions("dev", "sts")
        result = mtl(
            "predict",
            run,
            "--task",
            "sts",
            "--input",
            tiny_data / "sts-dev.csv",
            "--json",
            "--runs",
            runs,
        )
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        assert [row["id"] for row in rows] == saved.ids
        assert [row["score"] for row in rows] == pytest.approx(
            saved.outputs[:, 0].tolist(), abs=1e-5
        )


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        ("sst", "phrase\nfine\n", "standard input:1: column 'sentence': expected in the header"),
        ("sst", "id\tsentence\n1\t \n", "standard input:2: column 'sentence': expected a sentence"),
        ("quora", '{"sentence1": "a"}\n', "standard input:1: column 'sentence2'"),
        ("quora", '{"sentence1": "a"\n', "standard input:1: not JSON"),
        ("sst", "", "no rows to label"),
        (
            "sst",
            "id\tsentence\n1\ta\tb\n",
            "standard input:2: expected 2 cells as in the header, got 3",
        ),
    ],
)
def test_predict_names_the_place_of_bad_input(
    two_runs: tuple[Path, list[str]], task: str, text: str, message: str
) -> None:
    runs, ids = two_runs
    result = mtl("predict", ids[0], "--task", task, "--runs", runs, stdin=text)
    assert result.exit_code == 2
    assert message in result.stderr


def test_opening_the_test_split_is_counted(two_runs: tuple[Path, list[str]]) -> None:
    runs, ids = two_runs
    before = (runs / ids[0] / "record.json").read_bytes()
    for opened in (1, 2):
        found = json.loads(mtl("test", ids[0], "--runs", runs, "--json").stdout)[ids[0]]
        assert found["opened"] == opened
        assert 0 <= found["metrics"]["test/quora/accuracy"] <= 1
    assert (runs / ids[0] / "record.json").read_bytes() == before
    assert len(RunFolder(runs / ids[0]).predictions("test", "sst").ids) == 6
    assert RunFolder(runs / ids[1]).tests() == []


def test_a_model_does_not_open_the_test_of_other_data(tmp_path: Path) -> None:
    data = write_tiny_data(tmp_path / "data")
    run = json.loads(
        mtl("train", *tiny_words(data), "--runs", tmp_path / "runs", "--json", "-q").stdout
    )["run_id"]
    data.rename(tmp_path / "moved")
    assert mtl("test", run, "--runs", tmp_path / "runs").exit_code == 2
    assert (
        mtl("test", run, "--runs", tmp_path / "runs", "--data", tmp_path / "moved").exit_code == 0
    )
    write_tiny_data(data, seed=1)
    result = mtl("test", run, "--runs", tmp_path / "runs")
    assert result.exit_code == 2
    assert "are not those that" in result.stderr


def test_all_errors_of_a_config_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("sed: 1\ntrain:\n  batch_size: many\npairing: concat\nheads: {quora: dot}\n")
    result = mtl("train", path, "train.lr=fast", "freeze.scope=sts", "tasks=sst,quora")
    assert result.exit_code == 2
    assert result.stdout == ""
    for piece in (
        f"{path}:1: sed: unknown key. Did you mean 'seed'?",
        f"{path}:3: train.batch_size:",
        "'train.lr=fast': train.lr:",
        "Heads that can: linear, mlp",
        "freeze.scope names sts",
    ):
        assert piece in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["finl"], "Did you mean 'final'?"),
        (["encoder=/no/such/folder"], "no such folder"),
        (["data=/no/such/folder"], "no such folder"),
        (["encoder=random-tiny", "freeze.unfrozen=3"], "the encoder has 2 layers"),
        (["--device", "cuda:99"], "CUDA devices"),
        (["--device", "toaster"], "use cpu, cuda"),
    ],
    ids=str,
)
def test_bad_words_are_answered_with_the_remedy_before_anything_is_written(
    words: list[str], message: str, tmp_path: Path
) -> None:
    result = mtl("train", *words, "--runs", tmp_path / "runs")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_vocabulary_that_does_not_fit_the_weights_ends_with_2(tmp_path: Path) -> None:
    write_random(tmp_path / "encoder", seed=0)
    with (tmp_path / "encoder" / "vocab.txt").open("a") as file:
        file.write("surplus\n")
    result = mtl("train", f"encoder={tmp_path / 'encoder'}", "--runs", tmp_path / "runs")
    assert result.exit_code == 2
    assert "Tokenizer and weights are of different models" in result.stderr


def test_bad_rows_end_with_2_or_are_skipped_and_counted(tmp_path: Path) -> None:
    data = write_tiny_data(tmp_path / "data")
    path = data / "sts-train.csv"
    path.write_text(path.read_text().replace("\ttrain0003\t", "\ttrain0003\t\t", 1), "utf-8")
    refused = mtl("train", *tiny_words(data), "--runs", tmp_path / "runs")
    assert refused.exit_code == 2
    assert f"{path}:5:" in refused.stderr
    assert "--on-bad-row skip" in refused.stderr
    taken = mtl(
        "train",
        *tiny_words(data),
        "--runs",
        tmp_path / "runs",
        "--on-bad-row",
        "skip",
        "--json",
        "-q",
    )
    assert json.loads(taken.stdout)["data"]["skipped"] == {"train/sts": 1}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_as_interrupted_and_the_same_command_goes_on(
    number: signal.Signals, code: int, tiny_data: Path, tmp_path: Path
) -> None:
    words = [*tiny_words(tiny_data), "train.epochs=40", "--runs", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "mtl", "train", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/metrics.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "the same command goes on from here" in err
    (path,) = tmp_path.iterdir()
    record = RunFolder(path).record()
    assert record is not None
    assert record.status == "interrupted"
    assert "interrupted" in mtl("runs", "list", "--runs", tmp_path).stdout
    again = mtl("train", *words)
    assert again.exit_code == 0, again.output
    assert f"going on from step {record.steps}" in again.stderr


def test_help_has_an_example_for_every_command_and_a_near_miss_is_named() -> None:
    for name in COMMANDS:
        result = mtl(name, "-h")
        assert result.exit_code == 0
        if name not in ("runs", "data"):
            assert "Example:" in result.stdout, name
    for group, names in {
        "runs": ("list", "show", "diff", "verify"),
        "data": ("check", "fetch"),
    }.items():
        for name in names:
            assert "Example:" in mtl(group, name, "-h").stdout
    result = mtl("trian")
    assert result.exit_code == 2
    assert "Did you mean 'train'?" in result.stderr


def test_config_prints_what_train_would_use_and_reads_it_back(tmp_path: Path) -> None:
    printed = mtl("config", "concat", "train.lr=3e-5")
    assert "quora: linear" in printed.stdout
    (tmp_path / "back.yaml").write_text(printed.stdout)
    assert mtl("config", tmp_path / "back.yaml").stdout == printed.stdout
    schema = json.loads(mtl("config", "--schema").stdout)
    assert "freeze" in schema["properties"]


def test_doctor_answers_with_json_and_without_trouble() -> None:
    result = mtl("doctor", "--json")
    assert result.exit_code == 0, result.output
    assert {row["check"] for row in json.loads(result.stdout)} >= {
        "torch",
        "encoder minilm-l6",
        "device",
    }


def test_no_colour_reaches_a_pipe(two_runs: tuple[Path, list[str]]) -> None:
    runs, _ = two_runs
    command = [sys.executable, "-m", "mtl", "runs", "list", "--runs", str(runs)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"}, check=True
    )
    assert "\x1b[" not in done.stdout
