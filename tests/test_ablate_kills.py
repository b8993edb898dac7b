"""Workers and coordinators are killed at random moments.

Nothing is lost, nothing runs twice, and the numbers are the same.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mtl.documents.yaml_file import dump_yaml
from mtl.runs.folder import RunFolder
from tests.conftest import write_tiny_data

ROOT = Path(__file__).resolve().parents[1]
KILLS = 20
RUNS = 6


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms on three seeds; a run takes seconds, so that kills meet it at work."""
    folder = tmp_path_factory.mktemp("kills")
    data = write_tiny_data(folder / "data", rows=200, dev=40)
    path = folder / "killed.yaml"
    plain = {
        "question": "Does a kill change anything?",
        "set": {
            "encoder": "random-tiny",
            "data": str(data),
            "train.epochs": 6,
            "train.batch_size": 4,
            "train.lr": 1e-3,
        },
        "grid": {"pairing": ["siamese", "concat"]},
        "seeds": [0, 1, 2],
    }
    path.write_text(dump_yaml(plain))
    return path


def start(definition: Path, runs: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.grid_coordinator", str(definition), str(runs)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def children(process: subprocess.Popen[bytes]) -> list[int]:
    try:
        return [
            int(pid)
            for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []


def content(runs: Path) -> dict[str, dict[str, Any]]:
    """What each run computed: every byte of predictions, log and weights, and its metrics."""
    found = {}
    for path in sorted(runs.glob("*/record.json")):
        files = [
            *path.parent.glob("predictions/*"),
            *path.parent.glob("checkpoint/*"),
            path.parent / "metrics.jsonl",
        ]
        record = json.loads(path.read_text())
        found[path.parent.name] = {file.name: file.read_bytes() for file in files} | {
            key: record[key] for key in ("status", "metrics", "best_step", "steps")
        }
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds worker processes in /proc")
def test_random_kills_of_workers_and_coordinators_change_nothing(
    definition: Path, tmp_path: Path
) -> None:
    calm = tmp_path / "calm"
    assert start(definition, calm).wait(timeout=300) == 0
    undisturbed = content(calm)
    assert len(undisturbed) == RUNS

    stormy = tmp_path / "stormy"
    draw = random.Random(0)
    coordinator = start(definition, stormy)
    killed = {"worker": 0, "coordinator": 0}
    at_work = 0
    while sum(killed.values()) < KILLS:
        time.sleep(draw.uniform(0.2, 3.0))
        if coordinator.poll() is not None:
            # The grid is done before the last kill: remove a run's record to have work again.
            assert coordinator.returncode == 0
            redo(stormy, draw)
            coordinator = start(definition, stormy)
            continue
        workers = children(coordinator)
        at_work += any(folder.locked() for folder in map(RunFolder, stormy.glob("*-s*")))
        if workers and draw.random() < 0.7:
            os.kill(draw.choice(workers), signal.SIGKILL)
            killed["worker"] += 1
        else:
            coordinator.kill()
            coordinator.wait()
            killed["coordinator"] += 1
            coordinator = start(definition, stormy)
    assert coordinator.wait(timeout=300) == 0
    assert min(killed.values()) >= 3
    assert at_work >= KILLS / 4  # kills met runs under way, however slow the machine

    assert content(stormy) == undisturbed
    ends = (stormy / "ends.log").read_text().split()
    assert len(ends) == len(set(ends)), "a run was trained to its end twice"
    assert not list(stormy.rglob("*.tmp"))


def redo(runs: Path, draw: random.Random) -> None:
    """Throw one run away, as a user might."""
    import shutil

    gone = draw.choice(sorted(path.parent for path in runs.glob("*/record.json")))
    shutil.rmtree(gone)
    log = runs / "ends.log"
    log.write_text("".join(f"{name}\n" for name in log.read_text().split() if name != gone.name))
