"""The small calculus of valence behind the sample corpus's reviews: every phrase carries its words and its worth.

A valence is a number, bad below 0 and good above. Mild words are worth 1, strong ones 2; degree, negation, contrast
and disappointed hope change that by the rules below, so a sentence's class follows from how it is built and not from
the words in it.
"""

from __future__ import annotations

from dataclasses import dataclass

GOOD_NOUNS = ("merits", "strengths", "charms", "fine touches")
BAD_NOUNS = ("faults", "flaws", "weaknesses", "problems")
DEGREES = {
    "slightly": 0.5,
    "a little": 0.5,
    "somewhat": 0.5,
    "fairly": 0.5,
    "rather": 1.0,
    "really": 1.5,
    "very": 1.5,
}
STRONG_DEGREES = {"truly": 1.5, "utterly": 1.5, "simply": 1.25}
HAVING = {
    "a few": 0.5,
    "some": 0.5,
    "a lot of": 1.5,
    "plenty of": 1.5,
    "no": -1.5,
    "hardly any": -1.0,
}
NEGATIONS = {
    "not": 0.5,
    "hardly": 0.75,
    "never": 0.75,
    "not at all": 1.0,
    "far from": 1.0,
    "anything but": 1.5,
}
NEGATED_LIMIT = 1.5


@dataclass(frozen=True, kw_only=True)
class Said:
    """A phrase or sentence in the making: its words and its valence."""

    text: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a clause is about, with its article: `the soup`, or `the noodles`."""

    text: str
    plural: bool = False

    @property
    def pronoun(self) -> str:
        """What stands for it as an object."""
        return "them" if self.plural else "it"


def graded(degree: str, quality: Said) -> Said:
    """`slightly` halves a valence, `really` adds half of it."""
    factor = DEGREES.get(degree) or STRONG_DEGREES[degree]
    return Said(text=f"{degree} {quality.text}", value=quality.value * factor)


def turned(value: float, share: float) -> float:
    """The valence of a denial: the opposite, in part, and never strong (`not awful` is not `superb`)."""
    return max(-NEGATED_LIMIT, min(NEGATED_LIMIT, -value * share))


def negated(negation: str, quality: Said) -> Said:
    """`not at all dull` is as good as `dull` is bad; a plain `not` turns only half of it."""
    return Said(text=f"{negation} {quality.text}", value=turned(quality.value, NEGATIONS[negation]))


def neither(one: Said, two: Said) -> Said:
    """`neither charming nor dull`: half of both is turned, so opposites cancel."""
    return Said(text=f"neither {one.text} nor {two.text}", value=turned(one.value + two.value, 0.5))


def says(subject: Subject, quality: Said) -> Said:
    """`the soup is bland`."""
    return Said(
        text=f"{subject.text} {'are' if subject.plural else 'is'} {quality.text}",
        value=quality.value,
    )


def has(subject: Subject, amount: str, noun: str) -> Said:
    """`the soup has hardly any faults`: a noun is worth 1, changed by its amount."""
    worth = HAVING[amount] * (1 if noun in GOOD_NOUNS else -1)
    return Said(
        text=f"{subject.text} {'have' if subject.plural else 'has'} {amount} {noun}", value=worth
    )


def added(one: Said, two: Said) -> float:
    """The valence of two things of one mind, said side by side: the stronger in full, the weaker half."""
    weaker, stronger = sorted((one.value, two.value), key=abs)
    return stronger + weaker / 2


def conceded(main: Said, aside: Said) -> float:
    """The valence of a contrast: the main clause counts in full, the conceded one half."""
    return main.value + aside.value / 2


def unexpected(outcome: Said, hope: Said) -> float:
    """The valence of a surprise: the outcome, sharpened by half of what was expected instead."""
    return outcome.value - hope.value / 2


def sentiment_class(value: float) -> int:
    """The class 0..4 of a valence: neutral inside (-0.5, 0.5), strong from 1.75 on."""
    if abs(value) < 0.5:
        return 2
    return (3 if value > 0 else 1) if abs(value) < 1.75 else (4 if value > 0 else 0)
