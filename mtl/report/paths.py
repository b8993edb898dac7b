"""Keeps folders of this machine out of reports."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

_ABSOLUTE = re.compile(r"(?<![\w./~:])(?:~|/[\w.@+-]+)(?:/[\w.@+-]+)*/([\w.@+-]+)")


def without_paths(text: str, root: Path) -> str:
    """Text, such as a reason, without the folder `root` of the runs.

    Of other paths the last part stays.
    """
    for folder in (f"{root}{os.sep}", f"{root.resolve()}{os.sep}"):
        text = text.replace(folder, "")
    return _ABSOLUTE.sub(r"\1", text)


def short_names(places: Iterable[str]) -> dict[str, str]:
    """A short name for each folder among settings.

    It is the last part of its path, or as many parts as tell it from the others.

    A name of the hub, or of what is built in, is no folder and stays.
    """
    folders = {
        place: Path(place).expanduser().resolve().parts
        for place in places
        if place[:1] in ("/", ".", "~")
    }
    for count in range(1, max(map(len, folders.values()), default=0) + 1):
        names = {place: "/".join(parts[-count:]) for place, parts in folders.items()}
        if len(set(names.values())) == len(set(folders.values())):
            return names
    return {}


def shortened(text: str, short: Mapping[str, str]) -> str:
    """Text with the short name of every folder, also inside names made of it; the longest first."""
    if text in short:
        return short[text]
    for place in sorted(short, key=len, reverse=True):
        text = text.replace(place, short[place]) if len(place) > 3 else text
    return text


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """The same plain data with every text in it changed, keys too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): each_text(item, change) for key, item in value.items()}
    return [each_text(item, change) for item in value] if isinstance(value, list | tuple) else value
