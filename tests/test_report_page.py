"""The page of a report in a real Chromium: it sorts, filters, folds and prints, asks for nothing, and obeys no text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from mtl.report.document import (
    Block,
    Cell,
    Document,
    Example,
    Examples,
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
from mtl.report.render.html import page, parts, picture, shown
from tests.browser import DESK, PAPER, PHONE, Browser, programs, start

needs_chromium = pytest.mark.skipif(
    programs() is None,
    reason="Chromium or its driver is absent: apt-get install chromium chromium-driver",
)

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="600" height="200"><circle cx="9" cy="9" r="9" fill="#c00"/></svg>'
ARMS = ["baseline", "arm 2", "failed arm", "arm 10", "frozen, sts only", "SMART", "joined pairs"]
OVERALL: list[float | None] = [0.61, 0.7, None, 0.605, -0.1, 1e-5, 0.7]
COSTS = "100 s,9 s,20 s,8 s,30 s,7 s,0 s".split(",")


def sample() -> Document:
    """A report with one of everything: a table wider than a phone, a figure, and a section that is long."""
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
        "flips": (Examples(title="Flipped", items=flips),),
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
ACTIVE_SVG = b"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" onload="parent.hostile=10"
width="90" height="90"><script>parent.hostile=11</script><style>@import url(http://127.0.0.1:9/leak);</style>
<image xlink:href="http://127.0.0.1:9/leak"/><image xlink:href="data:image/png;base64,AAAA"/>
<a xlink:href="javascript:parent.hostile=12"><text>x</text></a><use xlink:href="#shape"/>
<rect id="shape" style="fill: url(http://127.0.0.1:9/leak)" clip-path="url(#box)" width="9" height="9"/>
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
            Examples(title=attack, items=(example,)),
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


def column(browser: Browser, place: int) -> list[str]:
    return browser.texts(f"#table-results tbody tr > :nth-child({place})")


def by_number(values: list[float | None], *, descending: bool) -> list[str]:
    """The arms as a column must sort them: unknown last either way, equal ones as they stood."""
    known = [place for place, value in enumerate(values) if value is not None]
    sign = -1 if descending else 1
    order = sorted(known, key=lambda place: sign * (values[place] or 0.0))
    return [
        ARMS[place]
        for place in [*order, *(place for place, value in enumerate(values) if value is None)]
    ]


@needs_chromium
def test_a_header_sorts_by_number_up_and_down_and_then_gives_the_reports_order_back(
    browser: Browser, html: str
) -> None:
    browser.open(html)
    header = browser.one("#table-results th:nth-child(3)")
    assert column(browser, 1) == ARMS
    for descending in (False, True):
        header.find_element("css selector", "button").click()
        assert header.get_attribute("aria-sort") == ("descending" if descending else "ascending")
        assert column(browser, 1) == by_number(OVERALL, descending=descending)
    header.find_element("css selector", "button").click()
    assert header.get_attribute("aria-sort") is None
    assert column(browser, 1) == ARMS
    assert browser.said() == []


@needs_chromium
def test_words_sort_as_people_sort_them_and_a_sort_value_wins_over_the_text(
    browser: Browser, html: str
) -> None:
    browser.open(html)
    browser.one("#table-results th:nth-child(1) button").click()
    assert column(browser, 1) == [
        "arm 2", "arm 10", "baseline", "failed arm", "frozen, sts only", "joined pairs", "SMART",
    ]  # fmt: skip
    browser.one("#table-results th:nth-child(13) button").click()
    assert column(browser, 13) == "0 s,7 s,8 s,9 s,20 s,30 s,100 s".split(",")
    assert len(browser.all("#table-results th[aria-sort]")) == 1


@needs_chromium
def test_the_keyboard_reaches_headers_and_sorts(browser: Browser, html: str) -> None:
    browser.open(html)
    browser.one("#table-results input").send_keys(
        Keys.TAB
    )  # the table's box, which the keyboard can scroll
    assert browser.driver.switch_to.active_element.get_attribute("role") == "region"
    browser.driver.switch_to.active_element.send_keys(Keys.TAB)
    focused = browser.driver.switch_to.active_element
    assert (focused.tag_name, focused.text) == ("button", "arm")
    assert browser.style("#table-results th:first-child button", "outlineStyle") == "solid"
    focused.send_keys(Keys.ENTER)
    assert column(browser, 1)[0] == "arm 2"


@needs_chromium
def test_the_filter_leaves_the_rows_that_hold_every_word(browser: Browser, html: str) -> None:
    browser.open(html)
    field = browser.one("#table-results input")
    field.send_keys("ARM  fail")
    assert column(browser, 1) == ["failed arm"]
    assert browser.one("#table-results output").text == "1 of 7"
    browser.one("#table-results th:nth-child(3) button").click()
    assert column(browser, 1) == ["failed arm"]  # sorting does not bring the others back
    field.clear()
    field.send_keys("±")
    assert len(column(browser, 1)) == 6
    field.clear()
    field.send_keys(" ")
    assert len(column(browser, 1)) == 7
    assert browser.one("#table-results output").text == ""
    assert browser.all("#table-confusion input") == []  # one row needs no filter


@needs_chromium
def test_no_request_leaves_and_the_console_stays_empty(browser: Browser, html: str) -> None:
    browser.open(html)
    assert browser.requests() == [browser.opened]
    assert browser.received == ["/"]
    assert (
        browser.run(
            "performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:'))"
        )
        == []
    )
    assert browser.said() == []
    assert browser.run("document.querySelector('figure img').naturalWidth") == 600


@needs_chromium
def test_a_foreign_script_image_or_style_in_the_page_would_be_stopped(
    browser: Browser, html: str
) -> None:
    foreign = "<script>window.hostile = 1</script><img src='/leak' onerror='window.hostile = 2'><style>h1{color:red}</style>"
    browser.open(html.replace("</header>", foreign + "</header>"))
    assert browser.run("window.hostile") is None
    assert sorted(browser.requests()) == [browser.opened, f"{browser.address}/leak"]  # tried,
    assert browser.received == ["/"]  # and stopped
    assert browser.style("h1", "color") != "rgb(255, 0, 0)"
    assert len([line for line in browser.said() if "Content Security Policy" in line]) >= 3


@needs_chromium
@pytest.mark.parametrize("which", ["sample", "hostile"])
def test_on_a_phone_nothing_but_the_tables_own_boxes_scrolls_sideways(
    browser: Browser, html: str, hostile_html: str, which: str
) -> None:
    browser.open(html if which == "sample" else hostile_html, size=PHONE)
    browser.run(
        "document.querySelectorAll('details').forEach((details) => { details.open = true; })"
    )
    assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [PHONE[0], PHONE[0]]
    browser.run("scrollTo({left: 500, behavior: 'instant'})")
    assert browser.run("scrollX") == 0
    boxes = browser.run(
        "[...document.querySelectorAll('.scroll')].map((box) => box.getBoundingClientRect().right)"
    )
    assert max(boxes) <= PHONE[0]


@needs_chromium
def test_on_a_phone_a_table_scrolls_and_its_row_names_stay(browser: Browser, html: str) -> None:
    browser.open(html, size=PHONE)
    left = "document.querySelector('#table-results tbody th').getBoundingClientRect().left"
    before = browser.run(left)
    scrolled = browser.run(
        "(box => { box.scrollLeft = 300; return box.scrollLeft; })(document.querySelector('#results .scroll'))"
    )
    assert scrolled == 300
    assert browser.run(left) == before
    assert not browser.one("nav a").is_displayed()
    browser.one("nav summary").click()
    assert len(browser.texts("nav a")) == 5


@needs_chromium
def test_hostile_text_is_shown_and_runs_nothing(browser: Browser, hostile_html: str) -> None:
    browser.open(hostile_html)
    browser.run(
        "document.querySelectorAll('details').forEach((details) => { details.open = true; })"
    )
    for button in browser.all("#part-0 thead button")[:2]:
        browser.run("arguments[0].click()", button)
        browser.run("arguments[0].click()", button)
    assert browser.run("window.hostile") is None
    assert browser.run("document.scripts.length") == 1
    assert (
        browser.run(
            "document.querySelectorAll('iframe, object, embed, form, body link, body style, svg').length"
        )
        == 0
    )
    assert (
        browser.run(
            "[...document.querySelectorAll('*')].flatMap((e) => e.getAttributeNames()).filter((n) => n.startsWith('on'))"
        )
        == []
    )
    assert (
        browser.run(
            "[...document.links].map((a) => a.getAttribute('href')).filter((h) => !h.startsWith('#part-'))"
        )
        == []
    )
    assert browser.requests() == [browser.opened]
    assert browser.said() == []
    whole = [shown(attack) for attack in ATTACKS]
    cells = browser.run(
        "[...document.querySelectorAll('#part-0 tbody th')].map((cell) => cell.textContent)"
    )
    assert sorted(cells) == sorted(whole)
    places = [
        "h2",
        "p.warning",
        "li",
        ".caption",
        "figcaption",
        "h3",
        ".what span",
        "blockquote",
        ".numbers",
    ]
    texts = "arguments[0].map((place) => document.querySelector(`#part-${arguments[1]} ${place}`).textContent)"
    for part, attack in enumerate(whole):
        assert browser.run(texts, places, part) == [attack] * len(places)
        assert (
            browser.run("document.querySelector(`#part-${arguments[0]} img`).alt", part) == attack
        )
    assert browser.run("document.title") == shown(ATTACKS[1])


@needs_chromium
def test_without_javascript_the_tables_are_plain_and_everything_can_be_read(
    browser: Browser, html: str
) -> None:
    browser.open(html, scripts=False)
    assert browser.all("button, input") == []
    assert column(browser, 1) == ARMS
    assert len(browser.texts("nav a")) == 5
    assert browser.texts("#flips blockquote") == []
    browser.one("#flips summary").click()
    assert len(browser.texts("#flips blockquote")) == 30
    browser.command("Emulation.setScriptExecutionDisabled", value=False)


@needs_chromium
def test_a_long_section_is_folded_and_a_link_to_it_opens_it(browser: Browser, html: str) -> None:
    browser.open(html)
    assert browser.texts("#flips blockquote") == []
    browser.one("nav a[href='#flips']").click()
    browser.wait("#flips details[open]")
    assert len(browser.texts("#flips blockquote")) == 30
    browser.open(html, at="#flips")
    assert len(browser.texts("#flips blockquote")) == 30
    assert len(browser.all("main details")) == 1


@needs_chromium
def test_paper_shows_all_rows_and_sections_and_no_controls(browser: Browser, html: str) -> None:
    browser.open(html, size=PAPER)
    browser.one("#table-results input").send_keys("nothing holds this")
    assert column(browser, 1) == []
    browser.media("print")
    assert column(browser, 1) == ARMS
    assert len(browser.texts("#flips blockquote")) == 30
    for selector in ("nav", ".filter", ".anchor"):
        assert browser.style(selector, "display") == "none", selector
    assert browser.style("thead button", "display", "::after") == "none"
    cut = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth + 1).length"
    assert browser.run(cut) == 0
    assert browser.style(".scroll", "maxHeight") == "none"
    link = browser.style("#methods a[href^=http]", "content", "::after")
    assert link == '" (https://arxiv.org/abs/2001.06782)"'
    browser.media("screen")
    assert browser.printed().startswith(b"%PDF")


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_ink_can_be_read_on_every_paper(browser: Browser, html: str, scheme: str) -> None:
    """WCAG 2.2's contrast of 4.5 to 1, by its own formula, in both colour schemes."""
    browser.open(html, prefers_color_scheme=scheme)
    values = {
        name: browser.run(
            "getComputedStyle(document.documentElement).getPropertyValue(arguments[0]).trim()",
            f"--{name}",
        )
        for name in ("paper", "wash", "ink", "quiet", "accent", "good", "bad", "open")
    }
    assert (luminance(values["paper"]) < 0.1) == (scheme == "dark")
    for paper in ("paper", "wash"):
        for ink in ("ink", "quiet", "accent", "good", "bad", "open"):
            low, high = sorted([luminance(values[paper]), luminance(values[ink])])
            assert (high + 0.05) / (low + 0.05) >= 4.5, (paper, ink)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@needs_chromium
def test_numbers_stand_right_with_figures_of_one_width_and_every_part_has_its_name(
    browser: Browser, html: str
) -> None:
    browser.open(html, size=DESK)
    assert browser.style("#table-results td[data-kind=number]", "textAlign") == "right"
    assert "tabular-nums" in browser.style(
        "#table-results td[data-kind=number]", "fontVariantNumeric"
    )
    assert browser.one("#table-results .scroll").accessible_name == "Mean ± sd."
    assert browser.one("#table-results input").accessible_name == "Filter: Mean ± sd."
    assert browser.one("figure img").accessible_name == "one red circle"
    assert [heading.text for heading in browser.all("h1, h2")][:3] == [
        "Does freezing help?",
        "Verdict",
        "Results",
    ]


@needs_chromium
def test_contents_stand_beside_the_text_on_a_desk_and_follow_the_reading(
    browser: Browser, html: str
) -> None:
    browser.open(html, at="#methods", size=DESK)
    right, left = browser.run("[document.querySelector('nav'), document.querySelector('main')].map((e) => "
                              "e.getBoundingClientRect()).flatMap((box, i) => i ? [box.left] : [box.right])")  # fmt: skip
    assert right <= left
    assert [link.text for link in browser.all("nav a")] == [
        "Verdict",
        "Results",
        "Figures",
        "Flips",
        "Methods",
    ]
    browser.open(html, size=DESK)
    assert browser.wait("nav a[aria-current]") == "Verdict"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("0.812 ± 0.006 (sd, n=3)", ["0.812 ± 0.006", "(sd, n=3)"]), ("+0.03 [+0.01, +0.05]", ["+0.03", "[+0.01, +0.05]"]),
     ("12", ["12"]), ("", [""]), ("62 s(x1)", ["62 s(x1)"])],
)  # fmt: skip
def test_a_numbers_cell_breaks_only_before_what_is_in_brackets(
    cell: str, expected: list[str]
) -> None:
    assert parts(cell) == expected


def test_the_page_is_the_same_every_time_and_names_no_address_but_arxivs(html: str) -> None:
    assert html == page(sample(), {"effects": SVG})
    assert re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', html) == [
        "https://arxiv.org/abs/2001.06782"
    ]


def test_the_policy_names_the_script_and_the_style_by_their_hashes_and_allows_nothing_else(
    html: str,
) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].replace("&#39;", "'").split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for name in ("script", "style"):
        (content,) = re.findall(f"<{name}>(.*?)</{name}>", html, re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"


def test_hostile_text_leaves_one_script_and_can_be_written_to_a_file(hostile_html: str) -> None:
    assert hostile_html.count("<script") == 1
    assert hostile_html.count("<style") == 1
    assert hostile_html.startswith("<!doctype html>")
    hostile_html.encode()  # half a surrogate pair would raise


def test_an_svg_loses_what_acts_or_fetches_and_keeps_the_drawing() -> None:
    clean = base64.b64decode(picture(ACTIVE_SVG).split(",", 1)[1]).decode()
    assert not re.search("script|hostile|127|foreignObject|import|onload", clean)
    assert 'xlink:href="#shape"' in clean
    assert 'xlink:href="data:image/png;base64,AAAA"' in clean
    assert 'clip-path="url(#box)"' in clean
    assert clean.count("<rect") == 1


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"<svg", b"<html xmlns='http://www.w3.org/1999/xhtml'/>"]
)
def test_what_is_neither_svg_nor_png_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="must be SVG or PNG"):
        picture(content)


def test_a_png_goes_in_whole() -> None:
    content = b"\x89PNG\r\n\x1a\n and so on"
    assert base64.b64decode(picture(content).removeprefix("data:image/png;base64,")) == content


def test_a_figure_without_its_picture_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'effects'.*other"):
        page(sample(), {"other": SVG})


@pytest.mark.parametrize(
    ("given", "expected"),
    [("plain\ttext\nof two lines", "plain\ttext\nof two lines"), ("\u202ex", "[U+202E]x"), ("\x00", "[U+0000]"),
     ("\ud83d", "[U+D83D]"), ("😀 é ﷺ", "😀 é ﷺ"), ("a\r\nb\rc", "a\nb[U+000D]c"), (0.5, "0.5"), (None, None)],
)  # fmt: skip
def test_characters_that_do_not_show_are_named(given: Any, expected: str | None) -> None:
    assert shown(given) == expected
