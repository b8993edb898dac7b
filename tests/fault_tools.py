"""Shared by the tests of faults: counting what held, and damaging files."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtl.runs.sealed import parse_sealed, write_sealed


class Tally:
    """Counts the cases of one kind of fault, and which of them went wrong.

    Used as the fixture `tally`: it prints its figure at the end, and fails the test where a case
    went wrong, or where no case was counted.

    Example:
        >>> tally = Tally("flipped bits in a record")
        >>> tally.add(True, "byte 7")
        >>> tally.figure()
        'flipped bits in a record: 1 of 1'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.cases = 0
        self.wrong: list[str] = []

    def add(self, held: bool, case: object) -> None:
        """Count one case. `case` names it where it went wrong."""
        self.cases += 1
        if not held:
            self.wrong.append(str(case))

    def figure(self) -> str:
        """How many cases held: `kind: 299 of 300`."""
        return f"{self.kind}: {self.cases - len(self.wrong)} of {self.cases}"


def flips(paths: list[Path], count: int, seed: int = 0) -> Iterator[tuple[Path, str]]:
    """Flip one random bit in one of `paths`, `count` times; each is mended before the next.

    A file is drawn evenly, then a bit of it. Yields the damaged file and where the bit is.
    """
    draw = random.Random(seed)
    paths = [path for path in paths if path.stat().st_size]
    for _ in range(count):
        path = draw.choice(paths)
        whole = path.read_bytes()
        at, bit = draw.randrange(len(whole)), draw.randrange(8)
        damaged = bytearray(whole)
        damaged[at] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            yield path, f"{path.name}, byte {at}, bit {bit}"
        finally:
            path.write_bytes(whole)


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a sealed JSON file of a run, as a program would that writes another value."""
    write_sealed(path, parse_sealed(path.read_bytes()) | changes)


def as_before_digests(folder: Path) -> None:
    """Make a run one of a version that kept no sha256 and no digests."""
    for path in [*folder.glob("*.json"), *folder.glob("*/*.json")]:
        content = parse_sealed(path.read_bytes())
        content.pop("files", None)
        path.write_text(json.dumps(content))
