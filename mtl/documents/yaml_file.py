"""YAML 1.2 for settings files: plain data, no duplicate keys, a line number for every value.

PyYAML's parser gives the events; the values are built here. The full loaders accept too much:
PyYAML's reads YAML 1.1 (`no` is false) and keeps the last of two equal keys; ruamel.yaml reads
`1_000` as a number and `2001-01-01` as a date, and needs 5 s for hostile nesting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from mtl.errors import ConfigError
from mtl.files import read_bounded

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_DIGITS = 100

Place = tuple[str | int, ...]
"""The keys of a value: `("train", "lr")`, or `("arms", 0)` for an item of a list."""

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
class YamlDocument:
    """Plain data, its source (a file or a command-line word), and the line of each place."""

    source: str
    value: Any
    lines: dict[Place, int] = field(default_factory=dict)

    def where(self, place: Place) -> str:
        """`file:line` of a place; without a line of its own, that of the section around it."""
        for end in range(len(place), -1, -1):
            if place[:end] in self.lines:
                return f"{self.source}:{self.lines[place[:end]]}"
        return self.source

    def part(self, value: Any, *place: str | int) -> YamlDocument:
        """`value` as a document with this document's lines of a place, at most three keys deep."""
        return YamlDocument(source=self.source, value=value, lines=self._lines_below.get(place, {}))

    @cached_property
    def _lines_below(self) -> dict[Place, dict[Place, int]]:
        """Place -> the lines of all places in it. One pass, so that large files stay fast."""
        below: dict[Place, dict[Place, int]] = {}
        for place, line in self.lines.items():
            for end in range(min(len(place), 3) + 1):
                below.setdefault(place[:end], {})[place[end:]] = line
        return below


def read_yaml(path: Path) -> YamlDocument:
    """Parse a file (see `parse_yaml`).

    Raises ConfigError, also for a file that is missing, unreadable or not UTF-8.
    """
    try:
        raw = read_bounded(path, MAX_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; a settings file is a few kB.") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}:{line}: not UTF-8 at byte {error.start}; save the file as UTF-8."
        ) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str = "<text>") -> YamlDocument:
    """Parse one YAML document of plain data. Raises ConfigError with `source:line`."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise ConfigError(f"{source}: larger than {MAX_BYTES} bytes; a settings file is a few kB.")
    try:
        return _Builder(text, source).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f":{mark.line + 1}"
        raise ConfigError(
            f"{source}{line}: not valid YAML: {error.problem or error.context}."
        ) from None
    except UnicodeEncodeError:  # half of a pair of surrogates
        raise ConfigError(f"{source}: not valid YAML: a character that is none.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {error}.") from None


def scalar(text: str) -> Any:
    """The value of an unquoted word in YAML 1.2's core schema: `1e-5` is a number, `no` is text.

    Raises ValueError for a whole number that no setting can mean.
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > MAX_DIGITS and (_INT.fullmatch(text) or _BASED.fullmatch(text)):
        raise ValueError("too many digits")
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INF.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser takes a tenth of the time."""


class _Builder:
    """Builds the value of one document, and its lines, from PyYAML's events."""

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=LOADER))
        self.lines: dict[Place, int] = {}

    def document(self) -> YamlDocument:
        result: Any = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._error(
                        event, "a second document begins here (---); write one per file."
                    )
                result = self._value(next(self.events), ())
        return YamlDocument(source=self.source, value=result, lines=self.lines)

    def _value(self, event: Any, place: Place) -> Any:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self._error(
                event, "anchors and aliases (& and *) are not allowed; write the value out."
            )
        if event.tag is not None:
            raise self._error(event, f"the tag {event.tag} is not allowed; write the value alone.")
        if len(place) > MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels.")
        self.lines.setdefault(place, _line(event))
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(place)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(place)
        try:
            return event.value if event.style else scalar(event.value)
        except ValueError:
            raise self._error(event, "a number with too many digits.") from None

    def _sequence(self, place: Place) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*place, len(items))))
        return items

    def _mapping(self, place: Place) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._key(event)
            if key in mapping:
                first = self.lines[(*place, key)]
                raise self._error(event, f"duplicate key {key!r}; first set on line {first}.")
            self.lines[(*place, key)] = _line(event)
            mapping[key] = self._value(next(self.events), (*place, key))
        return mapping

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error(event, "a key must be a single word.")
        if event.anchor or event.tag:
            raise self._error(event, "anchors and tags are not allowed on keys.")
        return str(event.value)

    def _error(self, event: Any, message: str) -> ConfigError:
        return ConfigError(f"{self.source}:{_line(event)}: {message}")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML reads `1e-5` as text and would leave it unquoted; `scalar` would read a number.
    style = None if _reads_as_text(text) else "'"
    if any(mark in text for mark in "\x85\u2028\u2029"):
        style = '"'  # YAML counts these as line ends; only double quotes can escape them
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _reads_as_text(text: str) -> bool:
    try:
        return isinstance(scalar(text), str)
    except ValueError:
        return False


_Dumper.add_representer(str, _represent_text)


def dump_yaml(value: Any, *, heading: str = "") -> str:
    """YAML text in block style that `parse_yaml` reads back as the same value.

    Keys keep their order. `heading` becomes a comment on the first line.

    >>> dump_yaml({"lr": "1e-5"}, heading="Which rate?")
    "# Which rate?\\nlr: '1e-5'\\n"
    """
    printable = "".join(mark if mark.isprintable() else " " for mark in heading)
    comment = f"# {' '.join(printable.split())}\n" if heading else ""
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return f"{comment}{text}"
