"""The sizes of an encoder. No torch: a run is named by them, and naming runs must be quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Shape:
        """From the contents of `config.json`. Raises KeyError for a missing size."""
        return cls(
            vocabulary=settings["vocab_size"],
            positions=settings["max_position_embeddings"],
            types=settings["type_vocab_size"],
            width=settings["hidden_size"],
            layers=settings["num_hidden_layers"],
            attention_heads=settings["num_attention_heads"],
            inner=settings["intermediate_size"],
            norm_epsilon=settings.get("layer_norm_eps", 1e-12),
            init_range=settings.get("initializer_range", 0.02),
        )
