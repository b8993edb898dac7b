"""The W&B client in a process of its own, reached by two pipes and two threads.

Nothing that the client does, or fails to do, can stop the caller. wandb is not imported here.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtl.errors import masked
from mtl.tracking.mode import wandb_settings

COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("client_process.py")))
OVERRULED = frozenset(
    f"WANDB_{name}"
    for name in (
        "SERVICE", "MODE", "DIR", "RUN_ID", "RUN_DIR", "RESUME", "NAME", "RUN_GROUP", "JOB_TYPE",
        "TAGS", "SWEEP_ID", "SWEEP_PARAM_PATH", "CONFIG_PATHS", "SILENT", "QUIET", "CONSOLE",
        "SAVE_CODE", "DISABLED", "FORK_FROM", "RESUME_FROM", "REINIT", "PROGRAM", "NOTES",
        "DISABLE_CODE", "DISABLE_GIT", "JOB_NAME", "LAUNCH", "LAUNCH_CONFIG_PATH", "SHARED",
        "SYMLINK", "ROOT_DIR", "SWEEP_URL", "SYNC_DIR", "IGNORE_GLOBS", "ANONYMOUS",
    )
)  # fmt: skip
"""Variables that would change a run's name, place or mode, or the client."""

FILED = ("entity", "project", "base_url")
"""Keys of W&B's settings files that say where a run goes."""

KILL_SECONDS = 2.0
"""How long to wait for a killed process to end."""

Message = dict[str, Any]


def client_environ(folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a W&B process: it writes below `folder/wandb`.

    Keys, server and proxies pass through. Crash reports to the vendor are off by default.
    """
    kept = {name: value for name, value in environ.items() if name not in OVERRULED}
    root = folder.resolve()
    places = {
        f"WANDB_{kind}_DIR": str(root / "wandb" / kind.lower())
        for kind in ("DATA", "CACHE", "ARTIFACT")
    }
    # The client would look for this file below `folder`.
    files = wandb_settings(environ)
    own = {f"WANDB_{key.upper()}": files[key][0] for key in FILED if key in files}
    return {"WANDB_ERROR_REPORTING": "false"} | own | kept | places | {"WANDB_DIR": str(root)}


def children(pid: int) -> list[int]:
    """The child processes of a process, where the system has `/proc`."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found


class Client:
    """The client's process. `send` does not block, and `reply` no longer than asked.

    Only the start can raise OSError.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "wandb").mkdir(parents=True, exist_ok=True)
        self._log = folder / "wandb" / "client.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=client_environ(folder),
                start_new_session=True,
            )
        self._orders: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Message] = queue.SimpleQueue()
        for work in (self._write, self._read):
            threading.Thread(target=work, daemon=True).start()

    def send(self, order: Message) -> None:
        """Queue an order. Raises ValueError where it is not JSON."""
        json.dumps(order, allow_nan=False)
        self._orders.put(order)

    def reply(self, seconds: float) -> Message | None:
        """The next reply, or None after so many seconds."""
        with contextlib.suppress(queue.Empty):
            return self._replies.get(timeout=max(0.0, seconds))
        return None

    def close(self) -> None:
        """End the orders. The process then ends on its own, within its limits."""
        self._orders.put(None)
        self._mask_log()

    def kill(self) -> None:
        """End the process and the client's helper process now.

        The helper notices the end of the first, but not if it hangs. Wait a moment for the end,
        because the process holds the run's lock until then.
        """
        helpers = children(self._process.pid)
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait(KILL_SECONDS)
        for helper in helpers:
            with contextlib.suppress(OSError):
                os.kill(helper, signal.SIGKILL)
        self._orders.put(None)
        self._mask_log()

    def _mask_log(self) -> None:
        """Take passwords of the server's URL out of the log: the client prints the URL."""
        with contextlib.suppress(OSError):
            text = self._log.read_bytes().decode(errors="replace")
            safe = masked(text, os.environ.get("WANDB_BASE_URL", ""))
            if safe != text:
                self._log.write_text(safe, "utf-8")

    def _write(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError):  # the process has ended: `_read` reports it
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
