"""The machine that computes: which device, which processor, and how memory is kept. No torch until a device is asked for."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from mtl.errors import ConfigError

if TYPE_CHECKING:
    import torch


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


def keep_memory() -> None:
    """Let the allocator keep freed memory instead of giving it back to the system.

    A step frees and asks for the same hundreds of megabytes; getting them back page by page costs a tenth of its time.
    Does nothing where the C library is not glibc.
    """
    mmap_threshold, trim_threshold = (
        -3,
        -1,
    )  # glibc's M_MMAP_THRESHOLD (at most 32 MiB) and M_TRIM_THRESHOLD
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(mmap_threshold, 32 << 20)
    mallopt(trim_threshold, 2**31 - 1)
