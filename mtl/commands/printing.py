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

LONG_TABLE = 500
"""Rows from which a table is printed without rich."""


def print_json(value: Any) -> None:
    """Print a value as JSON. NaN is refused. In ASCII where the stream takes no UTF-8."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    plain = not encoding.lower().startswith("utf")
    click.echo(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=plain))


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


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Collection[int] = ()
) -> None:
    """Print a table on stdout.

    rich takes a millisecond a row. A long table is laid out here, if no cell needs rich to cut it.
    """
    lines = None
    if len(rows) > LONG_TABLE:
        lines = _lines(columns, rows, numbers, stdout().width)
    if lines is None:
        stdout().print(make_table(columns, rows, numbers=numbers))
    else:
        click.echo("\n".join(lines))


def _lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int], width: int
) -> list[str] | None:
    """The lines that rich prints for a table, or None where they do not fit or hold other text."""
    cells = [columns, *rows]
    if not all(cell.isascii() and cell.isprintable() for row in cells for cell in row):
        return None
    indices = range(len(columns))
    widths = [
        max(0 if index in numbers else 5, *(len(row[index]) for row in cells)) for index in indices
    ]
    total = sum(widths) + 3 * (len(widths) - 1)
    if total > width:
        return None
    aligned = [
        "   ".join(
            row[index].rjust(widths[index]) if index in numbers else row[index].ljust(widths[index])
            for index in indices
        )
        for row in cells
    ]
    return [aligned[0], "─" * total, *aligned[1:]]
