"""Claims: statements of a paper that an ablation reproduces or contradicts.

A claim names an arm, the expected result, and usually a second arm to compare with. `judge_claim`
is pure: the statistics give it the verdict on the difference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, model_validator

from mtl.ablation.margins import ScoreName
from mtl.documents.validation import (
    NOT_BLANK,
    Expected,
    FileModel,
    Problem,
    by_line,
    validated,
)
from mtl.documents.yaml_file import YamlDocument
from mtl.errors import short
from mtl.tasks.registry import TASKS

Expectation = Literal["helps", "hurts", "no difference", "worst class", "train above dev"]
Judgement = Literal[
    "reproduced",
    "contradicted",
    "no difference at this scale",
    "no gain at this scale",
    "no loss at this scale",
    "undecided",
]
EXPECTATIONS: tuple[Expectation, ...] = get_args(Expectation)
ALONE: tuple[Expectation, ...] = ("worst class", "train above dev")
"""Expectations about a single arm."""
VERDICTS = ("helps", "hurts", "no difference", "not worse", "not better", "undecided")


Text = Annotated[
    str,
    Field(max_length=500),
    NOT_BLANK,
    Expected("text of 1 to 500 characters"),
]
Score = Annotated[float | None, Expected("a score")]


class Published(FileModel):
    """The published scores of a claim's arms and their place in the paper; None if unpublished."""

    arm: Score = None
    than: Score = None
    where: Annotated[str | None, Expected("text")] = None


class Claim(FileModel):
    """One statement.

    `than` is the arm to compare with; None means the baseline. `label` (`class` in YAML) is the
    class of `worst class`. Claims with one `family` are corrected together; by default that is the
    number with which the claim begins.
    """

    model_config = ConfigDict(populate_by_name=True)

    claim: Text
    arm: Text
    than: Annotated[Text | None, Expected("the name of an arm")] = None
    task: Annotated[ScoreName, Expected("a task, or overall")] = "overall"
    expect: Annotated[
        Expectation, Expected(f"one of {', '.join(EXPECTATIONS)}", choices=EXPECTATIONS)
    ]
    label: Annotated[int | None, Expected("the number of a class, from 0")] = Field(
        None, validation_alias="class", serialization_alias="class", ge=0
    )
    family: Annotated[Text | None, Expected("the name of a family")] = None
    published: Annotated[Published | None, Expected("{arm, than, where}")] = None

    @property
    def family_name(self) -> str | None:
        """The family that the claim names, or the number with which it begins: `4. SMART helps`."""
        number = re.match(r"\s*(\d+)\s*[.):]", self.claim)
        return self.family or (number.group(1) if number else None)

    @model_validator(mode="before")
    @classmethod
    def _only_task_with_classes(cls, value: Any) -> Any:
        """Where one known task alone has three classes or more, `worst class` needs no task."""
        if isinstance(value, dict) and value.get("expect") == "worst class":
            tasks = [task.name for task in TASKS.readable() if len(task.class_names) > 2]
            return ({"task": tasks[0]} if len(tasks) == 1 else {}) | value
        return value

    def problems(self) -> list[Problem]:
        """Keys that `expect` needs, or that have no effect with it."""
        messages: dict[str, str] = {}
        if self.expect in ALONE and self.than is not None:
            messages["than"] = f"has no effect with expect: {self.expect}; leave it out."
        if self.expect == "worst class":
            classes = 0 if self.task == "overall" else len(TASKS[self.task].class_names)
            if not classes:
                messages["task"] = f"expected a task with classes, got {self.task}."
            elif self.label is None or self.label >= classes:
                came = "nothing" if self.label is None else self.label
                messages["class"] = f"expected a class, 0 to {classes - 1}, got {came}."
        elif self.label is not None:
            messages["class"] = "has an effect with expect: worst class only; leave it out."
        return [
            Problem(uses=("expect", key), message=f"{key}: {message}")
            for key, message in messages.items()
        ]

    def plain(self) -> dict[str, Any]:
        """The claim as a definition writes it, without the keys that are not set."""
        return self.model_dump(by_alias=True, exclude_none=True)


def judge_claim(
    claim: Claim, evidence: str | None | Sequence[Sequence[float | None]], *, margin: float = 0.0
) -> Judgement:
    """Judge a claim by the evidence in the records.

    For helps, hurts and no difference, `evidence` is the verdict on `arm` against `than`, None with
    one seed:
        expected \\ verdict   helps         hurts         no difference                 undecided
        helps                reproduced    contradicted  no difference at this scale   undecided
        hurts                contradicted  reproduced    no difference at this scale   undecided
        no difference        contradicted  contradicted  reproduced                    undecided
    Not better gives "no gain at this scale" where the claim expects helps, and not worse "no loss
    at this scale" where it expects hurts; otherwise they leave it undecided.
    For expectations about one arm, `evidence` has one row per seed. The condition must hold with
    every seed; else, and with fewer than two rows, the claim is undecided:
    * worst class: the recalls of classes 0, 1, ... Reproduced if the class is below all others,
      contradicted if another class is at or below it.
    * train above dev: (train, dev). Reproduced if train is above dev by more than `margin`,
      contradicted if it is below by more, no difference at this scale if both are within
      `margin`.
    A missing number (None) leaves the claim undecided. Raises ValueError for evidence of the
    wrong kind.
    """
    if claim.expect in ALONE:
        if evidence is None or isinstance(evidence, str):
            raise ValueError(
                f"{claim.expect!r} is judged by numbers, one row per seed; got {evidence!r}"
            )
        if len(evidence) < 2 or any(value is None for row in evidence for value in row):
            return "undecided"
        rows = [[value for value in row if value is not None] for row in evidence]
        return _worst(claim, rows) if claim.expect == "worst class" else _above(rows, margin)
    if evidence is None:
        return "undecided"
    if evidence not in VERDICTS:
        raise ValueError(
            f"{claim.expect!r} is judged by a verdict among {', '.join(VERDICTS)}; got {evidence!r}"
        )
    if evidence == "not better" and claim.expect == "helps":
        return "no gain at this scale"
    if evidence == "not worse" and claim.expect == "hurts":
        return "no loss at this scale"
    if evidence in ("undecided", "not better", "not worse"):
        return "undecided"
    if evidence == claim.expect:
        return "reproduced"
    return "no difference at this scale" if evidence == "no difference" else "contradicted"


def _worst(claim: Claim, rows: list[list[float]]) -> Judgement:
    assert claim.label is not None
    worst = []
    for recalls in rows:
        others = recalls[: claim.label] + recalls[claim.label + 1 :]
        worst.append(recalls[claim.label] < min(others))
    return "reproduced" if all(worst) else "undecided" if any(worst) else "contradicted"


def _above(rows: list[list[float]], margin: float) -> Judgement:
    gaps = [train - dev for train, dev in rows]
    if all(gap > margin for gap in gaps):
        return "reproduced"
    if all(gap < -margin for gap in gaps):
        return "contradicted"
    return "no difference at this scale" if all(abs(gap) <= margin for gap in gaps) else "undecided"


def read_claims(document: YamlDocument) -> tuple[tuple[Claim, ...], list[str]]:
    """The claims of a list in YAML, and a message for every error, with its place."""
    if not isinstance(document.value, list):
        came = short(document.value)
        return (), [f"{document.where(())}: claims: expected a list of claims, got {came}."]
    claims: list[Claim] = []
    problems: list[str] = []
    for number, value in enumerate(document.value):
        if not isinstance(value, dict):
            source = document.where((number,))
            problems.append(f"{source}: claims.{number}: expected {KEYS}, got {short(value)}.")
            continue
        part = document.part(value, number)
        claim, errors = validated(Claim, [part], prefix=f"claims.{number}.", stand_ins=_STAND_INS)
        problems += errors
        claims += [] if errors else [claim]
    return tuple(claims), by_line(problems)


KEYS = "settings (claim, arm, than, task, expect, class, family, published)"
_STAND_INS = {"claim": "claim", "arm": "arm", "expect": "helps"}
"""Values for required keys that are wrong, so that the other keys are checked too."""
