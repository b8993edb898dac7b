"""The errors that a user can cause, each with its exit code on the command line.

A message says what was expected, what was given, and the nearest remedy. Any other exception that
escapes is a bug in `mtl`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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
    near = get_close_matches(str(word), list(choices), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
