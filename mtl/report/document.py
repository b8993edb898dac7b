"""The content of a report: sections of paragraphs, tables, figures and lists.

Every rendering (Markdown, HTML, LaTeX, CSV) is of the same document. All text here is plain: a
rendering escapes it, so that arm names, claims and sentences of the data are shown and never
obeyed. Figures are named here and drawn elsewhere; `data` is all that their drawing shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mtl.grid.wording import NOTHING

Kind = Literal["text", "number", "ticks"]
"""How a column reads: to the left; to the right with tabular figures; ticks in the middle."""

Tone = Literal["plain", "verdict", "note", "warning"]
"""Running text; the answer, set off; small print; a caution."""

TICK = "✓"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: its text, and the value that sorts the column.

    None sorts last, as unknown. Text sorts as text.
    """

    text: str
    sort: float | str | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column's title and kind."""

    title: str
    kind: Kind = "text"


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """Running text."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under columns.

    `name` is the name of its file in other forms, `caption` explains the numbers.
    """

    name: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.name}: a row of {len(row)} cells under {len(self.columns)} "
                    "columns"
                )


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture by name, and the plain data that it is drawn from.

    Equal data give equal pictures.

    `drawing` names how it is drawn, `alt` says in words what is to be seen.
    """

    name: str
    drawing: str
    caption: str
    alt: str
    data: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A list of statements, one line each."""

    items: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row of the data: what it shows, its id, and what a run predicted.

    `sentences` is empty where they may not show.
    """

    what: str
    id: str
    numbers: str
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ExampleList:
    """Rows of the data that tell something about a run. `title` says of which task and run."""

    title: str
    items: tuple[Example, ...]


Block = Paragraph | Table | Figure | Listing | ExampleList


@dataclass(frozen=True, kw_only=True)
class Section:
    """A titled part. `key` is its anchor: lower-case letters, digits and dashes."""

    title: str
    key: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A whole report. `name` is that of the grid or run, `lead` its question."""

    name: str
    title: str
    lead: str
    sections: tuple[Section, ...]

    def figures(self) -> list[Figure]:
        """All figures, in order."""
        return [block for block in self.blocks() if isinstance(block, Figure)]

    def tables(self) -> list[Table]:
        """All tables, in order."""
        return [block for block in self.blocks() if isinstance(block, Table)]

    def blocks(self) -> Iterator[Block]:
        """All blocks, in order."""
        for section in self.sections:
            yield from section.blocks


def text(value: str) -> Cell:
    """A cell of words, sorted as text."""
    return Cell(text=value, sort=value)


def number(value: float | None, form: str = ".3f") -> Cell:
    """A cell of one number; None shows as nothing and sorts last."""
    return Cell(text=NOTHING if value is None else format(value, form), sort=value)


def tick(on: bool) -> Cell:
    """A cell with a tick, or none."""
    return Cell(text=TICK if on else "", sort=float(on))


def columns(*titles: str, kinds: str) -> tuple[Column, ...]:
    """Columns by title; `kinds` has a letter for each: t text, n number, x ticks."""
    names: dict[str, Kind] = {"t": "text", "n": "number", "x": "ticks"}
    return tuple(
        Column(title=title, kind=names[kind]) for title, kind in zip(titles, kinds, strict=True)
    )


def table(
    name: str, heads: Sequence[Column], rows: Iterable[Sequence[Cell]], caption: str = ""
) -> Table:
    """A table from any sequences."""
    return Table(
        name=name, columns=tuple(heads), rows=tuple(tuple(row) for row in rows), caption=caption
    )
