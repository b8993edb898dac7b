"""A store of hidden states on disk: the first process that needs them writes them, all read them.

    <cache>/prefix/<version>/<segment>.states     complete, never changed, mapped by its readers
                             <segment>.<n>.tmp    being written; its writer holds a lock on it

A version is a hash of weights, depth, precision and machine, and a key is a hash of a sequence's
tokens, so nothing is ever stale. Readers hold a shared lock on a segment
(`mtl.model.frozen.segment`). Eviction takes unlocked segments, least recently opened first.
No torch here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal

import numpy as np

from mtl.locks import exclusive
from mtl.model.frozen.segment import FLOAT32, Damaged, Segment, size, write

SPARE_BYTES = 2 * 10**9
"""Bytes that the store leaves free on the disk, whatever its limit."""


class Slot:
    """Space reserved for a segment, under a lock that ends with the process.

    Use it as a context; it is given back where nothing was written.
    """

    def __init__(self, temporary: Path, path: Path, file: IO[bytes]) -> None:
        self.temporary, self.path, self.file = temporary, path, file
        self.written = False

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.written:  # else the name may be another writer's by now
            self.temporary.unlink(missing_ok=True)
        self.file.close()

    def write(self, keys: Sequence[bytes], states: Sequence[np.ndarray]) -> None:
        """Write the segment and put it in place: states (l, width), in the order of `keys`.

        Raises OSError.
        """
        write(self.file, keys, states)
        # No fsync: after a power cut the checksums fail, and the states are computed again.
        self.file.flush()
        os.replace(self.temporary, self.path)
        self.written = True


class StateStore:
    """One version of the states, as one process reads and writes it.

    `limit` (bytes) holds for all versions below `root` together; 0 turns the store off, for reading
    too. `dtype` is the type of the stored states, float32 or float16.
    """

    def __init__(
        self, root: Path, version: str, width: int, limit: int, dtype: np.dtype = FLOAT32
    ) -> None:
        self.root, self.folder = root, root / version
        self.width, self.limit, self.dtype = width, limit, dtype
        self.wanted: Collection[bytes] = ()
        self.places: dict[bytes, tuple[Segment, int]] = {}
        self.known_files: set[str] = set()
        self.read_segments: set[Segment] = set()

    def __contains__(self, key: bytes) -> bool:
        return key in self.places

    def open(self, keys: Collection[bytes]) -> None:
        """Look for the sequences with these keys, now and at each `refresh`."""
        self.release()
        self.wanted, self.places, self.known_files = keys, {}, set()
        self.refresh()

    def refresh(self) -> None:
        """Open new segments. An unreadable file is skipped, a damaged one removed."""
        if not self.limit:
            return
        try:
            new_files = sorted(
                path for path in self.folder.glob("*.states") if path.name not in self.known_files
            )
        except OSError:
            return
        for path in new_files:
            self.known_files.add(path.name)
            try:
                segment = Segment(path, self.width, self.dtype)
            except Damaged:
                _remove(path)
                continue
            except OSError:
                continue
            places = {
                key: (segment, number)
                for number, key in enumerate(segment.entries["key"].tolist())
                if key in self.wanted and key not in self.places
            }
            if places:
                self.places |= places
                _touch(path)

    def read(self, key: bytes, into: np.ndarray) -> bool:
        """Copy a sequence's states into an array (l, width); False where absent or damaged."""
        place = self.places.get(key)
        if place is None:
            return False
        segment, number = place
        try:
            segment.read(number, into)
        except Damaged:
            del self.places[key]
            _remove(segment.path)  # the next process computes it again
            return False
        self.read_segments.add(segment)
        return True

    def release(self) -> None:
        """Drop the pages that were read from this process's memory."""
        for segment in self.read_segments:
            segment.release()
        self.read_segments.clear()

    def reserve(
        self, keys: Sequence[bytes], tokens: int, *, even_if_busy: bool = False
    ) -> Slot | Literal["busy"] | None:
        """Reserve space for a segment of these sequences.

        "busy" where another process is writing the same segment, unless `even_if_busy`. None where
        the limit or the disk has no room. Raises OSError where the folder cannot be written.
        """
        needed = size(len(keys), tokens, self.width, self.dtype)
        name = hashlib.blake2b(b"".join(sorted(keys)), digest_size=16).hexdigest()
        if needed > self.limit:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._exclusive():
            _remove_abandoned(self.root)
            if not even_if_busy and any(self.folder.glob(f"{name}.*.tmp")):
                return "busy"
            if not self._make_room(needed):
                return None
            number = 0
            while (temporary := self.folder / f"{name}.{number}.tmp").exists():
                number += 1
            file = temporary.open("xb")
            fcntl.flock(file, fcntl.LOCK_EX)  # by hand: held as long as the file is open
            file.truncate(needed)  # its size counts against the limit from now on
        return Slot(temporary, self.folder / f"{name}.states", file)

    def _make_room(self, needed: int) -> bool:
        """Evict until `needed` bytes fit. Evicts nothing where that would not be enough."""
        files = list(_stats(self.root))
        free = shutil.disk_usage(self.root).free - SPARE_BYTES
        excess = max(sum(stat.st_size for _, stat in files) + needed - self.limit, needed - free)
        evicted = []
        for path, stat in sorted(files, key=lambda file: (file[1].st_mtime_ns, file[0])):
            if excess <= 0:
                break
            if not _in_use(path):
                evicted.append(path)
                excess -= stat.st_size
        if excess > 0:
            return False
        for path in evicted:
            path.unlink(missing_ok=True)
        return True

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Lets one process at a time count, evict and reserve, for milliseconds."""
        with exclusive(self.root / ".lock", timeout=-1):
            yield


def _in_use(path: Path) -> bool:
    """Whether a process reads or writes a file of the store; a removed file is not in use."""
    try:
        # filelock has no shared locks, which readers hold on the segment itself. NFS locks
        # exclusively only a file that is open for writing.
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _remove_abandoned(root: Path) -> None:
    """Remove the files of killed writers. A live writer locks its file under the store's lock."""
    for path in root.glob("*/*.tmp"):
        if not _in_use(path):
            path.unlink(missing_ok=True)


def _stats(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every file of the store, complete or being written. A file removed meanwhile is left out."""
    for kind in ("states", "tmp"):
        for path in root.glob(f"*/*.{kind}"):
            with suppress(FileNotFoundError):
                yield path, path.stat()


def _remove(path: Path) -> None:
    with suppress(OSError):  # a damaged file in another user's cache stays, unused
        path.unlink(missing_ok=True)


def _touch(path: Path) -> None:
    """Mark a segment as just used."""
    with suppress(OSError):
        os.utime(path)
