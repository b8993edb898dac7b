"""Makes given text harmless before it is rendered: one line, visible, of bounded length.

Controls and line ends become spaces or marks, and the controls that turn the direction of text
around (a name could hide or forge its neighbours with them) are written out: `[U+202E]`. What a
rendering's own syntax would obey is its own business.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import fields, is_dataclass, replace
from typing import Any

from mtl.report.document import Cell, Column, Example, Figure

MOST = 600
"""Characters of a cell, a sentence or a name; the rest is cut, and a mark says so."""

MOST_PROSE = 10_000
"""Characters of a paragraph, which may list the names of many arms."""

_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNSEEN = re.compile("[\u00ad\u200b\u2060-\u2064\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")


def clean(value: str, most: int = MOST) -> str:
    """`value` on one line, printable, cut to `most` characters."""
    length = len(value)
    value = value[: 2 * most]
    value = " ".join(_UNSEEN.sub("", value).split())
    value = _DIRECTION.sub(lambda match: f"[U+{ord(match[0]):04X}]", value)
    value = "".join(
        "\ufffd" if unicodedata.category(mark) in ("Cc", "Cs") else mark for mark in value
    )
    if len(value) <= most and length <= 2 * most:
        return value
    return f"{value[:most].rstrip()} [… cut, {length} characters]"


def cleaned(value: Any, most: int = MOST_PROSE) -> Any:
    """The same object with every text in it cleaned: dataclasses, tuples, lists and dicts."""
    if isinstance(value, str):
        return clean(value, most)
    if is_dataclass(value) and not isinstance(value, type):
        most = MOST if isinstance(value, Cell | Column | Example | Figure) else most
        return replace(
            value,
            **{field.name: cleaned(getattr(value, field.name), most) for field in fields(value)},
        )
    if isinstance(value, dict):
        return {cleaned(key, most): cleaned(item, most) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(cleaned(item, most) for item in value)
    return value
