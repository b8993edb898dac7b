"""A segment: a file of hidden states with a header and an index, mapped into memory.

The index has a key of 16 bytes and a checksum for each sequence. It is checked when the file is
opened, and a sequence's checksum when the sequence is first read, so that opening is fast whatever
the size. No torch here.
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
"""A file's first bytes, by the type of its states."""

HEADER = struct.Struct("<16sQQQ16s")
"""Magic, sequences, tokens, width, and a hash of these and the index. Index and states follow."""

ENTRY = np.dtype([("key", "V16"), ("start", "<i8"), ("length", "<i4"), ("checksum", "<u4")])
"""A sequence: its states are the rows start..start + length; `checksum` is their CRC-32."""


class Damaged(ValueError):
    """The file is not what was written."""


class Segment:
    """States (tokens, width) mapped from a file; the object holds a shared lock on it."""

    def __init__(self, path: Path, width: int, dtype: np.dtype = FLOAT32) -> None:
        """Raises OSError where the file cannot be read, and Damaged."""
        self.path, self.dtype = path, dtype
        self.file = path.open("rb")
        try:
            self._map(width)
        except (OSError, Damaged):
            self.file.close()
            raise

    def _map(self, width: int) -> None:
        path = self.path
        # Keeps the segment from eviction. By hand: filelock has no shared locks.
        fcntl.flock(self.file, fcntl.LOCK_SH)
        head = self.file.read(HEADER.size)
        if len(head) < HEADER.size:
            raise Damaged(f"{path}: no header")
        magic, sequences, tokens, file_width, digest = HEADER.unpack(head)
        expected = size(sequences, tokens, width, self.dtype)
        if (magic, file_width) != (MAGIC[self.dtype.str], width) or os.fstat(
            self.file.fileno()
        ).st_size != expected:
            raise Damaged(f"{path}: the header does not fit the file")
        index = self.file.read(sequences * ENTRY.itemsize)
        if _digest(head, index) != digest:
            raise Damaged(f"{path}: the index is not what was written")
        self.entries = np.frombuffer(index, dtype=ENTRY)
        self.mapped = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        first = HEADER.size + len(index)
        self.states = np.frombuffer(self.mapped, dtype=self.dtype, offset=first).reshape(
            tokens, width
        )
        self.checked = np.zeros(sequences, dtype=bool)

    def read(self, number: int, into: np.ndarray) -> None:
        """Copy a sequence's states into an array (l, width), of their type or float32.

        Raises Damaged.
        """
        _, start, length, checksum = self.entries[number]
        states = self.states[start : start + length]
        if not self.checked[number]:
            if zlib.crc32(states.data) != checksum:
                raise Damaged(f"{self.path}: sequence {number} is not what was written")
            self.checked[number] = True
        into[:] = states

    def release(self) -> None:
        """Drop the pages that were read from this process's memory; the system may keep them."""
        self.mapped.madvise(mmap.MADV_DONTNEED)


def write(file: IO[bytes], keys: Sequence[bytes], states: Sequence[np.ndarray]) -> None:
    """Write a segment: states (l, width), all float32 or all float16, in the order of `keys`.

    Raises OSError.
    """
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


def size(sequences: int, tokens: int, width: int, dtype: np.dtype = FLOAT32) -> int:
    """The bytes of a segment."""
    return HEADER.size + sequences * ENTRY.itemsize + tokens * width * dtype.itemsize


def _digest(head: bytes, index: bytes) -> bytes:
    return hashlib.blake2b(head[: HEADER.size - 16] + index, digest_size=16).digest()
