"""Files: atomic writes (a temporary file, flushed to disk, renamed into place), and safe reads."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def named(path: Path, *others: Path) -> Iterator[None]:
    """Give an OSError of the block the file's name: a full disk has none.

    Names of `others`, such as temporary files, are replaced too.
    """
    try:
        yield
    except OSError as error:
        if error.filename in (None, *map(str, others)):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        raise


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that replaces `path` when the block ends; after an error nothing has changed.

    After a kill or a full disk the old file, or none, is left. Its temporary name is random, since
    two machines that share the disk may have processes with equal numbers. Raises OSError with the
    name of `path`.
    """
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        with named(path, temporary):
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically (see `replacing`)."""
    with replacing(path) as file:
        file.write(content)


def read_bounded(path: Path, most: int) -> bytes:
    """The bytes of a file that a user names: it may be a device without end, or of any size.

    Raises OSError, or ValueError for more than `most` bytes.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"larger than {most} bytes")
    return content


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a plain file of a folder that a user names.

    Raises OSError as `open_regular`, or ValueError for more than `most` bytes.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise ValueError(f"larger than {most} bytes")
        return file.read()


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises ValueError, also for numbers that are not finite and for nesting deeper than 200 levels.
    """
    from pydantic_core import from_json, to_json

    value = from_json(raw, allow_inf_nan=False)
    # 1e999 is infinite too. The check is as fast as the parser; a text may hold the word.
    if b"Infinity" in to_json(value, inf_nan_mode="constants"):
        json.dumps(value, allow_nan=False)
    return value


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically. Raises ValueError for NaN and infinities: unknown is null."""
    write_bytes(
        path, (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()
    )


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, if the system supports that."""
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


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read it.

    Raises OSError for a folder, and for a device or a pipe, which may have no end.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex. Raises OSError as `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _without_waiting(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)
