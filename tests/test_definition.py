"""Definitions: reading is strict, and every mistake is named with its line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtl.ablation.claims import Claim
from mtl.ablation.definition import (
    LIBRARY,
    Definition,
    definitions,
    find_definition,
    read_definition,
)
from mtl.config.assignments import level_name
from mtl.errors import ConfigError
from tests.definition_tools import WHOLE, put, there_and_back

SHIPPED = Path(__file__).parents[1] / "ablations"


def refusal(folder: Path, text: str) -> str:
    """The error of a definition; a question and a grid are added where the text has none."""
    if "question" not in text:
        text = f"{text}\nquestion: why?"
    if not re.search(r"^(grid|arms)\b", text, re.M):
        text += "\ngrid: {pairing: [siamese, concat]}"
    path = put(folder, text)
    with pytest.raises(ConfigError) as error:
        read_definition(path)
    return str(error.value).replace(str(path), "mine.yaml")


# --- reading


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
    text = (
        "question: why?\nbase: ../best/config.yaml\nset: {smart.lambda_s: 3}\n"
        "arms: {a: {pairing: concat}}"
    )
    found = read_definition(put(tmp_path, text, "questions/mine.yaml"))
    assert found.base == "baseline"
    assert found.settings == {"train": {"lr": 3e-5}, "smart": {"mu": 0, "lambda_s": 3}}
    wrong = put(tmp_path, "limit: 3\ntrain.lr: fast", "best/config.yaml")
    with pytest.raises(
        ConfigError, match=rf"{re.escape(str(wrong.name))}:2: train.lr: .*got 'fast'"
    ):
        read_definition(tmp_path / "questions/mine.yaml")


@pytest.mark.parametrize(
    ("value", "name"),
    [(None, "null"), (True, "true"), (3, "3"), (1e-5, "1e-5"), (2.5e-4, "0.00025"), (1.0, "1.0"),
     (1e22, "1e22"),
     ("all", "all"), (["sst", "sts"], "[sst, sts]"), ({}, "{}"),
     ({"lambda_s": 3, "mu": None}, "{lambda_s: 3, mu: null}")],
)  # fmt: skip
def test_a_value_is_a_level_under_its_own_name(value: Any, name: str) -> None:
    assert level_name(value) == name


# --- mistakes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("questio: why?\nquestion: why?",
         "mine.yaml:1: questio: unknown key. Did you mean 'question'? Keys here: name,"),
        ("pairing: concat", "mine.yaml:1: pairing: unknown key. Settings go under `set`."),
        ("question: ''", "mine.yaml:1: question: expected text of 1 to 2000 characters"),
        ("question:\n",
         "mine.yaml:1: question: expected text of 1 to 2000 characters, got nothing."),
        ("name: ../evil", "mine.yaml:1: name: expected a name that a folder can have"),
        ("base: finall",
         "mine.yaml:1: base: no preset 'finall'; there are baseline, final, concat. Did you mean "
         "'final'?"),
        ("base: nowhere.yaml", "nowhere.yaml: cannot be read"),
        ("base: 3", "mine.yaml:1: base: expected a preset or a path, got 3."),
        ("set:\n  pairng: concat", "mine.yaml:2: pairng: unknown key. Did you mean 'pairing'?"),
        ("set: {lr: 1}", "Did you mean 'train.lr'?"),
        ("set: {train.lr: -1}", "mine.yaml:1: train.lr: must be greater than 0, got -1"),
        ("set: {train.lr: 1, train: {lr: 1}}", "is set here a second time"),
        ("set: {seed: 3}",
         "mine.yaml:1: set.seed: the seeds of all arms are set by `seeds: [0, 1, 2]`."),
        ("set: [1]", "mine.yaml:1: set: expected settings (key: value), got [1]."),
        ("seeds: []", "mine.yaml:1: seeds: expected seeds, whole numbers from 0"),
        ("seeds: 0", "expected seeds, whole numbers from 0"),
        ("seeds: [0, -1]", "got [0, -1]"),
        ("seeds: [0, true]", "expected seeds"),
        ("seeds: [1, 1]", "mine.yaml:1: seeds: a seed is listed twice in [1, 1]"),
        ("seeds: 100000", "expected seeds"),
        ("arms: {}", "mine.yaml:1: arms: expected arms (name: settings), got {}."),
        ("arms: [a, b]", "arms: expected arms (name: settings)"),
        ("arms: {a: concat}",
         "mine.yaml:1: arms.a: expected settings (key: value), got 'concat'."),
        ("arms:\n  a:\n    freeze.unfrozen: -2", "mine.yaml:3: freeze.unfrozen:"),
        ("arms: {a: {seed: 1}}", "arms.a.seed: the seeds of all arms"),
        ("arms: {' ': {pairing: concat}}", "the name of an arm: 1 to 100 printable characters"),
        ("grid: {}", "mine.yaml:1: grid: expected factors (key: [value, value]), got {}."),
        ("grid:\n  paring: [siamese, concat]",
         "mine.yaml:2: grid.paring: no config key. Did you mean 'pairing'?"),
        ("grid: {zzz: [1, 2]}", "A factor of your own has named levels"),
        ("grid: {pairing: [siamese, joined]}",
         "mine.yaml:1: pairing: must be 'siamese' or 'concat', got 'joined'"),
        ("grid:\n  train.lr:\n  - 1e-5\n  - fast", "mine.yaml:4: train.lr:"),
        ("grid: {pairing: concat}",
         "mine.yaml:1: grid.pairing: expected a list of values, got 'concat'."),
        ("grid: {pairing: [concat, concat]}",
         "grid.pairing: the level concat is listed twice; keep one."),
        ("grid: {pairing: {a: {pairing: concat}}}",
         "grid.pairing: is a config key and takes a list of values"),
        ("grid: {rate: {low: {train.lr: 0}}}", "mine.yaml:1: train.lr: must be greater than 0"),
        ("grid: {rate: {low: 3}}", "grid.rate.low: expected settings (key: value), got 3."),
        ("grid: {rate: {'a ''b\"': {}}}", "quotes of one kind only"),
        ("grid: {'my rate': {low: {}}}", "expected a name of letters"),
        ("grid: {not: {low: {}}}", "is no word of a condition"),
        ("grid: {seed: [0, 1]}", "grid.seed: seeds are no factor"),
        ("design: ful",
         "mine.yaml:1: design: expected one of full, one-at-a-time, leave-one-out, pairwise, got "
         "'ful'. Did"),
        ("design: pairwise\narms: {a: {}}", "design: pairwise has no effect without a grid"),
        ("where: 3", "mine.yaml:1: where: expected a list of conditions in quotes, got 3."),
        ("where:\n- true\n", "expected a list of conditions in quotes, got [True]"),
        ("where:\n- 'true'\n- paring == 'concat'",
         "mine.yaml:3: where: unknown key 'paring'. Did you mean 'pairing'?"),
        ("baseline: [a]",
         "mine.yaml:1: baseline: expected an arm's name, or {factor: level}, got ['a']."),
        ("margin: -0.1",
         "mine.yaml:1: margin: expected a difference of scores, 0 or more, or one for each score, "
         "as {sts: 0.03}, got -0.1."),
        ("margin: {sst: 0.02, sts: -1}", "mine.yaml:1: margin: expected a difference"),
        ("margin: {stss: 0.02}", "mine.yaml:1: margin: expected a difference"),
        ("margin: {}", "mine.yaml:1: margin: expected a difference"),
        ("margin: .inf", "margin: expected a difference"),
        ("margin: true", "margin: expected a difference"),
        ("claims: {a: 1}", "mine.yaml:1: claims: expected a list of claims"),
        ("claims:\n- {claim: It, arm: a, expect: helps}\n- {claim: It, arm: a}",
         "mine.yaml:3: claims.1.expect:"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = (
        "base: finall\nset:\n  lr: 3\nseeds: []\narms: {a: {pairing: x}}\nwhere: [a == 1]\n"
        "margin: no\nclaims: 3\n"
    )
    lines = [line for line in refusal(tmp_path, text).splitlines() if line.startswith("mine.yaml:")]
    assert [int(line.split(":")[1]) for line in sorted(lines)] == [1, 3, 4, 5, 6, 7, 8]


def test_a_wrong_value_brings_no_second_complaint(tmp_path: Path) -> None:
    # surgery needs consolidated batches, but that is for the plan as a whole to say
    assert refusal(tmp_path, "set: {surgery: dominant, train.lr: x}").count("\n") == 0


@pytest.mark.parametrize("text", ["", "[]", "3", "question: why?"])
def test_what_is_no_definition_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="expected a definition|expected arms or a grid"):
        read_definition(put(tmp_path, text))


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
    assert LIBRARY.own_paths() == {"quickstart": Path("ablations/quickstart.yaml")}


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
    comment = " ".join(line[2:] for line in path.read_text("utf-8").splitlines())
    assert comment.startswith(definition.question)
    assert replace(there_and_back(definition, tmp_path), name=path.stem) == definition


@pytest.mark.parametrize(
    "name", ["中" * 80, "a" * 101, "a/b", "..", ".a", "-a", "a.", "'a '", "'a\\0b'", '"a\\eb"']
)
def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(f"question: q?\nname: {name}\ngrid: {{pairing: [siamese, concat]}}\n", "utf-8")
    with pytest.raises(ConfigError, match="name"):
        read_definition(path)
