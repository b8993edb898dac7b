"""YAML as people expect it: 1.2 scalars, no key twice, plain data only, a line for every error."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtl.documents.yaml_file import MAX_BYTES, MAX_DEPTH, dump_yaml, parse_yaml, read_yaml
from mtl.errors import ConfigError


def refusal(text: str) -> str:
    """The message that `text` is refused with."""
    with pytest.raises(ConfigError) as error:
        parse_yaml(text, "file.yaml")
    return str(error.value)


def same(one: Any, other: Any) -> bool:
    """Equal in value, type and order of keys: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    return json.dumps(one) == json.dumps(other)


# --- scalars


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5), ("1E3", 1000.0), ("+1.5", 1.5), (".5", 0.5), ("-.5e1", -5.0), ("1.", 1.0),
        ("0.0", 0.0),
        ("012", 12), ("+7", 7), ("-0", 0), ("0", 0), ("0o17", 15), ("0x1F", 31),
        ("null", None), ("Null", None), ("NULL", None), ("~", None),
        ("true", True), ("True", True), ("TRUE", True), ("false", False), ("False", False),
        ("FALSE", False),
        ("no", "no"), ("No", "No"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("n", "n"),
        ("1_000", "1_000"), ("0b11", "0b11"), ("12:30", "12:30"), ("190:20:30", "190:20:30"),
        ("2001-01-01", "2001-01-01"),
        ("nULL", "nULL"), ("nan", "nan"), ("inf", "inf"), ("1e", "1e"), ("e5", "e5"), (".", "."),
        ("-", None), ("+", "+"),
        ("1e-5x", "1e-5x"), ("0o8", "0o8"), ("-0x1F", "-0x1F"), ("minilm-l6", "minilm-l6"),
        ("two words", "two words"),
    ],
)  # fmt: skip
def test_an_unquoted_word_has_its_value_under_yaml_1_2(text: str, value: object) -> None:
    if text == "-":  # a lone dash begins a list
        assert parse_yaml("a: '-'").value == {"a": "-"}
        return
    found = parse_yaml(f"key: {text}").value["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "value"), [(".inf", math.inf), ("-.INF", -math.inf), ("+.Inf", math.inf)]
)
def test_infinity_has_its_yaml_spelling(text: str, value: float) -> None:
    assert parse_yaml(text).value == value


def test_not_a_number_has_its_yaml_spelling() -> None:
    assert math.isnan(parse_yaml("a: .nan").value["a"])


@pytest.mark.parametrize("word", ["1e-5", "no", "012", "null", "true", "", "~", "0x1F", ".nan"])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_quoted_word_is_text(word: str, quote: str) -> None:
    assert parse_yaml(f"a: {quote}{word}{quote}").value == {"a": word}


def test_a_block_is_text_even_when_it_holds_a_number() -> None:
    assert parse_yaml("a: |-\n  12\nb: >-\n  null\n").value == {"a": "12", "b": "null"}


def test_an_empty_value_is_null_and_an_empty_document_too() -> None:
    assert parse_yaml("a:\nb: 1\n").value == {"a": None, "b": 1}
    assert parse_yaml("").value is None
    assert parse_yaml("# only a comment\n").value is None


def test_lists_and_mappings_nest_in_both_styles() -> None:
    text = "tasks: [sst, sts]\narms:\n  - {a: 1}\n  - b: [1, 2.5]\n    c: x\n"
    assert parse_yaml(text).value == {
        "tasks": ["sst", "sts"],
        "arms": [{"a": 1}, {"b": [1, 2.5], "c": "x"}],
    }


# --- lines


def test_every_place_has_the_line_it_begins_on() -> None:
    document = parse_yaml(
        "# why\nseed: 1\ntrain:\n  epochs: 2\n  lr: 1e-4\ntasks:\n  - sst\n  - sts\n", "file.yaml"
    )
    assert document.where(("seed",)) == "file.yaml:2"
    assert document.where(("train", "lr")) == "file.yaml:5"
    assert document.where(("tasks", 1)) == "file.yaml:8"


def test_an_unknown_place_has_the_line_of_what_is_around_it() -> None:
    document = parse_yaml("seed: 1\ntrain:\n  epochs: 2\n", "file.yaml")
    assert document.where(("train", "absent")) == "file.yaml:2"
    assert parse_yaml("", "empty.yaml").where(("seed",)).startswith("empty.yaml")


# --- what is refused


def test_a_key_that_stands_twice_is_refused_with_both_lines() -> None:
    message = refusal("seed: 1\npairing: concat\nseed: 2\n")
    assert message.startswith("file.yaml:3:")
    assert "'seed'" in message
    assert "line 1" in message


@pytest.mark.parametrize(
    "text",
    ["train:\n  lr: 1\n  lr: 2\n", "x: {a: 1,\n  b: 1,\n  'a': 2}\n", "x:\n- a: 1\n  a: 1\n"],
)
def test_a_key_that_stands_twice_further_in_is_refused(text: str) -> None:
    assert refusal(text).startswith("file.yaml:3:")


def test_equal_keys_in_different_mappings_are_no_repetition() -> None:
    assert parse_yaml("a: {x: 1}\nb: {x: 1}\nc: [{x: 1}, {x: 1}]\n").value["c"] == [
        {"x": 1},
        {"x": 1},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: &here 2\n",
        "a: 1\nb: &here [2]\n",
        "a: 1\nb: &here {c: 2}\n",
        "a: 1\nb: *here\n",
        "a: 1\n&here b: 2\n",
        "a: 1\n*here : 2\n",
        "a: 1\n<<: *here\n",
    ],
)
def test_anchors_and_aliases_are_refused_with_their_line(text: str) -> None:
    assert refusal(text).startswith("file.yaml:2:")


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: !!int '2'\n",
        "a: 1\nb: !!python/object/apply:os.getcwd []\n",
        "a: 1\nb: !mine {c: 1}\n",
        "a: 1\nb: ! 2\n",
        "a: 1\n!!int b: 2\n",
    ],
)
def test_tags_are_refused_with_their_line(text: str) -> None:
    assert refusal(text).startswith("file.yaml:2:")


@pytest.mark.parametrize(
    "text", ["a: 1\n? [b, c]\n: 2\n", "a: 1\n? {b: c}\n: 2\n", "a: 1\n{b: c}: 2\n"]
)
def test_a_key_that_is_no_single_word_is_refused_with_its_line(text: str) -> None:
    assert refusal(text).startswith("file.yaml:2:")


def test_a_second_document_is_refused_with_its_line() -> None:
    assert refusal("a: 1\n---\nb: 2\n").startswith("file.yaml:2:")


@pytest.mark.parametrize(
    "text",
    ["a: 1\nb: [1, 2\n", "a: 1\n\tb: 2\n", "a: 1\nb: 'open\n", "a: 1\nb: }\n", "a: 1\nb: %x\n"],
)
def test_broken_yaml_is_refused_with_a_line(text: str) -> None:
    assert refusal(text).split(":")[1].isdigit()


def test_a_number_too_long_to_be_meant_is_refused_like_any_other_mistake() -> None:
    assert refusal("a: 1\nb: " + "9" * 5000).startswith("file.yaml")


@pytest.mark.parametrize("text", ["a: \x00\n", "a: \x07\n", "a: \ud800\n"])
def test_characters_that_yaml_forbids_are_refused(text: str) -> None:
    assert refusal(text).startswith("file.yaml")


# --- limits


def test_nesting_is_allowed_up_to_the_limit_and_refused_beyond_it() -> None:
    assert parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH).value
    assert f"{MAX_DEPTH} levels" in refusal("[" * (MAX_DEPTH + 5) + "]" * (MAX_DEPTH + 5))


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_bottomless_nesting_is_refused_fast(opening: str) -> None:
    started = time.perf_counter()
    refusal(opening * 100_000)
    assert time.perf_counter() - started < 2


def test_billion_laughs_is_refused_fast() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{name}: &{name} [" + ", ".join([f"*{before}"] * 10) + "]\n"
    started = time.perf_counter()
    assert refusal(bomb).startswith("file.yaml:1:")
    assert time.perf_counter() - started < 1


def test_a_text_larger_than_the_limit_is_refused_by_its_bytes() -> None:
    assert str(MAX_BYTES) in refusal("# " + "x" * MAX_BYTES)
    assert str(MAX_BYTES) in refusal("# " + "é" * (MAX_BYTES // 2))
    assert parse_yaml("# " + "x" * (MAX_BYTES // 8) + "\na: 1").value == {"a": 1}


# --- files


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("﻿a: é\n".encode())
    document = read_yaml(path)
    assert document.value == {"a": "é"}
    assert document.where(("a",)) == f"{path}:1"


def test_files_that_cannot_be_read_are_config_errors_that_name_them(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    (tmp_path / "twice.yaml").write_text("a: 1\na: 2\n")
    for name, start in [
        ("absent", ""),
        ("", ""),
        ("latin.yaml", ":2"),
        ("large.yaml", ""),
        ("twice.yaml", ":2"),
    ]:
        with pytest.raises(ConfigError) as error:
            read_yaml(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name}{start}:")


# --- there and back

WORDS = ["1e-5", "no", "012", "null", "~", "", "true", ".nan", ".inf", "0x1F", "0o7", "=", "<<",
         "1_0", "12:30", "- a", "a: b",
         "# a", "a #b", "%x", "@x", "`x", "!x", "&x", "*x", "---", "...", " a", "a ", "\n", "a\n",
         "\na", "a\n\n b", "'", '"',
         "\t", "\x85", "\u2028", "\ufeff", "\x00", "\U0001f600", "2001-01-01", "1e999", "? x", "[a",
         "{a", "x" * 300]  # fmt: skip
NUMBERLIKE = st.from_regex(
    r"[-+]?[0-9_.]{0,4}([eE][-+]?[0-9]{1,3})?|0[xob][0-9a-fA-F]{1,4}", fullmatch=True
)
TEXT = st.one_of(
    st.sampled_from(WORDS), NUMBERLIKE, st.text(max_size=20), st.text(" \n\t'\"a1:#-", max_size=130)
)
LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
PLAIN = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("word", WORDS)
def test_text_that_looks_like_something_else_comes_back_as_text(word: str) -> None:
    assert same(parse_yaml(dump_yaml({"a": word, word: [word]})).value, {"a": word, word: [word]})


@settings(max_examples=400, deadline=None)
@given(PLAIN)
@example({"a": 1e-5, "b": 1e16, "c": -0.0, "d": 5e-324, "e": 1})
@example([[], {}, [[]], [{}], {"a": {}}])
def test_whatever_is_dumped_is_read_back_as_the_same_value(value: Any) -> None:
    assert same(parse_yaml(dump_yaml(value)).value, value)


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_is_read_back(value: float) -> None:
    assert parse_yaml(dump_yaml({"a": value})).value == {"a": value}


def test_keys_keep_their_order() -> None:
    assert list(parse_yaml(dump_yaml({"z": 1, "a": 2, "m": 3})).value) == ["z", "a", "m"]


def test_one_object_in_two_places_is_written_out_twice() -> None:
    shared = {"lr": 1e-4, "tasks": ["sst"]}
    text = dump_yaml({"one": shared, "two": shared})
    assert "&" not in text
    assert parse_yaml(text).value == {"one": shared, "two": shared}
