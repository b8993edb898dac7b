"""The kinds of value of each config key, from the config's JSON schema.

Conditions and factors are checked with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from mtl.config.losses import loss_words
from mtl.config.schema import RunConfig
from mtl.tasks.registry import TASKS


@dataclass(frozen=True, kw_only=True)
class Key:
    """The values of a key: `kinds` among number, text, true/false, null, list, settings.

    `items` are the kinds in a list. `choices` are the allowed texts; None allows any text.
    """

    kinds: frozenset[str]
    items: frozenset[str] = frozenset()
    choices: frozenset[str] | None = None


def config_keys() -> dict[str, Key]:
    """Every config key and section but `seed`, which is not part of a cell.

    Each known task has keys of its own in `heads`, `losses` and `task_weights`.
    """
    keys = _keys(tuple((task.name, task.head_words, loss_words(task)) for task in TASKS.readable()))
    return dict(keys)


@cache
def _keys(tasks: tuple[tuple[str, object, object], ...]) -> dict[str, Key]:
    """The keys while these tasks are known, by name, head words and losses."""
    schema = RunConfig.model_json_schema()

    def options(part: dict[str, Any]) -> list[dict[str, Any]]:
        if "$ref" in part:
            return [schema["$defs"][part["$ref"].rpartition("/")[2]]]
        if "anyOf" in part:
            return [option for inner in part["anyOf"] for option in options(inner)]
        return [part]

    keys: dict[str, Key] = {}

    def walk(properties: dict[str, Any], prefix: str) -> None:
        for name, part in properties.items():
            keys[prefix + name] = _key(options(part))
            for option in options(part):
                walk(option.get("properties", {}), f"{prefix}{name}.")

    walk(schema["properties"], "")
    del keys["seed"]
    names = frozenset(name for name, *_ in tasks)
    keys["tasks"] = replace(keys["tasks"], choices=names)
    keys["freeze.scope"] = replace(keys["freeze.scope"], choices=names | {"all"})
    return keys


_KINDS = {
    "integer": "number",
    "number": "number",
    "string": "text",
    "boolean": "true/false",
    "null": "null",
    "array": "list",
    "object": "settings",
}
"""JSON schema type -> kind."""


def _key(options: list[dict[str, Any]]) -> Key:
    """The key of the alternatives that its schema lists."""
    kinds, items, choices, free = set(), set(), set(), False
    for option in options:
        kinds.add(_KINDS[option["type"]])
        inner = [option]
        if option["type"] == "array":
            inner = option.get("prefixItems") or [option["items"]]
            items |= {_KINDS[item["type"]] for item in inner}
        for part in inner:
            if part["type"] == "string":
                listed = part.get("enum") or ([part["const"]] if "const" in part else [])
                choices |= set(listed)
                free |= not listed
    return Key(
        kinds=frozenset(kinds),
        items=frozenset(items),
        choices=None if free or not choices else frozenset(choices),
    )


def takes_text(key: str) -> bool:
    """Whether the value of a key is any text, so that a command line gives it as it is.

    >>> takes_text("data"), takes_text("pairing"), takes_text("train.lr")
    (True, False, False)
    """
    kind = config_keys().get(key)
    return kind is not None and kind.kinds == {"text"} and kind.choices is None


def kind_of(value: Any) -> str:
    """The kind of a value: null, true/false, number, text or list."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "list"


def own_factors(grid: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """The factors of a grid that are not config keys, with their level names."""
    return {factor: tuple(levels) for factor, levels in grid.items() if factor not in config_keys()}
