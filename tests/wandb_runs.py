"""Tiny W&B runs for tests, in an empty home: no settings, no key, no server but this machine's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtl.tracking.client import client_environ
from mtl.tracking.open import open_tracker
from mtl.tracking.outcome import TrackingOutcome, WandbMode
from mtl.tracking.tracker import Limits, RunInfo
from mtl.tracking.wandb_tracker import WandbTracker
from tests.wandb_peer import Peer

RUN = "0123456789ab-s0"
SHORT = Limits(init=3, finish=3, read=10, abort=5, grace=15)  # for servers that never answer
SUMMARY = {"dev/sst/accuracy": 0.5, "dev/sts/pearson": 1 / 3, "dev/overall": None}
PATHS = [str(Path(__file__).parents[1])]
linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, which is also the current folder.

    W&B's server is a closed port of this machine, or the fixture `peer`.
    """
    for name in [
        name for name in os.environ if name.startswith("WANDB_") or name.lower().endswith("_proxy")
    ]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    return home


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    """A server on loopback, named in the environment."""
    with Peer() as server:
        for name, value in server.environ().items():
            monkeypatch.setenv(name, value)
        yield server


def info(tmp_path: Path, run_id: str = RUN, **changes: Any) -> RunInfo:
    """A run below `tmp_path/runs`."""
    fields: dict[str, Any] = {
        "run_id": run_id,
        "folder": tmp_path / "runs" / run_id,
        "config": {"seed": 0, "train": {"lr": 1e-5}},
        "group": "quickstart",
        "job_type": "train",
        "tags": ("surgery=dominant", "x" * 100),
        "name": None,
    }
    return RunInfo(**(fields | changes))


def tracker(mode: WandbMode, about: RunInfo, limits: Limits | None = None) -> WandbTracker:
    """An open tracker."""
    opened = open_tracker(mode, about, limits)
    assert isinstance(opened, WandbTracker)
    return opened


def logged(
    mode: WandbMode, about: RunInfo, steps: range = range(3), limits: Limits | None = None
) -> TrackingOutcome:
    """The outcome of a run that logs the loss 1 / (step + 1) at each step."""
    run = tracker(mode, about, limits)
    for step in steps:
        run.log(step, {"train/loss": 1 / (step + 1)})
    return run.finish(SUMMARY)


def wait_until_ready(opened: WandbTracker, seconds: float = 20) -> None:
    """Wait until the client reports that the run is open."""
    end = time.monotonic() + seconds
    while opened._ready_by is not None and time.monotonic() < end:
        opened._take_replies(0.05)
    assert opened._ready_by is None


def client_of(opened: WandbTracker) -> int:
    """The process id of a tracker's client."""
    assert opened._client is not None
    return opened._client._process.pid


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def inspect(log: Path) -> dict[str, Any]:
    """The content of a log on disk, read with `wandb leet`."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "wandb",
        "leet",
        "inspect",
        "--summary",
        "--json",
        str(log),
    ]
    done = subprocess.run(
        command, capture_output=True, timeout=30, check=True, env=client_environ(log.parents[2])
    )
    return dict(json.loads(done.stdout))
