"""The sizes of an encoder, read from its `config.json`.

No torch here: the sizes are part of a run's name, and naming runs must be quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mtl.errors import short
from mtl.model.families import FAMILIES, WIDTH

NORM_EPSILON, INIT_RANGE = 1e-12, 0.02
"""BERT's published defaults, for a `config.json` that does not give them."""


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The sizes of an encoder.

    `inner` is the width of the feed-forward block. `types` is the number of token types, 0 for
    none. `positions` is the number of position embeddings, of which the first `offset` are not of
    tokens. `embedding` is the width of the embeddings where it is another. `buckets` is the number
    of relative positions with a bias.
    """

    vocabulary: int
    positions: int
    types: int
    width: int
    layers: int
    attention_heads: int
    inner: int
    norm_epsilon: float = NORM_EPSILON
    family: str = "bert"
    offset: int = 0
    embedding: int | None = None
    buckets: int = 0

    @property
    def longest(self) -> int:
        """The most tokens of a sequence."""
        return self.positions - self.offset

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> EncoderConfig:
        """From the contents of `config.json`.

        Raises ValueError, whose message begins with the key, for a size that is missing, no whole
        number, out of bounds, or does not fit another.
        """
        family = FAMILIES[settings.get("model_type", "bert")]
        sizes = {name: _size(settings, key, most) for name, (key, most) in family.sizes.items()}
        epsilon = settings.get(family.epsilon, NORM_EPSILON) if family.epsilon else NORM_EPSILON
        if not isinstance(epsilon, float | int) or not 0 < epsilon < 1:
            raise ValueError(f"layer_norm_eps: expected a number between 0 and 1, got {epsilon!r}")
        if sizes["width"] % sizes["attention_heads"]:
            raise ValueError(
                f"{family.sizes['attention_heads'][0]}: {sizes['attention_heads']} heads do not "
                f"divide {family.sizes['width'][0]} {sizes['width']}"
            )
        more: dict[str, Any] = {"family": family.name, "buckets": family.buckets}
        if family.buckets:
            buckets = settings.get("relative_attention_num_buckets", family.buckets)
            if buckets != family.buckets:
                raise ValueError(
                    f"relative_attention_num_buckets: expected {family.buckets}, got {buckets!r}"
                )
        if family.offset:
            more["offset"] = _size(settings, "pad_token_id", 1000, usual=1, least=0) + 1
        if family.project:
            width = sizes["width"]
            embedding = _size(settings, "embedding_size", WIDTH, usual=width)
            more["embedding"] = embedding if embedding != width else None
        return cls(**{"types": 0, **sizes, **more, "norm_epsilon": epsilon})


def _size(
    settings: Mapping[str, Any], key: str, most: int, *, usual: int | None = None, least: int = 1
) -> int:
    value = settings.get(key, usual)
    if value is None:
        raise ValueError(f"{key}: missing")
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(
            f"{key}: expected a whole number from {least} to {most}, got {short(value)}"
        )
    return value


def fingerprint_text(settings: Mapping[str, Any]) -> str:
    """The sizes as the text that enters an encoder's fingerprint.

    Every run's name rests on this text, so its wording is fixed. `init_range` is there although
    loaded weights do not depend on it.
    """
    config = EncoderConfig.from_settings(settings)
    if config.family != "bert":
        fields = asdict(config)
        return ", ".join(f"{name}={fields[name]!r}" for name in sorted(fields))
    init_range = settings.get("initializer_range", INIT_RANGE)
    return (
        f"Shape(vocabulary={config.vocabulary!r}, positions={config.positions!r}, "
        f"types={config.types!r}, width={config.width!r}, layers={config.layers!r}, "
        f"attention_heads={config.attention_heads!r}, inner={config.inner!r}, "
        f"norm_epsilon={config.norm_epsilon!r}, init_range={init_range!r})"
    )
