"""Conditions: a small grammar that points at every mistake and never runs anything as code."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.ablation.expression import MAX_DEPTH, MAX_LENGTH
from mtl.ablation.where import compile_where, literal
from mtl.config.key_kinds import config_keys
from mtl.config.schema import RunConfig
from mtl.documents.keys import flatten
from mtl.errors import ConfigError

CELL: dict[str, Any] = {
    "pairing": "concat",
    "surgery": "sum",
    "limit": None,
    "max_length": 64,
    "tasks": ("sst", "sts"),
    "smart": None,
    "train.lr": 1e-4,
    "train.dropout": 0.0,
    "freeze.unfrozen": 3,
    "freeze.scope": ("sts",),
    "freeze.dropout": True,
    "rate": "low",
}
OWN = {"rate": ("low", "high")}


def holds(text: str, **changed: Any) -> bool:
    return compile_where(text, OWN).holds(CELL | changed)


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as error:
        compile_where(text, OWN)
    return str(error.value)


def pointed_at(text: str) -> str:
    """What stands in the expression where the caret of its error points."""
    *_, shown, caret = refusal(text).splitlines()
    return shown[caret.index("^") :]


# --- what is true


@pytest.mark.parametrize(
    "text",
    [
        "pairing == 'concat'",
        'pairing != "siamese"',
        "'concat' == pairing",
        "train.lr == 1e-4 and train.lr > .00009 and train.lr <= 0.0001",
        "max_length >= 64 and not max_length > 64",
        "surgery in ['sum', 'pcgrad']",
        "surgery not in ['dominant']",
        "'sts' in tasks and not 'quora' in tasks",
        "tasks == ['sst', 'sts'] and tasks == ['sts', 'sst'] and tasks != ['sst']",
        "limit == null and limit == None",
        "smart == null",
        "freeze.dropout",
        "freeze.dropout == true and freeze.dropout != False",
        "not not freeze.dropout",
        "rate == 'low'",
        "false or true",
        "true or true and false",  # `and` binds closer
        "not false and true",  # `not` binds closer than `and`
        "not 1 == 2",  # and looser than ==
        "((pairing) == ('concat'))",
        "train.dropout == -0",
        "  pairing\n==\t'concat'  ",
    ],
)
def test_a_condition_that_holds(text: str) -> None:
    assert holds(text)
    assert not holds(f"not ({text})")


def test_what_a_cell_lacks_is_null_and_has_no_order() -> None:
    assert holds("smart.mu == null")
    assert not holds("smart.mu > 0")
    assert not holds("smart.mu <= 0")
    assert not holds("limit < 100")
    assert holds("rate == null", rate=None)
    assert not holds("rate == 'low'", rate=None)


def test_a_key_that_is_a_number_or_a_word_is_compared_as_what_it_is() -> None:
    assert holds("freeze.unfrozen <= 3")
    assert not holds("freeze.unfrozen <= 3", **{"freeze.unfrozen": "all"})
    assert not holds("freeze.unfrozen > 3", **{"freeze.unfrozen": "all"})
    assert holds("freeze.unfrozen == 'all' or freeze.unfrozen < 3", **{"freeze.unfrozen": "all"})
    assert holds("freeze.scope == 'all'", **{"freeze.scope": "all"})
    assert holds("freeze.scope == ['sts']")


def test_true_is_not_one() -> None:
    assert not holds("limit == 1", limit=True)
    assert holds("limit == 1", limit=1.0)


def test_words_in_quotes_are_never_operators() -> None:
    assert "is never 'and'" in refusal("pairing == 'and'")
    assert holds("encoder != 'or'", encoder="minilm-l6")
    assert holds("encoder == ')'", encoder=")")


def test_a_condition_knows_the_keys_it_asks_for() -> None:
    assert compile_where("pairing == 'concat' and (train.lr < 1 or rate == 'low')", OWN).keys == {
        "pairing",
        "train.lr",
        "rate",
    }


# --- against Python, whose grammar this is a part of

WORDS = st.sampled_from(["encoder == 'a'", "encoder != data", "limit < 3", "limit >= max_length",
                         "2.5 <= max_length",
                         "limit in [1, 2]", "max_length not in [limit, 4, -1]",
                         "data in ['a', 'b']", "true", "false"])  # fmt: skip
EXPRESSIONS = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(" and ".join),
        st.tuples(inner, inner).map(" or ".join),
        inner.map("not {}".format),
        inner.map("({})".format),
    ),
    max_leaves=12,
)
CELLS = st.fixed_dictionaries(
    {
        "encoder": st.sampled_from("ab"),
        "data": st.sampled_from("ab"),
        "limit": st.integers(0, 4),
        "max_length": st.integers(0, 4),
    }
)


@settings(max_examples=200, deadline=None)
@given(text=EXPRESSIONS, cell=CELLS)
def test_it_agrees_with_python_on_what_both_can_read(text: str, cell: dict[str, Any]) -> None:
    expected = eval(
        text, {"true": True, "false": False}, dict(cell)
    )  # the oracle; what is tested evaluates nothing
    assert compile_where(text, {}).holds(cell) == expected


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            "( ) [ ] , == != < <= in not and or 'sum' pairing limit tasks smart 3 -1e5 true null = "
            "' x $".split()
        ),
        max_size=12,
    )
)
def test_any_words_are_a_condition_or_an_error_of_the_config(words: list[str]) -> None:
    try:
        found = compile_where(" ".join(words), {})
    except ConfigError as error:
        assert "^" in str(error)
    else:
        assert isinstance(found.holds(CELL), bool)


# --- what is refused, and where it points


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("pairing = 'concat'", "equality is written `==`", "= 'concat'"),
        ("paring == 'concat'", "unknown key 'paring'. Did you mean 'pairing'?", "paring ="),
        ("pairing == concat", "Text is written in quotes: 'concat'", "concat"),
        ("pairing == 'konkat'", "pairing is never 'konkat'. Did you mean 'concat'?", "'konkat'"),
        ("pairing in ['concat', 'siamesee']", "never 'siamesee'", "['concat'"),
        ("'stss' in tasks", "never 'stss'. Did you mean 'sts'?", "'stss'"),
        ("rate == 'lo'", "rate is never 'lo'. Did you mean 'low'?", "'lo'"),
        ("pairing == 3", "pairing (text) is compared with 3 (number)", "=="),
        ("train.lr == 'high'", "train.lr (number) is compared with 'high' (text)", "=="),
        ("pairing < 3", "`<` compares numbers; pairing (text) is none", "<"),
        ("freeze.dropout > 0", "`>` compares numbers", ">"),
        ("1 in tasks", "1 (number) is never in this list", "in tasks"),
        ("pairing in 'concat'", "`in` needs a list", "'concat'"),
        ("'sts' in freeze.scope", "`in` needs a list", "freeze.scope"),
        ("pairing", "pairing is no condition", "pairing"),
        ("not limit", "limit is no condition", "limit"),
        ("freeze == 3", "freeze is a group of settings", "freeze"),
        ("seed == 0", "unknown key 'seed'", "seed"),
        ("", "expected a key or a value, got the end", ""),
        ("pairing == ", "expected a key or a value, got the end", ""),
        ("(true", "the bracket `(` is not closed", "(true"),
        ("limit in [1, 2", "the bracket `[` is not closed", "[1, 2"),
        ("limit in [1 2]", "expected `,` between the items", "1 2]"),
        ("(limit == 1 limit == 2)", "expected `and` or `or` between", "limit == 1 limit == 2)"),
        ("true)", "expected `and`, `or` or the end, got ')'", ")"),
        ("true true", "expected `and`, `or` or the end", "true"),
        ("1 < limit < 3", "comparisons do not chain", "< 3"),
        ("true and and false", "expected a key or a value, got 'and'", "and false"),
        ("true && false", "unexpected character '&'", "&&"),
        ("pairing == 'concat", "a quote that does not end", "'concat"),
        ("__import__('os')", "expected a condition", "__import__"),
        ("__import__ == 3", "unknown key '__import__'", "__import__"),
        ("tasks[0] == 'sst'", "expected a condition", "tasks"),
        ("pairing == 'con' 'cat'", "expected `and`, `or` or the end", "'cat'"),
        ("(limit, 3) == 3", "expected a condition", "(limit"),
        ("limit if true else 3", "expected `and`, `or` or the end, got 'if'", "if"),
        ("lambda: 3", "unexpected character ':'", ":"),
        ("limit == not 3", "got 'not'", "not 3"),
        ("f'{limit}' == 'a'", "expected `and`", "'{limit}'"),
        ("pairing.upper == 'X'", "unknown key 'pairing.upper'", "pairing.upper"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_and_pointed_at(text: str, message: str, at: str) -> None:
    assert message in refusal(text)
    assert pointed_at(text).startswith(at)
    assert bool(pointed_at(text)) == bool(at)  # "" is the end


def test_the_caret_finds_its_place_in_a_long_expression() -> None:
    text = (
        " or ".join(["pairing == 'concat'"] * 40)
        + " or limitt == 3 or "
        + " or ".join(["true"] * 40)
    )
    assert pointed_at(text).startswith("limitt")
    assert max(map(len, refusal(text).splitlines()[1:])) < 130


def test_depth_and_length_have_limits_and_are_usable_below_them() -> None:
    deep = MAX_DEPTH
    assert holds("(" * deep + "true" + ")" * deep)
    assert "nested deeper" in refusal("(" * (deep + 1) + "true" + ")" * (deep + 1))
    assert "nested deeper" in refusal("not " * 400 + "true")
    assert "nested deeper" in refusal("[" * 400)
    assert holds(("true and " * 300)[: MAX_LENGTH - 10].rpartition(" and ")[0])
    assert f"at most {MAX_LENGTH}" in refusal("true or " * MAX_LENGTH)


# --- keys and literals


def test_every_key_of_a_config_has_its_kinds() -> None:
    on = RunConfig.model_validate({"smart": {}})
    assert set(flatten(on.model_dump())) - {"seed"} <= set(config_keys())
    assert config_keys()["freeze.unfrozen"].kinds == {"number", "text"}
    assert config_keys()["limit"].kinds == {"number", "null"}
    assert config_keys()["tasks"].items == {"text"}
    assert config_keys()["pairing"].choices == {"siamese", "concat"}
    assert config_keys()["encoder"].choices is None


@pytest.mark.parametrize(
    "value", [None, True, False, 3, -1e-5, "it's", "plain", ["sst", "sts"], [], [1, 2.5]]
)
def test_a_value_written_as_a_literal_reads_back_as_itself(value: Any) -> None:
    condition = compile_where(f"[limit] == [{literal(value)}]", {})
    assert condition.holds({"limit": value})
    assert not condition.holds({"limit": "another"})
