"""The two ends that `mtl.tracking.tracker` has in W&B: the client's process, and the copy that is read back from it.

No wandb here either: the client is a process of its own (`client_process.py`), reached by two pipes and two threads,
so that nothing it does or fails to do can stop the caller. Reading back goes through the client's own commands.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mtl.errors import RunError
from mtl.locks import is_held

CLIENT = Path(__file__).with_name("client_process.py")
PLACE = "place.json"  # where an online run went; written by the client
SYNCED = ".wandb.synced"  # the client's own mark beside a log that the server has
# Variables that would give a run another name, place or mode than the one it has here, or a client that is not its own.
OVERRULED = frozenset(
    f"WANDB_{name}"
    for name in (
        "SERVICE", "MODE", "DIR", "RUN_ID", "RUN_DIR", "RESUME", "NAME", "RUN_GROUP", "JOB_TYPE", "TAGS", "SWEEP_ID",
        "SWEEP_PARAM_PATH", "CONFIG_PATHS", "SILENT", "QUIET", "CONSOLE", "SAVE_CODE", "DISABLED",
    )
)  # fmt: skip

Message = dict[str, Any]


def client_environ(folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for a W&B process of the run in `folder`: what it writes goes below `folder/wandb`.

    Keys, server and proxies pass through. Crash reports to the vendor are off unless the user turned them on.
    """
    kept = {name: value for name, value in environ.items() if name not in OVERRULED}
    root = folder.resolve()
    places = {
        f"WANDB_{kind}_DIR": str(root / "wandb" / kind.lower())
        for kind in ("DATA", "CACHE", "ARTIFACT")
    }
    return {"WANDB_ERROR_REPORTING": "false"} | kept | places | {"WANDB_DIR": str(root)}


def sessions(folder: Path) -> list[Path]:
    """A run's W&B logs, oldest first: one for every time that it was started or resumed."""
    logs = (folder / "wandb").glob("*run-*/run-*.wandb")
    return sorted(
        logs, key=lambda log: (log.parent.name.removeprefix("offline-"), log.stat().st_mtime_ns)
    )


def is_synced(log: Path) -> bool:
    """Whether the server has all of a log."""
    return log.with_suffix(SYNCED).exists()


def unsent(folder: Path) -> bool:
    """Whether a run's latest session was logged offline, asked for or not, and is not with the server yet."""
    return any(
        log.parent.name.startswith("offline-") and not is_synced(log)
        for log in sessions(folder)[-1:]
    )


def mark_synced(folder: Path) -> None:
    """Note that the server has the latest session, so that `mtl sync` does not send it again."""
    for log in sessions(folder)[-1:]:
        log.with_suffix(SYNCED).touch()


def being_written(folder: Path) -> bool:
    """Whether a client's process has the run open."""
    try:
        return is_held(folder / "wandb" / "lock")
    except OSError:  # the file system has no locks
        return False


class Client:
    """The client's process. `send` and `reply` never block longer than asked, and nothing here raises once it runs."""

    def __init__(self, folder: Path) -> None:
        (folder / "wandb").mkdir(parents=True, exist_ok=True)
        with (folder / "wandb" / "client.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(CLIENT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env=client_environ(folder), start_new_session=True,
            )  # fmt: skip
        self._orders: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Message] = queue.SimpleQueue()
        for work in (self._write, self._read):
            threading.Thread(target=work, daemon=True).start()

    def send(self, order: Message) -> None:
        """Queue an order. Raises ValueError where it is not JSON."""
        json.dumps(order, allow_nan=False)
        self._orders.put(order)

    def reply(self, seconds: float) -> Message | None:
        """The next reply, or None where none comes in time."""
        with contextlib.suppress(queue.Empty):
            return self._replies.get(timeout=max(0.0, seconds))
        return None

    def close(self) -> None:
        """Say that no order follows. The process then ends by itself, within its own limits."""
        self._orders.put(None)

    def kill(self) -> None:
        """End the process now; the client's helper notices, and ends too."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._orders.put(None)

    def _write(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError):  # its end shows in the replies
            while order := self._orders.get():
                pipe.write(json.dumps(order).encode() + b"\n")
                pipe.flush()
        with contextlib.suppress(OSError):
            pipe.close()

    def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        with contextlib.suppress(ValueError):
            for line in pipe:
                self._replies.put(json.loads(line))
        code = self._process.wait()
        self._replies.put({"failed": f"the W&B process ended with exit code {code}"})
        pipe.close()


def read_back(
    folder: Path, mode: Literal["online", "offline", "disabled"], run_id: str, seconds: float = 30.0
) -> dict[str, Any]:
    """The summary that W&B has of a run: from the latest log on disk where `mode` is offline or the log
    was not sent yet (a failed login, say), else from the server.

    Raises RunError where it cannot be read, or not within `seconds`.
    """
    if mode == "disabled":
        raise RunError(f"run {run_id} was not logged to W&B: there is nothing to read back")
    read = _read_log if mode == "offline" or unsent(folder) else _read_server
    try:
        return read(folder, run_id, seconds)
    except subprocess.TimeoutExpired:
        raise RunError(
            f"W&B's copy of run {run_id} could not be read within {seconds:.0f} s"
        ) from None
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"W&B's copy of run {run_id} could not be read: {error}") from error


def _read_log(folder: Path, run_id: str, seconds: float) -> dict[str, Any]:
    logs = sessions(folder)
    if not logs:
        raise RunError(f"run {run_id} has no W&B log below {folder / 'wandb'}")
    command = [
        sys.executable,
        "-P",
        "-m",
        "wandb",
        "leet",
        "inspect",
        "--summary",
        "--json",
        str(logs[-1].resolve()),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        timeout=seconds,
        env=client_environ(folder),
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise ValueError(done.stderr.decode(errors="replace").strip()[-300:])
    return dict(json.loads(done.stdout)["summary"])


def _read_server(folder: Path, run_id: str, seconds: float) -> dict[str, Any]:
    environ = client_environ(folder)
    path = f"{environ.get('WANDB_PROJECT') or 'mtl'}/{run_id}"
    with contextlib.suppress(FileNotFoundError):
        place = json.loads((folder / "wandb" / PLACE).read_text(encoding="utf-8"))
        path = f"{place['entity']}/{place['project']}/{run_id}"
        environ["WANDB_BASE_URL"] = place["base_url"]
    order = json.dumps({"read": {"path": path, "timeout": math.ceil(seconds)}}).encode() + b"\n"
    command = [sys.executable, "-P", str(CLIENT)]
    done = subprocess.run(command, input=order, capture_output=True, timeout=seconds, env=environ)
    reply = json.loads(done.stdout or b"{}")
    if "failed" in reply:
        raise ValueError(reply["failed"])
    return dict(reply["summary"])


def compare(summary: Mapping[str, float | None], read: Mapping[str, Any]) -> list[str]:
    """What differs between the numbers of a record and those of W&B's copy, in words; an empty list where nothing does.

    Numbers are equal to within 1e-9 of their size (a JSON round trip). Unknown values (None, NaN) are not compared, and
    W&B may have more keys than the record.
    """
    differences = []
    for name, value in known(summary).items():
        there = read.get(name)
        if not isinstance(there, int | float) or not math.isclose(value, there, rel_tol=1e-9):
            found = "missing" if there is None else repr(there)
            differences.append(f"{name} is {value!r} in the record and {found} in W&B")
    return differences


def known(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """The metrics that have a finite value, as plain floats."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if value is not None and math.isfinite(value)
    }
