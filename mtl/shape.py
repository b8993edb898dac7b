"""The sizes of an encoder. No torch: a run is named by them, and naming runs must be quick."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of an encoder, as `config.json` gives them."""

    vocabulary: int
    positions: int
    types: int
    width: int
    layers: int
    attention_heads: int
    inner: int
    norm_epsilon: float = 1e-12
    init_range: float = 0.02
