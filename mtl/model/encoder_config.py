"""The sizes of an encoder, read from its `config.json`.

No torch here: the sizes are part of a run's name, and naming runs must be quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NORM_EPSILON, INIT_RANGE = 1e-12, 0.02
"""BERT's published defaults, for a `config.json` that does not give them."""


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The sizes of a BERT encoder.

    `inner` is the width of the feed-forward block, `types` the number of token types, `positions`
    the longest sequence.
    """

    vocabulary: int
    positions: int
    types: int
    width: int
    layers: int
    attention_heads: int
    inner: int
    norm_epsilon: float = NORM_EPSILON

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> EncoderConfig:
        """From the contents of `config.json`. Raises KeyError for a missing size."""
        return cls(
            vocabulary=settings["vocab_size"],
            positions=settings["max_position_embeddings"],
            types=settings["type_vocab_size"],
            width=settings["hidden_size"],
            layers=settings["num_hidden_layers"],
            attention_heads=settings["num_attention_heads"],
            inner=settings["intermediate_size"],
            norm_epsilon=settings.get("layer_norm_eps", NORM_EPSILON),
        )


def fingerprint_text(settings: Mapping[str, Any]) -> str:
    """The sizes as the text that enters an encoder's fingerprint.

    Every run's name rests on this text, so its wording is fixed. `init_range` is there although
    loaded weights do not depend on it.
    """
    config = EncoderConfig.from_settings(settings)
    init_range = settings.get("initializer_range", INIT_RANGE)
    return (
        f"Shape(vocabulary={config.vocabulary!r}, positions={config.positions!r}, "
        f"types={config.types!r}, width={config.width!r}, layers={config.layers!r}, "
        f"attention_heads={config.attention_heads!r}, inner={config.inner!r}, "
        f"norm_epsilon={config.norm_epsilon!r}, init_range={init_range!r})"
    )
