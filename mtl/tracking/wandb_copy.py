"""W&B's copy of a run: its logs on disk, whether the server has them, and the summary read back.

wandb is not imported here: its own commands and the client's process read the copy.
"""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mtl.errors import RunError
from mtl.locks import is_held
from mtl.tracking.client import COMMAND, client_environ
from mtl.tracking.outcome import WandbMode

PLACE = "place.json"
"""Entity, project and server of an online run. The client writes it."""
SYNCED = ".wandb.synced"
"""W&B's own mark beside a log that the server has."""


def sessions(folder: Path) -> list[Path]:
    """The W&B logs of a run, oldest first: one for each start and each resume."""
    logs = (folder / "wandb").glob("*run-*/run-*.wandb")
    return sorted(
        logs, key=lambda log: (log.parent.name.removeprefix("offline-"), log.stat().st_mtime_ns)
    )


def is_synced(log: Path) -> bool:
    """Whether the server has all of a log."""
    return log.with_suffix(SYNCED).exists()


def unsent(folder: Path) -> bool:
    """Whether the latest session was logged offline and is not on the server yet."""
    return any(
        log.parent.name.startswith("offline-") and not is_synced(log)
        for log in sessions(folder)[-1:]
    )


def mark_synced(folder: Path) -> None:
    """Mark the latest session as sent, so that `mtl sync` does not send it again."""
    for log in sessions(folder)[-1:]:
        log.with_suffix(SYNCED).touch()


def being_written(folder: Path) -> bool:
    """Whether a client's process is writing the run."""
    try:
        return is_held(folder / "wandb" / "lock")
    except OSError:  # the file system has no locks
        return False


def read_back(folder: Path, mode: WandbMode, run_id: str, seconds: float = 30.0) -> dict[str, Any]:
    """The summary in W&B's copy of a run.

    It is read from the latest log on disk where the run is offline or the log was not sent (after a
    failed login, say), else from the server. Raises RunError where that fails or takes too long.
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


def compare(summary: Mapping[str, float | None], copy: Mapping[str, Any]) -> list[str]:
    """The differences between a record's numbers and W&B's copy, in words.

    Numbers are equal within a relative 1e-9, the error of a JSON round trip. None and NaN are not
    compared. The copy may have more keys.
    """
    differences = []
    for name, value in finite(summary).items():
        copied = copy.get(name)
        if not isinstance(copied, int | float) or not math.isclose(value, copied, rel_tol=1e-9):
            shown = "missing" if copied is None else repr(copied)
            differences.append(f"{name} is {value!r} in the record and {shown} in W&B")
    return differences


def finite(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """The metrics with a finite value, as plain floats."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if value is not None and math.isfinite(value)
    }


def _read_log(folder: Path, run_id: str, seconds: float) -> dict[str, Any]:
    logs = sessions(folder)
    if not logs:
        raise RunError(f"run {run_id} has no W&B log below {folder / 'wandb'}")
    log = str(logs[-1].resolve())
    inspection = subprocess.run(
        [sys.executable, "-P", "-m", "wandb", "leet", "inspect", "--summary", "--json", log],
        capture_output=True,
        timeout=seconds,
        env=client_environ(folder),
        stdin=subprocess.DEVNULL,
    )
    if inspection.returncode:
        raise ValueError(inspection.stderr.decode(errors="replace").strip()[-300:])
    return dict(json.loads(inspection.stdout)["summary"])


def _read_server(folder: Path, run_id: str, seconds: float) -> dict[str, Any]:
    environ = client_environ(folder)
    path = f"{environ.get('WANDB_PROJECT') or 'mtl'}/{run_id}"
    with contextlib.suppress(FileNotFoundError):
        place = json.loads((folder / "wandb" / PLACE).read_text(encoding="utf-8"))
        path = f"{place['entity']}/{place['project']}/{run_id}"
        if place["base_url"] != _without_login(environ.get("WANDB_BASE_URL", "")):
            environ["WANDB_BASE_URL"] = place["base_url"]
    order = json.dumps({"read": {"path": path, "timeout": math.ceil(seconds)}}).encode() + b"\n"
    answer = subprocess.run(COMMAND, input=order, capture_output=True, timeout=seconds, env=environ)
    reply = json.loads(answer.stdout or b"{}")
    if "failed" in reply:
        raise ValueError(reply["failed"])
    return dict(reply["summary"])


def _without_login(url: str) -> str:
    """A URL as `place.json` has it: without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
