"""Hidden states of sequences, each computed so that they depend on its own tokens alone, to the last bit.

A product's last bits depend on its shape, and so on what shares a batch, and on the threads that share it out. So sequences are computed together with others of
just their length, always the same number of them, on one thread each; what fills up a last block is thrown away. A row of a
product of one shape is then the same wherever in it the row stands (`tests/test_prefix_values.py` says if that is not so on some
machine). Shapes: S sequences of l tokens, H width.
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
from mtl.model.device import processor
from mtl.model.encoder import Encoder
from mtl.model.packing import Packed, pack

TOKENS_A_BLOCK = {"cpu": 128, "cuda": 2048}
"""About how many tokens are computed together. More gain little, and the last block of each length is filled up in vain."""

KINDS: dict[States, str] = {"fp32": "<f4", "fp16": "<f2"}
"""The type that hidden states are handed out and kept in."""


class Blocks:
    """Computes hidden states so that those of a sequence depend on its tokens alone, to the last bit."""

    def __init__(
        self,
        encoder: Encoder,
        depth: int,
        device: torch.device,
        precision: Precision = "fp32",
        states: States = "fp32",
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Through the embeddings and the first `depth` layers, computed in one precision and handed out in another.

        `tick` is called between blocks; it may raise to stop.
        """
        self.encoder, self.depth, self.device, self.precision, self.tick = (
            encoder,
            depth,
            device,
            precision,
            tick,
        )
        self.kind = np.dtype(KINDS[states])
        self.width = encoder.config.width
        self.layouts: dict[int, Packed] = {}
        self.pool: ThreadPoolExecutor | None = None

    def numbers(self, encoder: str) -> str:
        """A name for the numbers that come out: everything they depend on but the tokens. `encoder` is its fingerprint."""
        if self.device.type == "cuda":
            machine = torch.cuda.get_device_name(self.device)
        else:
            machine = f"{processor()} {torch.backends.cpu.get_cpu_capability()}"
        parts = [NUMERICS, encoder, self.depth, self.precision, torch.__version__, machine]
        parts += [torch.get_float32_matmul_precision(), TOKENS_A_BLOCK[self.device.type]]
        if self.kind.itemsize < 4:
            parts.append(self.kind.str)
        return hashlib.sha256(repr(tuple(parts)).encode()).hexdigest()[:24]

    def compute(self, ids: Sequence[np.ndarray], types: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The states (l, H) of each sequence, of type `kind`."""
        if not ids:
            return []
        by_length: dict[int, list[int]] = {}
        for i, sequence in enumerate(ids):
            by_length.setdefault(len(sequence), []).append(i)
        blocks = []
        for length, members in by_length.items():
            count = self.together(length)
            blocks += [
                (length, members[start : start + count]) for start in range(0, len(members), count)
            ]

        def run(block: tuple[int, list[int]]) -> np.ndarray:
            length, members = block
            filled = [
                members[j] if j < len(members) else members[0] for j in range(self.together(length))
            ]
            return self._run(length, [ids[i] for i in filled], [types[i] for i in filled])

        found: dict[int, np.ndarray] = {}
        with (
            self._on_one_thread_each(len(blocks)) as mapped,
            closing(mapped(run, blocks)) as results,
        ):
            for (_, members), states in zip(blocks, results, strict=True):
                self.tick()
                found |= dict(zip(members, states, strict=False))
        return [found[i] for i in range(len(ids))]

    def together(self, length: int) -> int:
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
        rounded = states.half() if self.kind.itemsize == 2 else states.float()
        return rounded.cpu().numpy().reshape(len(ids), length, self.width)

    @contextmanager
    def _on_one_thread_each(self, blocks: int) -> Iterator[Map]:
        """A `map` that gives each block one thread: a product that is shared out among several may come out differently."""
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
"""`map(function, values)`, whose result can be closed."""


def _plain_map(function: Callable[[Any], Any], values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        yield function(value)


def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads on which torch works alone. All have started when this returns, since each changes torch's default."""
    pool = ThreadPoolExecutor(threads, "mtl-prefix", torch.set_num_threads, (1,))
    together = threading.Barrier(threads)
    list(pool.map(lambda _: together.wait(), range(threads)))
    return pool
