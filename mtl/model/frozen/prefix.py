"""The frozen part of the encoder, computed once for each distinct sequence.

With the last k layers training, no dropout below them and every task in scope, the hidden states at the boundary are a
fixed function of a sequence's tokens. `FixedPrefix` hands them to training and evaluation, from a store on disk
(`mtl.model.frozen.store`) that epochs, arms, seeds, workers and runs share. `Prefix` itself hands out nothing: the neutral member.

What a sequence gets is its own function to the last bit, whoever computes it, when, beside what (`mtl.model.frozen.blocks`). So a
run's numbers do not depend on whether, or how much of, the store is there: a store that is off, full, damaged or not to be
written costs time. They differ from those of a packed batch by rounding, 1e-6 or so; by more with `freeze.states=fp16`, which
rounds them to 11 bits, stored or not.
Shapes: T tokens of S sequences, l tokens of one, H width.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mtl.cache import CACHE_BYTES, cache_folder
from mtl.config.schema import RunConfig
from mtl.model.encoder import Encoder
from mtl.model.frozen.blocks import Blocks
from mtl.model.frozen.store import PrefixStore

SEGMENT_BYTES = (1 << 22, 1 << 26)
SEGMENTS = 16
"""What is missing is cut into this many segments, within those sizes: workers share them out, and a kill loses one each."""

AHEAD = 32
"""Steps to compute at once where the store has no room: the blocks are then nearly full."""


class Prefix:
    """What lies below the freeze boundary, if it can be had in advance. Every method does nothing here."""

    complete = True
    """Whether nothing is to be gained from `ahead`."""

    def states(self, ids: Sequence[np.ndarray], types: Sequence[np.ndarray]) -> Tensor | None:
        """The hidden states at the boundary for packed sequences, (T, H) float32; None: compute them with the batch."""
        return None

    def fill(self, ids: Sequence[np.ndarray], types: Sequence[np.ndarray]) -> None:
        """A run will want these sequences: compute and store what is missing."""

    def ahead(self, ids: Sequence[np.ndarray], types: Sequence[np.ndarray]) -> None:
        """The next steps will want these sequences: have those that are not stored at hand."""


NO_PREFIX = Prefix()


class FixedPrefix(Prefix):
    """Hidden states from the store where it has them, else computed on the spot: the same bits."""

    def __init__(
        self,
        blocks: Blocks,
        store: PrefixStore,
        *,
        note: Callable[[str], None] = lambda text: None,
        preparing: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """`note` is told sentences; `preparing` how many tokens of how many the store has gained."""
        self.blocks, self.store, self.note, self.preparing = blocks, store, note, preparing
        self.held: dict[bytes, np.ndarray] = {}
        self.complete = False

    def states(self, ids: Sequence[np.ndarray], types: Sequence[np.ndarray]) -> Tensor:
        keys = [sequence_key(*one) for one in zip(ids, types, strict=True)]
        ends = np.cumsum([len(sequence) for sequence in ids])
        found = np.empty((int(ends[-1]), self.blocks.width), dtype=np.float32)
        rows = np.split(found, ends[:-1])
        missing = [
            i
            for i, key in enumerate(keys)
            if key not in self.held and not self.store.read(key, rows[i])
        ]
        self.store.release()
        at_hand = self.held | self._computed(missing, keys, ids, types)
        for key, place in zip(keys, rows, strict=True):
            if key in at_hand:
                place[:] = at_hand[key]
        return torch.from_numpy(found).to(self.blocks.device)

    def fill(self, ids: Sequence[np.ndarray], types: Sequence[np.ndarray]) -> None:
        keys = [sequence_key(*one) for one in zip(ids, types, strict=True)]
        self.store.open(set(keys))
        missing = self._missing(keys, ids)
        if missing and self.store.limit:
            self._build(missing, keys, ids, types)
        self.complete = all(key in self.store for key in keys)

    def ahead(self, ids: Sequence[np.ndarray], types: Sequence[np.ndarray]) -> None:
        keys = [sequence_key(*one) for one in zip(ids, types, strict=True)]
        self.held = {}  # before the next ones, not after: no more than one look ahead is ever in memory
        self.held = self._computed(self._missing(keys, ids), keys, ids, types)

    def _missing(self, keys: list[bytes], ids: Sequence[np.ndarray]) -> list[int]:
        """One number for each distinct sequence that is not stored, shortest first."""
        distinct = {key: i for i, key in enumerate(keys) if key not in self.store}
        return sorted(distinct.values(), key=lambda i: (len(ids[i]), keys[i]))

    def _computed(
        self,
        numbers: list[int],
        keys: list[bytes],
        ids: Sequence[np.ndarray],
        types: Sequence[np.ndarray],
    ) -> dict[bytes, np.ndarray]:
        distinct = list({keys[i]: i for i in numbers}.values())
        states = self.blocks.compute([ids[i] for i in distinct], [types[i] for i in distinct])
        return {keys[i]: rows for i, rows in zip(distinct, states, strict=True)}

    def _build(
        self,
        missing: list[int],
        keys: list[bytes],
        ids: Sequence[np.ndarray],
        types: Sequence[np.ndarray],
    ) -> None:
        """Add to the store, a segment at a time. What another process is at is left to it as long as there is other work."""
        total = sum(len(ids[i]) for i in missing)
        amount = f"{len(missing)} sequences, {total * self.blocks.width * self.blocks.kind.itemsize / 1e9:.2g} GB"
        self.note(f"frozen layers: computing {amount}, once for all runs that freeze here")
        waiting = deque(self._segments(missing, ids))
        put_off = set()
        left = total
        while waiting:
            numbers = waiting.popleft()
            self.store.refresh()
            chosen = [i for i in numbers if keys[i] not in self.store]
            if chosen:
                try:
                    stored = self._add(chosen, keys, ids, types, insist=numbers[0] in put_off)
                except OSError as error:
                    self.note(
                        f"frozen layers: {self.store.folder}: {error.strerror or error}; computed at every use instead"
                    )
                    return
                if stored is None:
                    self.note(
                        "frozen layers: the store has no room for all; the rest is computed at every use"
                    )
                    return
                if not stored:
                    put_off.add(numbers[0])
                    waiting.append(numbers)
                    continue
            left -= sum(len(ids[i]) for i in numbers)
            self.preparing(total - left, total)
        self.store.refresh()

    def _add(
        self,
        chosen: list[int],
        keys: list[bytes],
        ids: Sequence[np.ndarray],
        types: Sequence[np.ndarray],
        *,
        insist: bool,
    ) -> bool | None:
        """Compute and store one segment. False where another process is at it, None where there is no room."""
        named = [keys[i] for i in chosen]
        slot = self.store.claim(named, sum(len(ids[i]) for i in chosen), insist=insist)
        if slot is None or slot == "busy":
            return None if slot is None else False
        with slot:
            slot.write(
                named, self.blocks.compute([ids[i] for i in chosen], [types[i] for i in chosen])
            )
        return True

    def _segments(self, missing: list[int], ids: Sequence[np.ndarray]) -> list[list[int]]:
        """The missing sequences cut into segments of like size."""
        ends = np.cumsum(
            [len(ids[i]) * self.blocks.width * self.blocks.kind.itemsize for i in missing]
        )
        least, most = SEGMENT_BYTES
        total = int(ends[-1])
        count = max(min(SEGMENTS, total // least), -(-total // most), 1)
        cuts = np.flatnonzero(np.diff((ends - 1) * count // total)) + 1
        return [part.tolist() for part in np.split(np.array(missing), cuts)]


def sequence_key(ids: np.ndarray, types: np.ndarray) -> bytes:
    """16 bytes that name a sequence: a hash of its token ids and types."""
    return hashlib.blake2b(
        ids.astype("<i4").tobytes() + types.astype("<i4").tobytes(), digest_size=16
    ).digest()


def make_prefix(
    config: RunConfig,
    encoder: Encoder,
    depth: int | None,
    fingerprint: str,
    device: torch.device,
    *,
    cache_bytes: int = CACHE_BYTES,
    tick: Callable[[], None] = lambda: None,
    note: Callable[[str], None] = lambda text: None,
    preparing: Callable[[int, int], None] = lambda done, total: None,
) -> Prefix:
    """What a run's config allows; neither the store's state nor its limit has a say, since they change no number.

    `depth` is `Freezing.fixed`, `fingerprint` the encoder's. SMART moves the embeddings, so it needs the frozen layers.
    """
    if depth is None or config.smart is not None:
        return NO_PREFIX
    blocks = Blocks(encoder, depth, device, config.train.precision, config.freeze.states, tick)
    store = PrefixStore(
        cache_folder() / "prefix",
        blocks.numbers(fingerprint),
        blocks.width,
        cache_bytes,
        blocks.kind,
    )
    return FixedPrefix(blocks, store, note=note, preparing=preparing)
