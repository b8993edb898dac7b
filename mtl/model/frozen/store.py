"""Hidden states of sequences on disk: written once, by whoever needs them first, and read by everybody.

    <cache>/prefix/<name>/<segment>.states     whole, never changed, mapped by any number of processes
                          <segment>.<n>.tmp    being written; its writer holds a lock on it

`<name>` says which numbers these are (weights, depth, precision, machine), and a sequence's key is a hash of its tokens, so
that nothing is ever out of date. Readers hold a shared lock on a segment (`mtl.model.frozen.segment`); eviction takes the segments
that were opened longest ago and that nobody holds. No torch here.
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
"""What the store leaves free on the disk, whatever its limit."""


class Slot:
    """Room taken for a segment, under a lock that ends with the process. Use it as a context; unwritten, it vanishes."""

    def __init__(self, aside: Path, path: Path, file: IO[bytes]) -> None:
        self.aside, self.path, self.file = aside, path, file

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        self.aside.unlink(missing_ok=True)
        self.file.close()

    def write(self, keys: Sequence[bytes], states: Sequence[np.ndarray]) -> None:
        """Put the segment in place. `states` are (l, width), in the order of `keys`, of the store's type. Raises OSError."""
        write(self.file, keys, states)
        # Not flushed to the disk: after a power cut the checksums tell, and the numbers can be had again.
        self.file.flush()
        os.replace(self.aside, self.path)


class PrefixStore:
    """What a process uses of the store: the segments that hold sequences it wants.

    `limit` (bytes) is for all that lies below `root`, whatever its name; 0 turns the store off: nothing is read or written.
    `kind` is the type that states are kept in, float32 or float16.
    """

    def __init__(
        self, root: Path, name: str, width: int, limit: int, kind: np.dtype = FLOAT32
    ) -> None:
        self.root, self.folder, self.width, self.limit, self.kind = (
            root,
            root / name,
            width,
            limit,
            kind,
        )
        self.wanted: Collection[bytes] = ()
        self.places: dict[bytes, tuple[Segment, int]] = {}
        self.seen: set[str] = set()
        self.read_from: set[Segment] = set()

    def __contains__(self, key: bytes) -> bool:
        return key in self.places

    def open(self, wanted: Collection[bytes]) -> None:
        """Find the sequences with these keys, now and at each `refresh`."""
        self.release()
        self.wanted, self.places, self.seen = wanted, {}, set()
        self.refresh()

    def refresh(self) -> None:
        """Take in the segments that came since. What cannot be read is passed over, what is damaged is removed."""
        if not self.limit:
            return
        try:
            found = sorted(
                path for path in self.folder.glob("*.states") if path.name not in self.seen
            )
        except OSError:
            return
        for path in found:
            self.seen.add(path.name)
            try:
                segment = Segment(path, self.width, self.kind)
            except Damaged:
                _remove(path)
                continue
            except OSError:
                continue
            numbers = {
                key: (segment, number)
                for number, key in enumerate(segment.entries["key"].tolist())
                if key in self.wanted and key not in self.places
            }
            if numbers:
                self.places |= numbers
                _touch(path)

    def read(self, key: bytes, into: np.ndarray) -> bool:
        """Copy a sequence's states into an array (l, width); False where they are not there or damaged."""
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
        self.read_from.add(segment)
        return True

    def release(self) -> None:
        """Let go of the pages that were read."""
        for segment in self.read_from:
            segment.release()
        self.read_from.clear()

    def claim(
        self, keys: Sequence[bytes], tokens: int, *, insist: bool = False
    ) -> Slot | Literal["busy"] | None:
        """Room for a segment of these sequences.

        "busy" where another process is writing the same one, unless `insist`; None where the limit or the disk has no
        room. Raises OSError where the folder cannot be written.
        """
        needed = size(len(keys), tokens, self.width, self.kind)
        name = hashlib.blake2b(b"".join(sorted(keys)), digest_size=16).hexdigest()
        if needed > self.limit:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            _remove_abandoned(self.root)
            if not insist and any(self.folder.glob(f"{name}.*.tmp")):
                return "busy"
            if not self._make_room(needed):
                return None
            number = 0
            while (aside := self.folder / f"{name}.{number}.tmp").exists():
                number += 1
            file = aside.open("xb")
            # By hand: the lock is on the file that is being written, as long as it is open.
            fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(needed)  # its size counts from now on
        return Slot(aside, self.folder / f"{name}.states", file)

    def _make_room(self, needed: int) -> bool:
        """Evict until `needed` bytes fit; nothing is evicted where that would not be enough."""
        files = list(_stats(self.root))
        free = shutil.disk_usage(self.root).free - SPARE_BYTES
        excess = max(sum(stat.st_size for _, stat in files) + needed - self.limit, needed - free)
        chosen = []
        for path, stat in sorted(files, key=lambda file: (file[1].st_mtime_ns, file[0])):
            if excess <= 0:
                break
            if not _in_use(path):
                chosen.append(path)
                excess -= stat.st_size
        if excess > 0:
            return False
        for path in chosen:
            path.unlink(missing_ok=True)
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one process at a time counts, evicts and takes room; it takes milliseconds."""
        with exclusive(self.root / ".lock", timeout=-1):
            yield


def _in_use(path: Path) -> bool:
    """Whether somebody reads or writes a file of the store. One that has gone is not in use."""
    try:
        # By hand: readers hold a shared lock on the segment itself, which filelock does not have.
        # Over NFS only a file that is open for writing takes an exclusive lock.
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _remove_abandoned(root: Path) -> None:
    """Remove what writers who were killed left. New ones lock their file before anybody can look here."""
    for path in root.glob("*/*.tmp"):
        if not _in_use(path):
            path.unlink(missing_ok=True)


def _stats(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every file of the store, whole or under way; one that goes while we look is left out."""
    for kind in ("states", "tmp"):
        for path in root.glob(f"*/*.{kind}"):
            with suppress(FileNotFoundError):
                yield path, path.stat()


def _remove(path: Path) -> None:
    with suppress(OSError):  # in a cache that is somebody else's it stays damaged, and stays unused
        path.unlink(missing_ok=True)


def _touch(path: Path) -> None:
    """Say that a segment was used just now."""
    with suppress(OSError):
        os.utime(path)
