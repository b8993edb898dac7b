"""The parts that the files of ablations and studies share: settings, levels, base, seeds, names.

Each function takes a part of the file with its lines, adds its errors to `problems`, and returns
the values without errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from mtl.ablation.expression import WORD
from mtl.ablation.where import RESERVED
from mtl.config.assignments import checked_seeds, level_name, refusals, seed_count
from mtl.config.key_kinds import config_keys
from mtl.config.settings import file_layer, preset_layer, spread
from mtl.documents.keys import Settings, get_key
from mtl.documents.library import SUFFIXES
from mtl.documents.validation import NOT_BLANK, Expected, wrong
from mtl.documents.yaml_file import YamlDocument
from mtl.errors import ConfigError, printable, short

MAX_NAME = 100
"""Most characters in the name of an arm, a factor or a level."""
MAX_NAME_BYTES = 200
"""Most bytes in a name that becomes a folder: file systems take 255, and files add an ending."""


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[^\W_][^/\\]*(?<![. ])", name) or not name.isprintable():
        raise ValueError("no name for a folder")
    if len(name) > MAX_NAME or len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError("too long for a folder")
    return name


def _seeds(value: Any) -> Any:
    try:
        return seed_count(value) or checked_seeds(value)
    except ConfigError as error:
        raise wrong(str(error)) from None


FolderName = Annotated[
    Annotated[str, AfterValidator(_folder_name)] | None,
    Expected("a name that a folder can have, beginning with a letter or digit"),
]
Question = Annotated[
    str,
    Field(max_length=2000),
    NOT_BLANK,
    Expected("text of 1 to 2000 characters"),
]
Seeds = Annotated[tuple[int, ...], BeforeValidator(_seeds)]


def fail(document: YamlDocument, problems: list[str], message: str, *place: str) -> None:
    """Add an error at a place."""
    problems.append(f"{document.where(place)}: {printable('.'.join(place))}: {message}")


def settings_part(document: YamlDocument, value: Any, problems: list[str], *place: str) -> Settings:
    """Checked settings, with dotted keys nested; null is `{}`."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        message = f"expected settings (key: value), got {short(value)}."
        fail(document, problems, message, *place)
        return {}
    try:
        part = spread(document.part(value, *place))
    except ConfigError as error:
        problems.append(str(error))
        return {}
    if "seed" in part.value:
        message = "the seeds of all arms are set by `seeds: [0, 1, 2]`."
        fail(document, problems, message, *place, "seed")
        del part.value["seed"]
    problems += refusals(part)
    return dict(part.value)


def base_part(
    document: YamlDocument, base: str, folder: Path, problems: list[str]
) -> tuple[str, Settings]:
    """The preset of a base, and the settings on top of it.

    A base file is `baseline` with the file's settings, without its seed.
    """
    try:
        if not base.endswith(SUFFIXES):
            preset_layer(base)
            return base, {}
        layer = file_layer(folder / base)
    except ConfigError as error:
        fail(document, problems, str(error), "base")
        return "baseline", {}
    problems += refusals(layer)
    return "baseline", {key: value for key, value in layer.value.items() if key != "seed"}


def value_levels(
    document: YamlDocument, key: str, values: list[Any], problems: list[str], *place: str
) -> dict[str, Settings]:
    """The levels of a config key, one per value. `place` is that of the list."""
    lines = document.part(values, *place)
    levels: dict[str, Settings] = {}
    for number, value in enumerate(values):
        below = lines.part(value, number).lines
        part_lines = {(key, *inner): line for inner, line in below.items()}
        if line := _line(document, *place):  # 0 on the command line
            part_lines.setdefault((key,), line)
        part = spread(YamlDocument(source=document.source, value={key: value}, lines=part_lines))
        name = level_name(get_key(part.value, key))
        if name in levels:
            fail(document, problems, f"the level {name} is listed twice; keep one.", *place)
        errors = refusals(part)
        problems += errors
        if not errors:
            levels[name] = part.value
    return levels


def _line(document: YamlDocument, *place: str) -> int:
    """The line of a place, or of the section around it; 0 if unknown."""
    for end in range(len(place), 0, -1):
        if place[:end] in document.lines:
            return document.lines[place[:end]]
    return document.lines.get((), 0)


def named_levels(
    document: YamlDocument, levels: Mapping[str, Any], problems: list[str], *place: str
) -> dict[str, Settings]:
    """The levels of a factor that is not a config key: name -> settings."""
    for name in levels:
        check_label(document, "a level", problems, *place, name)
    return {
        name: settings_part(document, value, problems, *place, name)
        for name, value in levels.items()
    }


def check_label(document: YamlDocument, kind: str, problems: list[str], *place: str) -> None:
    """Check that the last key of a place can be a name in tables and conditions."""
    name = place[-1]
    quotes = {"'", '"'} <= set(name)
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable() or quotes:
        message = (
            f"the name of {kind}: 1 to {MAX_NAME} printable characters, quotes of one kind only."
        )
        fail(document, problems, message, *place)


def check_own_name(document: YamlDocument, problems: list[str], *place: str) -> None:
    """Check that the last key of a place can be a key in conditions."""
    name = place[-1]
    if not re.fullmatch(WORD, name) or name in RESERVED or len(name) > MAX_NAME:
        message = "expected a name of letters, digits, _ - and dots that is no word of a condition."
        fail(document, problems, message, *place)


def settings_hint(key: str) -> str:
    """A hint for a config key at the top of a file."""
    return " Settings go under `set`." if key in config_keys() else ""
