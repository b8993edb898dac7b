"""A cache of hidden states at the freeze boundary: each distinct sequence is computed once.

Where the lower layers are frozen for every task to the end and have no dropout, their output
depends on a sequence's tokens alone. `StoredFrozenCache` looks it up in a store on disk
(`mtl.model.frozen.store`) that epochs, runs and processes share; `FrozenCache` is disabled.

A hit and a miss give the same bits: a sequence is always computed in the same way
(`mtl.model.frozen.layers`). So a run's numbers do not depend on the store; a store that is off,
full, damaged or not writable costs time only. The states differ from those of a packed batch by
rounding, about 1e-6, and by more with `freeze.states=fp16`, which rounds them to 11 bits, hit or
miss.
Shapes: T tokens of S sequences, l tokens of one sequence, H width.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mtl.cache import CACHE_BYTES, cache_folder
from mtl.config.schema import RunConfig
from mtl.model.any_encoder import AnyEncoder
from mtl.model.frozen.layers import FrozenLayers
from mtl.model.frozen.store import StateStore

SEGMENT_BYTES = (1 << 22, 1 << 26)
"""The least and the most bytes of a segment."""

SEGMENTS = 16
"""Missing states are written in this many segments, within the sizes above.

Processes share the segments out, and a kill loses one at most.
"""

PREFETCH_STEPS = 32
"""Steps whose misses are computed together, so that the blocks are nearly full."""

Arrays = Sequence[np.ndarray]
"""Token ids or token types, one array (l,) a sequence."""


class FrozenCache:
    """The hidden states at the freeze boundary. This cache is disabled: every lookup misses."""

    complete = True
    """Whether `prefetch` has nothing to do."""

    def lookup(self, ids: Arrays, types: Arrays) -> Tensor | None:
        """The states of packed sequences, (T, H) float32; None: compute them with the batch."""
        return None

    def fill(self, ids: Arrays, types: Arrays) -> None:
        """Compute and store what is missing of all sequences of a run."""

    def prefetch(self, ids: Arrays, types: Arrays) -> None:
        """Hold the states of the next steps' sequences in memory, where the store has them not."""


DISABLED = FrozenCache()


@dataclass(frozen=True)
class KeyedSequences:
    """Sequences and their keys in the store."""

    ids: Arrays
    types: Arrays
    keys: list[bytes]

    @classmethod
    def of(cls, ids: Arrays, types: Arrays) -> KeyedSequences:
        keys = [sequence_key(*sequence) for sequence in zip(ids, types, strict=True)]
        return cls(ids, types, keys)

    def tokens(self, numbers: Iterable[int]) -> int:
        """How many tokens some of the sequences have together."""
        return sum(len(self.ids[i]) for i in numbers)


class StoredFrozenCache(FrozenCache):
    """Looks states up in memory, then in the store; a miss is computed on the spot."""

    def __init__(
        self,
        layers: FrozenLayers,
        store: StateStore,
        *,
        note: Callable[[str], None] = lambda text: None,
        preparing: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """`note` gets messages; `preparing` gets how many tokens of how many are stored."""
        self.layers, self.store, self.note, self.preparing = layers, store, note, preparing
        self.prefetched: dict[bytes, np.ndarray] = {}
        self.complete = False

    def lookup(self, ids: Arrays, types: Arrays) -> Tensor:
        sequences = KeyedSequences.of(ids, types)
        ends = np.cumsum([len(sequence) for sequence in ids])
        states = np.empty((int(ends[-1]), self.layers.width), dtype=np.float32)
        places = np.split(states, ends[:-1])
        misses = [
            i
            for i, key in enumerate(sequences.keys)
            if key not in self.prefetched and not self.store.read(key, places[i])
        ]
        self.store.release()
        in_memory = self.prefetched | self._compute(misses, sequences)
        for key, place in zip(sequences.keys, places, strict=True):
            if key in in_memory:
                place[:] = in_memory[key]
        return torch.from_numpy(states).to(self.layers.device)

    def fill(self, ids: Arrays, types: Arrays) -> None:
        sequences = KeyedSequences.of(ids, types)
        self.store.open(set(sequences.keys))
        missing = self._missing(sequences)
        if missing and self.store.limit:
            self._store_missing(missing, sequences)
        self.complete = all(key in self.store for key in sequences.keys)

    def prefetch(self, ids: Arrays, types: Arrays) -> None:
        sequences = KeyedSequences.of(ids, types)
        self.prefetched = {}  # freed first, so that only one prefetch is ever in memory
        self.prefetched = self._compute(self._missing(sequences), sequences)

    def _missing(self, sequences: KeyedSequences) -> list[int]:
        """The number of each distinct sequence that is not stored, shortest first."""
        keys = sequences.keys
        distinct = {key: i for i, key in enumerate(keys) if key not in self.store}
        return sorted(distinct.values(), key=lambda i: (len(sequences.ids[i]), keys[i]))

    def _compute(self, numbers: list[int], sequences: KeyedSequences) -> dict[bytes, np.ndarray]:
        """The states of some sequences by key, each distinct one computed once."""
        distinct = {sequences.keys[i]: i for i in numbers}
        states = self.layers.compute(
            [sequences.ids[i] for i in distinct.values()],
            [sequences.types[i] for i in distinct.values()],
        )
        return dict(zip(distinct, states, strict=True))

    def _store_missing(self, missing: list[int], sequences: KeyedSequences) -> None:
        """Compute and store the missing sequences, a segment at a time.

        A segment that another process is writing is put off while there is other work.
        """
        total = sequences.tokens(missing)
        size = total * self.layers.width * self.layers.dtype.itemsize / 1e9
        self.note(
            f"frozen layers: computing {len(missing)} sequences, {size:.2g} GB, "
            "once for all runs that freeze here"
        )
        waiting = deque(self._segments(missing, sequences.ids))
        put_off = set()
        left = total
        while waiting:
            numbers = waiting.popleft()
            self.store.refresh()
            absent = [i for i in numbers if sequences.keys[i] not in self.store]
            if absent:
                try:
                    stored = self._store_segment(absent, sequences, numbers[0] in put_off)
                except OSError as error:
                    reason = error.strerror or error
                    self.note(
                        f"frozen layers: {self.store.folder}: {reason}; "
                        "computed at every use instead"
                    )
                    return
                if stored is None:
                    self.note("frozen layers: no room for the rest, which is computed at every use")
                    return
                if not stored:
                    put_off.add(numbers[0])
                    waiting.append(numbers)
                    continue
            left -= sequences.tokens(numbers)
            self.preparing(total - left, total)
        self.store.refresh()

    def _store_segment(
        self, numbers: list[int], sequences: KeyedSequences, even_if_busy: bool
    ) -> bool | None:
        """Compute and store one segment.

        False where another process is writing it, None where the store has no room.
        """
        keys = [sequences.keys[i] for i in numbers]
        slot = self.store.reserve(keys, sequences.tokens(numbers), even_if_busy=even_if_busy)
        if slot is None or slot == "busy":
            return None if slot is None else False
        with slot:
            states = self.layers.compute(
                [sequences.ids[i] for i in numbers], [sequences.types[i] for i in numbers]
            )
            slot.write(keys, states)
        return True

    def _segments(self, missing: list[int], ids: Arrays) -> list[list[int]]:
        """The missing sequences, cut into segments of about the same size."""
        token_bytes = self.layers.width * self.layers.dtype.itemsize
        ends = np.cumsum([len(ids[i]) * token_bytes for i in missing])
        least, most = SEGMENT_BYTES
        total = int(ends[-1])
        count = max(min(SEGMENTS, total // least), -(-total // most), 1)
        cuts = np.flatnonzero(np.diff((ends - 1) * count // total)) + 1
        return [part.tolist() for part in np.split(np.array(missing), cuts)]


def sequence_key(ids: np.ndarray, types: np.ndarray) -> bytes:
    """A sequence's key in the store: 16 bytes, a hash of its token ids and types."""
    content = ids.astype("<i4").tobytes() + types.astype("<i4").tobytes()
    return hashlib.blake2b(content, digest_size=16).digest()


def make_frozen_cache(
    config: RunConfig,
    encoder: AnyEncoder,
    depth: int | None,
    fingerprint: str,
    device: torch.device,
    *,
    cache_bytes: int = CACHE_BYTES,
    check_stop: Callable[[], None] = lambda: None,
    note: Callable[[str], None] = lambda text: None,
    preparing: Callable[[int, int], None] = lambda done, total: None,
) -> FrozenCache:
    """The cache that a config allows; the disk has no say, since it changes no number.

    `depth` is `Freezing.cacheable_layers`, `fingerprint` the encoder's. SMART perturbs the
    embeddings, so it needs the frozen layers themselves.
    """
    if depth is None or config.smart is not None:
        return DISABLED
    layers = FrozenLayers(
        encoder, depth, device, config.train.precision, config.freeze.states, check_stop
    )
    store = StateStore(
        cache_folder() / "prefix",
        layers.version(fingerprint),
        layers.width,
        cache_bytes,
        layers.dtype,
    )
    return StoredFrozenCache(layers, store, note=note, preparing=preparing)
