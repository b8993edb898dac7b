"""Settings in pieces: what a definition and the words of a command line are made of, checked one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from mtl.config.keys import Settings, flatten, merge
from mtl.config.schema import RunConfig
from mtl.config.settings import assignment_layers, build
from mtl.config.yaml_file import YamlDocument, parse_yaml
from mtl.errors import ConfigError, short

DEFAULT_SEEDS = (0, 1, 2)
MAX_SEEDS = 1000


def level_name(value: Any) -> str:
    """A value as a level is named: the way it is written in YAML, floats shortest (`1e-5`)."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(level_name, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {level_name(item)}' for key, item in value.items())}}}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return (
        re.sub(r"e([-+])0*", lambda match: f"e{match[1]}".replace("+", ""), repr(value))
        if isinstance(value, float)
        else str(value)
    )


def refusals(document: YamlDocument) -> list[str]:
    """Why the config refuses these settings, one at a time; what excludes what is left to the whole plan."""
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
    """What `key=value` words set, and the seeds they name."""
    settings: Settings = {}
    written: dict[str, Any] = {}
    seeds: tuple[int, ...] | None = None
    for word in words:
        if "=" not in word:
            problems.append(f"{short(word)}: expected key=value.")
        elif word.partition("=")[0].strip() == "seed":
            seeds = seeds_of(listed(word)[1], short(word), problems)
        else:
            (layer,) = assignment_layers([word])
            problems += refusals(layer)
            settings = merge(settings, layer.value)
            written |= flatten(layer.value)
    for off in [key for key, value in written.items() if value is None]:
        if knobs := [key for key in written if key.startswith(f"{off}.")]:
            problems.append(
                f"{off}=null turns {off} off, and {', '.join(knobs)} would do nothing. Keep one of the two."
            )
    return settings, seeds


def listed(word: str) -> tuple[str, list[Any]]:
    """`pairing=siamese,concat` as a key and its values. Raises ConfigError."""
    key, equals, text = word.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"{short(word)}: expected key=value,value,...")
    return key.strip(), [parse_yaml(piece, short(word)).value for piece in pieces(text)]


def pieces(text: str) -> Iterator[str]:
    """The text cut at its commas, except those inside brackets and quotes."""
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


def seeds_of(values: Any, where: str, problems: list[str]) -> tuple[int, ...]:
    """Checked seeds from a list of them."""
    if (
        not isinstance(values, list)
        or not values
        or not all(whole(seed, 0, 2**32 - 1) for seed in values)
    ):
        problems.append(
            f"{where}: expected seeds, whole numbers from 0, as in [0, 1, 2], came {short(values)}."
        )
    elif len(set(values)) != len(values):
        problems.append(
            f"{where}: a seed is named twice in {short(values)}; a run is not repeated."
        )
    elif len(values) > MAX_SEEDS:
        problems.append(f"{where}: {len(values)} seeds; at most {MAX_SEEDS}.")
    else:
        return tuple(values)
    return DEFAULT_SEEDS


def whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
