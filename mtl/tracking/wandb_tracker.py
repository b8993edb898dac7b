"""The tracker that copies a run to Weights & Biases, and verifies the copy.

The W&B client runs in a process of its own (`mtl.tracking.client`). This side has a queue to it,
and a deadline for every wait. The first failure sets the run's status in W&B to `degraded`, with
the reason, and has no other effect. After `finish` the summary is read back and compared with the
record, because a full disk loses data without an error. W&B writes below `runs/<run_id>/wandb/`.
"""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mtl.errors import RunError
from mtl.tracking.client import Client, client_environ
from mtl.tracking.outcome import TrackingOutcome, TrackingStatus, WandbMode
from mtl.tracking.tracker import Limits, RunInfo, Table
from mtl.tracking.wandb_copy import compare, finite, mark_synced, read_back

LONGEST_TAG = 64
"""In characters. The client refuses a run with a longer tag."""

logger = logging.getLogger(__name__)


class WandbTracker:
    """One run in W&B, online or offline. No method raises, whatever W&B, network or disk do."""

    def __init__(self, mode: WandbMode, info: RunInfo, limits: Limits) -> None:
        self._mode, self._limits = mode, limits
        self._sync_command = _sync_command(info)
        # Resolved, because a notebook may change the current folder.
        self._info = replace(info, folder=info.folder.resolve())
        self._ready_by: float | None = time.monotonic() + limits.init + limits.grace
        """The deadline of the client's start. None once it has started."""
        self._last_step = 0
        self._problem: str | None = None
        self._outcome: TrackingOutcome | None = None
        self._client: Client | None = None
        try:
            self._client = Client(self._info.folder)
            self._client.send({"start": _start_order(mode, self._info, limits)})
        except Exception as error:
            self._fail(error)

    def log(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Queue metrics for the client. This takes microseconds."""
        if self._client is None:
            return
        try:
            if step < self._last_step:
                raise ValueError(
                    f"step {step} came after step {self._last_step}, and W&B drops such rows"
                )
            self._last_step = step
            if values := finite(metrics):
                self._client.send({"log": [step, values]})
            self._take_replies(0)
        except Exception as error:
            self._fail(error)

    def finish(
        self,
        summary: Mapping[str, float | None],
        files: Sequence[Path] = (),
        table: Table | None = None,
    ) -> TrackingOutcome:
        """Close the run, and verify W&B's copy of `summary`. A second call changes nothing."""
        if self._outcome is None:
            try:
                self._close(finite(summary), files, 0, self._finish_seconds(), table)
                status, reason = self._verify(summary)
            except Exception as error:
                self._fail(error)
                status, reason = "degraded", self._problem
            self._outcome = self._outcome_with(status, reason)
        return self._outcome

    def abort(self, reason: str) -> TrackingOutcome:
        """Close the run as failed. A client that exceeds `limits.abort` finishes on its own."""
        if self._outcome is None:
            try:
                closed = self._close({}, (), 1, self._limits.abort)
                reason += " (W&B run closed as failed)" if closed else " (W&B run still closing)"
            except Exception as error:
                self._fail(error)
            status: TrackingStatus = "degraded" if self._problem else "unverified"
            self._outcome = self._outcome_with(status, self._problem or reason)
        return self._outcome

    def _finish_seconds(self) -> float:
        """How long `finish` may take: the rest of the start, and the limit of `finish`."""
        rest = 0.0 if self._ready_by is None else max(0.0, self._ready_by - time.monotonic())
        return rest + self._limits.finish + self._limits.grace

    def _close(
        self,
        summary: dict[str, float],
        files: Sequence[Path],
        exit_code: int,
        seconds: float,
        table: Table | None = None,
    ) -> bool:
        """Order the client to close the run, and return whether it did so in time."""
        if self._client is None:
            return False
        order = {
            "summary": summary,
            "files": [str(file.resolve()) for file in files],
            "exit_code": exit_code,
            "table": table and asdict(table),
        }
        self._client.send({"finish": order})
        closed = self._take_replies(seconds)
        if self._client is not None:
            self._client.close()
            if not closed and exit_code == 0:
                self._fail(TimeoutError(f"the run was not closed in {seconds:.0f} s"))
        return closed

    def _take_replies(self, seconds: float) -> bool:
        """Take the client's replies for so long, and return whether it has closed the run."""
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
                remedy = f"; send what was logged with: {self._sync_command}"
                self._fail(reply["failed"] + (remedy if self._ready_by is None else ""))
            else:
                self._ready_by = None
                if "offline" in reply:
                    self._degrade(
                        f"{reply['offline']}; logged offline, send it with: {self._sync_command}"
                    )
        return False

    def _verify(self, summary: Mapping[str, float | None]) -> tuple[TrackingStatus, str | None]:
        """Compare W&B's copy with the summary. A server needs a moment to show the last numbers."""
        end = time.monotonic() + self._limits.read
        folder, run_id = self._info.folder, self._info.run_id
        while self._problem is None:
            try:
                copy = read_back(folder, self._mode, run_id, max(1.0, end - time.monotonic()))
            except RunError as error:
                return "unverified", str(error)
            differences = compare(summary, copy)
            if not differences:
                if self._mode == "online":
                    mark_synced(folder)
                return "verified", None
            if self._mode == "offline" or time.monotonic() + 1 > end:
                self._degrade("; ".join(differences))
            else:
                time.sleep(1)
        return "degraded", self._problem

    def _outcome_with(self, status: TrackingStatus, reason: str | None) -> TrackingOutcome:
        return TrackingOutcome(mode=self._mode, id=self._info.run_id, status=status, reason=reason)

    def _degrade(self, reason: str) -> None:
        """Keep the first reason, and log it once."""
        if self._problem is None:
            self._problem = reason
            logger.warning(
                "W&B, run %s: %s. Only the copy in W&B is affected.", self._info.run_id, reason
            )

    def _fail(self, reason: Exception | str) -> None:
        """Degrade the run, and end the client."""
        self._degrade(reason if isinstance(reason, str) else f"{type(reason).__name__}: {reason}")
        if self._client is not None:
            self._client.kill()
            self._client = None


def _sync_command(info: RunInfo) -> str:
    """The command that sends what was logged offline."""
    runs = info.folder.parent
    place = "" if runs == Path("runs") else f" --runs {shlex.quote(str(runs))}"
    return f"mtl sync {info.run_id}{place}"


def _start_order(mode: WandbMode, info: RunInfo, limits: Limits) -> dict[str, Any]:
    """The client's first order."""
    return {
        "mode": mode,
        "folder": str(info.folder),
        "project": client_environ(info.folder).get("WANDB_PROJECT") or "mtl",
        "run_id": info.run_id,
        "config": info.config,
        "name": info.name,
        "group": info.group,
        "job_type": info.job_type,
        "tags": [tag[:LONGEST_TAG] for tag in info.tags if tag],
        "init_timeout": limits.init,
        "finish_timeout": limits.finish,
    }
