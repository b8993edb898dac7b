"""Where a run ran: versions, machine, threads. Recorded beside every result, and printed by `mtl doctor`."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.errors import ConfigError
from mtl.identity import NUMERICS

if TYPE_CHECKING:
    import torch

PACKAGES = ("mtl-ablate", "torch", "tokenizers", "safetensors", "numpy", "wandb")


def choose_device(name: str | None) -> torch.device:
    """The device asked for, or the best there is: cuda, else cpu. Raises ConfigError for one that is not there."""
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"--device {name}: not a device; use cpu, cuda or cuda:0.") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device {name}: only cpu and cuda are supported.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices; use --device cpu."
        )
    return device


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, machine and threads, ready for JSON."""
    import torch

    from mtl import linear

    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "numerics": NUMERICS,
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "products": "onednn" if device.type == "cpu" and linear.by_onednn() else "torch",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cuda": torch.version.cuda if device.type == "cuda" else None,
    }


def version(package: str) -> str | None:
    """An installed package's version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> str | None:
    """The processor's name, where the system tells."""
    return _of_processor("model name") or platform.processor() or None


def vendor() -> str | None:
    """The processor's maker as it names itself, `GenuineIntel` or `AuthenticAMD`, where the system tells."""
    return _of_processor("vendor_id")


def _of_processor(key: str) -> str | None:
    """What Linux says of the first processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith(key):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return None


def peak_memory(device: torch.device) -> int:
    """Bytes: the most this process has held so far, in main memory, or on the GPU where that is the device."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def keep_memory() -> None:
    """Let the allocator keep freed memory instead of giving it back to the system.

    A step frees and asks for the same hundreds of megabytes; getting them back page by page costs a tenth of its time.
    Does nothing where the C library is not glibc.
    """
    mmap_threshold, trim_threshold = -3, -1  # glibc's M_MMAP_THRESHOLD (at most 32 MiB) and M_TRIM_THRESHOLD
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(mmap_threshold, 32 << 20)
    mallopt(trim_threshold, 2**31 - 1)
