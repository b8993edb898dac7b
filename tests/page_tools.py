"""Shared by the tests of a report's page: a sample document, hostile text, and a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mtl.report.document import (
    Block,
    Cell,
    Document,
    Example,
    ExampleList,
    Figure,
    Listing,
    Paragraph,
    Section,
    columns,
    number,
    table,
    text,
    tick,
)
from mtl.report.render.html import page
from tests.browser import Browser, programs, start

needs_chromium = pytest.mark.skipif(
    programs() is None,
    reason="Chromium or its driver is absent: apt-get install chromium chromium-driver",
)
SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="600" height="200"><circle cx="9" cy="9" '
    b'r="9" fill="#c00"/></svg>'
)
ARMS = ["baseline", "arm 2", "failed arm", "arm 10", "frozen, sts only", "SMART", "joined pairs"]
OVERALL: list[float | None] = [0.61, 0.7, None, 0.605, -0.1, 1e-5, 0.7]
COSTS = "100 s,9 s,20 s,8 s,30 s,7 s,0 s".split(",")


def sample() -> Document:
    """A report with one of everything: a table wider than a phone, a figure, a long section."""
    heads = columns(
        "arm",
        "freezing",
        "overall",
        *[f"score {i}" for i in range(9)],
        "cost",
        kinds="txn" + "n" * 9 + "t",
    )
    rows = [
        [
            text(arm),
            tick(place % 2 == 0),
            Cell(text="missing" if overall is None else f"{overall:.2f} ± 0.01", sort=overall),
            *[number(place + i / 10, ".2f") for i in range(9)],
            Cell(text=cost, sort=float(cost.split()[0])),
        ]
        for place, (arm, overall, cost) in enumerate(zip(ARMS, OVERALL, COSTS, strict=True))
    ]
    flips = tuple(
        Example(what=f"flip {i}", id=f"{i:04x}", numbers="0.2, 0.9", sentences=("good film",))
        for i in range(30)
    )
    small = table(
        "confusion",
        columns("gold", "0", "1", kinds="tnn"),
        [[text("0"), number(3, "d"), number(1, "d")]],
    )
    parts: dict[str, tuple[Block, ...]] = {
        "verdict": (Paragraph(text="frozen helps", tone="verdict"), Listing(items=("one", "two"))),
        "results": (table("results", heads, rows, "Mean ± sd."),),
        "figures": (
            Figure(
                name="effects", drawing="effects", caption="Effects.", alt="one red circle", data={}
            ),
            small,
        ),
        "flips": (ExampleList(title="Flipped", items=flips),),
        "methods": (
            Paragraph(text="Yu et al., arXiv:2001.06782; see https://example.org/x", tone="note"),
        ),
    }
    sections = tuple(
        Section(title=key.title(), key=key, blocks=blocks) for key, blocks in parts.items()
    )
    return Document(
        name="sample", title="Does freezing help?", lead="Three seeds.", sections=sections
    )


ATTACKS = [
    "<script>window.hostile = 1</script>",
    "</script><script>window.hostile = 2</script>",
    "</style></title></textarea>--><script>window.hostile = 3</script>",
    "\"><img src=x onerror='window.hostile = 4'><svg onload=window.hostile=5>",
    "' onmouseover='window.hostile=6' onfocus='window.hostile=7' autofocus tabindex=0 x='",
    "javascript:window.hostile=8",
    "{{ 7 * 7 }}{% raw %}${window.hostile=9}",
    "&lt;b&gt; &amp; ]]> <!-- | ` $x$ \\",
    "<iframe src='http://127.0.0.1:9/leak'></iframe><link rel=stylesheet href=//127.0.0.1:9/leak>",
    "\u202egnp.exe\u2066 \u200f\ud800 \x00\x1b[31m nul",
    "w" * 100_000,
    "many words " * 9_000,
]
ACTIVE_SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
onload="parent.hostile=10" width="90" height="90"><script>parent.hostile=11</script><style>@import url(http://127.0.0.1:9/leak);</style>
<image xlink:href="http://127.0.0.1:9/leak"/><image xlink:href="data:image/png;base64,AAAA"/>
<a xlink:href="javascript:parent.hostile=12"><text>x</text></a><use xlink:href="#shape"/>
<rect id="shape" style="fill: url(http://127.0.0.1:9/leak)" clip-path="url(#box)" width="9"
height="9"/>
<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"><iframe src="http://127.0.0.1:9/leak"/></body></foreignObject></svg>"""


def hostile() -> Document:
    """A report in which every piece of text is an attack."""
    heads = columns(*ATTACKS[:6], kinds="txnttt")
    rows = [
        [text(attack), Cell(text=attack, sort=attack[::-1]), *[text(attack)] * 4]
        for attack in ATTACKS
    ]
    sections = []
    for place, attack in enumerate(ATTACKS):
        example = Example(what=attack, id=attack, numbers=attack, sentences=(attack, attack))
        blocks: tuple[Block, ...] = (
            Paragraph(text=attack, tone="warning"),
            Listing(items=(attack,)),
            table(attack[:100], heads, rows if place == 0 else rows[:1], attack),
            Figure(name="x", drawing="x", caption=attack, alt=attack, data={}),
            ExampleList(title=attack, items=(example,)),
        )
        sections.append(Section(title=attack, key=f"part-{place}", blocks=blocks))
    return Document(name=ATTACKS[0], title=ATTACKS[1], lead=ATTACKS[9], sections=tuple(sections))


@pytest.fixture(scope="module")
def html() -> str:
    return page(sample(), {"effects": SVG})


@pytest.fixture(scope="module")
def hostile_html() -> str:
    return page(hostile(), {"x": ACTIVE_SVG})


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with start() as started:
        yield started
