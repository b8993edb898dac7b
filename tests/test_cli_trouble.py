"""Hostile shells, wrong files and wrong words get a message and an exit code; no run is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mtl.cli import main
from mtl.config.settings import config_from
from mtl.data.new_text import BadRows, new_rows
from mtl.data.rows import Rows
from mtl.data.text_lines import text_lines
from mtl.errors import ConfigError, DataError
from mtl.runs.sealed import parse_sealed, write_sealed
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Task
from mtl.tracking.open import open_tracker
from mtl.tracking.wandb_copy import compare, read_back
from tests.wandb_runs import SHORT, info


def mtl(*words: str | Path, stdin: str | None = None, columns: str = "120") -> Result:
    return CliRunner(env={"COLUMNS": columns}).invoke(
        main, [str(word) for word in words], input=stdin
    )


def tiny_words(data: Path) -> list[str]:
    return [
        "encoder=random-tiny",
        f"data={data}",
        "train.epochs=1",
        "train.batch_size=8",
        "train.lr=1e-3",
    ]


@pytest.fixture(scope="module")
def run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run's folder."""
    runs = tmp_path_factory.mktemp("trouble") / "runs"
    result = mtl("train", *tiny_words(tiny_data), "--runs", runs, "--json", "--quiet")
    assert result.exit_code == 0, result.output
    return runs / str(json.loads(result.stdout)["run_id"])


@pytest.mark.parametrize("ending", ["2>&1 >/dev/null | true", "2>/dev/full", "2>&-", ">&-"])
def test_a_stream_that_nobody_reads_does_not_end_a_run(
    ending: str, tiny_data: Path, tmp_path: Path
) -> None:
    if "full" in ending and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    words = [sys.executable, "-m", "mtl", "train", *tiny_words(tiny_data), "--runs", str(tmp_path)]
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$@" {ending}', "bash", *words], capture_output=True
    )
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "record.json").read_text())["status"] == "done"


def predicted(run: Path, output: str | Path) -> Result:
    words = ("predict", run.name, "--task", "sst", "--output", output, "--runs", run.parent)
    return mtl(*words, stdin="sentence\na good film\n")


def test_predict_writes_to_the_end_of_a_link_and_keeps_the_link(run: Path, tmp_path: Path) -> None:
    real, link = tmp_path / "real.tsv", tmp_path / "link.tsv"
    real.write_text("old")
    link.symlink_to(real)
    assert predicted(run, link).exit_code == 0
    assert link.is_symlink()
    assert real.read_text().startswith("id\tprediction")


def test_predict_writes_into_a_pipe_and_leaves_it_a_pipe(run: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert predicted(run, pipe).exit_code == 0
        assert os.read(reader, 1000).startswith(b"id\tprediction")
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_predict_looks_at_the_output_before_it_loads_the_model(run: Path, tmp_path: Path) -> None:
    for output, message in (
        (tmp_path, "a folder"),
        (tmp_path / "no" / "out.tsv", "no such folder"),
    ):
        result = predicted(run, output)
        assert result.exit_code == 2
        assert f"--output {output}: {message}" in result.stderr


def read_new_text(text: str, task: Task, source: str) -> Rows:
    """The rows of a short text, or the error that names all bad rows."""
    bad = BadRows()
    batches = list(new_rows(text_lines(BytesIO(text.encode()), source), task, source, bad))
    if bad.count:
        raise bad.error("")
    (rows,) = batches
    return rows


def test_a_byte_order_mark_does_not_hide_json_lines() -> None:
    rows = read_new_text(
        '\ufeff{"sentence": "fine", "id": null}\n{"sentence": "bad", "id": 7}\n', TASKS["sst"], "in"
    )
    assert rows.ids == ["0", "7"]


@pytest.mark.parametrize("value", ['"\\ud800"', "true", "[1]", "{}", "NaN", '" "'])
def test_an_id_that_cannot_be_one_is_refused_with_its_place(value: str) -> None:
    with pytest.raises(DataError, match="in:2: column 'id': "):
        read_new_text(
            f'{{"sentence": "a", "id": 1}}\n{{"sentence": "b", "id": {value}}}\n',
            TASKS["sst"],
            "in",
        )


def test_columns_of_another_kind_of_task_are_named_as_that() -> None:
    with pytest.raises(DataError, match="sts takes pairs: sentence1 and sentence2") as caught:
        read_new_text("id\tsentence\n1\ta\n", TASKS["sts"], "in")
    assert "Did you mean" not in str(caught.value)
    with pytest.raises(DataError, match="sst takes one sentence"):
        read_new_text("sentence1\tsentence2\na\tb\n", TASKS["sst"], "in")
    with pytest.raises(DataError, match="sst takes one sentence"):
        read_new_text('{"sentence1": "a", "sentence2": "b"}\n', TASKS["sst"], "in")


@pytest.fixture
def no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A W&B key, and a server that does not answer."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)


@pytest.mark.usefixtures("no_server")
def test_a_run_that_found_no_server_is_read_from_the_disk_and_said_to_wait(
    run: Path, tmp_path: Path
) -> None:
    about = info(tmp_path, run.name)
    shutil.copytree(run, about.folder)
    record = parse_sealed((run / "record.json").read_bytes())
    outcome = open_tracker("online", about, SHORT).finish(record["metrics"])
    record["wandb"] = outcome.model_dump()
    assert outcome.status == "degraded"
    assert f"mtl sync {run.name} --runs {about.folder.parent}" in (outcome.reason or "")
    write_sealed(about.folder / "record.json", record)
    assert compare(record["metrics"], read_back(about.folder, "online", run.name)) == []
    result = mtl("runs", "verify", "--runs", about.folder.parent)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{run.name}: ok; W&B: not sent yet, see mtl sync\n"


def test_sync_takes_the_beginning_of_a_name(tmp_path: Path) -> None:
    for name in ("aaaa-s0", "aabb-s0"):
        (tmp_path / name).mkdir()
    result = mtl("sync", "aab", "--runs", tmp_path)
    assert (result.exit_code, result.stdout) == (0, "aabb-s0  nothing to sync\n")
    result = mtl("sync", "aa", "--runs", tmp_path)
    assert result.exit_code == 2
    assert "prefix of 2 runs" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "list"],
        ["runs", "verify"],
        ["runs", "show", "x"],
        ["runs", "diff", "x", "y"],
        ["test", "x"],
    ]
    + [["predict", "x", "--task", "sst"]],
    ids=" ".join,
)
def test_a_named_folder_of_runs_must_be_one(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, message in (("file", "a file, not a folder"), ("nowhere", "no such folder")):
        result = mtl(*words, "--runs", tmp_path / name)
        assert result.exit_code == 2
        assert f"--runs {tmp_path / name}: {message}" in result.stderr


def test_the_default_folder_of_runs_may_be_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = mtl("runs", "list")
    assert result.exit_code == 0
    assert "No runs in runs" in result.stdout


def test_train_refuses_a_file_in_place_of_the_folder_of_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for runs in (tmp_path / "file", tmp_path / "file" / "runs"):
        result = mtl("train", "encoder=random-tiny", "--runs", runs)
        assert result.exit_code == 2
        assert f"--runs {runs}: " in result.stderr


@pytest.mark.parametrize("text", ["tasks: sst\n", "tasks: [sst]\n"])
def test_one_task_in_a_file_needs_no_brackets(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert config_from([str(path)]).tasks == ("sst",)
    path.write_text("freeze: {scope: sts, unfrozen: 2}\n")
    assert config_from([str(path)]).freeze.scope == ("sts",)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("tasks=5", "'tasks=5': tasks: expected a list of tasks, got 5"),
        ("train=fast", "'train=fast': train: expected settings (key: value), got 'fast'"),
        (
            "freeze.scope=foo",
            "'freeze.scope=foo': freeze.scope.0: no task 'foo'; there are quora, sst, sts. Write "
            "the path of a file of your own, as in tasks/foo.yaml.",
        ),
        (
            "freeze.scope=5",
            "'freeze.scope=5': freeze.scope: expected all, or names of tasks, got 5.",
        ),
    ],
)
def test_what_was_expected_is_said_once_in_plain_words(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from([word])
    assert str(caught.value) == message


def test_a_long_value_is_cut_where_it_is_echoed() -> None:
    with pytest.raises(ConfigError) as caught:
        config_from([f"train.lr={'x' * 10_000}"])
    assert len(str(caught.value)) < 300
    assert config_from([f"data={'x' * 200}"]).data == "x" * 200, "only the message is cut"


def test_a_folder_without_an_encoder_is_called_that(tmp_path: Path) -> None:
    result = mtl("train", f"encoder={tmp_path}", "--runs", tmp_path / "runs")
    assert result.exit_code == 2
    assert "the folder has no config.json" in result.stderr


def test_test_shows_the_runs_that_it_opened_before_one_failed(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "bad-s0"
    other.mkdir()
    (other / "config.yaml").write_text("seed: 1\n")
    result = mtl("test", run.name, other, "--runs", run.parent)
    assert result.exit_code == 1
    assert run.name in result.stdout
    assert "Error: " in result.stderr
    result = mtl("test", run.name, other, "--runs", run.parent, "--json")
    assert list(json.loads(result.stdout)) == [run.name]


def test_a_narrow_terminal_cuts_no_word_off(run: Path) -> None:
    result = mtl("runs", "list", "--runs", run.parent, columns="40")
    assert "…" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 40
