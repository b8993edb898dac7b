"""The grammar of the sample corpus's question pairs.

A question is a family (what it is about), an aspect (what it asks), and a value for each slot. Each aspect has several
wordings and many values have synonyms: two questions are paraphrases when family, aspect and values agree, however
they are worded. Near copies change one value, swap two, or ask for another aspect in the same wording, so that the
number of shared words says little.
"""

from __future__ import annotations

from dataclasses import dataclass

from mtl.data.sample.draw import Draw, Example
from mtl.data.sample.question_forms import FAMILIES, POOLS, Family

WORDS_LIMIT = 12
"""Longer questions are drawn again."""
POSITIVE_SHARE = 0.38
EASY_SHARE = 0.18
"""Share of negatives about another matter altogether."""
SAME_WORDING_SHARE = 0.35
"""Share of paraphrases that keep the wording and change synonyms only, where there are any."""
COPY_SHARE = 0.5
"""Share of the other negatives that keep the wording: near copies."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked: a family's index, an aspect's index, and an index into its pool for each slot."""

    family: int
    aspect: int
    values: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How it is asked: the index of the wording, and of a synonym for each slot (both wrap around)."""

    form: int
    synonyms: tuple[int, ...]


def _pool(family: Family, slot: str) -> tuple[tuple[str, ...], ...]:
    return POOLS[family.slots[slot]]


def worded(question: Question, wording: Wording) -> str:
    """The question as a sentence."""
    family = FAMILIES[question.family]
    forms = family.aspects[question.aspect]
    words = {}
    for slot, value, synonym in zip(family.slots, question.values, wording.synonyms, strict=True):
        options = _pool(family, slot)[value]
        words[slot] = options[synonym % len(options)]
    text = forms[wording.form % len(forms)].format(**words)
    return text[0].upper() + text[1:]


def draw_question(draw: Draw) -> Question:
    """A question about any matter; slots that share a pool get different values."""
    index = draw.below(len(FAMILIES))
    family = FAMILIES[index]
    values: list[int] = []
    for slot in family.slots:
        taken = [
            value
            for value, other in zip(values, family.slots, strict=False)
            if _shared(family, slot, other)
        ]
        values.append(draw.other(range(len(_pool(family, slot))), *taken))
    return Question(family=index, aspect=draw.below(len(family.aspects)), values=tuple(values))


def _shared(family: Family, one: str, two: str) -> bool:
    return family.slots[one] == family.slots[two]


def draw_wording(draw: Draw, question: Question) -> Wording:
    """Any wording and any synonyms."""
    family = FAMILIES[question.family]
    synonyms = tuple(
        draw.below(len(_pool(family, slot)[value]))
        for slot, value in zip(family.slots, question.values, strict=True)
    )
    return Wording(form=draw.below(len(family.aspects[question.aspect])), synonyms=synonyms)


def swapped(question: Question) -> Question:
    """The question with its two roles exchanged; the family must have some."""
    family = FAMILIES[question.family]
    assert family.swap is not None
    names = list(family.slots)
    values = list(question.values)
    one, two = (names.index(slot) for slot in family.swap)
    values[one], values[two] = values[two], values[one]
    return Question(family=question.family, aspect=question.aspect, values=tuple(values))


def draw_neighbour(draw: Draw, question: Question) -> Question:
    """Another question that differs in one thing: two roles swapped, one value, or the aspect."""
    family = FAMILIES[question.family]
    roll = draw.random()
    if family.swap is not None and roll < 0.5:
        return swapped(question)
    if len(family.aspects) > 1 and roll > 0.7:
        aspect = draw.other(range(len(family.aspects)), question.aspect)
        return Question(family=question.family, aspect=aspect, values=question.values)
    slots = list(family.slots)
    at = draw.below(len(slots))
    taken = [
        value
        for value, other in zip(question.values, slots, strict=True)
        if _shared(family, slots[at], other)
    ]
    values = list(question.values)
    values[at] = draw.other(range(len(_pool(family, slots[at]))), *taken)
    return Question(family=question.family, aspect=question.aspect, values=tuple(values))


def question_pair(draw: Draw) -> Example:
    """Two questions and whether they mean the same (1) or not (0); neither is longer than the limit."""
    while True:
        pair = _any_pair(draw)
        if max(len(pair.first.split()), len((pair.second or "").split())) <= WORDS_LIMIT:
            return pair


def _any_pair(draw: Draw) -> Example:
    question = draw_question(draw)
    wording = draw_wording(draw, question)
    first = worded(question, wording)
    same = draw.chance(POSITIVE_SHARE)
    if same:
        other = question
    elif draw.chance(EASY_SHARE):
        other = draw_question(draw)
    else:
        other = draw_neighbour(draw, question)
    return Example(
        first=first,
        second=_reworded(draw, other, question, wording),
        label=float(other == question),
    )


def _reworded(draw: Draw, other: Question, question: Question, wording: Wording) -> str:
    """`other` in words that are new for a paraphrase, and often the same for a neighbour."""
    first = worded(question, wording)
    while True:
        fresh = draw_wording(draw, other)
        keep = draw.chance(SAME_WORDING_SHARE if other == question else COPY_SHARE)
        if other.family == question.family and keep:
            synonyms = fresh.synonyms if other == question else wording.synonyms
            fresh = Wording(form=wording.form, synonyms=synonyms)
        if (second := worded(other, fresh)) != first:
            return second
