"""Dotted keys: `train.lr` names the key `lr` in the section `train` of nested settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Settings = dict[str, Any]
"""Nested settings without dotted keys: `{"train": {"lr": 1e-5}}`."""


def get_key(settings: Mapping[str, Any] | BaseModel, key: str, default: Any = None) -> Any:
    """The value at a dotted key; `default` where the key, or a section above it, is absent.

    >>> get_key({"train": {"lr": 1e-5}}, "train.lr")
    1e-05
    >>> get_key({"smart": None}, "smart.mu") is None
    True
    """
    value: Any = settings
    for name in key.split("."):
        section = dict(value) if isinstance(value, BaseModel) else value
        if not isinstance(section, Mapping) or name not in section:
            return default
        value = section[name]
    return value


def nest_key(key: str, value: Any) -> Any:
    """Settings that set one dotted key. An empty key gives the value itself.

    >>> nest_key("train.lr", 1e-5)
    {'train': {'lr': 1e-05}}
    """
    for name in reversed(key.split(".") if key else []):
        value = {name: value}
    return value


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value. Lists, null and `{}` are values.

    >>> flatten({"train": {"lr": 1e-5}, "smart": {}})
    {'train.lr': 1e-05, 'smart': {}}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def merge(below: Settings, above: Settings) -> Settings:
    """`above` over `below`: sections merge key by key, everything else is replaced.

    >>> merge({"train": {"lr": 1e-5, "epochs": 3}}, {"train": {"lr": 1e-4}})
    {'train': {'lr': 0.0001, 'epochs': 3}}
    """
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = merge(old, value)
        merged[key] = value
    return merged


def is_within(key: str, section: str) -> bool:
    """Whether a dotted key is the section itself or lies in it.

    >>> is_within("smart.mu", "smart"), is_within("smart", "smart"), is_within("smart", "smart.mu")
    (True, True, False)
    """
    return key == section or key.startswith(f"{section}.")
