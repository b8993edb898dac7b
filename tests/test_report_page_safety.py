"""A report's page makes no requests, runs no hostile text, and embeds only harmless pictures."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest

from mtl.report.render.html import page, picture, visible
from tests.browser import Browser
from tests.page_tools import (
    ACTIVE_SVG,
    ATTACKS,
    SVG,
    browser,
    hostile_html,
    html,
    needs_chromium,
    sample,
)

__all__ = ["browser", "hostile_html", "html"]


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
    foreign = (
        "<script>window.hostile = 1</script><img src='/leak' onerror='window.hostile = 2'>"
        "<style>h1{color:red}</style>"
    )
    browser.open(html.replace("</header>", foreign + "</header>"))
    assert browser.run("window.hostile") is None
    assert sorted(browser.requests()) == [browser.opened, f"{browser.address}/leak"]  # tried,
    assert browser.received == ["/"]  # and stopped
    assert browser.style("h1", "color") != "rgb(255, 0, 0)"
    assert len([line for line in browser.said() if "Content Security Policy" in line]) >= 3


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
            "document.querySelectorAll("
            "'iframe, object, embed, form, body link, body style, svg').length"
        )
        == 0
    )
    assert (
        browser.run(
            "[...document.querySelectorAll('*')].flatMap((e) => e.getAttributeNames())"
            ".filter((n) => n.startsWith('on'))"
        )
        == []
    )
    assert (
        browser.run(
            "[...document.links].map((a) => a.getAttribute('href'))"
            ".filter((h) => !h.startsWith('#part-'))"
        )
        == []
    )
    assert browser.requests() == [browser.opened]
    assert browser.said() == []
    whole = [visible(attack) for attack in ATTACKS]
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
    texts = (
        "arguments[0].map((place) => "
        "document.querySelector(`#part-${arguments[1]} ${place}`).textContent)"
    )
    for part, attack in enumerate(whole):
        assert browser.run(texts, places, part) == [attack] * len(places)
        assert (
            browser.run("document.querySelector(`#part-${arguments[0]} img`).alt", part) == attack
        )
    assert browser.run("document.title") == visible(ATTACKS[1])


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
    [("plain\ttext\nof two lines", "plain\ttext\nof two lines"), ("\u202ex", "[U+202E]x"),
     ("\x00", "[U+0000]"),
     ("\ud83d", "[U+D83D]"), ("😀 é ﷺ", "😀 é ﷺ"), ("a\r\nb\rc", "a\nb[U+000D]c"), (0.5, "0.5"),
     (None, None)],
)  # fmt: skip
def test_characters_that_do_not_show_are_named(given: Any, expected: str | None) -> None:
    assert visible(given) == expected
