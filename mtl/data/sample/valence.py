"""The valence of the sample's reviews: every phrase has its words and a number.

A valence is below 0 for bad and above 0 for good. Mild words have valence 1, strong words 2.
Degree, negation, contrast and surprise change it by the rules below. So the class of a sentence
follows from its structure, not from its words alone.
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
class Phrase:
    """A phrase or a sentence: its words and its valence."""

    text: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The subject of a clause, with its article: `the soup` or `the noodles`."""

    text: str
    plural: bool = False

    @property
    def pronoun(self) -> str:
        """Its pronoun as an object."""
        return "them" if self.plural else "it"


def graded(degree: str, quality: Phrase) -> Phrase:
    """A phrase with a degree: `slightly` halves the valence, `really` adds half of it."""
    factor = DEGREES.get(degree) or STRONG_DEGREES[degree]
    return Phrase(text=f"{degree} {quality.text}", value=quality.value * factor)


def turned(value: float, share: float) -> float:
    """The valence of a denial: the opposite times `share`, within +-`NEGATED_LIMIT`.

    So `not awful` never means `superb`.
    """
    return max(-NEGATED_LIMIT, min(NEGATED_LIMIT, -value * share))


def negated(negation: str, quality: Phrase) -> Phrase:
    """A negated phrase: `not at all` turns the whole valence, a plain `not` half of it."""
    return Phrase(
        text=f"{negation} {quality.text}", value=turned(quality.value, NEGATIONS[negation])
    )


def neither(first: Phrase, second: Phrase) -> Phrase:
    """`neither charming nor dull`: half of the sum is turned, so opposites cancel."""
    return Phrase(
        text=f"neither {first.text} nor {second.text}",
        value=turned(first.value + second.value, 0.5),
    )


def says(subject: Subject, quality: Phrase) -> Phrase:
    """A clause such as `the soup is bland`."""
    return Phrase(
        text=f"{subject.text} {'are' if subject.plural else 'is'} {quality.text}",
        value=quality.value,
    )


def has(subject: Subject, amount: str, noun: str) -> Phrase:
    """A clause such as `the soup has hardly any faults`: valence 1 times the amount."""
    worth = HAVING[amount] * (1 if noun in GOOD_NOUNS else -1)
    return Phrase(
        text=f"{subject.text} {'have' if subject.plural else 'has'} {amount} {noun}", value=worth
    )


def added(first: Phrase, second: Phrase) -> float:
    """The valence of two phrases of the same sign: the stronger in full, the weaker half."""
    weaker, stronger = sorted((first.value, second.value), key=abs)
    return stronger + weaker / 2


def conceded(main: Phrase, aside: Phrase) -> float:
    """The valence of a contrast: the main clause in full, the conceded clause half."""
    return main.value + aside.value / 2


def unexpected(outcome: Phrase, hope: Phrase) -> float:
    """The valence of a surprise: the outcome minus half of the expectation."""
    return outcome.value - hope.value / 2


def sentiment_class(value: float) -> int:
    """The class 0..4 of a valence: neutral inside (-0.5, 0.5), strong from 1.75 on."""
    if abs(value) < 0.5:
        return 2
    return (3 if value > 0 else 1) if abs(value) < 1.75 else (4 if value > 0 else 0)
