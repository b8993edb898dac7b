"""A resumed run equals an uninterrupted one; a failed run is recorded and never reads as done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mtl.errors import RunError
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import prepare
from mtl.runs.verify import verify
from mtl.training.loop import train
from mtl.training.run import Training
from mtl.training.state import State
from tests.training_tools import comparable, config, content, trained_with_stops


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": "consolidated", "train__batch_size": 7},
        {"schedule": "consolidated", "train__batch_size": 7, "surgery": "pcgrad"},
        {"schedule": "annealed"},
        {"schedule": "round_robin"},
        {"pairing": "concat"},
        {"smart": {"projection": "normalise", "dropout": True}},
        {"rdrop": 0.5},
        {"schedule": "joint", "train__batch_size": 4, "surgery": "gradvac"},
        {"train__ema": 0.9, "train__layer_decay": 0.8, "train__head_lr": 1e-3},
    ],
    ids=str,
)
def test_resume_equals_no_interruption(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Stopped at every third step and in evaluation, a run gives the same numbers."""
    chosen = config(
        tiny, freeze={"unfrozen": 1, "scope": ["sts"]}, train__decay="linear", **changes
    )
    whole = train(chosen, runs=tmp_path / "whole")

    record, stops = trained_with_stops(chosen, tmp_path / "stopped", every=3)
    assert stops >= 4
    assert comparable(record) == comparable(whole)
    assert content(tmp_path / "stopped" / record.run_id) == content(
        tmp_path / "whole" / whole.run_id
    )
    assert not (tmp_path / "stopped" / record.run_id / "resume").exists()


SCRIPT = """
import sys
from pathlib import Path
from mtl import RunConfig, train
import json
config = RunConfig.model_validate(json.loads(sys.argv[1]))
train(config, runs=Path(sys.argv[2]), save_seconds=0.0, wandb="disabled")
"""


def test_a_run_killed_at_any_moment_goes_on_to_the_same_numbers(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    chosen = config(tiny, train__epochs=4)
    whole = train(chosen, runs=tmp_path / "whole")
    killed = 0
    for delay in (0.0, 0.05, 0.1, 0.2, 0.4):
        command = [sys.executable, "-c", SCRIPT, chosen.model_dump_json(), str(tmp_path / "killed")]
        process = subprocess.Popen(command)
        log = tmp_path / "killed" / whole.run_id / "metrics.jsonl"
        before = log.stat().st_size if log.exists() else 0
        while process.poll() is None and (not log.exists() or log.stat().st_size <= before):
            time.sleep(0.005)
        time.sleep(delay)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        folder = RunFolder(tmp_path / "killed" / whole.run_id)
        record = folder.record()
        assert record is None or record.status == "done"
        if record is None:
            assert folder.state() == "unfinished"
    assert killed >= 3
    record = train(chosen, runs=tmp_path / "killed")
    assert comparable(record) == comparable(whole)
    assert content(folder.path) == content(tmp_path / "whole" / whole.run_id)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    record = train(config(tiny, train__lr=1e18, train__max_grad_norm=None), runs=tmp_path)
    assert record.status == "diverged"
    assert "is not finite" in record.error
    assert "step " in record.error
    again = train(config(tiny, train__lr=1e18, train__max_grad_norm=None), runs=tmp_path)
    assert again == record


def test_a_finished_run_is_not_trained_again(tiny: dict[str, Any], tmp_path: Path) -> None:
    first = train(config(tiny), runs=tmp_path)
    assert train(config(tiny), runs=tmp_path) == first
    assert train(config(tiny), runs=tmp_path, fresh=True).ended >= first.ended


def test_two_processes_never_train_one_run_at_once(tiny: dict[str, Any], tmp_path: Path) -> None:
    chosen = config(tiny)
    folder = RunFolder(tmp_path / prepare(chosen).run_id)
    with folder.lock(), pytest.raises(RunError, match="in use by process"):
        train(chosen, runs=tmp_path)


def test_an_error_inside_a_run_is_recorded_with_its_traceback(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(training: Training, rows: Any) -> None:
        raise ZeroDivisionError("made to fail")

    monkeypatch.setattr(Training, "step", broken)
    with pytest.raises(ZeroDivisionError):
        train(config(tiny), runs=tmp_path)
    (folder,) = tmp_path.iterdir()
    record = RunFolder(folder).record()
    assert record is not None
    assert record.status == "failed"
    assert "made to fail" in record.error
    assert record.metrics == {}
    monkeypatch.undo()
    assert train(config(tiny), runs=tmp_path).status == "done"


@pytest.mark.parametrize("victim", ["predictions", "checkpoint", "record.json"])
def test_a_full_disk_leaves_nothing_that_reads_as_done(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    import errno

    from mtl import files

    real = os.fsync
    target = {"on": True}

    def full(handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        if target["on"] and victim in path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        real(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        train(config(tiny), runs=tmp_path)
    (path,) = tmp_path.iterdir()
    folder = RunFolder(path)
    record = folder.record()
    assert record is None or record.status == "failed"
    assert folder.state() != "done"
    assert not list(path.rglob("*.tmp"))
    target["on"] = False
    assert train(config(tiny), runs=tmp_path).status == "done"
    assert verify(folder) == []


def test_a_state_saved_by_version_0_1_0_is_read() -> None:
    state = State()
    summary = {"sst": {"r_s": [2, 0.5]}}
    state.restore({"step": 3, "smart": summary})
    assert (state.step, state.penalties) == (3, {"smart": summary})
