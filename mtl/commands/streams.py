"""The standard streams: their encoding and width never end a command."""

from __future__ import annotations

import io
import os
import sys


def prepare_streams() -> None:
    """Print characters that a stream cannot encode as escapes, and ignore a width of nothing.

    A closed stream becomes the null device. Else the next file that is opened would get its number,
    and a library that prints would write into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    columns = os.environ.get("COLUMNS", "")
    if not columns.isdecimal() or int(columns) == 0:
        os.environ.pop("COLUMNS", None)
