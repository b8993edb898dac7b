"""Which coordinators of a study are alive.

A coordinator is a process that runs `mtl study optimize`. It writes a lease into the study's
attributes and renews it, and it writes its id into each trial it runs. On the same machine a
coordinator is alive while its lock file is locked: the system frees the lock when the process
ends. On another machine it is alive while its lease is fresh.
"""

from __future__ import annotations

import platform
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mtl.locks import LockInUse, exclusive, is_held

if TYPE_CHECKING:
    import optuna

PREFIX = "coordinator "
RENEW_SECONDS = 15.0
EXPIRY_SECONDS = 300.0
"""Age at which a lease from another machine is stale: clocks differ and networks are slow."""


class CoordinatorLease:
    """This process's lease on a study. Use it as a context manager."""

    def __init__(self, study: optuna.Study, folder: Path) -> None:
        self.id = uuid.uuid4().hex[:12]
        self._study = study
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = folder.resolve() / f"coordinator-{self.id}.lock"
        self._began, self._renewed = time.time(), -RENEW_SECONDS

    def __enter__(self) -> Self:
        _remove_stale_locks(self._lock.parent)
        with ExitStack() as stack:
            stack.enter_context(exclusive(self._lock))
            self.renew()
            self._held = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._renewed = -RENEW_SECONDS
        try:
            if error is None:
                self.renew()
        finally:
            self._held.close()
            self._lock.unlink(missing_ok=True)

    def renew(self) -> None:
        """Renew the lease if it is due."""
        if time.monotonic() - self._renewed < RENEW_SECONDS:
            return
        self._renewed = time.monotonic()
        lease = {
            "machine": machine(),
            "lock": str(self._lock),
            "began": self._began,
            "beat": time.time(),
        }
        self._study.set_user_attr(f"{PREFIX}{self.id}", lease)


def is_alive(attributes: Mapping[str, Any], coordinator: str) -> bool:
    """Whether a coordinator is alive, by the study's attributes and its lock file."""
    lease = attributes.get(f"{PREFIX}{coordinator}")
    if lease is None:
        return False
    if lease["machine"] != machine():
        return bool(time.time() - lease["beat"] < EXPIRY_SECONDS)
    try:
        return is_held(Path(lease["lock"]))
    except OSError:
        return True


def others_alive(attributes: Mapping[str, Any], coordinator: str) -> bool:
    """Whether any other coordinator is alive."""
    ids = [key.removeprefix(PREFIX) for key in attributes if key.startswith(PREFIX)]
    return any(is_alive(attributes, name) for name in ids if name != coordinator)


def seconds_spent(attributes: Mapping[str, Any]) -> float:
    """Seconds of work of all coordinators of a study together."""
    leases = [lease for key, lease in attributes.items() if key.startswith(PREFIX)]
    return float(sum(lease["beat"] - lease["began"] for lease in leases))


def machine() -> str:
    """A name of this machine that changes at every boot."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = str(Path(tempfile.gettempdir()).stat().st_ctime_ns)
    return f"{platform.node()} {boot}"


def _remove_stale_locks(folder: Path) -> None:
    """Remove lock files of killed coordinators. A young file may be about to be locked: keep it."""
    for path in folder.glob("coordinator-*.lock"):
        with suppress(OSError, LockInUse):
            if time.time() - path.stat().st_mtime > EXPIRY_SECONDS:
                with exclusive(path):
                    path.unlink()
