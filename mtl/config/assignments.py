"""Command-line words for grids: `key=value`, `key=value,value` and seeds; and level names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from mtl.config.key_kinds import takes_text
from mtl.config.schema import RunConfig
from mtl.config.settings import assignment_layers, build
from mtl.config.task_weights import beside_rule
from mtl.documents.keys import Settings, flatten, merge
from mtl.documents.yaml_file import YamlDocument, parse_yaml
from mtl.errors import ConfigError, short

DEFAULT_SEEDS = (0, 1, 2)
MAX_SEEDS = 1000
WEIGHTS = "task_weights."


def level_name(value: Any) -> str:
    """The name of a value as a level: its shortest YAML form.

    >>> level_name(1e-5), level_name(["sst", "sts"]), level_name(None)
    ('1e-5', '[sst, sts]', 'null')
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(level_name, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {level_name(item)}' for key, item in value.items())}}}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):  # 1e-05 becomes 1e-5, 1e+22 becomes 1e22
        return re.sub(r"e([-+])0*", lambda match: f"e{match[1]}".replace("+", ""), repr(value))
    return str(value)


def refusals(document: YamlDocument) -> list[str]:
    """The errors of single settings. Settings that exclude each other are checked elsewhere."""
    try:
        RunConfig.model_validate(document.value)
    except ValidationError as error:
        wrong = {item["loc"][0] for item in error.errors(include_url=False)}
        only = {key: value for key, value in document.value.items() if key in wrong}
        try:
            build([replace(document, value=only)])
        except ConfigError as refused:
            return str(refused).splitlines()
    return []


def assignments(
    words: Sequence[str], problems: list[str]
) -> tuple[Settings, tuple[int, ...] | None]:
    """The settings of `key=value` words, and the seeds of `seed=0,1,2`; errors go to `problems`."""
    settings: Settings = {}
    written: dict[str, Any] = {}
    seeds: tuple[int, ...] | None = None
    for word in words:
        if "=" not in word:
            problems.append(f"{short(word)}: expected key=value.")
        elif word.partition("=")[0].strip() == "seed":
            seeds = seeds_of(word, problems)
        else:
            (layer,) = assignment_layers([word])
            problems += refusals(layer)
            settings = merge(settings, layer.value)
            written |= flatten(layer.value)
    for section in [key for key, value in written.items() if value is None]:
        if keys := [key for key in written if key.startswith(f"{section}.")]:
            problems.append(
                f"{section}=null disables {section}, so {', '.join(keys)} would have no effect. "
                "Keep one of the two."
            )
    rule, keys = written.get("task_weights"), [key for key in written if key.startswith(WEIGHTS)]
    if isinstance(rule, str) and keys:
        problems.append(beside_rule(f"task_weights={rule}", keys))
    return settings, seeds


def listed(word: str) -> tuple[str, list[Any]]:
    """The key and the values of a word such as `pairing=siamese,concat`. Raises ConfigError."""
    key, equals, text = word.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"{short(word)}: expected key=value,value,...")
    if takes_text(key):
        return key, [
            parse_yaml(quoted, short(word)).value if quoted else plain.strip()
            for quoted, plain in _TEXTS.findall(f",{text}")
        ]
    return key, [parse_yaml(piece, short(word)).value for piece in pieces(text)]


_TEXTS = re.compile(r""",(?:\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')\s*(?=,|$)|([^,]*))""")
"""A comma, and a text: in quotes if a comma stands in it, else as it is."""


def seeds_of(word: str, problems: list[str]) -> tuple[int, ...]:
    """The seeds of a word such as `seed=0,1,2`; the defaults where they are wrong."""
    try:
        return checked_seeds(listed(word)[1])
    except ConfigError as error:
        problems.append(f"{short(word)}: {error}")
        return DEFAULT_SEEDS


def pieces(text: str) -> Iterator[str]:
    """The text split at commas outside brackets and quotes."""
    start, depth, quote = 0, 0, ""
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "," and depth <= 0:
            yield text[start:position].strip()
            start = position + 1
    yield text[start:].strip()


def checked_seeds(values: Any) -> tuple[int, ...]:
    """The seeds of a list. Raises ConfigError without file and line."""
    whole = isinstance(values, list) and all(_is_seed(value) for value in values)
    if not whole or not values:
        raise ConfigError(
            f"expected seeds, whole numbers from 0, as in [0, 1, 2], got {short(values)}."
        )
    if len(set(values)) != len(values):
        raise ConfigError(f"a seed is listed twice in {short(values)}; keep one.")
    if len(values) > MAX_SEEDS:
        raise ConfigError(f"{len(values)} seeds; at most {MAX_SEEDS}.")
    return tuple(values)


def seed_count(value: Any) -> tuple[int, ...]:
    """The seeds 0, 1, ... for a number of seeds; empty for any other value."""
    return tuple(range(value)) if _is_seed(value) and 1 <= value <= MAX_SEEDS else ()


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32
