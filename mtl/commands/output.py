"""The file that a user names with `--output`, for every command that writes one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from mtl.errors import ConfigError, RunError
from mtl.files import replacing


class Output:
    """A file to write: a plain file, which is replaced in one piece, or a device or a pipe.

    A link is followed, so that it stays a link. Raises ConfigError where no file can be written.
    """

    def __init__(self, named: Path) -> None:
        self.named = named
        try:
            if named.is_dir():
                raise ConfigError(f"--output {named}: a folder. Name a file.")
            self.stream = named.exists() and not named.is_file()
            self.path = named if self.stream else named.resolve(strict=False)
        except (OSError, RuntimeError) as error:
            raise ConfigError(f"--output {named}: {_reason(error)}.") from None
        if not self.path.parent.is_dir():
            raise ConfigError(
                f"--output {named}: no such folder: {self.path.parent}. Create it first."
            )


def _reason(error: OSError | RuntimeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "a link to itself"


@contextmanager
def writing(output: Output | None) -> Iterator[Callable[[str], object]]:
    """A function that writes text to an output, or to standard output.

    Raises RunError where the output cannot be written, and click's error for a closed one.
    """
    if output is None:
        yield partial(click.echo, nl=False)
        return
    try:
        with output.path.open("wb") if output.stream else replacing(output.path) as file:
            yield lambda text: file.write(text.encode())
    except OSError as error:
        raise RunError(
            f"--output {output.named}: cannot be written: {error.strerror or error}."
        ) from None
