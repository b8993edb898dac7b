"""The frozen layers, computed so that a sequence's states depend on its own tokens to the last bit.

The last bits of a matrix product depend on its shape, and so on what shares a batch, and on how it
is split over threads. Here a block holds sequences of one length, always the same number of them,
and runs on one thread; the last block is filled up and the surplus thrown away. In products of one
shape a row is the same wherever it stands; `tests/test_frozen_values.py` fails on a machine where
it is not. Shapes: S sequences of l tokens, H width.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import torch

from mtl.config.identity import NUMERICS
from mtl.config.sections import Precision, States
from mtl.model.any_encoder import AnyEncoder
from mtl.model.device import processor
from mtl.model.packing import Packed, pack

TOKENS_A_BLOCK = {"cpu": 128, "cuda": 2048}
"""About how many tokens make a block. More gain little, and waste more on the last blocks."""

DTYPES: dict[States, str] = {"fp32": "<f4", "fp16": "<f2"}
"""The type in which hidden states are returned and stored."""


class FrozenLayers:
    """Computes hidden states of sequences, each independent of what it is computed with."""

    def __init__(
        self,
        encoder: AnyEncoder,
        depth: int,
        device: torch.device,
        precision: Precision = "fp32",
        states: States = "fp32",
        check_stop: Callable[[], None] = lambda: None,
    ) -> None:
        """The embeddings and the first `depth` layers, in `precision`; returns type `states`.

        `check_stop` is called between blocks; it may raise to stop.
        """
        self.encoder, self.depth, self.device = encoder, depth, device
        self.precision, self.check_stop = precision, check_stop
        self.dtype = np.dtype(DTYPES[states])
        self.width = encoder.config.width
        self.layouts: dict[int, Packed] = {}
        self.pool: ThreadPoolExecutor | None = None

    def version(self, encoder: str) -> str:
        """A hash of all that the states depend on besides tokens; `encoder` is its fingerprint."""
        if self.device.type == "cuda":
            machine = torch.cuda.get_device_name(self.device)
        else:
            machine = f"{processor()} {torch.backends.cpu.get_cpu_capability()}"
        parts = [NUMERICS, encoder, self.depth, self.precision, torch.__version__, machine]
        parts += [torch.get_float32_matmul_precision(), TOKENS_A_BLOCK[self.device.type]]
        if self.dtype.itemsize < 4:
            parts.append(self.dtype.str)
        return hashlib.sha256(repr(tuple(parts)).encode()).hexdigest()[:24]

    def compute(self, ids: Sequence[np.ndarray], types: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The states (l, H) of each sequence, of type `dtype`."""
        if not ids:
            return []
        by_length: dict[int, list[int]] = {}
        for i, sequence in enumerate(ids):
            by_length.setdefault(len(sequence), []).append(i)
        blocks = []
        for length, members in by_length.items():
            count = self.block_size(length)
            blocks += [
                (length, members[start : start + count]) for start in range(0, len(members), count)
            ]

        def run(block: tuple[int, list[int]]) -> np.ndarray:
            length, members = block
            filled = [
                members[j] if j < len(members) else members[0]
                for j in range(self.block_size(length))
            ]
            return self._run(length, [ids[i] for i in filled], [types[i] for i in filled])

        states_of: dict[int, np.ndarray] = {}
        with (
            self._on_one_thread_each(len(blocks)) as mapped,
            closing(mapped(run, blocks)) as results,
        ):
            for (_, members), states in zip(blocks, results, strict=True):
                self.check_stop()
                states_of |= dict(zip(members, states, strict=False))
        return [states_of[i] for i in range(len(ids))]

    def block_size(self, length: int) -> int:
        """How many sequences of a length make a block."""
        return max(1, round(TOKENS_A_BLOCK[self.device.type] / length))

    @torch.no_grad()
    def _run(self, length: int, ids: list[np.ndarray], types: list[np.ndarray]) -> np.ndarray:
        """One block, (S, l, H)."""
        if length not in self.layouts:
            self.layouts[length] = pack(ids).to(self.device)
        flat = [
            torch.from_numpy(np.concatenate(part).astype(np.int64)).to(self.device)
            for part in (ids, types)
        ]
        batch = dataclasses.replace(self.layouts[length], ids=flat[0], types=flat[1])
        with torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
        ):
            states = self.encoder.run(self.encoder.embed(batch), batch, stop=self.depth)
        rounded = states.half() if self.dtype.itemsize == 2 else states.float()
        return rounded.cpu().numpy().reshape(len(ids), length, self.width)

    @contextmanager
    def _on_one_thread_each(self, blocks: int) -> Iterator[Map]:
        """A `map` that runs each block on one thread: several may round a product differently."""
        threads = torch.get_num_threads()
        if self.device.type != "cpu" or threads == 1:
            yield _plain_map
            return
        try:
            if self.pool is None and blocks > 1:
                self.pool = _pool(threads)
            torch.set_num_threads(1)
            yield _plain_map if self.pool is None or blocks == 1 else self.pool.map
        finally:
            torch.set_num_threads(threads)


Map = Callable[..., Any]
"""`map(function, values)` with a result that can be closed."""


def _plain_map(function: Callable[[Any], Any], values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        yield function(value)


def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads on which torch uses one thread each.

    All have started when this returns, since each changes torch's default as it starts.
    """
    pool = ThreadPoolExecutor(threads, "mtl-prefix", torch.set_num_threads, (1,))
    all_started = threading.Barrier(threads)
    list(pool.map(lambda _: all_started.wait(), range(threads)))
    return pool
