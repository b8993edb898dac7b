"""The command line: what is printed where, how bad input is answered, and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtl.cli import COMMANDS
from mtl.model.random_tiny import write_random
from mtl.runs.folder import RunFolder
from tests.cli_tools import mtl, tiny_words, two_runs
from tests.conftest import write_tiny_data

__all__ = ["two_runs"]


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
    assert again.stderr.endswith("-s0 is done: nothing to train\n")
    assert len(again.stderr.splitlines()) == 1


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
    assert "Run the same command again to resume" in err
    (path,) = tmp_path.iterdir()
    record = RunFolder(path).record()
    assert record is not None
    assert record.status == "interrupted"
    assert "interrupted" in mtl("runs", "list", "--runs", tmp_path).stdout
    again = mtl("train", *words)
    assert again.exit_code == 0, again.output
    assert f"resuming at step {record.steps}" in again.stderr


def test_help_has_an_example_for_every_command_and_a_near_miss_is_named() -> None:
    for name in COMMANDS:
        result = mtl(name, "-h")
        assert result.exit_code == 0
        if name not in ("runs", "data", "tasks"):
            assert "Example:" in result.stdout, name
    for group, names in {
        "runs": ("list", "show", "diff", "verify"),
        "data": ("check", "fetch"),
        "tasks": ("list", "show", "check", "new"),
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
