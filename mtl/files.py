"""Files that are either whole or not there: written aside, flushed to the disk, then renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def write_bytes(path: Path, content: bytes) -> None:
    """Put a file in place: a kill or a full disk leaves the old one, or none, but never half of the new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Put a JSON file in place. Raises ValueError for NaN and infinities: unknown is null."""
    write_bytes(
        path, (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()
    )


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system has a way to."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
