"""What a run's record says of the weights of its tasks' losses."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class WeightOfTask(BaseModel):
    """The weight that a rule gave a task; None where it was not finite."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    per_epoch: list[float | None]
    """In the last step of each epoch; the last is that of the run's last step."""
    lowest: float | None
    highest: float | None


class WeightDiagnostics(BaseModel):
    """The weights, and where they could not act. Shares are between 0 and 1."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)

    rule: str
    one_task: Share | None = None
    """Share of steps with one task. There a weight cannot act against another task's in the step,
    and AdamW cancels a constant one in the task's own head."""
    clipped: dict[str, Share] = {}
    """By task, over the steps with this task alone: share with a clipped gradient. There clipping
    has divided the weight out again."""
    idle: str | None = None
    """Why the rule did nothing. None where it did."""
    tasks: dict[str, WeightOfTask] = {}
    """By task. Fixed weights are in the config."""
