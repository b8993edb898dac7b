"""The errors that a user can cause, each with its exit code on the command line.

A message says what was expected, what was given, and the nearest remedy. Any other exception that
escapes is a bug in `mtl`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from urllib.parse import unquote


class MtlError(Exception):
    """A problem that the user can fix. It is printed as one message, without a traceback."""

    exit_code = 1


class ConfigError(MtlError):
    """A setting that is not valid: an unknown key, a wrong type, or toggles that conflict."""

    exit_code = 2


class DataError(MtlError):
    """A data file or row that cannot be read. The message names file, line and column."""

    exit_code = 2


class EncoderError(MtlError):
    """Encoder files that are missing, damaged, or do not match each other."""

    exit_code = 2


class RunError(MtlError):
    """A run folder that is missing, incomplete, damaged or in use."""

    exit_code = 1


class RunInUse(RunError):
    """Another process has locked the run folder."""


def short(value: object) -> str:
    """A value as Python writes it, cut to 80 characters, for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def printable(text: str) -> str:
    """The text on one line, cut to 200 characters, without codes that a terminal would obey.

    >>> printable("train.\\x1b[31mlr")
    'train.\\\\x1b[31mlr'
    """
    text = text if len(text) <= 200 else f"{text[:200]}..."
    return escaped(text)


def escaped(text: str, keep: str = "") -> str:
    """The text with every mark escaped that does not print, such as a terminal's codes.

    >>> escaped("a\\x1b[31m\\nb", keep="\\n")
    'a\\\\x1b[31m\\nb'
    """
    return "".join(
        mark if mark.isprintable() or mark in keep else repr(mark)[1:-1] for mark in text
    )


def suggestion(word: object, choices: Iterable[str]) -> str:
    """The hint ` Did you mean 'x'?` for the nearest of `choices`, or "" if none is near.

    >>> suggestion("surgry", ["surgery", "schedule"])
    " Did you mean 'surgery'?"
    """
    names = list(choices)
    near = [name for name in names if name.casefold() == str(word).casefold()]
    near = near or get_close_matches(str(word), names, n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


HIDDEN = "***"
_LOGIN = re.compile(r"\b(?!sqlite)([A-Za-z][A-Za-z0-9+.-]*:/*)([^\s\"'<>]*)@")
"""A scheme and all up to the last @, whether or not it can be parsed."""
_VALUE = re.compile(
    r"([\w.-]*(?:passw|pwd|secret|token|api_?key|credential)[\w.-]*\s*(?:=|%3D)\s*)"
    r"('[^']*'|\"[^\"]*\"|[^&;\s'\"]+)",
    re.IGNORECASE,
)


def masked(text: str, url: str = "") -> str:
    """Text without the passwords of URLs and connection strings in it, nor those of `url`.

    A user's name stays where the URL is well formed. What cannot be parsed is hidden up to the
    last @.

    >>> masked("postgresql://me:secret@host/db?sslpassword=x")
    'postgresql://me:***@host/db?sslpassword=***'
    """
    for secret in _secrets(url):
        text = text.replace(secret, HIDDEN)
    return _VALUE.sub(rf"\g<1>{HIDDEN}", _LOGIN.sub(_hidden, text))


def _hidden(match: re.Match[str]) -> str:
    scheme, login = match.groups()
    user, colon, password = login.partition(":")
    if scheme.endswith("://") and not password and not colon:
        return match[0]  # a user alone
    known = scheme.endswith("://") and user and not set("/?#@") & set(user)
    return f"{scheme}{f'{user}:' if known else ''}{HIDDEN}@"


def _secrets(url: str) -> list[str]:
    """The passwords of a URL as libraries may quote them, longest first."""
    parts: set[str] = set()
    for match in _LOGIN.finditer(url):
        parts.add(match[2].partition(":")[2])
    parts |= {match[2] for match in _VALUE.finditer(url)}
    parts |= {unquote(part) for part in parts}
    # A password that holds an @ is cut by some parsers.
    parts |= {piece for part in parts for piece in part.split("@")}
    return sorted((part for part in parts if len(part) > 2), key=len, reverse=True)
