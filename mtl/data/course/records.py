"""Split tab- or comma-separated text into records, with lines and the places of quoting faults.

The standard `csv` module splits, in strict mode. If it refuses a record, `_diagnose` reads the
record again to find the place of the fault: an unclosed quote is noticed far below its line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mtl.data.course.cells import MAX_CELL


@dataclass(frozen=True, kw_only=True)
class Record:
    """The cells of a record, and its first and last line in the file, from 1."""

    line: int
    last: int
    cells: list[str]

    def swallows(self, following: Record) -> bool:
        """Whether a quote that closed too late made the next rows part of a cell.

        The row numbers of the first column show it: the number of `following` jumps ahead, and the
        missing number begins a line inside a cell.
        """
        try:
            number, after = int(self.cells[0]), int(following.cells[0])
        except ValueError:
            return False
        return after > number + 1 and any(f"\n{number + 1}\t" in cell for cell in self.cells)


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A record with a quoting fault: its first line, and the line and cell (from 0) of the fault.

    `fatal`: the end of the record is unknown, so the rest of the file cannot be read.
    """

    line: int
    opened: int
    cell: int
    message: str
    fatal: bool


def split_records(
    lines: Iterable[str], start: int = 1, delimiter: str = "\t"
) -> Iterator[Record | Broken]:
    """The records of a text in order, without blank lines. A fatal fault ends them.

    `lines` end in a line feed, the first is line `start` of its file. They are read as needed.
    """
    read: list[str] = []  # the lines of the current record

    def remembered() -> Iterator[str]:
        for line in lines:
            read.append(line)
            yield line

    reader = csv.reader(remembered(), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + start
        read.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            last = reader.line_num + start - 1
            fault = _diagnose("".join(read), line, last, str(error), delimiter)
            yield fault
            if fault.fatal:
                return
            continue
        if cells:
            yield Record(line=line, last=reader.line_num + start - 1, cells=cells)


def _diagnose(text: str, line: int, last: int, reason: str, delimiter: str) -> Broken:
    """The fault of a record that begins in `line` and that csv refused in line `last`."""
    state = "start"  # of a cell; then "plain", "quoted" or "closing" (after a quote in quotes)
    here, cell, opened, size = line, 0, (line, 0), 0

    def broken(message: str, place: tuple[int, int], fatal: bool) -> Broken:
        return Broken(line=line, opened=place[0], cell=place[1], message=message, fatal=fatal)

    for place, char in enumerate(text):
        size += 1
        if state == "quoted":
            state = "closing" if char == '"' else "quoted"
        elif char == delimiter:
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
