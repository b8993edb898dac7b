"""An arm: a config under a name, which runs on several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mtl.config.schema import RunConfig


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One cell of a plan.

    `changes` are the settings that differ from the baseline's resolved config. SMART that is on
    counts as one change, with its settings that differ from the published ones. `levels` are the
    arm's level of each factor. `merged` are other names of the same cell.
    """

    name: str
    config: RunConfig
    cell: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    levels: Mapping[str, str] = field(default_factory=dict)
    merged: tuple[str, ...] = ()
