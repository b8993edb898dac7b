"""The machine: its devices, its processor, and how memory is kept. Imports torch only on demand."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from mtl.errors import ConfigError

if TYPE_CHECKING:
    import torch


def choose_device(name: str | None) -> torch.device:
    """The device of this name; without a name cuda if there is one, else cpu.

    Raises ConfigError for a device that this machine does not have.
    """
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
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices; "
            "use --device cpu."
        )
    return device


def processor() -> str | None:
    """The processor's name, or None where the system does not give it."""
    return _cpuinfo("model name") or platform.processor() or None


def vendor() -> str | None:
    """The processor's vendor id, such as `GenuineIntel` or `AuthenticAMD`, or None."""
    return _cpuinfo("vendor_id")


def _cpuinfo(key: str) -> str | None:
    """A value of the first processor in Linux's `/proc/cpuinfo`."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith(key):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return None


def keep_memory() -> None:
    """Let the allocator keep freed memory instead of returning it to the system.

    A step frees and allocates the same hundreds of megabytes; page faults would cost a tenth of its
    time. A no-op where the C library is not glibc.
    """
    mmap_threshold, trim_threshold = -3, -1  # glibc's M_MMAP_THRESHOLD and M_TRIM_THRESHOLD
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(mmap_threshold, 32 << 20)  # the most that glibc allows
    mallopt(trim_threshold, 2**31 - 1)
