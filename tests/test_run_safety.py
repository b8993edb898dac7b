"""A run folder is safe: states are checked, links refused, leftovers swept, damage named."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from mtl.config.schema import RunConfig
from mtl.errors import RunError
from mtl.inference.trained import load_trained
from mtl.runs import checkpoint
from mtl.runs.failed import failed_record
from mtl.runs.find import run_folders
from mtl.runs.folder import RunFolder
from mtl.runs.verify import verify
from mtl.training.loop import train
from tests.cli_tools import mtl
from tests.fault_tools import as_before_digests, edit
from tests.training_tools import comparable, config, killed_before_its_evaluation


def made(runs: Path, seed: int = 0) -> RunFolder:
    """A run that failed."""
    folder = RunFolder(runs / f"abc-s{seed}")
    chosen = RunConfig(seed=seed)
    folder.path.mkdir(parents=True)
    folder.begin(chosen)
    folder.finish(failed_record(chosen, folder.run_id, "no memory"))
    return folder


# --- saved states


def test_a_state_of_the_version_before_resumes(tiny: dict[str, Any], tmp_path: Path) -> None:
    chosen = config(tiny, train__epochs=1)
    whole = train(chosen, runs=tmp_path / "whole")
    folder = killed_before_its_evaluation(chosen, tmp_path / "stopped")
    as_before_digests(folder.path)
    assert "digest" not in json.loads((folder.resume / "state.json").read_text())
    assert comparable(train(chosen, runs=tmp_path / "stopped")) == comparable(whole)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"step": 10**6}, "step 1000000 of"),
        ({"step": "3"}, "step: Input should be a valid integer"),
        ({"step": -1}, "step -1 of"),
        ({"best_step": 99}, "it evaluated at step 99"),
        ({"unheard": 1}, "unknown: unheard"),
    ],
)
def test_a_state_that_cannot_be_of_the_run_is_refused_with_the_remedy(
    tiny: dict[str, Any], tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    chosen = config(tiny, train__epochs=1)
    folder = killed_before_its_evaluation(chosen, tmp_path)
    notes = checkpoint.notes(folder.resume, "state")
    assert notes is not None
    edit(folder.resume / "state.json", state=notes["state"] | change)
    with pytest.raises(RunError, match=f"{problem}.*--fresh"):
        train(chosen, runs=tmp_path)
    assert folder.state() == "failed"


def test_a_state_changed_by_hand_is_refused(tiny: dict[str, Any], tmp_path: Path) -> None:
    chosen = config(tiny, train__epochs=1)
    folder = killed_before_its_evaluation(chosen, tmp_path)
    path = folder.resume / "state.json"
    stored = json.loads(path.read_text())
    stored["state"]["step"] -= 1
    path.write_text(json.dumps(stored, indent=1))
    with pytest.raises(RunError, match=r"its content is not that of its digest.*--fresh"):
        train(chosen, runs=tmp_path)


def test_a_checkpoint_names_no_file_outside_its_folder(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    record = train(config(tiny, train__epochs=1), runs=tmp_path)
    folder = RunFolder(tmp_path / record.run_id)
    (weights,) = folder.checkpoint.glob("*.safetensors")
    outside = tmp_path / weights.name
    shutil.move(weights, outside)
    edit(folder.checkpoint / "model.json", file=f"../../{weights.name}")
    with pytest.raises(RunError, match="names no file of this checkpoint"):
        load_trained(folder)


# --- links and leftovers


def test_a_fresh_start_follows_no_link(tiny: dict[str, Any], tmp_path: Path) -> None:
    chosen, runs, elsewhere = config(tiny, train__epochs=1), tmp_path / "runs", tmp_path / "else"
    record = train(chosen, runs=runs)
    folder = RunFolder(runs / record.run_id)
    own = elsewhere / "own.txt"
    elsewhere.mkdir()
    own.write_text("mine")
    for place in (folder.checkpoint, folder.path / ".lock", folder.path):
        kept = tmp_path / "kept"
        place.rename(kept)
        place.symlink_to(own if kept.is_file() else elsewhere)
        with pytest.raises(RunError, match="a link"):
            train(chosen, runs=runs, fresh=True)
        assert own.read_text() == "mine"
        assert os.listdir(elsewhere) == ["own.txt"]
        place.unlink()
        kept.rename(place)
    (tmp_path / "link").symlink_to(runs)
    assert train(chosen, runs=tmp_path / "link", fresh=True).status == "done"


def test_what_a_kill_left_of_a_run_that_is_done_is_said_and_swept(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    chosen = config(tiny, train__epochs=1)
    record = train(chosen, runs=tmp_path)
    folder = RunFolder(tmp_path / record.run_id)
    checkpoint.save(folder.resume, "state", {}, state={})
    (folder.path / ".record.json.17.tmp").write_bytes(b"half")
    found = mtl("runs", "verify", "--runs", tmp_path)
    assert (found.exit_code, found.stdout) == (
        0, f"{folder.run_id}: ok; resume/ is left over: mtl train removes it\n",
    )  # fmt: skip
    assert train(chosen, runs=tmp_path) == record
    assert not folder.resume.exists()
    assert not list(folder.path.glob(".*.tmp"))


# --- damaged runs among others


@pytest.mark.parametrize("name", ["record.json", "test.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"schema": 3}', b"[" * 9999])
def test_a_damaged_run_is_a_row_of_the_list(tmp_path: Path, name: str, content: bytes) -> None:
    folders = [made(tmp_path, seed) for seed in (0, 1)]
    (folders[0].path / name).write_bytes(content)
    listed = mtl("runs", "list", "--runs", tmp_path, "--json")
    rows = {row["run_id"]: row["status"] for row in json.loads(listed.stdout)}
    assert rows == {"abc-s0": "damaged", "abc-s1": "failed"}
    assert "Damaged: 1 of 2 runs" in listed.stderr
    assert mtl("runs", "list", "--runs", tmp_path).exit_code == 0
    verified = mtl("runs", "verify", "--runs", tmp_path)
    assert "abc-s0: wrong" in verified.stdout
    assert "abc-s1: ok" in verified.stdout


def test_a_folder_that_may_not_be_entered_is_a_row_if_it_is_called_like_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path)
    for name in ("def-s0", "lost+found"):
        (tmp_path / name).mkdir()
    real = os.lstat

    def closed(path: Any) -> Any:
        if "def-s0/" in str(path) or "lost+found/" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "lstat", closed)
    assert [folder.run_id for folder in run_folders(tmp_path)] == ["abc-s0", "def-s0"]


def test_a_newer_record_says_so_in_every_command(tmp_path: Path) -> None:
    folder = made(tmp_path)
    edit(folder.path / "record.json", schema=3)
    for words in (("show",), ("verify",), ("diff", "abc-s0")):
        found = mtl("runs", words[0], "abc-s0", *words[1:], "--runs", tmp_path)
        assert found.exit_code == 1
        assert "written by a newer version of mtl; update mtl" in found.output


def test_a_damaged_log_is_an_error_and_a_cut_last_line_is_not(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    line = b'{"step": 3, "metrics": {"dev/overall": 0.5}}\n'
    folder.metrics.write_bytes(line * 2 + line[:20])
    assert len(folder.history()) == 2
    for damage in (
        b"\xff\n", b"[]\n", b'{"metrics": 5}\n', line.replace(b"3", b'"3"'),
        line.replace(b"0.5", b"NaN"), line.replace(b"0.5", b"1e999"),
    ):  # fmt: skip
        folder.metrics.write_bytes(line + damage + line)
        with pytest.raises(RunError, match=r"metrics\.jsonl:2: damaged"):
            folder.history()


def test_verify_names_files_that_are_missing_or_added(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder.path / "checkpoint").mkdir()
    (folder.path / "checkpoint" / "own.bin").write_bytes(b"x")
    (folder.path / "config.yaml").unlink()
    problems = "\n".join(verify(folder))
    assert "checkpoint/own.bin: not a file of the run." in problems
    assert "config.yaml: missing." in problems
