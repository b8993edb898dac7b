"""The sha256 of a run's files, which its record keeps: a changed file is an error."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from mtl.errors import RunError
from mtl.files import file_sha256

CHANGED = "damaged: its sha256 is not the recorded one."


def hashes_of(root: Path, left_out: Collection[str]) -> dict[str, str]:
    """The sha256 of each file below a folder, by path, without hidden ones and some paths.

    Raises RunError for a file that cannot be read.
    """
    hashes = {}
    try:
        for folder, folders, files in os.walk(root, onerror=_raise):
            part = Path(folder).relative_to(root)
            folders[:] = [name for name in folders if str(part / name) not in left_out]
            for name in files:
                path = part / name
                if str(path) not in left_out and not name.startswith("."):
                    hashes[path.as_posix()] = file_sha256(root / path)
    except OSError as error:
        raise RunError(f"{error.filename}: cannot be read: {error.strerror}.") from None
    return dict(sorted(hashes.items()))


def check_hash(path: Path, expected: str) -> None:
    """Raise RunError where a file does not have its sha256."""
    try:
        if file_sha256(path) != expected:
            raise RunError(f"{path}: {CHANGED}")
    except FileNotFoundError:
        raise RunError(f"{path}: missing.") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}.") from None


def stamp_of(path: Path) -> tuple[int, ...]:
    """What tells a file from another that replaces it; -1 where there is none to be read."""
    try:
        status = path.stat()
    except OSError:
        return (-1,)
    return status.st_ino, status.st_mtime_ns, status.st_size


def _raise(error: OSError) -> None:
    raise error
