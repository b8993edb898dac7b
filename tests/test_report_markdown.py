"""Hostile text in Markdown: whatever a name or a sentence holds, it is shown and never obeyed."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from mtl.report.document import Document, Listing, Paragraph, Section, columns, table, text
from mtl.report.render.markdown import escape, render
from mtl.report.render.plain import MOST, clean

HOSTILE = [
    "a | b", "`code`", "``", "$x^2$", "$$", "<script>alert(1)</script>", "</td></tr></table>",
    "&lt;b&gt; &amp; &#124;",
    "**bold** *it* __b__ _i_ ~~s~~ snake_case_name", "[link](http://x)", "![i](x.png)",
    "[ref]: http://x", "[^1]", "[ ] task", "[x] t",
    "# heading", "## h", "- item", "+ item", "* item", "1. one", "12) twelve", "> quote", "---",
    "===", "***", "| --- |", "    code",
    "http://evil.example www.evil.example a@b.example", "\\", "\\|", "a\\", "line\nbreak",
    "tab\there", "# ", "-", "+", "1.", "=", "#",
    "{{ x }}", "{% raw %}", ":smile:", "<!-- c -->", "<a href=x>", "^sup^", "==m==", "'\"",
    "𝔘nicode ☃", "\u05e9\u05dc\u05d5\u05dd",
]  # fmt: skip
MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})


def shown(tokens: list[Token]) -> str:
    """The text that a reader sees, and a mark for everything that is more than text."""
    found = []
    for token in tokens:
        if token.type in ("text", "text_special"):
            found.append(token.content)
        elif token.type == "softbreak":
            found.append("\n")
        else:
            found.append(f"<<{token.type}>>")
    return "".join(found)


def document(value: str) -> Document:
    rows = [(text(value), text("next")), (text("after"), text(value))]
    blocks = (
        Paragraph(text=value),
        Listing(items=(value, "next")),
        table("t", columns("one", value, kinds="tt"), rows, value),
    )
    return Document(
        name="n", title="t", lead="l", sections=(Section(title="s", key="s", blocks=blocks),)
    )


def seen(value: str) -> dict[str, list[str]]:
    """The inline texts of a rendered document with `value` everywhere, by the block around them."""
    tokens = MARKDOWN.parse(render(document(value), "figures"))
    found: dict[str, list[str]] = {}
    for before, token in zip(tokens, tokens[1:], strict=False):
        if token.type == "inline":
            found.setdefault(before.type, []).append(shown(token.children or []))
    found["blocks"] = [
        token.type
        for token in tokens
        if token.nesting == 1 or token.type in ("fence", "code_block", "html_block", "hr")
    ]
    return found


EXPECTED = seen("harmless")


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_text_is_shown_as_it_is_and_breaks_no_block(value: str) -> None:
    value = clean(value)
    found = seen(value)
    assert found["blocks"] == EXPECTED["blocks"]
    assert found["td_open"] == [value, "next", "after", value]
    assert found["th_open"] == ["one", value]
    assert found["paragraph_open"][1:] == [value, value, "next", f"<<em_open>>{value}<<em_close>>"]


@settings(max_examples=300, deadline=None)
@given(
    st.text(
        alphabet=st.characters(codec="utf-8") | st.sampled_from("|`$<>&*_~[]()#+-=.!\\:@1 \n"),
        max_size=25,
    )
)
def test_any_text_is_shown_as_it_is(value: str) -> None:
    value = clean(value)
    if value:
        found = seen(value)
        assert found["blocks"] == EXPECTED["blocks"]
        assert found["td_open"] == [value, "next", "after", value]
        assert found["paragraph_open"][1] == value


def test_nothing_that_github_would_act_on_is_left_bare() -> None:
    for value in HOSTILE:
        line = escape(clean(value))
        bare = re.sub(r"\\.", "", line)
        assert not re.search(r"[<>|$`*~]", bare), line
        assert "://" not in bare
        assert "www." not in bare
        assert html.unescape(re.sub(r"\\(.)", r"\1", line)) == clean(value)


def test_direction_marks_are_written_out_and_unseen_ones_go() -> None:
    assert clean("a\u202eb\u2066c\u200fd") == "a[U+202E]b[U+2066]c[U+200F]d"
    assert clean("a\u200bb\ufeffc\u00add") == "abcd"
    assert clean("a\x00b\x1b[31m\ud800") == "a\ufffdb\ufffd[31m\ufffd"
    assert clean("  two\n lines\t") == "two lines"


def test_long_text_is_cut_with_a_mark_that_says_how_much_there_was() -> None:
    found = clean("x" * 100_000)
    assert found.startswith("x" * MOST)
    assert found.endswith("[… cut, 100000 characters]")
    assert len(found) < MOST + 40
    assert clean("x" * MOST) == "x" * MOST
