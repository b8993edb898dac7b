"""An arm: a config under a name, which runs on several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mtl.config.schema import RunConfig


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One cell of the plan. `changes` lead from the baseline's resolved config to this one's; SMART that is switched on
    is one of them, with its knobs that are not the published ones. `merged` are the other names of the same cell.
    """

    name: str
    config: RunConfig
    cell: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    levels: Mapping[str, str] = field(default_factory=dict)
    merged: tuple[str, ...] = ()
