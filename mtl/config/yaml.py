"""YAML as people expect it: 1.2 scalars, no duplicate keys, no aliases, and a line number for every value.

PyYAML by itself reads `1e-5` as text, `no` as False and `012` as 10, lets the last of two equal keys win, and expands
aliases without bound. Here its scanner is used, and values are built by hand from the events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mtl.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_DEPTH = 40

Place = tuple[str | int, ...]
"""Where a value stands: `("train", "lr")`, or `("arms", 0)` for an item of a list."""

_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"[-+]?\.(inf|Inf|INF)")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


@dataclass(frozen=True, kw_only=True)
class Document:
    """One parsed file: its value, and the line (from 1) on which each place of it begins."""

    source: str
    value: Any
    lines: dict[Place, int] = field(default_factory=dict)

    def where(self, place: Place) -> str:
        """`file:line` of a place, or of the nearest thing around it that has a line."""
        for end in range(len(place), -1, -1):
            if place[:end] in self.lines:
                return f"{self.source}:{self.lines[place[:end]]}"
        return self.source


def scalar(text: str) -> Any:
    """The value of an unquoted word under YAML 1.2's core schema: `1e-5` is a number, `no` is text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INF.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def parse(text: str, source: str = "<text>") -> Document:
    """Parse one YAML document. Raises ConfigError with `source:line` for anything that is not plain data."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise ConfigError(f"{source}: larger than {MAX_BYTES} bytes; a settings file is a few kB.")
    try:
        return _build(text, source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f":{mark.line + 1}"
        raise ConfigError(
            f"{source}{line}: not valid YAML: {error.problem or error.context}."
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {error}.") from None


def read(path: Path) -> Document:
    """Parse a file; see `parse`. A missing, unreadable or non-UTF-8 file is a ConfigError too."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; a settings file is a few kB.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}:{line}: not UTF-8 at byte {error.start}; save the file as UTF-8."
        ) from None
    return parse(text, str(path))


def _build(text: str, source: str) -> Document:
    events: Iterator[Any] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
    lines: dict[Place, int] = {}

    def line(event: Any) -> int:
        number: int = event.start_mark.line + 1
        return number

    def fail(event: Any, message: str) -> ConfigError:
        return ConfigError(f"{source}:{line(event)}: {message}")

    def value(event: Any, place: Place) -> Any:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise fail(event, "anchors and aliases (& and *) are not allowed; write the value out.")
        if event.tag is not None:
            raise fail(event, f"the tag {event.tag} is not allowed; plain values only.")
        if len(place) > MAX_DEPTH:
            raise fail(event, f"nested deeper than {MAX_DEPTH} levels.")
        lines.setdefault(place, line(event))
        if isinstance(event, yaml.ScalarEvent):
            try:
                return scalar(event.value) if event.style is None else event.value
            except ValueError:
                raise fail(event, "a number with too many digits.") from None
        if isinstance(event, yaml.SequenceStartEvent):
            return sequence(place)
        return mapping(place)

    def sequence(place: Place) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(value(event, (*place, len(items))))
        return items

    def mapping(place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise fail(event, "a key must be a single word.")
            if event.anchor or event.tag:
                raise fail(event, "anchors and tags are not allowed on keys; plain words only.")
            key = event.value
            if key in found:
                raise fail(
                    event,
                    f"the key {key!r} stands here a second time (first on line {lines[(*place, key)]}).",
                )
            lines[(*place, key)] = line(event)
            found[key] = value(next(events), (*place, key))
        return found

    result: Any = None
    documents = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise fail(event, "a second document begins here (---); one a file.")
            result = value(next(events), ())
    return Document(source=source, value=result, lines=lines)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML would leave `1e-5` bare because it reads it as text itself; this module would read a number.
    style = None if isinstance(scalar(text), str) else "'"
    if any(mark in text for mark in "\x85\u2028\u2029"):
        style = '"'  # these are line ends to YAML, and only double quotes can escape them
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def dump(value: Any) -> str:
    """YAML text (block style, keys in the given order) that `parse` reads back as the same value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
