"""Claims: statements of a paper that an ablation reproduces or contradicts.

A claim names an arm, mostly another one to compare it with, and what is expected of the two. Judging is pure: the verdict
on the difference comes from the statistics, and the claim only says what it would mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mtl.config.yaml_file import Place, YamlDocument
from mtl.errors import suggestion
from mtl.tasks.registry import TASKS, TaskName

Expectation = Literal["helps", "hurts", "no difference", "worst class", "train above dev"]
Judgement = Literal["reproduced", "contradicted", "no difference at this scale", "undecided"]
EXPECTATIONS: tuple[Expectation, ...] = get_args(Expectation)
ALONE: tuple[Expectation, ...] = ("worst class", "train above dev")
"""Expectations of one arm by itself."""
VERDICTS = ("helps", "hurts", "no difference", "undecided")
KEYS = ("claim", "arm", "than", "task", "expect", "class", "published")
PUBLISHED_KEYS = ("arm", "than", "where")
MAX_TEXT = 500


@dataclass(frozen=True, kw_only=True)
class Published:
    """The scores that a claim rests on where it was published, and the place there; None where it gives none."""

    arm: float | None = None
    than: float | None = None
    where: str | None = None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement. `than` None is the baseline; `label` is the class that `worst class` is about (`class` in YAML)."""

    claim: str
    arm: str
    expect: Expectation
    than: str | None = None
    task: TaskName | Literal["overall"] = "overall"
    label: int | None = None
    published: Published | None = None

    def plain(self) -> dict[str, Any]:
        """The claim as a definition writes it."""
        found: dict[str, Any] = {
            "claim": self.claim,
            "arm": self.arm,
            "than": self.than,
            "task": self.task,
        }
        found |= {"expect": self.expect, "class": self.label}
        if self.published is not None:
            written = {
                "arm": self.published.arm,
                "than": self.published.than,
                "where": self.published.where,
            }
            found["published"] = {key: value for key, value in written.items() if value is not None}
        return {key: value for key, value in found.items() if value is not None}


def judge_claim(
    claim: Claim, found: str | None | Sequence[Sequence[float | None]], *, margin: float = 0.0
) -> Judgement:
    """What the records say about a claim.

    For helps, hurts and no difference, `found` is the verdict on arm against than (None: there is none, as with one seed):
        expected \\ verdict   helps         hurts         no difference                 undecided
        helps                reproduced    contradicted  no difference at this scale   undecided
        hurts                contradicted  reproduced    no difference at this scale   undecided
        no difference        contradicted  contradicted  reproduced                    undecided
    For the expectations of one arm, `found` has a row for each seed, and fewer than two decide nothing:
    * worst class: the recalls of classes 0, 1, ... Reproduced where the class is below all others with every seed,
      contradicted where some other is at or below it with every seed.
    * train above dev: (train, dev). Reproduced where train is above dev by more than `margin` with every seed,
      contradicted where it is below by more with every seed, no difference at this scale where the two are within
      `margin` with every seed.
    A missing number (None) leaves the claim undecided. Raises ValueError where `found` is not of the claim's kind.
    """
    if claim.expect in ALONE:
        if found is None or isinstance(found, str):
            raise ValueError(
                f"{claim.expect!r} is judged by numbers, a row for each seed; came {found!r}"
            )
        if len(found) < 2 or any(value is None for row in found for value in row):
            return "undecided"
        rows = [[value for value in row if value is not None] for row in found]
        return _worst(claim, rows) if claim.expect == "worst class" else _above(rows, margin)
    if found is None:
        return "undecided"
    if found not in VERDICTS:
        raise ValueError(
            f"{claim.expect!r} is judged by a verdict among {', '.join(VERDICTS)}; came {found!r}"
        )
    if found == "undecided":
        return "undecided"
    if found == claim.expect:
        return "reproduced"
    return "no difference at this scale" if found == "no difference" else "contradicted"


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
    """The claims of a list as YAML gives it, and every problem in it with its place."""
    if not isinstance(document.value, list):
        return (), [
            f"{document.where(())}: claims: expected a list of claims, came {_kind(document.value)}."
        ]
    claims, problems = [], []
    for number, value in enumerate(document.value):
        reader = _Reader(document, (number,))
        claim = reader.claim(value)
        problems += reader.problems
        if claim is not None and not reader.problems:
            claims.append(claim)
    return tuple(claims), problems


class _Reader:
    """Reads one claim and collects what is wrong with it."""

    def __init__(self, document: YamlDocument, place: Place) -> None:
        self.document = document
        self.place = place
        self.problems: list[str] = []

    def fail(self, message: str, *inner: str) -> None:
        name = ".".join(("claims", *map(str, self.place), *inner))
        self.problems.append(f"{self.document.where((*self.place, *inner))}: {name}: {message}")

    def claim(self, value: Any) -> Claim | None:
        if not isinstance(value, dict):
            self.fail(f"expected settings ({', '.join(KEYS)}), came {_kind(value)}.")
            return None
        self.known(value, KEYS)
        expect = self.word(value, "expect", EXPECTATIONS, None)
        task = self.word(
            value, "task", ("overall", *TASKS), "sst" if expect == "worst class" else "overall"
        )
        claim, arm = self.text(value, "claim"), self.text(value, "arm")
        than = self.text(value, "than") if value.get("than") is not None else None
        label = value.get("class")
        if expect in ALONE and than is not None:
            self.fail(
                f"has no effect with expect: {expect}, which is about one arm; leave it out.",
                "than",
            )
        if expect == "worst class":
            classes = TASKS["sst"].outputs
            if task != "sst":
                self.fail(
                    f"expected sst, whose classes are scored one by one; came {task}.", "task"
                )
            if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < classes:
                self.fail(f"expected a class, 0 to {classes - 1}, came {label!r}.", "class")
        elif label is not None:
            self.fail("has an effect with expect: worst class only; leave it out.", "class")
        published = (
            self.published(value["published"]) if value.get("published") is not None else None
        )
        if self.problems:
            return None
        assert expect is not None
        assert task is not None
        return Claim(
            claim=claim,
            arm=arm,
            than=than,
            task=task,  # type: ignore[arg-type]
            expect=expect,  # type: ignore[arg-type]
            label=label,
            published=published,
        )

    def published(self, value: Any) -> Published | None:
        if not isinstance(value, dict):
            self.fail(
                f"expected {{{', '.join(PUBLISHED_KEYS)}}}, came {_kind(value)}.", "published"
            )
            return None
        self.known(value, PUBLISHED_KEYS, "published")
        numbers: dict[str, float | None] = {}
        for key in ("arm", "than"):
            number = value.get(key)
            if number is not None and (
                isinstance(number, bool)
                or not isinstance(number, int | float)
                or not math.isfinite(number)
            ):
                self.fail(f"expected a score, came {number!r}.", "published", key)
            else:
                numbers[key] = None if number is None else float(number)
        where = value.get("where")
        if where is not None and not isinstance(where, str):
            self.fail(f"expected text, came {where!r}.", "published", "where")
        return None if self.problems else Published(**numbers, where=where)

    def known(self, value: dict[str, Any], keys: Sequence[str], *inner: str) -> None:
        for key in value:
            if key not in keys:
                self.fail(
                    f"unknown key.{suggestion(key, keys)} Keys here: {', '.join(keys)}.",
                    *inner,
                    key,
                )

    def text(self, value: dict[str, Any], key: str) -> str:
        found = value.get(key)
        if not isinstance(found, str) or not found.strip() or len(found) > MAX_TEXT:
            self.fail(f"expected text of 1 to {MAX_TEXT} characters, came {_kind(found)}.", key)
            return ""
        return found

    def word(
        self, value: dict[str, Any], key: str, choices: Sequence[str], default: str | None
    ) -> str | None:
        found = value.get(key, default)
        if found not in choices:
            self.fail(
                f"expected one of {', '.join(choices)}, came {found!r}.{suggestion(found, choices)}",
                key,
            )
            return None
        return str(found)


def _kind(value: Any) -> str:
    """What came, in a word or two that fit in a message."""
    if isinstance(value, str):
        return "text" if value.strip() else "empty text"
    if value is None or isinstance(value, dict | list):
        return "nothing" if value is None else "settings" if isinstance(value, dict) else "a list"
    return repr(value)
