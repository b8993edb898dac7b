"""Which training tricks help a multi-task BERT encoder, by how much, at what cost, and how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtl.api import ablate, optimize
    from mtl.config.schema import RunConfig
    from mtl.config.settings import config_from
    from mtl.report.write import write_report
    from mtl.runs.frame import load_runs
    from mtl.training.loop import train

__all__ = ["RunConfig", "ablate", "config_from", "load_runs", "optimize", "train", "write_report"]

_HOMES = {
    "RunConfig": "mtl.config.schema",
    "ablate": "mtl.api",
    "config_from": "mtl.config.settings",
    "load_runs": "mtl.runs.frame",
    "optimize": "mtl.api",
    "train": "mtl.training.loop",
    "write_report": "mtl.report.write",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that `import mtl` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mtl' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
