"""The sizes of an encoder, read from its `config.json`.

No torch here: the sizes are part of a run's name, and naming runs must be quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtl.errors import short

NORM_EPSILON, INIT_RANGE = 1e-12, 0.02
"""BERT's published defaults, for a `config.json` that does not give them."""

SIZES = {
    "vocabulary": ("vocab_size", 10**7),
    "positions": ("max_position_embeddings", 10**6),
    "types": ("type_vocab_size", 10**4),
    "width": ("hidden_size", 10**5),
    "layers": ("num_hidden_layers", 1000),
    "attention_heads": ("num_attention_heads", 10**4),
    "inner": ("intermediate_size", 10**6),
}
"""Field -> its key in `config.json` and the largest value that a published encoder could have."""


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
        """From the contents of `config.json`.

        Raises ValueError, whose message begins with the key, for a size that is missing, no whole
        number, out of bounds, or does not fit another.
        """
        sizes = {name: _size(settings, key, most) for name, (key, most) in SIZES.items()}
        epsilon = settings.get("layer_norm_eps", NORM_EPSILON)
        if not isinstance(epsilon, float | int) or not 0 < epsilon < 1:
            raise ValueError(f"layer_norm_eps: expected a number between 0 and 1, got {epsilon!r}")
        if sizes["width"] % sizes["attention_heads"]:
            raise ValueError(
                f"num_attention_heads: {sizes['attention_heads']} heads do not divide hidden_size "
                f"{sizes['width']}"
            )
        return cls(**sizes, norm_epsilon=epsilon)


def _size(settings: Mapping[str, Any], key: str, most: int) -> int:
    if key not in settings:
        raise ValueError(f"{key}: missing")
    value = settings[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"{key}: expected a whole number from 1 to {most}, got {short(value)}")
    return value


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
