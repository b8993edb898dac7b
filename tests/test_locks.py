"""Locks between processes: who holds one, and that it ends with its process."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mtl.errors import RunInUse
from mtl.locks import LockInUse, exclusive, is_held
from mtl.runs.folder import RunFolder

WITH_MTL = """
import sys, time
from pathlib import Path
from mtl.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

AS_0_1_0 = """
import fcntl, os, sys, time
with open(sys.argv[1], "a+") as file:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    file.truncate(0)
    file.write(f"process {os.getpid()}")
    file.flush()
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(script: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("script", [WITH_MTL, AS_0_1_0], ids=["this version", "0.1.0"])
def test_a_lock_names_its_process_and_ends_with_a_kill(script: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with holder(script, tmp_path / ".lock") as process:
        assert folder.locked()
        with pytest.raises(RunInUse, match=f"in use by process {process.pid}\\."), folder.lock():
            pass
        assert folder.state() == "running"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not folder.locked()
        with folder.lock():
            assert folder.locked()
    assert not folder.locked()


def test_0_1_0_respects_a_lock_of_this_version(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with exclusive(path), path.open("a+") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_process_that_looks_is_not_taken_for_a_holder(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.touch()
    with path.open("rb") as look:
        fcntl.flock(look, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert not is_held(path)


def test_the_file_of_a_lock_stays_and_a_missing_one_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert not is_held(path)
    with exclusive(path), pytest.raises(LockInUse, match="process"), exclusive(path):
        pass
    assert path.exists()
    assert not is_held(path)
