"""Cutting tab-separated text into records, with the line where each began and where a stray quote opened.

The standard `csv` module does the cutting, in strict mode. Where it refuses a record, the record is walked once more by
its rules to say where the trouble began: a quote that is never closed surfaces far below the line that opened it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from mtl.data.course.cells import MAX_CELL


@dataclass(frozen=True, kw_only=True)
class Record:
    """The cells of one record and its first and last line in the file, counted from 1."""

    line: int
    last: int
    cells: list[str]

    def swallows(self, following: Record) -> bool:
        """Whether a quote closed too late made rows part of a cell.

        The row numbers of the first column tell: the next row's jumps ahead, and the missing number stands in a cell
        at the start of a line.
        """
        try:
            number, after = int(self.cells[0]), int(following.cells[0])
        except ValueError:
            return False
        return after > number + 1 and any(f"\n{number + 1}\t" in cell for cell in self.cells)


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A record with a quoting fault: its first line, the line and cell (from 0) of the fault, and what is wrong.

    `fatal`: where it ends cannot be known, so what follows in the file cannot be trusted either.
    """

    line: int
    opened: int
    cell: int
    message: str
    fatal: bool


def split_records(text: str) -> Iterator[Record | Broken]:
    """The records of `text` in order; blank lines are left out. Nothing follows a fatal fault."""
    # newline="\n": only a line feed ends a line, so U+2028 or a carriage return in a text cannot.
    lines = list(io.StringIO(text, newline="\n"))
    reader = csv.reader(lines, delimiter="\t", strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = _diagnose(
                "".join(lines[line - 1 : reader.line_num]), line, reader.line_num, str(error)
            )
            yield fault
            if fault.fatal:
                return
            continue
        if cells:
            yield Record(line=line, last=reader.line_num, cells=cells)


def _diagnose(text: str, line: int, last: int, reason: str) -> Broken:
    """What is wrong with the record `text` that begins in `line` and that csv refused in line `last` for `reason`."""
    state = "start"  # of a cell; then plain, quoted, or closing (after a quote inside quotes)
    here, cell, opened, size = line, 0, (line, 0), 0

    def broken(message: str, place: tuple[int, int], fatal: bool) -> Broken:
        return Broken(line=line, opened=place[0], cell=place[1], message=message, fatal=fatal)

    for place, char in enumerate(text):
        size += 1
        if state == "quoted":
            state = "closing" if char == '"' else "quoted"
        elif char == "\t":
            state, cell, size = "start", cell + 1, 0
        elif char == '"' and state != "plain":
            opened = (here, cell) if state == "start" else opened
            state = "quoted"
        elif state == "closing" and char not in "\r\n":
            where = f"the quote that opens here closes in line {here} with text after it"
            return broken(
                f"{where}. Quote the whole cell and double its inner quotes", opened, last > line
            )
        elif char == "\r" and text[place + 1 : place + 2] != "\n":
            return broken(
                "a carriage return stands alone in the row. Remove it, or quote the cell",
                (here, cell),
                last > line,
            )
        else:
            state = "plain"
        if char == "\n":
            here += 1
        if size > MAX_CELL and (state != "quoted" or last == line):
            limit = f"expected at most {MAX_CELL} characters, the cell has more"
            return broken(
                f"{limit}. Shorten it, or is a quote missing?", (here, cell), state == "quoted"
            )
    if state != "quoted":
        return broken(
            f"the row cannot be cut into cells ({reason}). Mend its quotes", (line, 0), last > line
        )
    end = f"within {MAX_CELL} characters" if size > MAX_CELL else "before the file ends"
    return broken(
        f"the quote that opens here is not closed {end}. Close it, or double it and quote the cell",
        opened,
        True,
    )
