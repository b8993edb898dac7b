"""Options and habits that commands share: the same words, the same help, results on stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

runs_option = click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="The folder of runs."
)
device_option = click.option(
    "--device", metavar="NAME", help="cpu, cuda or cuda:1.  [default: cuda where there is one]"
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


def print_json(value: Any) -> None:
    """Print a value as JSON; NaN is refused."""
    click.echo(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False))


def stdout() -> Console:
    """A rich console for results: as wide as the terminal, or wide enough for a table in a pipe."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)
