"""Rows in memory: one `Rows` object per task and split, and fingerprints of the content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mtl.tasks.task import Split, Task, TaskName


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of one task and split, as parallel columns.

    `ids` are unique. `second` holds the second sentences of a pair task, else None. `labels` is
    float64 of shape (rows,), or None for a hidden test set without labels. `skipped` lists the bad
    rows that were left out, as messages with file, line and column.
    """

    task: Task
    split: Split
    ids: list[str]
    first: list[str]
    second: list[str] | None
    labels: np.ndarray | None
    skipped: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: np.ndarray) -> Rows:
        """The rows at `index`, an integer array of shape (n,), in that order."""
        return Rows(
            task=self.task,
            split=self.split,
            ids=[self.ids[i] for i in index],
            first=[self.first[i] for i in index],
            second=None if self.second is None else [self.second[i] for i in index],
            labels=None if self.labels is None else self.labels[index],
            skipped=self.skipped,
        )

    def fingerprint(self) -> str:
        """SHA-256 (first 16 hex digits) of ids, sentences and labels. Paths do not count."""
        digest = hashlib.sha256(f"rows-1\0{self.task.name}\0{self.split}\0{len(self)}\0".encode())
        for column in (self.ids, self.first, self.second or []):
            for text in column:
                raw = text.encode()
                digest.update(len(raw).to_bytes(8, "little"))
                digest.update(raw)
        if self.labels is not None:
            digest.update(self.labels.astype("<f8").tobytes())
        return digest.hexdigest()[:16]


def fingerprint(rows: Mapping[tuple[TaskName, Split], Rows]) -> str:
    """The fingerprint (16 hex digits) of several tasks and splits, in any order."""
    lines = sorted(f"{task}/{split}={part.fingerprint()}" for (task, split), part in rows.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
