"""A document's tables as CSV, for other programs, and as LaTeX, for papers."""

from __future__ import annotations

import csv
import io
import re

from mtl.grid.wording import NOTHING
from mtl.report.document import TICK, Document, Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "→": r"$\rightarrow$",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    TICK: r"\checkmark{}",
}
_ALIGNED = {"text": "l", "number": "r", "ticks": "c"}


def csv_files(document: Document) -> dict[str, str]:
    """Every table as a CSV file: name -> text."""
    return {f"{table.name}.csv": to_csv(table) for table in document.tables()}


def latex_files(document: Document) -> dict[str, str]:
    """Every table as a LaTeX file, for a document that loads booktabs and amssymb."""
    return {f"{table.name}.tex": to_latex(table) for table in document.tables()}


def to_csv(table: Table) -> str:
    """Cells as they are shown.

    Beside each column of numbers stands one with the number alone, at full precision.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    heads: list[str] = []
    for column in table.columns:
        heads += (
            [column.title, f"{column.title} (number)"]
            if column.kind == "number"
            else [column.title]
        )
    writer.writerow([_unformula(head) for head in heads])
    for row in table.rows:
        cells: list[str] = []
        for column, cell in zip(table.columns, row, strict=True):
            cells.append(_unformula(cell.text))
            if column.kind == "number":
                cells.append("" if cell.sort is None else str(cell.sort))
        writer.writerow(cells)
    return buffer.getvalue()


def to_latex(table: Table) -> str:
    """A tabular with booktabs' rules; the caption is a comment, to be used or not."""
    caption = " ".join(table.caption.split())
    shape = "".join(_ALIGNED[column.kind] for column in table.columns)
    lines = [f"% {caption}", rf"\begin{{tabular}}{{{shape}}}"]
    lines += [r"\toprule", _line([column.title for column in table.columns]), r"\midrule"]
    lines += [_line([cell.text for cell in row]) for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex(value: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_LATEX.get(mark, mark) for mark in value)


def _line(cells: list[str]) -> str:
    protected = [latex(cell) for cell in cells]
    # A row that begins with [ would be read as the spacing of the row before it.
    if protected[0].startswith(("[", "*")):
        protected[0] = f"{{}}{protected[0]}"
    return f"{' & '.join(protected)} \\\\"


def _unformula(value: str) -> str:
    """A cell that spreadsheets would run as a formula gets an apostrophe in front.

    Numbers and intervals, as this report writes them, begin with a sign and are none.
    """
    if value == NOTHING or _NUMBERS.fullmatch(value):
        return value
    return f"'{value}" if _FORMULA.match(value) else value


_FORMULA = re.compile(r"[\t\r\n]|[\s\u200b-\u200f\u2060\ufeff]*[-=+@\uff1d\uff0b\uff0d\uff20]")
"""The beginning of a formula, also in full width or behind marks without width."""
_NUMBER = r"[-+\u2212]?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?%?"
_NUMBERS = re.compile(
    rf"{_NUMBER}(?: \u00b1 {_NUMBER})?(?: \[{_NUMBER}, {_NUMBER}\])?(?: \((?:sd, )?n=[0-9]+\))?"
)
