"""Trackers: where a run's numbers go besides its record.

A tracker takes what training logs. It never stops, slows or blocks training, and it never raises.
`NullTracker` is the disabled one; `mtl.tracking.wandb_tracker` has the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from mtl.tracking.outcome import DISABLED, TrackingOutcome

JobType = Literal["train", "eval", "report"]


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """A run as W&B shows it. `folder` is `runs/<run_id>`; `config` is the resolved config."""

    run_id: str
    config: dict[str, Any]
    folder: Path
    group: str | None
    job_type: JobType
    tags: tuple[str, ...]
    name: str | None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Seconds that W&B may take. Training does not wait for `init`; it waits for the others."""

    init: float = 20.0
    finish: float = 30.0
    read: float = 20.0
    abort: float = 10.0
    grace: float = 20.0
    """Added to the client's own limits. After that its process is killed."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table for W&B. Cells are text, numbers or None."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]


class Tracker(Protocol):
    """Takes the numbers of one run."""

    def log(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Log metrics at a step. Steps never decrease. None and NaN are left out."""

    def finish(
        self,
        summary: Mapping[str, float | None],
        files: Sequence[Path] = (),
        table: Table | None = None,
    ) -> TrackingOutcome:
        """Close a run that is done, with its final numbers, files and a table. Verify the copy."""

    def abort(self, reason: str) -> TrackingOutcome:
        """Close an interrupted or failed run quickly, marked as failed."""


class NullTracker:
    """The disabled tracker: it does nothing."""

    def log(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Do nothing."""

    def finish(
        self,
        summary: Mapping[str, float | None],
        files: Sequence[Path] = (),
        table: Table | None = None,
    ) -> TrackingOutcome:
        """Return the outcome of a run without W&B."""
        return DISABLED

    def abort(self, reason: str) -> TrackingOutcome:
        """Return the outcome of a run without W&B."""
        return DISABLED
