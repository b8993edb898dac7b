"""How commands print results: JSON, and tables on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_json(value: Any) -> None:
    """Print a value as JSON. NaN is refused."""
    click.echo(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False))


def stdout(width: int = 120) -> Console:
    """A rich console for results: as wide as the terminal, or `width` columns in a pipe or file."""
    from rich.console import Console

    from mtl.training.progress import is_terminal

    # Away from a terminal rich assumes 80 columns and cuts words. A COLUMNS variable is obeyed.
    known = is_terminal(sys.stdout) or "COLUMNS" in os.environ
    return Console(highlight=False, markup=False, emoji=False, width=None if known else width)


def make_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]] = (),
    *,
    numbers: Collection[int] = (),
    title: str | None = None,
) -> Table:
    """A table in the style of all commands. Columns at the indices in `numbers` align right.

    Text columns keep a width of 5, enough for the name of a split.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_edge=False
    )
    for index, name in enumerate(columns):
        if index in numbers:
            table.add_column(name, overflow="fold", justify="right")
        else:
            table.add_column(name, overflow="fold", min_width=5)
    for row in rows:
        table.add_row(*row)
    return table
