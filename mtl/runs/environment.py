"""The environment of a run: versions, machine, threads. It is a part of every record."""

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
    """The environment of this process on a device."""
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
    """The version of a package, or None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def peak_memory(device: torch.device) -> int:
    """The peak memory of this process so far, in bytes: on a GPU the GPU's, else main memory."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts kibibytes
