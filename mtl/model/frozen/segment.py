"""A file of hidden states: a header, an index of sequences with a checksum each, and the states, mapped into memory.

A sequence's key is 16 bytes. The index is checked when a file is opened, a sequence when it is first read, so that opening
costs nothing that grows with the states. No torch here.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

FLOAT32 = np.dtype("<f4")
MAGIC = {"<f4": b"mtl-prefix-1\0\0\0\0", "<f2": b"mtl-prefix-1/2\0\0"}
"""How a file begins, by the type of its states."""

HEADER = struct.Struct("<16sQQQ16s")
"""Magic, sequences, tokens, width, and a hash of these and the index. It is followed by the index, then the states."""

ENTRY = np.dtype([("key", "V16"), ("start", "<i8"), ("length", "<i4"), ("checksum", "<u4")])
"""A sequence: its states are the rows start..start + length, and `checksum` is their CRC-32."""


class Damaged(ValueError):
    """A segment that is not what was written."""


class Segment:
    """Some sequences' states (tokens, width), mapped from a file. The lock on it lasts as long as the object."""

    def __init__(self, path: Path, width: int, kind: np.dtype = FLOAT32) -> None:
        """States of type `kind`. Raises OSError where the file cannot be read, and Damaged."""
        self.path, self.kind = path, kind
        self.file = path.open("rb")
        try:
            self._map(width)
        except (OSError, Damaged):
            self.file.close()
            raise

    def _map(self, width: int) -> None:
        path = self.path
        # By hand: filelock has no shared lock on the file itself. It keeps the segment from eviction.
        fcntl.flock(self.file, fcntl.LOCK_SH)
        head = self.file.read(HEADER.size)
        if len(head) < HEADER.size:
            raise Damaged(f"{path}: no header")
        magic, sequences, tokens, found, digest = HEADER.unpack(head)
        expected = size(sequences, tokens, width, self.kind)
        if (magic, found) != (MAGIC[self.kind.str], width) or os.fstat(
            self.file.fileno()
        ).st_size != expected:
            raise Damaged(f"{path}: the header does not fit the file")
        index = self.file.read(sequences * ENTRY.itemsize)
        if _digest(head, index) != digest:
            raise Damaged(f"{path}: the index is not what was written")
        self.entries = np.frombuffer(index, dtype=ENTRY)
        self.mapped = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        first = HEADER.size + len(index)
        self.states = np.frombuffer(self.mapped, dtype=self.kind, offset=first).reshape(
            tokens, width
        )
        self.checked = np.zeros(sequences, dtype=bool)

    def read(self, number: int, into: np.ndarray) -> None:
        """Copy a sequence's states into an array (l, width), float32 or theirs. Raises Damaged."""
        _, start, length, checksum = self.entries[number]
        states = self.states[start : start + length]
        if not self.checked[number]:
            if zlib.crc32(states.data) != checksum:
                raise Damaged(f"{self.path}: sequence {number} is not what was written")
            self.checked[number] = True
        into[:] = states

    def release(self) -> None:
        """Let go of the pages that were read; they stay in the system's cache, but are not this process's memory."""
        self.mapped.madvise(mmap.MADV_DONTNEED)


def write(file: IO[bytes], keys: Sequence[bytes], states: Sequence[np.ndarray]) -> None:
    """Write a segment. `states` are (l, width) of one type, float32 or float16, in the order of `keys`. Raises OSError."""
    entries = np.zeros(len(keys), dtype=ENTRY)
    lengths = [len(rows) for rows in states]
    entries["key"] = np.frombuffer(b"".join(keys), dtype="V16")
    entries["start"] = np.cumsum([0, *lengths[:-1]])
    entries["length"] = lengths
    entries["checksum"] = [zlib.crc32(rows.data) for rows in states]
    index = entries.tobytes()
    numbers = (MAGIC[states[0].dtype.str], len(keys), sum(lengths), states[0].shape[1])
    file.write(HEADER.pack(*numbers, _digest(HEADER.pack(*numbers, bytes(16)), index)))
    file.write(index)
    for rows in states:
        file.write(rows.data)


def size(sequences: int, tokens: int, width: int, kind: np.dtype = FLOAT32) -> int:
    """Bytes of a segment."""
    return HEADER.size + sequences * ENTRY.itemsize + tokens * width * kind.itemsize


def _digest(head: bytes, index: bytes) -> bytes:
    return hashlib.blake2b(head[: HEADER.size - 16] + index, digest_size=16).digest()
