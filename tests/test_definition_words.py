"""Definitions from command-line words; a written definition reads back the same."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.ablation.definition import Definition, from_words, read_definition, with_words
from mtl.errors import ConfigError
from tests.definition_tools import WHOLE, put, there_and_back

# --- on the spot


def test_words_make_a_definition() -> None:
    found = from_words(
        [
            "pairing=siamese,concat",
            "seed=4,5",
            "freeze.scope=all,[sts]",
            "smart=null,{}",
            "train.lr=1e-5,1e-4",
        ],
        ["train.epochs=1", "tasks=sst,sts"],
        base="final",
    )
    assert {factor: list(levels) for factor, levels in found.grid.items()} == {
        "pairing": ["siamese", "concat"],
        "freeze.scope": ["all", "[sts]"],
        "smart": ["null", "{}"],
        "train.lr": ["1e-5", "0.0001"],
    }
    assert found.grid["smart"] == {"null": {"smart": None}, "{}": {"smart": {}}}
    assert (found.seeds, found.base) == ((4, 5), "final")
    assert found.settings == {"train": {"epochs": 1}, "tasks": ["sst", "sts"]}
    assert re.fullmatch("grid-[0-9a-f]{8}", found.name)


def test_commas_inside_brackets_and_quotes_do_not_split() -> None:
    found = from_words(
        ["tasks=[sst, sts],[quora]", "smart={lambda_s: 3, mu: 0},null", "encoder='a,b',c"]
    )
    assert [list(levels) for levels in found.grid.values()] == [
        ["[sst, sts]", "[quora]"],
        ["{lambda_s: 3, mu: 0}", "null"],
        ["a,b", "c"],
    ]


def test_the_name_of_a_grid_is_what_it_says() -> None:
    one = from_words(["pairing=siamese,concat", "train.lr=1e-5,1e-4"])
    assert (
        one.name
        == from_words(["pairing=siamese,concat", "train.lr=0.00001,0.0001", "seed=0,1,2"]).name
    )
    others = [
        from_words(["pairing=siamese,concat"]),
        from_words(["pairing=concat,siamese", "train.lr=1e-5,1e-4"]),
        from_words(["pairing=siamese,concat", "train.lr=1e-5,1e-4"], ["limit=3"]),
        from_words(["pairing=siamese,concat", "train.lr=1e-5,1e-4"], base="final"),
    ]
    assert len({one.name, *(other.name for other in others)}) == 5


def test_more_seeds_are_a_further_look_at_the_same_grid() -> None:
    words = ["pairing=siamese,concat"]
    names = {from_words(words).name}
    names |= {from_words([*words, "seed=0,1"]).name, from_words(words, ["seed=7,8,9"]).name}
    assert names == {from_words([*words, "seed=0,1,2"]).name}


@pytest.mark.parametrize(
    ("grids", "sets", "message"),
    [
        ([], [], "only the seed varies"),
        (["seed=0,1"], [], "only the seed varies"),
        (["pairing"], [], "'pairing': expected key=value,value,..."),
        (["=siamese"], [], "expected key=value"),
        (["paring=siamese,concat"], [], "grid.paring: no config key. Did you mean 'pairing'?"),
        (
            ["pairing=siamese,joined"],
            [],
            "pairing: must be 'siamese' or 'concat', got 'joined'",
        ),
        (["pairing=siamese,concat", "pairing=concat"], [], "pairing is given a second time"),
        (["pairing=siamese,concat", "seed=0", "seed=1"], [], "seed is given a second time"),
        (["pairing=siamese,concat", "seed=a"], [], "'seed=a': expected seeds"),
        (["pairing=siamese,concat", "seed=0"], ["seed=1"], "keep one of the two"),
        (["pairing=[siamese"], [], "not valid YAML"),
        (["pairing=siamese,concat"], ["train.lr=fast"], "train.lr=fast"),
        (["pairing=siamese,concat"], ["limit"], "'limit': expected key=value."),
        (
            ["pairing=siamese,concat"],
            ["pairing=concat"],
            "pairing: grid varies it (pairing: siamese, concat); leave it out.",
        ),
        (
            ["pairing=siamese,concat"],
            ["smart=null", "smart.mu=0"],
            "smart=null disables smart, so smart.mu would have no effect",
        ),
    ],
)
def test_words_that_make_none_are_named(grids: list[str], sets: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        from_words(grids, sets)


def test_words_go_over_what_a_definition_sets(tmp_path: Path) -> None:
    definition = read_definition(
        put(
            tmp_path,
            "question: why?\nset: {limit: 9, train.lr: 1e-3}\narms: {a: {pairing: concat}}",
        )
    )
    found = with_words(definition, ["limit=3", "train.epochs=1", "seed=7,8"])
    assert found == replace(
        definition, settings={"limit": 3, "train": {"lr": 1e-3, "epochs": 1}}, seeds=(7, 8)
    )
    assert with_words(definition, []) == definition


@pytest.mark.parametrize(
    ("grid", "word", "refused"),
    [
        ("{pairing: [siamese, concat]}", "pairing=concat", True),
        ("{rate: {low: {train.lr: 1}, high: {train.lr: 2}}}", "train.lr=3", True),
        ("{smart.lambda_s: [1, 3]}", "smart={}", True),  # the levels turn it on by themselves
        ("{smart: [null, {}]}", "smart={}", True),
        ("{smart: [null, {}]}", "smart.lambda_s=3", False),  # counts wherever it is on
        ("{train.lr: [1, 2]}", "train.epochs=3", False),
    ],
)
def test_a_word_for_what_the_grid_varies_would_do_nothing(
    tmp_path: Path, grid: str, word: str, refused: bool
) -> None:
    definition = read_definition(put(tmp_path, f"question: why?\ngrid: {grid}"))
    if refused:
        with pytest.raises(
            ConfigError, match=f"^{re.escape(word.partition('=')[0])}: mine varies it"
        ):
            with_words(definition, [word])
    else:
        assert with_words(definition, [word]) != definition


# --- written and read back


def test_a_definition_reads_back_as_itself(tmp_path: Path) -> None:
    definition = read_definition(put(tmp_path, WHOLE))
    assert definition.to_yaml().startswith("# Does it help?\n")
    assert there_and_back(definition, tmp_path) == definition
    words = from_words(
        ["smart=null,{}", "freeze.scope=all,[sts]", "train.lr=1e-5,1e-4"], ["limit=3"], base="final"
    )
    assert there_and_back(words, tmp_path) == words


TEXT = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="'"), min_size=1, max_size=12
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "pairing": st.sampled_from(["siamese", "concat"]),
        "encoder": TEXT,
        "limit": st.none() | st.integers(1, 9),
        "smart": st.none() | st.just({}) | st.just({"lambda_s": 3, "beta": [0.5, 1e-3]}),
        "train": st.fixed_dictionaries({"lr": st.sampled_from([1e-5, 1, 2.5e-3])}),
    },
)


@settings(max_examples=40, deadline=None)
@given(
    question=st.text(min_size=1, max_size=40).filter(str.strip),
    below=SETTINGS,
    arms=st.dictionaries(TEXT, SETTINGS, max_size=3),
    own=st.dictionaries(TEXT, SETTINGS, min_size=1, max_size=3),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True).map(tuple),
    margin=st.sampled_from([0.0, 0.01, 1.0]),
    baseline=st.none() | TEXT | st.dictionaries(TEXT, TEXT, min_size=1, max_size=2),
)
def test_whatever_a_definition_says_it_reads_back_as_itself(
    tmp_path_factory: pytest.TempPathFactory,
    question: str,
    below: Any,
    arms: Any,
    own: Any,
    seeds: Any,
    margin: float,
    baseline: Any,
) -> None:
    definition = Definition(
        name="some",
        question=question,
        settings=below,
        arms=arms,
        grid={"own": own, "train.batch_size": {"8": {"train": {"batch_size": 8}}}},
        seeds=seeds,
        where=("own != 'nothing'",) if "nothing" in own else (),
        margin=margin,
        baseline=baseline,
    )
    assert there_and_back(definition, tmp_path_factory.mktemp("back")) == definition
