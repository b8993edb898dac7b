"""The tracker for a mode."""

from __future__ import annotations

from mtl.tracking.outcome import WandbMode
from mtl.tracking.tracker import Limits, NullTracker, RunInfo, Tracker
from mtl.tracking.wandb_tracker import WandbTracker


def open_tracker(mode: WandbMode, info: RunInfo, limits: Limits | None = None) -> Tracker:
    """Open a tracker for one run. It returns at once: the W&B client starts while training runs."""
    return NullTracker() if mode == "disabled" else WandbTracker(mode, info, limits or Limits())
