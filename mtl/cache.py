"""The cache folder for downloads (one per user), and writing data files into it."""

from __future__ import annotations

import os
from pathlib import Path

from mtl.errors import DataError
from mtl.files import write_bytes

CACHE_BYTES = 20 * 10**9
"""Disk limit of the cached states of frozen layers (`mtl.model.frozen`). Other caches are small."""


def cache_folder() -> Path:
    """`$MTL_CACHE`, else `$XDG_CACHE_HOME/mtl`, else `~/.cache/mtl`. It need not exist yet."""
    own, xdg = os.environ.get("MTL_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        if own:
            return Path(own).expanduser().absolute()
        if xdg and Path(xdg).is_absolute():  # the XDG standard: ignore a relative path
            return Path(xdg) / "mtl"
        return Path.home() / ".cache" / "mtl"
    except RuntimeError as error:
        raise DataError(
            "No home folder for downloads was found. Set MTL_CACHE to a folder."
        ) from error


def write_data_file(path: Path, content: bytes) -> None:
    """Write a file atomically and create its folder if needed. Raises DataError if it fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
    except OSError as error:
        raise DataError(
            f"{path}: cannot write: {error.strerror}. Choose another folder."
        ) from error
