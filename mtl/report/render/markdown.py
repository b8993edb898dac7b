"""A document as Markdown that reads the same on GitHub and in any CommonMark renderer with tables.

Text is shown and never obeyed: what Markdown, HTML or GitHub's mathematics would act on is escaped
in one place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mtl.grid.wording import NOTHING
from mtl.report.document import (
    Block,
    Column,
    Document,
    ExampleList,
    Figure,
    Listing,
    Paragraph,
    Section,
    Table,
)

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "$": "&#36;", "@": "&#64;"}
_ALIGNED = {"text": ":---", "number": "---:", "ticks": ":---:"}


def escape(value: str) -> str:
    """Text that renders as itself, inside a line, a table's cell or at the beginning of a block.

    Backslashes go before what Markdown would act on where it stands; what ends a cell or begins a
    tag or a formula is written as an entity, since tables and formulas are cut out before
    backslashes are read.
    """
    value = re.sub(r"[\\`*~]", r"\\\g<0>", value)
    value = re.sub(r"[&<>|$@]", lambda match: _ENTITIES[match[0]], value)
    value = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", value)  # between letters it is no emphasis
    value = re.sub(r"\](?=[(\[:])", r"\\]", value)  # with what follows it would be a link
    value = value.replace("://", "&#58;//").replace(
        "www.", "www&#46;"
    )  # GitHub makes links of bare addresses
    value = re.sub(r"^(\d{1,9})([.)])(?=\s|$)", r"\1\\\2", value)  # a numbered list
    return re.sub(
        r"^[-+#=\[](?=[\s#=\[^x-]|$)", r"\\\g<0>", value
    )  # a list, a heading, a rule, a footnote


def render(document: Document, figures: str) -> str:
    """The whole document; `figures` is the folder of the pictures, seen from the file."""
    parts = [f"# {escape(document.title)}"]
    if document.lead:
        parts.append(escape(document.lead))
    for section in document.sections:
        parts.append(_section(section, figures))
    return "\n\n".join(parts) + "\n"


def _section(section: Section, figures: str) -> str:
    blocks = [_block(block, figures) for block in section.blocks]
    return "\n\n".join([f"## {escape(section.title)}", *blocks])


def _block(block: Block, figures: str) -> str:
    if isinstance(block, Figure):
        return f"![{_label(block.alt)}]({figures}/{block.name}.svg)\n\n*{escape(block.caption)}*"
    return _FORMS[type(block)](block)


def _label(value: str) -> str:
    """Text for the label of an image: no bracket may end it."""
    return re.sub(r"(?<!\\)[\[\]]", r"\\\g<0>", escape(value))


def _paragraph(block: Paragraph) -> str:
    shown = escape(block.text)
    if block.tone == "verdict":
        return f"**{shown}**"
    return {"plain": shown, "note": f"*{shown}*", "warning": f"> {shown}"}[block.tone]


def _table(block: Table) -> str:
    lines = [
        _row([escape(column.title) for column in block.columns]),
        _row(_alignments(block.columns)),
    ]
    lines += [_row([_cell(cell.text) for cell in row]) for row in block.rows]
    below = f"\n\n*{escape(block.caption)}*" if block.caption else ""
    return "\n".join(lines) + below


def _alignments(columns: Sequence[Column]) -> list[str]:
    return [_ALIGNED[column.kind] for column in columns]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: str) -> str:
    return value if value == NOTHING else escape(value)


def _listing(block: Listing) -> str:
    return "\n".join(f"- {escape(item)}" for item in block.items)


def _examples(block: ExampleList) -> str:
    lines = [f"**{escape(block.title)}**", ""]
    for item in block.items:
        lines.append(f"- {escape(item.what)}: {escape(item.numbers)} ({escape(item.id)})")
        lines += [f"  - “{escape(sentence)}”" for sentence in item.sentences]
    return "\n".join(lines)


_FORMS: dict[type, Callable[..., str]] = {
    Paragraph: _paragraph,
    Table: _table,
    Listing: _listing,
    ExampleList: _examples,
}
