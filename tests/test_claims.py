"""Claims: read strictly, and judged by a table that can be checked by eye."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from mtl.ablation.claims import (
    EXPECTATIONS,
    Claim,
    Expectation,
    Judgement,
    Published,
    judge_claim,
    read_claims,
)
from mtl.ablation.definition import find_definition
from mtl.documents.yaml_file import YamlDocument, parse_yaml


def claim(expect: Expectation, label: int | None = None) -> Claim:
    return Claim(claim="...", arm="mine", expect=expect, label=label)


def read(text: str) -> tuple[tuple[Claim, ...], list[str]]:
    return read_claims(parse_yaml(text, "claims.yaml"))


def refusal(text: str) -> str:
    claims, problems = read(text)
    assert not claims
    return "\n".join(problems)


def test_claims_that_begin_with_one_number_are_a_family_unless_they_name_another() -> None:
    names = ("4. SMART helps", " 4) It helps", "12: It helps", "It helps 4.", "4 layers help")
    found = [Claim(claim=name, arm="a", expect="helps").family_name for name in names]
    assert found == ["4", "4", "12", None, None]
    assert Claim(claim="4. It", arm="a", expect="helps", family="speed").family_name == "speed"
    text = "- {claim: 4. It, arm: a, expect: helps, family: speed}"
    (one,), problems = read(text)
    assert not problems and one.plain()["family"] == "speed"
    assert "claims.0.family: expected" in refusal(text.replace("speed", '""'))


# --- judging


TABLE: dict[Expectation, dict[str, Judgement]] = {
    "helps": {
        "helps": "reproduced",
        "hurts": "contradicted",
        "no difference": "no difference at this scale",
    },
    "hurts": {
        "helps": "contradicted",
        "hurts": "reproduced",
        "no difference": "no difference at this scale",
    },
    "no difference": {
        "helps": "contradicted",
        "hurts": "contradicted",
        "no difference": "reproduced",
    },
}


@pytest.mark.parametrize("expect", TABLE)
def test_a_claim_about_two_arms_is_judged_by_their_verdict(expect: Expectation) -> None:
    for verdict, judgement in TABLE[expect].items():
        assert judge_claim(claim(expect), verdict) == judgement
    assert judge_claim(claim(expect), "undecided") == "undecided"
    one_sided = {("helps", "not better"): "no gain", ("hurts", "not worse"): "no loss"}
    for verdict in ("not better", "not worse"):
        found = one_sided.get((expect, verdict))
        expected = "undecided" if found is None else f"{found} at this scale"
        assert judge_claim(claim(expect), verdict) == expected
    assert judge_claim(claim(expect), None) == "undecided"  # one seed has no verdict


@pytest.mark.parametrize(
    ("recalls", "judgement"),
    [
        ([[0.4, 0.7, 0.1, 0.6, 0.5], [0.4, 0.7, 0.2, 0.6, 0.5]], "reproduced"),
        (
            [[0.4, 0.7, 0.1, 0.6, 0.5], [0.1, 0.7, 0.2, 0.6, 0.5]],
            "undecided",
        ),  # one seed says so, one does not
        ([[0.1, 0.7, 0.2, 0.6, 0.5], [0.1, 0.7, 0.2, 0.6, 0.5]], "contradicted"),
        (
            [[0.2, 0.7, 0.2, 0.6, 0.5], [0.2, 0.7, 0.2, 0.6, 0.5]],
            "contradicted",
        ),  # as bad as another is not the worst
        ([[0.4, 0.7, 0.1, 0.6, 0.5]], "undecided"),
        ([], "undecided"),
        ([[0.4, 0.7, None, 0.6, 0.5], [0.4, 0.7, 0.2, 0.6, 0.5]], "undecided"),
    ],
)
def test_the_worst_class_is_below_all_others_with_every_seed(
    recalls: Any, judgement: Judgement
) -> None:
    assert judge_claim(claim("worst class", 2), recalls) == judgement


@pytest.mark.parametrize(
    ("pairs", "judgement"),
    [
        ([(0.9, 0.6), (0.8, 0.6)], "reproduced"),
        ([(0.9, 0.6), (0.605, 0.6)], "undecided"),
        ([(0.605, 0.6), (0.595, 0.6)], "no difference at this scale"),
        ([(0.5, 0.6), (0.4, 0.6)], "contradicted"),
        ([(0.9, 0.6), (0.4, 0.6)], "undecided"),
        ([(0.9, 0.6)], "undecided"),
        ([(0.9, None), (0.9, 0.6)], "undecided"),
    ],
)
def test_train_is_above_dev_where_it_is_so_with_every_seed_by_more_than_the_margin(
    pairs: Any, judgement: Judgement
) -> None:
    assert judge_claim(claim("train above dev"), pairs, margin=0.01) == judgement


def test_a_claim_is_not_judged_by_what_is_of_another_kind() -> None:
    with pytest.raises(ValueError, match="by numbers"):
        judge_claim(claim("worst class", 2), "helps")
    with pytest.raises(ValueError, match="by a verdict among helps"):
        judge_claim(claim("helps"), "better")
    with pytest.raises(ValueError, match="by a verdict"):
        judge_claim(claim("helps"), [(0.9, 0.6)])


# --- reading


def test_a_claim_is_read_with_its_defaults() -> None:
    (found,), problems = read("- {claim: It helps, arm: mine, expect: helps}")
    assert not problems
    assert found == Claim(
        claim="It helps", arm="mine", expect="helps", than=None, task="overall", label=None
    )


def test_every_key_of_a_claim_is_read_and_written_back() -> None:
    text = """
- claim: The neutral class is the worst
  arm: mine
  expect: worst class
  class: 2
  published: {arm: 0.07, where: Table 3}
- claim: It helps sts
  arm: mine
  than: other
  task: sts
  expect: helps
  published: {arm: 0.690, than: 0.551}
"""
    claims, problems = read(text)
    assert not problems
    assert claims[0].task == "sst"
    assert claims[0].label == 2
    assert claims[0].published == Published(arm=0.07, where="Table 3")
    assert claims[1].published == Published(arm=0.690, than=0.551)
    again, problems = read_claims(
        YamlDocument(source="again", value=[one.plain() for one in claims])
    )
    assert not problems
    assert again == claims


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a: 1}", "claims.yaml:1: claims: expected a list of claims, got {'a': 1}."),
        ("- 3", "claims.0: expected settings (claim, arm,"),
        (
            "- {arm: mine, expect: helps}",
            "claims.0.claim: expected text of 1 to 500 characters, got nothing.",
        ),
        ("- {claim: ' ', arm: mine, expect: helps}", "got ' '."),
        (
            "- {claim: It, arm: 3, expect: helps}",
            "claims.0.arm: expected text of 1 to 500 characters, got 3.",
        ),
        ("- {claim: It, arm: mine}", "claims.0.expect: expected one of helps, hurts"),
        ("- {claim: It, arm: mine, expect: help}", "got 'help'. Did you mean 'helps'?"),
        ("- {claim: It, arm: mine, expect: helps, task: ssts}", "got 'ssts'. Did you mean 'sts'?"),
        (
            "- {claim: It, arm: mine, expect: helps, clas: 2}",
            "claims.0.clas: unknown key. Did you mean 'class'?",
        ),
        ("- {claim: It, arm: mine, expect: helps, class: 2}", "with expect: worst class only"),
        (
            "- {claim: It, arm: mine, expect: worst class}",
            "expected a class, 0 to 4, got nothing.",
        ),
        (
            "- {claim: It, arm: mine, expect: worst class, class: 5}",
            "expected a class, 0 to 4, got 5.",
        ),
        ("- {claim: It, arm: mine, expect: worst class, class: true}", "got True."),
        (
            "- {claim: It, arm: mine, expect: worst class, class: 2, task: sts}",
            "claims.0.task: expected a task with classes, got sts",
        ),
        (
            "- {claim: It, arm: mine, expect: train above dev, than: other}",
            "claims.0.than: has no effect",
        ),
        (
            "- {claim: It, arm: mine, expect: helps, published: 0.5}",
            "claims.0.published: expected {arm, than, where}",
        ),
        (
            "- {claim: It, arm: mine, expect: helps, published: {arm: high}}",
            "claims.0.published.arm: expected a score",
        ),
        (
            "- {claim: It, arm: mine, expect: helps, published: {arm: .nan}}",
            "expected a score, got nan",
        ),
        (
            "- {claim: It, arm: mine, expect: helps, published: {dev: 1}}",
            "claims.0.published.dev: unknown key.",
        ),
    ],
)
def test_a_mistake_in_a_claim_is_named_with_its_place(text: str, message: str) -> None:
    assert message in refusal(text)
    assert refusal(text).startswith("claims.yaml:1: claims")


def test_all_mistakes_are_told_at_once_each_with_its_line() -> None:
    text = (
        "- {claim: It, arm: mine, expect: helps}\n- claim: It\n  arm: mine\n  expect: wins\n"
        "  task: all\n- 7\n"
    )
    claims, problems = read(text)
    assert [problem.split(": ")[0] for problem in problems] == [
        "claims.yaml:4",
        "claims.yaml:5",
        "claims.yaml:6",
    ]
    assert len(claims) == 1


# --- the paper's


def test_the_papers_nine_claims_are_there_with_the_published_scores() -> None:
    claims = find_definition(str(Path(__file__).parents[1] / "ablations/paper.yaml")).claims
    assert sorted({one.claim[:2] for one in claims}) == [f"{number}." for number in range(1, 10)]
    scores = {(one.arm, one.task): one.published for one in claims if one.published is not None}
    assert scores["final", "sts"] == Published(arm=0.690, than=0.551, where="dev")
    assert scores["concat", "quora"] == Published(arm=0.881, than=0.817, where="dev")
    assert {one.expect for one in claims} == set(EXPECTATIONS) - {"hurts"}
    assert get_args(Expectation) == EXPECTATIONS
