"""A run is killed, sent a signal or meets a full disk at every moment at which it writes.

Afterwards the same command ends as if nothing had happened: with the same bytes.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtl.runs.folder import RunFolder
from mtl.runs.record import Record
from mtl.runs.verify import verify
from tests.conftest import write_tiny_data
from tests.fault_tools import Tally
from tests.faults.zygote import Fault, Outcome, Zygote
from tests.training_tools import content

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(900),  # the moments of one kind, beside other tests
    pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="forks, as on Linux"),
]
TIMES = {
    "seconds",
    "throughput",
    "peak_memory",
    "started",
    "ended",
    "environment",
    "files",
    "digest",
}


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as running:
        yield running


class Place:
    """A folder of runs with one run, its command, and what it leaves when nothing goes wrong."""

    def __init__(self, zygote: Zygote, folder: Path) -> None:
        self.zygote, self.folder = zygote, folder
        self.data = write_tiny_data(folder / "data", rows=32, dev=8)
        calm = self.train(folder / "calm", Fault(below=str(folder / "calm")))
        assert calm.code == 0, calm.stderr
        self.changes, self.seconds = calm.changes, calm.seconds
        self.whole = result(folder / "calm")

    def train(self, runs: Path, fault: Fault) -> Outcome:
        return self.zygote.mtl(
            "train", "encoder=random-tiny", f"data={self.data}", "train.epochs=2",
            "train.batch_size=16", "smart.lambda_s=1", "freeze.unfrozen=1", "--runs", runs,
            "--device", "cpu", "--quiet",
            fault=fault, folder=self.folder / "streams" / runs.name,
        )  # fmt: skip

    def moments(self, count: int) -> list[int]:
        """At most `count` changes of files, spread evenly from the first to the last."""
        if self.changes <= count:
            return list(range(1, self.changes + 1))
        return [1 + round(i * (self.changes - 1) / (count - 1)) for i in range(count)]

    def goes_on(self, runs: Path) -> bool:
        """Whether the same command ends as the undisturbed one did; the folder is removed."""
        after = self.train(runs, Fault(below=str(runs)))
        same = after.code == 0 and result(runs) == self.whole
        shutil.rmtree(runs)
        return same


@pytest.fixture(scope="module")
def place(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(zygote, tmp_path_factory.mktemp("moments"))


def result(runs: Path) -> dict[str, Any]:
    """What the run in a folder computed, and what `verify` says of it."""
    (path,) = runs.glob("*-s*")
    record = json.loads((path / "record.json").read_text())
    leftovers = [str(file) for file in path.rglob("*") if file.suffix == ".tmp"]
    return {
        "content": content(path),
        "record": {key: value for key, value in record.items() if key not in TIMES},
        "problems": verify(RunFolder(path)),
        "leftovers": leftovers + [str(file) for file in path.glob("resume/*")],
    }


def ended(runs: Path) -> Record | None:
    """The record of the run in a folder, if there is one."""
    folders = [RunFolder(path) for path in runs.glob("*-s*")]
    return folders[0].record() if folders else None


def test_kills_at_writes(place: Place, tally: Tally) -> None:
    """Run killed with -9 as it changes a file, then bit-equal."""
    for at in place.moments(20):
        runs = place.folder / f"killed-{at}"
        outcome = place.train(runs, Fault(kind="signal", below=str(runs), at=at))
        assert outcome.code == -signal.SIGKILL
        tally.add(place.goes_on(runs), f"change {at} of {place.changes}")


def test_kills_at_random_times(place: Place, tally: Tally) -> None:
    """Run killed with -9 at a random time, then bit-equal."""
    draw = random.Random(0)
    for case in range(10):
        runs = place.folder / f"random-{case}"
        runs.mkdir()
        after = draw.uniform(0, place.seconds)
        place.train(runs, Fault(kind="signal", below=str(runs), after=after))
        tally.add(place.goes_on(runs), f"after {after:.2f} s")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(place: Place, tally: Tally, number: signal.Signals) -> None:
    """Run interrupted by a signal: exit code 128 + n, nothing lost, then bit-equal."""
    for at in place.moments(11):
        runs = place.folder / f"{number.name}-{at}"
        fault = Fault(kind="signal", below=str(runs), at=at, signal=number)
        outcome = place.train(runs, fault)
        record = ended(runs)
        # Before the run begins the signal has its usual effect; after the last step it is too late.
        said = outcome.code in (128 + number, -number) or (
            outcome.code == 0 and record is not None and record.status == "done"
        )
        quiet = "Traceback" not in outcome.stderr
        tally.add(
            said and quiet and place.goes_on(runs),
            f"{number.name} at change {at}: exit {outcome.code}, {outcome.stderr[-200:]}",
        )


def test_full_disk(place: Place, tally: Tally) -> None:
    """Disk full from a change of a file on: one error with the file, then bit-equal."""
    for at in place.moments(30):
        runs = place.folder / f"full-{at}"
        outcome = place.train(runs, Fault(kind="full", below=str(runs), at=at))
        lines = outcome.stderr.strip().splitlines()
        said = (
            outcome.code == 1
            and len(lines) == 1
            and lines[0].startswith(f"Error: {runs}")
            and "No space left" in lines[0]
        )
        # The last changes remove what is no longer needed; they need no space.
        done = outcome.code == 0 and not lines
        tally.add((said or done) and place.goes_on(runs), f"{at}: {outcome.code} {lines}")
