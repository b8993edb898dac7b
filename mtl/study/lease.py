"""Which coordinators of a study are alive.

A coordinator is a process that runs `mtl study optimize`. It writes a lease into the study's
attributes and renews it, and it writes its id into each trial it runs. On the same machine a
coordinator is alive while its lock file is locked: the system frees the lock when the process
ends. On another machine it is alive while its lease changes.
"""

from __future__ import annotations

import math
import os
import platform
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mtl.errors import RunError
from mtl.locks import LockInUse, LocksUnsupported, exclusive, is_held

if TYPE_CHECKING:
    import optuna

PREFIX = "coordinator "
RENEW_SECONDS = 15.0
EXPIRY_SECONDS = 180.0
"""Time without a change after which a lease from another machine is stale: networks are slow."""


class CoordinatorLease:
    """This process's lease on a study. Use it as a context manager."""

    def __init__(self, study: optuna.Study, folder: Path) -> None:
        self.id = uuid.uuid4().hex[:12]
        self._study = study
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = folder.resolve() / f"coordinator-{self.id}.lock"
        self._began, self._start = time.time(), time.monotonic()
        self._renewed = -math.inf

    def __enter__(self) -> Self:
        _remove_stale_locks(self._lock.parent)
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive(self._lock))
            except LocksUnsupported as error:
                raise RunError(f"{error} Put --runs on a file system with locks.") from None
            self.renew()
            self._held = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._renewed = -math.inf
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
            "seconds": time.monotonic() - self._start,
        }
        self._study.set_user_attr(f"{PREFIX}{self.id}", lease)


class Watch:
    """What one coordinator has seen of the others, by its own monotonic clock.

    Clocks of machines differ, so that the times in a lease are never compared with this machine's.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[str, object], float] = {}

    def age(self, name: str, value: object = None) -> float:
        """Seconds since this name was first seen with this value."""
        now = time.monotonic()
        return now - self._first.setdefault((name, value), now)

    def is_alive(self, attributes: Mapping[str, Any], coordinator: str) -> bool:
        """Whether a coordinator is alive, by the study's attributes and its lock file.

        On another machine it is alive until its lease has not changed for `EXPIRY_SECONDS`.
        """
        lease = attributes.get(f"{PREFIX}{coordinator}")
        if lease is None:
            return False
        if lease["machine"] != machine():
            return self.age(coordinator, lease["beat"]) < EXPIRY_SECONDS
        try:
            return is_held(Path(lease["lock"]))
        except OSError:
            return True

    def others_alive(self, attributes: Mapping[str, Any], coordinator: str) -> bool:
        """Whether any other coordinator is alive."""
        ids = [key.removeprefix(PREFIX) for key in attributes if key.startswith(PREFIX)]
        return any(self.is_alive(attributes, name) for name in ids if name != coordinator)


def is_lease(key: str, value: Any) -> bool:
    """Whether an attribute of a study is as a coordinator writes it; True for other attributes."""
    if not key.startswith(PREFIX):
        return True
    kinds = {"machine": str, "lock": str, "began": int | float, "beat": int | float}
    return (
        isinstance(value, dict)
        and all(isinstance(value.get(name), kind) for name, kind in kinds.items())
        and isinstance(value.get("seconds", 0), int | float)
    )


def seconds_spent(attributes: Mapping[str, Any]) -> float:
    """Seconds of work of all coordinators of a study together."""
    leases = [lease for key, lease in attributes.items() if key.startswith(PREFIX)]
    # Version 0.1.0 wrote times of the wall clock only, which may have been set back.
    return float(
        sum(lease.get("seconds", max(0.0, lease["beat"] - lease["began"])) for lease in leases)
    )


def machine() -> str:
    """A name of this machine that changes at every boot.

    A container is a machine of its own: its lock files are not seen in another.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = str(Path(tempfile.gettempdir()).stat().st_ctime_ns)
    with suppress(OSError):
        boot += f" {os.readlink('/proc/self/ns/mnt')}"
    return f"{platform.node()} {boot}"


def _remove_stale_locks(folder: Path) -> None:
    """Remove lock files of killed coordinators. A young file may be about to be locked: keep it."""
    for path in folder.glob("coordinator-*.lock"):
        with suppress(OSError, LockInUse):
            if time.time() - path.stat().st_mtime > EXPIRY_SECONDS:
                with exclusive(path):
                    path.unlink()
