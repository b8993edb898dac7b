"""The errors a user can cause, each with the exit code the command line gives it.

Messages say what was expected, what came, and the nearest remedy. Anything else that escapes is a defect of `mtl`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class MtlError(Exception):
    """A problem that the user can mend; printed as one message, never as a traceback."""

    exit_code = 1


class ConfigError(MtlError):
    """A setting that cannot be: unknown key, wrong type, or toggles that exclude each other."""

    exit_code = 2


class DataError(MtlError):
    """A data file or row that cannot be read; the message names the file, the line and the column."""

    exit_code = 2


class EncoderError(MtlError):
    """Encoder files that are missing, damaged, or do not fit together."""

    exit_code = 2


class RunError(MtlError):
    """A run's folder that is missing, incomplete, damaged or in use."""

    exit_code = 1


class RunInUse(RunError):
    """Another process holds the run's folder."""


def suggestion(word: object, choices: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest of `choices`, or an empty string where none is near."""
    near = get_close_matches(str(word), list(choices), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
