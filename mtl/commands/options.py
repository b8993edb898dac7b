"""Options and habits that commands share: the same words, the same help, results on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mtl.cache import CACHE_BYTES
from mtl.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

runs_option = click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of runs.",
)
device_option = click.option(
    "--device", metavar="NAME", help="cpu, cuda or cuda:1.  [default: cuda where there is one]"
)
wandb_option = click.option(
    "--wandb",
    type=click.Choice(["online", "offline", "disabled"]),
    help="Weights & Biases.  [default: $WANDB_MODE; online with a key, else offline]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
bad_row_option = click.option(
    "--on-bad-row",
    type=click.Choice(["error", "skip"]),
    default="error",
    show_default=True,
    help="Refuse data with a bad row, or leave the row out and count it.",
)
cache_size_option = click.option(
    "--cache-size",
    type=click.FloatRange(min=0),
    default=CACHE_BYTES / 1e9,
    show_default=True,
    metavar="GB",
    help="Disk for what frozen layers compute, shared by all runs; 0 keeps nothing. It changes speed, never a result.",
)


workers_option = click.option(
    "--workers", type=click.IntRange(1), help="Runs at a time.  [default: one a GPU, or one a core]"
)
retry_option = click.option(
    "--retry",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="More tries for a run that fails.",
)


@contextmanager
def going_on_later() -> Iterator[None]:
    """Turn an interruption, after which the same command goes on, into its words and its exit code."""
    from mtl.training.interrupt import Interrupted
    from mtl.training.progress import tell

    try:
        yield
    except Interrupted as interrupted:
        tell("Interrupted; the same command goes on from here.")
        click.get_current_context().exit(128 + interrupted.signal_number)


def refuse_no_folder(runs: Path) -> None:
    """Raises ConfigError where the folder of runs to read from is none; the default one may be absent."""
    source = click.get_current_context().get_parameter_source("runs")
    if not runs.is_dir() and (runs.exists() or source is not click.core.ParameterSource.DEFAULT):
        raise ConfigError(
            f"--runs {runs}: {'a file, not a folder' if runs.exists() else 'no such folder'}."
        )


def refuse_a_file(folder: Path, option: str = "--runs") -> None:
    """Raises ConfigError where an option's folder cannot be made because a file is in the way."""
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise ConfigError(
                f"{option} {folder}: {'' if path == folder else f'{path} is '}a file, not a folder."
            )


def print_json(value: Any) -> None:
    """Print a value as JSON; NaN is refused."""
    click.echo(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False))


def stdout(width: int = 120) -> Console:
    """A rich console for results: as wide as the terminal, or `width` columns in a pipe or file."""
    from rich.console import Console

    from mtl.training.progress import is_terminal

    # Away from a terminal rich assumes 80 columns and would cut words; whoever sets COLUMNS gets those.
    own = is_terminal(sys.stdout) or "COLUMNS" in os.environ
    return Console(highlight=False, markup=False, emoji=False, width=None if own else width)
