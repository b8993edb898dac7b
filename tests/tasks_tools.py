"""Shared by the tests of `mtl tasks`: files in the working folder, and calls of commands."""

from __future__ import annotations

from pathlib import Path

from click.testing import Result

from mtl.errors import MtlError
from tests.cli_tools import mtl


def write(path: str, text: str) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def done(*words: str | Path) -> str:
    """What a command prints that succeeds."""
    result = mtl(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*words: str) -> list[str]:
    """The lines of the error of a command that is wrong. It prints nothing else."""
    result: Result = mtl(*words)
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit | MtlError)
    assert result.stdout == ""
    return result.stderr.removeprefix("Error: ").splitlines()
