"""Grids in trouble: cells that cannot be written, changed data, hung workers, kills."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mtl.ablation.definition import read_definition
from mtl.ablation.engine import Ablation, Grid, run_grid
from mtl.documents.yaml_file import dump_yaml
from mtl.grid.view import View
from mtl.model.random_tiny import random_tiny
from mtl.runs.folder import RunFolder
from mtl.runs.options import PoolOptions
from tests import grid_trains, study_trains
from tests.fault_tools import Tally

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
KILLS = 8


@pytest.fixture(autouse=True)
def workers_find_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def write(path: Path, data: Path, seeds: int = 2, **more: Any) -> Path:
    """A definition of one factor of two levels, on some seeds."""
    settings = {"encoder": "random-tiny", "data": str(data), "train.epochs": 2, **more}
    plain = {"question": "Does it help?", "set": settings, "seeds": list(range(seeds))}
    path.write_text(dump_yaml(plain | {"grid": {"pairing": ["siamese", "concat"]}}))
    return path


def run(
    path: Path, runs: Path, train: Any = study_trains.instant, view: View | None = None, **more: Any
) -> Ablation:
    options = {"runs": runs, "wandb": "disabled", "workers": 1, "retry": 0} | more
    definition = read_definition(path)
    return run_grid(definition, train=train, options=PoolOptions(**options), view=view)


def run_ids(path: Path, runs: Path) -> list[str]:
    """The runs of a grid, in the order in which they are trained."""
    return [run.run_id for run in Grid(read_definition(path), runs=runs).plan(1).runs]


def states(runs: Path) -> dict[str, str]:
    return {path.name: RunFolder(path).state() for path in sorted(runs.glob("*-s*"))}


def occupy(folder: Path, how: str) -> None:
    """Make the folder of a run one that cannot be locked or written, even by root."""
    folder.parent.mkdir(parents=True)
    if how == "a file":
        folder.touch()
    elif how == "a link to itself":
        folder.symlink_to(folder)
    elif how == "a link to nowhere":
        folder.symlink_to("/proc/nowhere/run")
    else:
        (folder / ".lock").mkdir(parents=True)


@pytest.mark.parametrize("retry", [0, 1])
def test_cells_that_cannot_be_locked(
    tiny_data: Path, tmp_path: Path, tally: Tally, retry: int
) -> None:
    """cells that cannot be locked or written"""
    path = write(tmp_path / "grid.yaml", tiny_data)
    names = run_ids(path, tmp_path / "none")
    for how in ("a file", "a link to itself", "a link to nowhere", "a lock that is a folder"):
        for position in (0, len(names) - 1):
            runs = tmp_path / f"{how} {position} {retry}"
            occupy(runs / names[position], how)
            done = run(path, runs, retry=retry)
            others = [state for name, state in states(runs).items() if name != names[position]]
            held = list(done.failures) == [names[position]] and done.trained == len(names) - 1
            held = held and others.count("done") == len(names) - 1
            held = held and (done.folder / "results.json").is_file()
            tally.add(held, f"{how}, cell {position}, retry {retry}: {done.failures}")


def test_damaged_records(tiny_data: Path, tmp_path: Path, tally: Tally) -> None:
    """cells with a damaged record, which stays for the user to see"""
    path, runs = write(tmp_path / "grid.yaml", tiny_data), tmp_path / "runs"
    names = run_ids(path, runs)
    for name in (names[0], names[-1]):
        (runs / name).mkdir(parents=True)
        (runs / name / "record.json").write_text("{")
    done = run(path, runs)
    for name, state in states(runs).items():
        if name in (names[0], names[-1]):
            tally.add(state == "damaged" and "damaged" in done.failures[name], f"{name}: {state}")
        else:
            tally.add(state == "done" and name not in done.failures, f"{name}: {state}")
    tally.add((done.folder / "results.json").is_file(), "results")


def test_a_disk_without_locks(
    tiny_data: Path, tmp_path: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """a disk without locks under all cells"""
    path = write(tmp_path / "grid.yaml", tiny_data, seeds=1)
    monkeypatch.setattr("mtl.runs.folder.exclusive", grid_trains.no_locks)
    done = run(path, tmp_path / "runs", train=grid_trains.without_locks)
    for name, reason in done.failures.items():
        tally.add("Put --runs on a file system with locks" in reason, f"{name}: {reason}")
    tally.add(len(done.failures) == 2 and (done.folder / "results.json").is_file(), "results")


class Changing(View):
    """Calls `change` after so many runs have ended; after none, before the first starts."""

    def __init__(self, after: int, change: Any) -> None:
        super().__init__()
        self.after, self.change = after, change

    def begin(self, *given: Any) -> None:
        super().begin(*given)
        self._count()

    def ended(self, *given: Any) -> None:
        super().ended(*given)
        self._count()

    def _count(self) -> None:
        if self.after == 0:
            self.change()
        self.after -= 1


@pytest.mark.parametrize("part", ["data", "encoder"])
def test_data_and_encoder_that_change(
    tiny_data: Path, tmp_path: Path, tally: Tally, part: str
) -> None:
    """data or encoder changed after so many runs"""
    import shutil

    for after in (0, 1, 2):
        place = tmp_path / f"after {after}"
        data, encoder, runs = place / "data", place / "encoder", place / "runs"
        shutil.copytree(tiny_data, data)
        shutil.copytree(random_tiny(), encoder)
        path = write(place / "grid.yaml", data, encoder=str(encoder))
        names = run_ids(path, runs)

        def change(data: Path = data, encoder: Path = encoder) -> None:
            if part == "encoder":
                weights = encoder / "model.safetensors"
                content = bytearray(weights.read_bytes())
                content[-1] ^= 1
                weights.write_bytes(content)
            else:
                for file in data.glob("*train*.csv"):
                    lines = file.read_text().splitlines(keepends=True)
                    file.write_text("".join(lines[:-1]))

        # A worker that dies is replaced by one that reads the data anew.
        done = run(path, runs, train=grid_trains.dies_once_on_seed_1, view=Changing(after, change),
                   retry=1)  # fmt: skip
        stray = [name for name in states(runs) if name not in names]
        ended = sum(state == "done" for state in states(runs).values())
        said = all(
            f"{part} (" in reason and "changed" in reason and "again" in reason
            for reason in done.failures.values()
        )
        held = not stray and done.trained == ended and len(done.failures) == 4 - ended and said
        again = run(path, runs, train=study_trains.instant)
        held = held and not again.failures and ended < 4
        tally.add(held, f"{part} after {after}: {ended} done, stray {stray}, {done.failures}")


def test_workers_that_hang(tiny_data: Path, tmp_path: Path, tally: Tally) -> None:
    """workers that hang, are stopped, or compute in silence"""
    path = write(tmp_path / "grid.yaml", tiny_data, seeds=2)
    path.write_text(path.read_text().replace("- 1\n", "- 1\n- 2\n- 3\n- 4\n"))
    began = time.monotonic()
    done = run(path, tmp_path / "runs", train=grid_trains.hangs_by_seed, workers=10,
               lost_after=15 / 60)  # fmt: skip
    took = time.monotonic() - began
    for name, state in states(tmp_path / "runs").items():
        hangs = name[-1] in "012"
        reason = done.failures.get(name, "")
        held = (state == "failed" and "no sign of life" in reason) if hangs else state == "done"
        tally.add(held, f"{name}: {state}, {reason}")
    tally.add(took < 120, f"took {took:.0f} s")


def start(path: Path, runs: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.grid_coordinator", str(path), str(runs), "instant"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def computed(runs: Path) -> dict[str, Any]:
    records = {
        path.parent.name: json.loads(path.read_text()) for path in runs.glob("*/record.json")
    }
    return {
        name: [record[key] for key in ("status", "metrics", "steps")]
        for name, record in records.items()
    }


def test_two_coordinators_and_kills(tiny_data: Path, tmp_path: Path, tally: Tally) -> None:
    """two coordinators at once, and coordinators killed at random moments"""
    path = write(tmp_path / "grid.yaml", tiny_data, seeds=4, **{"train.epochs": 40})
    assert start(path, tmp_path / "calm").wait(timeout=100) == 0
    calm = computed(tmp_path / "calm")

    runs = tmp_path / "both"
    both = [start(path, runs) for _ in range(2)]
    codes = [process.wait(timeout=100) for process in both]
    ends = (runs / "ends.log").read_text().split()
    tally.add(codes == [0, 0] and len(ends) == len(set(ends)) == 8, f"both: {codes}, {ends}")
    tally.add(computed(runs) == calm, "both: other results")

    runs, draw = tmp_path / "killed", random.Random(0)
    for kill in range(KILLS):
        process = start(path, runs)
        time.sleep(draw.uniform(0.3, 3.0))
        process.kill()
        process.wait()
        readable = "damaged" not in states(runs).values()
        tally.add(readable, f"kill {kill}: {states(runs)}")
    code = start(path, runs).wait(timeout=100)
    ends = (runs / "ends.log").read_text().split()
    tally.add(code == 0 and len(ends) == len(set(ends)) == 8, f"killed: {code}, {ends}")
    tally.add(computed(runs) == calm, "killed: other results")
