"""Coordinators of a study: who has which trial, and who is no more.

A coordinator writes itself into the study, with a beat now and then, and into each trial that it has. Whether one of this
machine lives is told by a lock that the system lets go of with its process; of another machine, by its beat.
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
BEAT_SECONDS = 15.0
SILENT_SECONDS = 300.0
"""How long a coordinator on another machine may be silent: its clock may be another, and its network slow."""


class Owner:
    """This process as a coordinator, while entered."""

    def __init__(self, study: optuna.Study, folder: Path) -> None:
        self.id = uuid.uuid4().hex[:12]
        self._study = study
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = folder.resolve() / f"coordinator-{self.id}.lock"
        self._began, self._beaten = time.time(), -BEAT_SECONDS

    def __enter__(self) -> Self:
        _sweep(self._lock.parent)
        with ExitStack() as stack:
            stack.enter_context(exclusive(self._lock))
            self.beat()
            self._held = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._beaten = -BEAT_SECONDS
        try:
            if error is None:
                self.beat()
        finally:
            self._held.close()
            self._lock.unlink(missing_ok=True)

    def beat(self) -> None:
        """Say that this coordinator lives, if it is time to."""
        if time.monotonic() - self._beaten < BEAT_SECONDS:
            return
        self._beaten = time.monotonic()
        now = time.time()
        said = {"machine": machine(), "lock": str(self._lock), "began": self._began, "beat": now}
        self._study.set_user_attr(f"{PREFIX}{self.id}", said)


def alive(attributes: Mapping[str, Any], owner: str) -> bool:
    """Whether a coordinator lives, by what the study says of it."""
    said = attributes.get(f"{PREFIX}{owner}")
    if said is None:
        return False
    if said["machine"] != machine():
        return bool(time.time() - said["beat"] < SILENT_SECONDS)
    try:
        return is_held(Path(said["lock"]))
    except OSError:
        return True


def others_alive(attributes: Mapping[str, Any], owner: str) -> bool:
    """Whether a coordinator besides this one lives."""
    ids = [key.removeprefix(PREFIX) for key in attributes if key.startswith(PREFIX)]
    return any(alive(attributes, one) for one in ids if one != owner)


def seconds_spent(attributes: Mapping[str, Any]) -> float:
    """How long coordinators have been at work, all together."""
    return float(
        sum(
            said["beat"] - said["began"]
            for key, said in attributes.items()
            if key.startswith(PREFIX)
        )
    )


def machine() -> str:
    """What tells this machine, since it was started, from others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = str(Path(tempfile.gettempdir()).stat().st_ctime_ns)
    return f"{platform.node()} {boot}"


def _sweep(folder: Path) -> None:
    """Remove the locks of coordinators that were killed; a young one may be about to be taken."""
    for path in folder.glob("coordinator-*.lock"):
        with suppress(OSError, LockInUse):
            if time.time() - path.stat().st_mtime > SILENT_SECONDS:
                with exclusive(path):
                    path.unlink()
