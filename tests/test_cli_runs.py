"""`mtl runs`, `mtl verify` and `mtl predict` on two finished runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mtl.runs.folder import RunFolder
from tests.cli_tools import mtl, tiny_words, two_runs
from tests.conftest import write_tiny_data
from tests.fault_tools import as_before_digests, edit

__all__ = ["two_runs"]


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
        metrics = json.loads((folder / "record.json").read_text())["metrics"]
        edit(folder / "record.json", metrics=metrics | {"dev/overall": 0.99})

    def before_digests(change: Any) -> Any:
        def changed(folder: Path) -> None:
            as_before_digests(folder)
            change(folder)

        return changed

    def edit_config(folder: Path) -> None:
        path = folder / "config.yaml"
        path.write_text(path.read_text().replace("batch_size: 8", "batch_size: 9"))

    def tear(folder: Path) -> None:
        path = folder / "record.json"
        path.write_text(path.read_text()[:-50])

    assert "damaged" in damaged(flip)
    assert "dev-sts.csv: damaged: its sha256" in damaged(edit_prediction)
    assert "config.yaml: damaged: its sha256" in damaged(edit_config)
    assert "damaged" in damaged(before_digests(flip))
    assert "dev/sts/pearson: recorded" in damaged(before_digests(edit_prediction))
    assert "config.yaml differs" in damaged(before_digests(edit_config))
    assert "dev/overall: recorded 0.99" in damaged(edit_metric)
    assert "own.txt: not a file of the run" in damaged(
        lambda folder: (folder / "own.txt").write_text("")
    )
    assert "record.json: damaged" in damaged(tear)
    assert "dev-sst.csv: missing" in damaged(
        lambda folder: (folder / "predictions" / "dev-sst.csv").unlink()
    )


def test_predict_labels_new_text_the_same_in_every_form(
    two_runs: tuple[Path, list[str]], tmp_path: Path
) -> None:
    runs, ids = two_runs
    table = '\tid\tsentence1\tsentence2\n0\tx1\ta good cat\ta cat\n1\tx2\tno dog\t"a ""film"""\n'
    lines = (
        '{"id": "x1", "sentence1": "a good cat", "sentence2": "a cat"}\n'
        '{"id": "x2", "sentence1": "no dog", "sentence2": "a \\"film\\""}\n'
    )
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
    assert all(row[1] == row[2] and "." in row[1] for row in rows)
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
        ("sst", "id\tsentence\n1\t\0\n", "standard input:2: column 'sentence': NUL character"),
        ("quora", "id,sentence1,sentence2\n", "expected tabs between the columns, got commas"),
        ("sst", "ID\tsentence\n1\ta\n", "Rename 'ID' to 'id'"),
        ("sst", "sentence\tsentence\na\tb\n", "column 'sentence': expected once"),
        ("sst", "sentence\rgood\r", "the lines end in a carriage return alone"),
        ("sst", '{"sentence": ' + "[" * 9000 + "\n", "standard input:1: not JSON"),
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
    assert RunFolder(runs / ids[1]).openings() == []


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
