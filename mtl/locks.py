"""Locks between processes. The system releases a lock when its process ends, however it ends.

A lock is the system's lock (`flock`) on a file. The file stays: it says which process took the lock
last, and a removed file would be a second lock beside the first.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNSUPPORTED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""Errors of a file system without locks."""
POLL_SECONDS = 0.02


class LockInUse(Exception):
    """Another process holds the lock. The message names it: `process 4711`."""


class LocksUnsupported(OSError):
    """The file system has no locks."""


@contextmanager
def exclusive(path: Path, *, timeout: float = 0.0) -> Iterator[None]:
    """Hold a lock. Wait at most `timeout` seconds for it; a negative timeout waits without end.

    Raises LockInUse, LocksUnsupported, or OSError where the file cannot be written.
    """
    from filelock import FileLock, Timeout

    # A soft lock, filelock's substitute on a file system without locks, outlives a killed process.
    lock = FileLock(
        path,
        timeout=timeout,
        poll_interval=POLL_SECONDS,
        fallback_to_soft=False,
        preserve_lock_file=True,
        on_acquired=_write_holder,
    )
    try:
        lock.acquire()
    except Timeout:
        raise LockInUse(_holder(path)) from None
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        raise LocksUnsupported(
            f"{path}: this file system has no file locks ({error.strerror})."
        ) from None
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock now. Raises OSError where the file cannot be read or locked.

    It takes a shared lock, so that two processes that look at the same time do not take each other
    for a holder. filelock has no shared lock on the same file.
    """
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _write_holder(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()}".encode(), 0)


def _holder(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip() or "another process"
    except OSError:
        return "another process"
