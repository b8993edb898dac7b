"""A process that has torch loaded and forks a child for each `mtl` command of a test.

A child watches its own changes of files with an audit hook, and can be killed, sent a signal, or
told that the disk is full at the n-th of them. So a fault meets every moment at which a command
writes, and a command costs no start of Python.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

ROOT = Path(__file__).resolve().parents[2]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens at the `at`-th change of a file below `below`, or `after` seconds.

    `signal`: the child gets this signal. `full`: this change and all later ones fail, as on a full
    disk. `none`: nothing; the changes are counted.
    """

    kind: Literal["none", "signal", "full"] = "none"
    below: str
    at: int = 0
    after: float | None = None
    signal: int = signal.SIGKILL


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended. `code` is negative for a signal; `changes` are those that it made."""

    code: int
    changes: int
    seconds: float
    stdout: str
    stderr: str


class Zygote:
    """Runs `mtl` commands in forked children. A context: it ends with the test."""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)

    def mtl(self, *words: str | Path, fault: Fault, folder: Path) -> Outcome:
        """Run a command, with its output in files of `folder`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        folder.mkdir(parents=True, exist_ok=True)
        request = {"words": [str(word) for word in words], "fault": asdict(fault)}
        self.process.stdin.write(json.dumps(request | {"folder": str(folder)}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return Outcome(
            code=answer["code"],
            seconds=answer["seconds"],
            changes=int((folder / "changes").read_text() or 0),
            stdout=(folder / "stdout").read_text(),
            stderr=(folder / "stderr").read_text(),
        )


def _serve() -> None:
    import mtl.training.loop  # noqa: F401  # the slow imports, once for all children

    for line in sys.stdin:
        request = json.loads(line)
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            os._exit(_child(request["words"], Fault(**request["fault"]), Path(request["folder"])))
        _, status = os.waitpid(child, 0)
        seconds = time.monotonic() - started
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "seconds": seconds}))
        sys.stdout.flush()


def _child(words: list[str], fault: Fault, folder: Path) -> int:
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1 if stream is sys.stdout else 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    counter = os.open(folder / "changes", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    _watch(fault, counter)
    if fault.after is not None:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), fault.signal))
        signal.setitimer(signal.ITIMER_REAL, fault.after)
    from mtl.cli import main

    try:
        main(words)
    except SystemExit as end:
        code = end.code
        sys.stdout.flush()
        sys.stderr.flush()
        return code if isinstance(code, int) else int(code is not None)
    return 0


def _watch(fault: Fault, counter: int) -> None:
    changes = 0

    def hook(event: str, details: tuple[Any, ...]) -> None:
        nonlocal changes
        if event == "open":
            if not details[2] & WRITES:
                return
        elif event not in CHANGES:
            return
        path = os.fsdecode(details[0]) if isinstance(details[0], str | bytes | os.PathLike) else ""
        if not path.startswith(fault.below):
            return
        changes += 1
        os.pwrite(counter, str(changes).encode(), 0)
        if fault.kind == "signal" and fault.after is None and changes == fault.at:
            os.kill(os.getpid(), fault.signal)
        makes = event in ("open", "os.mkdir", "os.rename")
        if fault.kind == "full" and changes >= fault.at and makes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    sys.addaudithook(hook)


if __name__ == "__main__":
    _serve()
