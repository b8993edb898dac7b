"""Where a run ran: versions, machine, threads. Recorded beside every result, and printed by `mtl doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import sys
from typing import TYPE_CHECKING

from mtl.config.identity import NUMERICS
from mtl.model.device import processor
from mtl.runs.record import Environment

if TYPE_CHECKING:
    import torch

PACKAGES = ("mtl-ablate", "torch", "tokenizers", "safetensors", "numpy", "wandb")


def environment(device: torch.device) -> Environment:
    """Versions, machine and threads, ready for JSON."""
    import torch

    from mtl.model import linear

    return Environment(
        python=platform.python_version(),
        packages={name: version(name) for name in PACKAGES},
        numerics=NUMERICS,
        platform=platform.platform(),
        processor=processor(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        products="onednn" if device.type == "cpu" and linear.by_onednn() else "torch",
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        cuda=torch.version.cuda if device.type == "cuda" else None,
    )


def version(package: str) -> str | None:
    """An installed package's version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def peak_memory(device: torch.device) -> int:
    """Bytes: the most this process has held so far, in main memory, or on the GPU where that is the device."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
