"""Where downloads are kept (one folder a user, outside every project), and how data files are put there."""

from __future__ import annotations

import os
from pathlib import Path

from mtl.errors import DataError
from mtl.files import write_bytes

CACHE_BYTES = 20 * 10**9
"""How much disk the hidden states of frozen layers may take (`mtl.model.frozen.store`). The other caches are small."""


def cache_folder() -> Path:
    """`$MTL_CACHE`, else `$XDG_CACHE_HOME/mtl`, else `~/.cache/mtl`. It need not exist yet."""
    own, shared = os.environ.get("MTL_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        if own:
            return Path(own).expanduser().absolute()
        if (
            shared and Path(shared).is_absolute()
        ):  # the XDG rules say that a relative path is to be ignored
            return Path(shared) / "mtl"
        return Path.home() / ".cache" / "mtl"
    except RuntimeError as error:
        raise DataError(
            "There is no home folder to keep downloads in. Set MTL_CACHE to a folder."
        ) from error


def write_data_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, making its folder where absent. A DataError says why it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
    except OSError as error:
        raise DataError(
            f"{path}: cannot write it: {error.strerror}. Choose another folder."
        ) from error
