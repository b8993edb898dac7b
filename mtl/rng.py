"""Named random streams: the draws of one part never depend on the draws of another.

A stream depends only on the run's seed and a name such as `order/sst/3`. So two configs with the
same seed see the same examples in the same order, and start shared heads from the same weights.
This pairs the arms of an ablation by seed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def stream_seed(seed: int, name: str) -> int:
    """A 63-bit seed for the stream `name` of a run with this seed.

    >>> stream_seed(0, "order/sst/0") == stream_seed(0, "order/sst/0")
    True
    >>> stream_seed(0, "order/sst/0") == stream_seed(0, "order/sst/1")
    False
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_stream(seed: int, name: str) -> np.random.Generator:
    """A numpy generator (PCG64) for the stream `name`."""
    return np.random.Generator(np.random.PCG64(stream_seed(seed, name)))


def torch_stream(seed: int, name: str) -> torch.Generator:
    """A torch CPU generator for the stream `name`."""
    import torch

    return torch.Generator().manual_seed(stream_seed(seed, name))


def dropout_state(device: torch.device) -> torch.Tensor:
    """The state of the global generator that dropout on `device` uses."""
    import torch

    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_dropout_state(device: torch.device, state: torch.Tensor) -> None:
    """Restore a state that `dropout_state` returned. The next masks are then the same again."""
    import torch

    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
