"""A report as one HTML page that stands alone: no network, no other file, no script but its own.

What keeps hostile text harmless: Jinja2 escapes every value; characters that would not show as
themselves (controls, marks that turn the direction of reading) are shown by their code point;
pictures are images of `data:` addresses, in which no script runs; and a Content-Security-Policy
forbids whatever is not named by its hash. Without JavaScript the tables are plain ones. The
template, its style and its script lie in `page/`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any
from xml.etree import ElementTree

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mtl.grid.wording import NOTHING
from mtl.report.document import (
    Block,
    Cell,
    Document,
    ExampleList,
    Figure,
    Listing,
    Paragraph,
    Section,
    Table,
)

LONG_SECTION = 60
"""Lines from which a section starts folded; the first one never does, since it is the answer."""
LONG_CELL = 300
"""Characters from which a cell gets a scroll bar of its own."""
PROSE = 20
"""Characters from which a cell is given room for a few words a line."""
WIDE_TABLE = 9
"""Columns from which a table is set in smaller type."""
BOX_ROWS = 15
"""Rows that a table's box shows at once: those beyond it take no more room on the page."""

TONES = {
    "helps": "good",
    "reproduced": "good",
    "hurts": "bad",
    "contradicted": "bad",
    "undecided": "open",
    "no difference": "quiet",
    "no verdict": "quiet",
}
"""The colour of a verdict's cell, by its first words."""

_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but for tab and line end
    # unseen characters, and those that turn the direction of reading
    "\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\ufffe\uffff"  # halves of characters, which no file can hold, and what is none
    "\U000e0000-\U000e0fff]"  # tags, unseen
)
_ARXIV = re.compile(r"\barXiv:(\d{4}\.\d{4,5})\b")
_SVG = "http://www.w3.org/2000/svg"
_LINK = "http://www.w3.org/1999/xlink"
_SVG_ACTIVE = {
    "script",
    "foreignObject",
    "iframe",
    "a",
    "set",
    "animate",
    "animateTransform",
    "animateMotion",
    "handler",
}
_SVG_LINKS = ("#", "data:image/png;base64,")
"""The links that a drawing may have: into itself, and to the colours of a heat map."""


def page(document: Document, figures: Mapping[str, bytes]) -> str:
    """The whole page.

    `figures` holds an SVG or PNG file for the name of every figure. Raises ValueError where one is
    missing.
    """
    missing = [figure.name for figure in document.figures() if figure.name not in figures]
    if missing:
        raise ValueError(
            f"no picture for figure {missing[0]!r}; there are "
            f"{', '.join(sorted(figures)) or 'none'}"
        )
    style, script = (_part(name) for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src "
        f"{_hash(script)}; base-uri 'none'; form-action 'none'; require-trusted-types-for "
        "'script'; trusted-types 'none'"
    )
    return (
        _environment()
        .get_template("page.html")
        .render(
            document=document,
            pictures={name: picture(content) for name, content in figures.items()},
            style=Markup(style),
            script=Markup(script),
            policy=policy,
        )
        .lstrip()
    )


def picture(content: bytes) -> str:
    """The `data:` address of a picture.

    An SVG is first stripped of whatever acts or fetches. Raises ValueError for other formats.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return f"data:image/png;base64,{base64.b64encode(content).decode()}"
    try:
        clean = _clean_svg(content)
    except ElementTree.ParseError as error:
        raise ValueError(
            f"a picture must be SVG or PNG; this one begins {content[:20]!r} ({error})"
        ) from None
    return f"data:image/svg+xml;base64,{base64.b64encode(clean).decode()}"


def visible(value: Any) -> Any:
    """Text in which every character shows.

    Controls, direction marks and the like show as their code point: `[U+202E]`.
    """
    if value is None or isinstance(value, Markup):
        return value
    return _UNSHOWN.sub(lambda found: f"[U+{ord(found[0]):04X}]", str(value).replace("\r\n", "\n"))


def linked(value: str) -> Markup:
    """Text with a link at each `arXiv:` number.

    No other address becomes a link, since anybody may have written the text.
    """
    first, *others = _ARXIV.split(value)
    pieces = [Markup.escape(visible(first))]
    for number, rest in zip(others[::2], others[1::2], strict=True):
        pieces.append(
            Markup('<a href="https://arxiv.org/abs/{0}" rel="noreferrer">arXiv:{0}</a>').format(
                number
            )
        )
        pieces.append(Markup.escape(visible(rest)))
    return Markup("").join(pieces)


def parts(value: str) -> list[str]:
    """The parts of a number's cell that stay on one line.

    `0.812 ± 0.006` and `(sd, n=3)`; `+0.03` and `[+0.01, +0.05]`.
    """
    return re.split(r" (?=[(\[])", value)


def lines(section: Section) -> int:
    """How many lines a section takes, roughly."""
    return sum(_lines(block) for block in section.blocks)


def tone(cell: Cell) -> str | None:
    """The colour of a verdict, or None for any other text."""
    if cell.text == NOTHING:
        return "quiet"
    return next((TONES[word] for word in TONES if re.match(rf"{word}\b", cell.text)), None)


def _lines(block: Block) -> int:
    match block:
        case Table():
            return min(len(block.rows), BOX_ROWS) + 3
        case Listing():
            return len(block.items)
        case ExampleList():
            return sum(2 + len(item.sentences) for item in block.items)
        case Figure():
            return BOX_ROWS
        case Paragraph():
            return 1 + len(block.text) // 90


def _clean_svg(content: bytes) -> bytes:
    """The drawing alone: no scripts, handlers, animation or other documents, no links out."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    root = ElementTree.fromstring(content)
    if root.tag != f"{{{_SVG}}}svg":
        raise ValueError(f"a picture must be SVG or PNG; this one's root is {root.tag!r}")
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in _SVG_ACTIVE:
                parent.remove(child)
        for name, value in list(parent.attrib.items()):
            local = name.rpartition("}")[2].lower()
            leads_out = local == "href" and not value.startswith(_SVG_LINKS)
            if local.startswith("on") or leads_out or re.search(r"url\((?!['\"]?#)", value):
                del parent.attrib[name]
        if parent.tag == f"{{{_SVG}}}style" and re.search(r"@import|url\(", parent.text or ""):
            parent.text = ""
    return bytes(ElementTree.tostring(root))


def _part(name: str) -> str:
    return (resources.files("mtl.report.render") / "page" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _kind(block: Block) -> str:
    return type(block).__name__.lower()


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mtl.report.render", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=visible,
    )
    environment.filters |= {
        "kind": _kind,
        "linked": linked,
        "lines": lines,
        "parts": parts,
        "tone": tone,
    }
    environment.globals |= {
        "LONG_SECTION": LONG_SECTION,
        "LONG_CELL": LONG_CELL,
        "PROSE": PROSE,
        "WIDE_TABLE": WIDE_TABLE,
    }
    return environment
