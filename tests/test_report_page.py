"""A report's page in a real Chromium: sorting, filtering, folding, printing, phones and colours."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from mtl.report.render.html import parts
from tests.browser import DESK, PAPER, PHONE, Browser
from tests.page_tools import ARMS, OVERALL, browser, hostile_html, html, needs_chromium

__all__ = ["browser", "hostile_html", "html"]


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
        "(box => { box.scrollLeft = 300; return box.scrollLeft; })"
        "(document.querySelector('#results .scroll'))"
    )
    assert scrolled == 300
    assert browser.run(left) == before
    assert not browser.one("nav a").is_displayed()
    browser.one("nav summary").click()
    assert len(browser.texts("nav a")) == 5


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
    cut = (
        "[...document.querySelectorAll('.scroll')]"
        ".filter((box) => box.scrollWidth > box.clientWidth + 1).length"
    )
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
    right, left = browser.run(
        "[document.querySelector('nav'), document.querySelector('main')]"
        ".map((e) => e.getBoundingClientRect())"
        ".flatMap((box, i) => i ? [box.left] : [box.right])"
    )
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
    [("0.812 ± 0.006 (sd, n=3)", ["0.812 ± 0.006", "(sd, n=3)"]),
     ("+0.03 [+0.01, +0.05]", ["+0.03", "[+0.01, +0.05]"]),
     ("12", ["12"]), ("", [""]), ("62 s(x1)", ["62 s(x1)"])],
)  # fmt: skip
def test_a_numbers_cell_breaks_only_before_what_is_in_brackets(
    cell: str, expected: list[str]
) -> None:
    assert parts(cell) == expected
