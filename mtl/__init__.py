"""Find out which training methods help a multi-task BERT encoder, by how much, at what cost.

>>> from mtl import RunConfig, config_from
>>> config_from(["final", "train.epochs=1"]).train.epochs
1
"""

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

_MODULES = {
    "RunConfig": "mtl.config.schema",
    "ablate": "mtl.api",
    "config_from": "mtl.config.settings",
    "load_runs": "mtl.runs.frame",
    "optimize": "mtl.api",
    "train": "mtl.training.loop",
    "write_report": "mtl.report.write",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import mtl` is fast."""
    if name not in _MODULES:
        raise AttributeError(f"module 'mtl' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
