"""Weights & Biases: a copy of every run, and the proof that the copy is right.

A tracker takes what training logs and never stops, slows or hangs it: the client runs in a process of its own, and here
are only a queue to it and deadlines. The first failure makes the run's W&B status `degraded`, with the reason, and that
is all it does. After `finish` the summary is read back and compared with what was given, because a full disk loses data
without an error. Everything that W&B writes lies below the run's folder, in `wandb/`.
"""

from __future__ import annotations

import configparser
import contextlib
import logging
import netrc
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, get_args
from urllib.parse import urlsplit

from mtl.errors import ConfigError, RunError
from mtl.tracking.outcome import DISABLED, TrackingOutcome, TrackingStatus, WandbMode
from mtl.tracking.wandb_adapter import Client, compare, known, mark_synced, read_back

__all__ = ["Limits", "NullTracker", "RunInfo", "Table", "Tracker", "WandbMode", "WandbTracker", "compare", "has_api_key",
           "open_tracker", "read_back", "resolve_mode"]  # fmt: skip


MODES: tuple[WandbMode, ...] = get_args(WandbMode)
OLD_MODES: dict[str, WandbMode] = {"dryrun": "offline", "run": "online"}
JobType = Literal["train", "eval", "report"]
PUBLIC_SERVER = "https://api.wandb.ai"
LONGEST_TAG = 64  # characters; the client refuses a run with a longer one

logger = logging.getLogger(__name__)


def resolve_mode(choice: WandbMode | None, environ: Mapping[str, str] = os.environ) -> WandbMode:
    """The mode to use: the choice; else `WANDB_MODE`; else online where there is an API key, and offline otherwise.

    Raises ConfigError for a `WANDB_MODE` that is none of the modes.
    """
    if choice is not None:
        return choice
    named = environ.get("WANDB_MODE")
    if not named:
        return "online" if has_api_key(environ) else "offline"
    modes: dict[str, WandbMode] = {mode: mode for mode in MODES} | OLD_MODES
    if named not in modes:
        raise ConfigError(
            f"WANDB_MODE={named!r} is not a mode. Use one of {', '.join(MODES)}, or unset it."
        )
    return modes[named]


def has_api_key(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a key for the W&B server is in `WANDB_API_KEY` or in a netrc file."""
    if environ.get("WANDB_API_KEY"):
        return True
    home = Path(environ.get("HOME") or Path.home())
    machine = urlsplit(_server(environ, home)).netloc
    files = (
        [Path(environ["NETRC"]).expanduser()]
        if environ.get("NETRC")
        else [home / ".netrc", home / "_netrc"]
    )
    for file in files:
        with contextlib.suppress(OSError, UnicodeDecodeError, netrc.NetrcParseError):
            if netrc.netrc(str(file)).authenticators(machine):
                return True
    return False


def _server(environ: Mapping[str, str], home: Path) -> str:
    """The W&B server: from the environment, from the settings that `wandb login --host` wrote, or the public one."""
    if url := environ.get("WANDB_BASE_URL"):
        return url
    folder = Path(environ.get("WANDB_CONFIG_DIR") or home / ".config" / "wandb").expanduser()
    settings = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(OSError, UnicodeDecodeError, configparser.Error):
        settings.read(folder / "settings", encoding="utf-8")
    return settings.get("default", "base_url", fallback=PUBLIC_SERVER)


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What W&B is told of a run at its start: `folder` is the run's own, `runs/<run_id>`, and `config` the resolved."""

    run_id: str
    config: dict[str, Any]
    folder: Path
    group: str | None
    job_type: JobType
    tags: tuple[str, ...]
    name: str | None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What W&B may take, in seconds. `init` passes while training runs; `finish`, `read` and `abort` are waited for."""

    init: float = 20.0
    finish: float = 30.0
    read: float = 20.0
    abort: float = 10.0
    grace: float = 20.0  # beyond what the client itself keeps to; after that its process is killed


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows to show in W&B under a name. Cells are text, numbers or None."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]


class Tracker(Protocol):
    """Where a run's numbers go besides its record. `finish` and `abort` return the record's `wandb` object."""

    def log(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Add metrics at a step; steps never go back. Unknown values (None, NaN) are left out."""

    def finish(
        self,
        summary: Mapping[str, float | None],
        files: Sequence[Path] = (),
        table: Table | None = None,
    ) -> TrackingOutcome:
        """Close a finished run with its final numbers, files and a table, and read it back: {mode, id, status, reason}."""

    def abort(self, reason: str) -> TrackingOutcome:
        """Close an interrupted or failed run quickly, marked as failed: {mode, id, status, reason}."""


def open_tracker(mode: WandbMode, info: RunInfo, limits: Limits | None = None) -> Tracker:
    """A tracker for one run, at once: the client starts while training does. Never raises for W&B's sake."""
    return NullTracker() if mode == "disabled" else WandbTracker(mode, info, limits or Limits())


class NullTracker:
    """A tracker that does nothing."""

    def log(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Forget the metrics."""

    def finish(
        self,
        summary: Mapping[str, float | None],
        files: Sequence[Path] = (),
        table: Table | None = None,
    ) -> TrackingOutcome:
        """Say that W&B was off."""
        return DISABLED

    def abort(self, reason: str) -> TrackingOutcome:
        """Say that W&B was off."""
        return self.finish({})


class WandbTracker:
    """One run in W&B, online or offline. No method raises, whatever W&B, the network or the disk does."""

    def __init__(self, mode: WandbMode, info: RunInfo, limits: Limits) -> None:
        self._mode = mode
        runs = info.folder.parent
        self._sync = f"mtl sync {info.run_id}" + (
            "" if runs == Path("runs") else f" --runs {shlex.quote(str(runs))}"
        )
        self._info = replace(
            info, folder=info.folder.resolve()
        )  # the current folder may change under a notebook
        self._limits = limits
        self._ready_by: float | None = (
            time.monotonic() + limits.init + limits.grace
        )  # None once it is ready
        self._last_step = 0
        self._problem: str | None = None
        self._outcome: TrackingOutcome | None = None
        self._client: Client | None = None
        try:
            self._client = Client(self._info.folder)
            self._client.send({"start": _start(mode, self._info, limits)})
        except Exception as error:
            self._fail(error)

    def log(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Queue metrics for the client; takes microseconds."""
        if self._client is None:
            return
        try:
            if step < self._last_step:
                raise ValueError(
                    f"step {step} came after step {self._last_step}, and W&B drops such rows"
                )
            self._last_step = step
            if values := known(metrics):
                self._client.send({"log": [step, values]})
            self._listen(0)
        except Exception as error:
            self._fail(error)

    def finish(
        self,
        summary: Mapping[str, float | None],
        files: Sequence[Path] = (),
        table: Table | None = None,
    ) -> TrackingOutcome:
        """Close the run and verify W&B's copy of `summary`; the second call returns what the first did."""
        if self._outcome is None:
            try:
                starting = (
                    0.0 if self._ready_by is None else max(0.0, self._ready_by - time.monotonic())
                )
                self._close(
                    known(summary),
                    files,
                    0,
                    starting + self._limits.finish + self._limits.grace,
                    table,
                )
                status, reason = self._verify(summary)
            except Exception as error:
                self._fail(error)
                status, reason = "degraded", self._problem
            self._outcome = self._record(status, reason)
        return self._outcome

    def abort(self, reason: str) -> TrackingOutcome:
        """Close the run as failed. A client that needs longer than `limits.abort` is left to finish by itself."""
        if self._outcome is None:
            try:
                closed = self._close({}, (), 1, self._limits.abort)
                reason += " (W&B run closed as failed)" if closed else " (W&B run still closing)"
            except Exception as error:
                self._fail(error)
            self._outcome = self._record(
                "degraded" if self._problem else "unverified", self._problem or reason
            )
        return self._outcome

    def _close(
        self,
        summary: dict[str, float],
        files: Sequence[Path],
        exit_code: int,
        seconds: float,
        table: Table | None = None,
    ) -> bool:
        """Have the client close the run; whether it did so in time."""
        if self._client is None:
            return False
        paths = [str(file.resolve()) for file in files]
        order = {
            "summary": summary,
            "files": paths,
            "exit_code": exit_code,
            "table": table and asdict(table),
        }
        self._client.send({"finish": order})
        closed = self._listen(seconds)
        if self._client is not None:
            self._client.close()
            if not closed and exit_code == 0:
                self._fail(TimeoutError(f"the run was not closed in {seconds:.0f} s"))
        return closed

    def _listen(self, seconds: float) -> bool:
        """Take the client's replies for so long; whether one says that the run is closed."""
        end = time.monotonic() + seconds
        while self._client is not None:
            reply = self._client.reply(end - time.monotonic())
            if reply is None:
                if self._ready_by is not None and time.monotonic() > self._ready_by:
                    self._fail(TimeoutError("the client did not start"))
                return False
            if "done" in reply:
                return True
            if "failed" in reply:
                logged = f"; send what was logged with: {self._sync}"
                self._fail(reply["failed"] + (logged if self._ready_by is None else ""))
            else:
                self._ready_by = None
                if "offline" in reply:
                    self._degrade(f"{reply['offline']}; logged offline, send it with: {self._sync}")
        return False

    def _verify(self, summary: Mapping[str, float | None]) -> tuple[TrackingStatus, str | None]:
        """Compare W&B's copy with the summary; a server may take a moment to show what it has been sent."""
        end = time.monotonic() + self._limits.read
        while self._problem is None:
            try:
                read = read_back(
                    self._info.folder,
                    self._mode,
                    self._info.run_id,
                    max(1.0, end - time.monotonic()),
                )
            except RunError as error:
                return "unverified", str(error)
            differences = compare(summary, read)
            if not differences:
                if self._mode == "online":
                    mark_synced(self._info.folder)
                return "verified", None
            if self._mode == "offline" or time.monotonic() + 1 > end:
                self._degrade("; ".join(differences))
            else:
                time.sleep(1)
        return "degraded", self._problem

    def _record(self, status: TrackingStatus, reason: str | None) -> TrackingOutcome:
        return TrackingOutcome(mode=self._mode, id=self._info.run_id, status=status, reason=reason)

    def _degrade(self, reason: str) -> None:
        """Keep the first reason, and say it once."""
        if self._problem is None:
            self._problem = reason
            logger.warning(
                "W&B, run %s: %s. Only the copy in W&B is affected.", self._info.run_id, reason
            )

    def _fail(self, reason: Exception | str) -> None:
        """Degrade, and have nothing more to do with the client."""
        self._degrade(reason if isinstance(reason, str) else f"{type(reason).__name__}: {reason}")
        if self._client is not None:
            self._client.kill()
            self._client = None


def _start(mode: WandbMode, info: RunInfo, limits: Limits) -> dict[str, Any]:
    """The client's first order."""
    return {
        "mode": mode, "folder": str(info.folder), "project": os.environ.get("WANDB_PROJECT") or "mtl",
        "run_id": info.run_id, "config": info.config, "name": info.name, "group": info.group, "job_type": info.job_type,
        "tags": [tag[:LONGEST_TAG] for tag in info.tags if tag],
        "init_timeout": limits.init, "finish_timeout": limits.finish,
    }  # fmt: skip
