"""How Weights & Biases took a run: the `wandb` part of the run's record."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

WandbMode = Literal["online", "offline", "disabled"]
TrackingStatus = Literal["disabled", "verified", "degraded", "unverified"]


class TrackingOutcome(BaseModel):
    """The mode, the run's id in W&B, the state of the copy there, and the reason for that state.

    `verified`: the copy was read back and equals the record. `degraded`: the copy lacks data or
    differs. `unverified`: the copy could not be read back, or the run did not finish.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    mode: WandbMode | None
    id: str | None = None
    status: TrackingStatus
    reason: str | None = None


DISABLED = TrackingOutcome(mode="disabled", id=None, status="disabled", reason=None)
"""The outcome of a run that was not tracked."""
