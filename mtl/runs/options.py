"""How runs are executed: folders, device, W&B mode, processes. None of it changes a result.

All that can change a result is config (`mtl.config.schema`); everything else is an option.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mtl.cache import CACHE_BYTES
from mtl.data.course.files import OnBadRow
from mtl.errors import ConfigError, suggestion
from mtl.tracking.mode import resolve_mode
from mtl.tracking.outcome import WandbMode


class RunOptions(BaseModel):
    """Options of one run.

    Fields:
        runs: The folder of runs.
        device: `cpu`, `cuda` or `cuda:1`; None takes a GPU where there is one.
        wandb: The W&B mode; None follows `mtl.tracking`: `$WANDB_MODE`, then whether a key is set.
        on_bad_row: `error` refuses data with a bad row; `skip` leaves the row out and counts it.
        group: The W&B group. Grids and studies use their own name where this is None.
        cache_bytes: Disk space for cached hidden states of frozen layers, shared by all runs; 0
            caches nothing.
        save_seconds: Seconds between saved states. A killed run loses at most this much work.

    Example:
        >>> RunOptions(device="cpu").replace(wandb="offline").wandb
        'offline'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: Path = Path("runs")
    device: str | None = None
    wandb: WandbMode | None = None
    on_bad_row: OnBadRow = "error"
    group: str | None = None
    cache_bytes: int = Field(CACHE_BYTES, ge=0)
    save_seconds: float = Field(120.0, ge=0)

    def replace(self, **keywords: Any) -> Self:
        """Return a copy with some options changed. Raises ConfigError naming every bad one."""
        return self.parse(
            {**{name: getattr(self, name) for name in self.model_fields_set}, **keywords}
        )

    @classmethod
    def parse(cls, keywords: Mapping[str, Any]) -> Self:
        """Check keywords. Raises ConfigError that names every unknown or impossible one."""
        try:
            return cls.model_validate(keywords)
        except ValidationError as error:
            problems = [cls._problem(details) for details in error.errors()]
            raise ConfigError("\n".join(problems)) from None

    @classmethod
    def _problem(cls, details: Any) -> str:
        name = details["loc"][0]
        if details["type"] == "extra_forbidden":
            known = ", ".join(cls.model_fields)
            return f"unknown option {name!r}.{suggestion(name, cls.model_fields)} Options: {known}."
        return f"option {name}={details['input']!r}: {details['msg']}."

    @property
    def wandb_mode(self) -> WandbMode:
        """The W&B mode that applies. Raises ConfigError for a bad `$WANDB_MODE`."""
        return resolve_mode(self.wandb)


class PoolOptions(RunOptions):
    """Options of many runs in worker processes.

    Fields:
        workers: Runs at a time; None takes one a GPU, or one a core as far as memory goes.
        retry: Further tries of a run that raises or whose process dies.
        lost_after: Minutes without a sign of life after which a worker is ended and its run lost. A
            worker gives a sign as long as it computes, however slow that is.
    """

    workers: int | None = Field(None, ge=1)
    retry: int = Field(1, ge=0)
    lost_after: float = Field(30.0, gt=0)


class RunKeywords(TypedDict, total=False):
    """The fields of `RunOptions` as keyword arguments, for type checkers and editors."""

    runs: str | Path
    device: str | None
    wandb: WandbMode | None
    on_bad_row: OnBadRow
    group: str | None
    cache_bytes: int
    save_seconds: float


class PoolKeywords(RunKeywords, total=False):
    """The fields of `PoolOptions` as keyword arguments."""

    workers: int | None
    retry: int
    lost_after: float
