"""Definitions: what people write, read strictly, every mistake with its line; and written so that it reads back the same."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.ablation.claims import Claim
from mtl.ablation.definition import (
    LIBRARY,
    Definition,
    definitions,
    find_definition,
    from_words,
    read_definition,
    with_words,
)
from mtl.config.assignments import level_name
from mtl.errors import ConfigError

SHIPPED = Path(__file__).parents[1] / "ablations"


def put(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    """What a definition is refused with; `question` and a grid are there unless the text has its own."""
    if "question" not in text:
        text = f"{text}\nquestion: why?"
    if not re.search(r"^(grid|arms)\b", text, re.M):
        text += "\ngrid: {pairing: [siamese, concat]}"
    path = put(folder, text)
    with pytest.raises(ConfigError) as error:
        read_definition(path)
    return str(error.value).replace(str(path), "mine.yaml")


# --- reading

WHOLE = """# Does it help?
question: Does it help?
base: final
set: {train.epochs: 2, train: {lr: 2e-5}, tasks: "sst,sts"}
seeds: 2
arms:
  all layers: {freeze.unfrozen: all}
  plain:
grid:
  pairing: [siamese, concat]
  freeze.scope: [all, [sts]]
  rate: {low: {train.warmup: 0}, high: {train.warmup: 0.1}}
design: pairwise
where: ["not (pairing == 'concat' and rate == 'high')", train.lr < 1]
baseline: {pairing: siamese}
margin: 0.02
claims: [{claim: It does, arm: all layers, expect: helps}]
"""


def test_every_key_is_read(tmp_path: Path) -> None:
    found = read_definition(put(tmp_path, WHOLE))
    assert found == Definition(
        name="mine",
        question="Does it help?",
        base="final",
        settings={"train": {"epochs": 2, "lr": 2e-5}, "tasks": ["sst", "sts"]},
        seeds=(0, 1),
        arms={"all layers": {"freeze": {"unfrozen": "all"}}, "plain": {}},
        grid={
            "pairing": {"siamese": {"pairing": "siamese"}, "concat": {"pairing": "concat"}},
            "freeze.scope": {
                "all": {"freeze": {"scope": "all"}},
                "[sts]": {"freeze": {"scope": ["sts"]}},
            },
            "rate": {"low": {"train": {"warmup": 0}}, "high": {"train": {"warmup": 0.1}}},
        },
        design="pairwise",
        where=("not (pairing == 'concat' and rate == 'high')", "train.lr < 1"),
        baseline={"pairing": "siamese"},
        margin=0.02,
        claims=(Claim(claim="It does", arm="all layers", expect="helps"),),
    )
    assert found.at("arms", "all layers") == f"{tmp_path / 'mine.yaml'}:7"
    assert found.own_factors() == {"rate": ("low", "high")}


def test_little_need_be_said(tmp_path: Path) -> None:
    found = read_definition(put(tmp_path, "question: why?\ngrid: {pairing: [siamese, concat]}"))
    assert (found.base, found.seeds, found.design, found.margin) == (
        "baseline",
        (0, 1, 2),
        "full",
        0.01,
    )
    assert (found.settings, found.arms, found.where, found.baseline, found.claims) == (
        {},
        {},
        (),
        None,
        (),
    )


def test_a_base_that_is_a_file_is_taken_in_without_its_seed(tmp_path: Path) -> None:
    put(tmp_path, "train.lr: 3e-5\nseed: 7\nsmart: {mu: 0}", "best/config.yaml")
    text = "question: why?\nbase: ../best/config.yaml\nset: {smart.lambda_s: 3}\narms: {a: {pairing: concat}}"
    found = read_definition(put(tmp_path, text, "questions/mine.yaml"))
    assert found.base == "baseline"
    assert found.settings == {"train": {"lr": 3e-5}, "smart": {"mu": 0, "lambda_s": 3}}
    wrong = put(tmp_path, "limit: 3\ntrain.lr: fast", "best/config.yaml")
    with pytest.raises(
        ConfigError, match=rf"{re.escape(str(wrong.name))}:2: train.lr: .*came 'fast'"
    ):
        read_definition(tmp_path / "questions/mine.yaml")


@pytest.mark.parametrize(
    ("value", "name"),
    [(None, "null"), (True, "true"), (3, "3"), (1e-5, "1e-5"), (2.5e-4, "0.00025"), (1.0, "1.0"), (1e22, "1e22"),
     ("all", "all"), (["sst", "sts"], "[sst, sts]"), ({}, "{}"), ({"lambda_s": 3, "mu": None}, "{lambda_s: 3, mu: null}")],
)  # fmt: skip
def test_a_value_is_a_level_under_its_own_name(value: Any, name: str) -> None:
    assert level_name(value) == name


# --- mistakes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("questio: why?\nquestion: why?", "mine.yaml:1: questio: unknown key. Did you mean 'question'? Keys here: name,"),
        ("pairing: concat", "mine.yaml:1: pairing: unknown key. Settings go under `set`."),
        ("question: ''", "mine.yaml:1: question: expected text of 1 to 2000 characters"),
        ("question:\n", "mine.yaml:1: question: expected text of 1 to 2000 characters, came nothing."),
        ("name: ../evil", "mine.yaml:1: name: expected a name that a folder can have"),
        ("base: finall", "mine.yaml:1: base: no preset 'finall'; there are baseline, final, concat. Did you mean 'final'?"),
        ("base: nowhere.yaml", "nowhere.yaml: cannot be read"),
        ("base: 3", "mine.yaml:1: base: expected a preset or a path, came 3."),
        ("set:\n  pairng: concat", "mine.yaml:2: pairng: unknown key. Did you mean 'pairing'?"),
        ("set: {lr: 1}", "Did you mean 'train.lr'?"),
        ("set: {train.lr: -1}", "mine.yaml:1: train.lr: input should be greater than 0, came -1"),
        ("set: {train.lr: 1, train: {lr: 1}}", "is set here a second time"),
        ("set: {seed: 3}", "mine.yaml:1: set.seed: the seeds of all arms are set by `seeds: [0, 1, 2]`."),
        ("set: [1]", "mine.yaml:1: set: expected settings (key: value), came [1]."),
        ("seeds: []", "mine.yaml:1: seeds: expected seeds, whole numbers from 0"),
        ("seeds: 0", "expected seeds, whole numbers from 0"),
        ("seeds: [0, -1]", "came [0, -1]"),
        ("seeds: [0, true]", "expected seeds"),
        ("seeds: [1, 1]", "mine.yaml:1: seeds: a seed is named twice in [1, 1]"),
        ("seeds: 100000", "expected seeds"),
        ("arms: {}", "mine.yaml:1: arms: expected arms (name: settings), came {}."),
        ("arms: [a, b]", "arms: expected arms (name: settings)"),
        ("arms: {a: concat}", "mine.yaml:1: arms.a: expected settings (key: value), came 'concat'."),
        ("arms:\n  a:\n    freeze.unfrozen: -2", "mine.yaml:3: freeze.unfrozen:"),
        ("arms: {a: {seed: 1}}", "arms.a.seed: the seeds of all arms"),
        ("arms: {' ': {pairing: concat}}", "the name of an arm: 1 to 100 printable characters"),
        ("grid: {}", "mine.yaml:1: grid: expected factors (key: [value, value]), came {}."),
        ("grid:\n  paring: [siamese, concat]", "mine.yaml:2: grid.paring: no config key. Did you mean 'pairing'?"),
        ("grid: {zzz: [1, 2]}", "A factor of your own has named levels"),
        ("grid: {pairing: [siamese, joined]}", "mine.yaml:1: pairing: input should be 'siamese' or 'concat', came 'joined'"),
        ("grid:\n  train.lr:\n  - 1e-5\n  - fast", "mine.yaml:4: train.lr:"),
        ("grid: {pairing: concat}", "mine.yaml:1: grid.pairing: expected a list of values, came 'concat'."),
        ("grid: {pairing: [concat, concat]}", "grid.pairing: the level concat is there twice; keep one."),
        ("grid: {pairing: {a: {pairing: concat}}}", "grid.pairing: is a config key and takes a list of values"),
        ("grid: {rate: {low: {train.lr: 0}}}", "mine.yaml:1: train.lr: input should be greater than 0"),
        ("grid: {rate: {low: 3}}", "grid.rate.low: expected settings (key: value), came 3."),
        ("grid: {rate: {'a ''b\"': {}}}", "quotes of one kind only"),
        ("grid: {'my rate': {low: {}}}", "a factor's name is made of letters"),
        ("grid: {not: {low: {}}}", "is no word of `where`"),
        ("grid: {seed: [0, 1]}", "grid.seed: seeds are no factor"),
        ("design: ful", "mine.yaml:1: design: expected one of full, one-at-a-time, leave-one-out, pairwise, came 'ful'. Did"),
        ("design: pairwise\narms: {a: {}}", "design: pairwise has no effect without a grid"),
        ("where: 3", "mine.yaml:1: where: expected a list of conditions in quotes, came 3."),
        ("where:\n- true\n", "expected a list of conditions in quotes, came [True]"),
        ("where:\n- 'true'\n- paring == 'concat'", "mine.yaml:3: where: unknown key 'paring'. Did you mean 'pairing'?"),
        ("baseline: [a]", "mine.yaml:1: baseline: expected an arm's name, or {factor: level}, came ['a']."),
        ("margin: -0.1", "mine.yaml:1: margin: expected a difference of scores, 0 or more, came -0.1."),
        ("margin: .inf", "margin: expected a difference"),
        ("margin: true", "margin: expected a difference"),
        ("claims: {a: 1}", "mine.yaml:1: claims: expected a list of claims"),
        ("claims:\n- {claim: It, arm: a, expect: helps}\n- {claim: It, arm: a}", "mine.yaml:3: claims.1.expect:"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = "base: finall\nset:\n  lr: 3\nseeds: []\narms: {a: {pairing: x}}\nwhere: [a == 1]\nmargin: no\nclaims: 3\n"
    lines = [line for line in refusal(tmp_path, text).splitlines() if line.startswith("mine.yaml:")]
    assert [int(line.split(":")[1]) for line in sorted(lines)] == [1, 3, 4, 5, 6, 7, 8]


def test_a_wrong_value_brings_no_second_complaint(tmp_path: Path) -> None:
    # surgery needs consolidated batches, but that is for the plan as a whole to say
    assert refusal(tmp_path, "set: {surgery: dominant, train.lr: x}").count("\n") == 0


@pytest.mark.parametrize("text", ["", "[]", "3", "question: why?"])
def test_what_is_no_definition_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="expected a definition|expected arms or a grid"):
        read_definition(put(tmp_path, text))


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
        from_words(["pairing=siamese,concat", "train.lr=1e-5,1e-4", "seed=0,1"]),
        from_words(["pairing=siamese,concat", "train.lr=1e-5,1e-4"], ["limit=3"]),
        from_words(["pairing=siamese,concat", "train.lr=1e-5,1e-4"], base="final"),
    ]
    assert len({one.name, *(other.name for other in others)}) == 6


@pytest.mark.parametrize(
    ("grids", "sets", "message"),
    [
        ([], [], "nothing varies but the seed"),
        (["seed=0,1"], [], "nothing varies but the seed"),
        (["pairing"], [], "'pairing': expected key=value,value,..."),
        (["=siamese"], [], "expected key=value"),
        (["paring=siamese,concat"], [], "grid.paring: no config key. Did you mean 'pairing'?"),
        (
            ["pairing=siamese,joined"],
            [],
            "pairing: input should be 'siamese' or 'concat', came 'joined'",
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
            "smart=null turns smart off, and smart.mu would do nothing",
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


def there_and_back(definition: Definition, folder: Path) -> Definition:
    return read_definition(put(folder, definition.to_yaml(), "back.yaml"))


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


# --- the library


def test_a_file_of_the_working_directory_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = definitions()
    assert set(shipped) == {path.stem for path in SHIPPED.glob("*.yaml")}
    monkeypatch.chdir(tmp_path)
    put(
        tmp_path, "question: mine?\ngrid: {pairing: [siamese, concat]}", "ablations/quickstart.yaml"
    )
    assert find_definition("quickstart").question == "mine?"
    assert find_definition("paper").question != "mine?"
    assert LIBRARY.folders()[0] == Path("ablations")


def test_an_unknown_name_lists_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError,
        match=r"no ablation 'papers'; there are .*pairing, paper, .* Did you mean 'paper'\?",
    ):
        find_definition("papers")
    with pytest.raises(ConfigError, match="cannot be read"):
        find_definition("./papers.yaml")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_definition_begins_with_its_question_and_reads_back(
    path: Path, tmp_path: Path
) -> None:
    definition = read_definition(path)
    assert path.read_text("utf-8").splitlines()[0] == f"# {definition.question}"
    assert replace(there_and_back(definition, tmp_path), name=path.stem) == definition
