"""The grammar of the sample's question pairs.

A question has a family (its subject), an aspect (what is asked), and a value for each slot. Each
aspect has several wordings, and many values have synonyms. Two questions are paraphrases if family,
aspect and values agree, in any wording. A near copy changes one value, swaps two, or asks for
another aspect in a similar wording. So the number of shared words says little about the label.
"""

from __future__ import annotations

from dataclasses import dataclass

from mtl.data.sample.draw import Draw, Example
from mtl.data.sample.question_forms import FAMILIES, POOLS, Family

WORDS_LIMIT = 12
"""Longer questions are drawn again."""
POSITIVE_SHARE = 0.38
EASY_SHARE = 0.18
"""Share of negatives about another subject."""
SAME_WORDING_SHARE = 0.35
"""Share of paraphrases that keep the wording and change only synonyms, if there are any."""
COPY_SHARE = 0.5
"""Share of the other negatives that keep the wording: near copies."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """The meaning of a question: indexes of family, aspect, and of the value of each slot."""

    family: int
    aspect: int
    values: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The wording of a question: indexes of a form and of synonyms; they wrap around."""

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
    """A random question. Slots that share a pool get different values."""
    index = draw.below(len(FAMILIES))
    family = FAMILIES[index]
    values: list[int] = []
    for slot in family.slots:
        taken = [
            value
            for value, other_slot in zip(values, family.slots, strict=False)
            if _same_pool(family, slot, other_slot)
        ]
        values.append(draw.other(range(len(_pool(family, slot))), *taken))
    return Question(family=index, aspect=draw.below(len(family.aspects)), values=tuple(values))


def _same_pool(family: Family, slot: str, other_slot: str) -> bool:
    return family.slots[slot] == family.slots[other_slot]


def draw_wording(draw: Draw, question: Question) -> Wording:
    """A random wording with random synonyms."""
    family = FAMILIES[question.family]
    synonyms = tuple(
        draw.below(len(_pool(family, slot)[value]))
        for slot, value in zip(family.slots, question.values, strict=True)
    )
    return Wording(form=draw.below(len(family.aspects[question.aspect])), synonyms=synonyms)


def swapped(question: Question) -> Question:
    """The question with its two roles swapped. The family must have roles (`swap`)."""
    family = FAMILIES[question.family]
    assert family.swap is not None
    names = list(family.slots)
    values = list(question.values)
    i, j = (names.index(slot) for slot in family.swap)
    values[i], values[j] = values[j], values[i]
    return Question(family=question.family, aspect=question.aspect, values=tuple(values))


def draw_neighbour(draw: Draw, question: Question) -> Question:
    """A question that differs in one point: swapped roles, one value, or the aspect."""
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
        for value, slot in zip(question.values, slots, strict=True)
        if _same_pool(family, slots[at], slot)
    ]
    values = list(question.values)
    values[at] = draw.other(range(len(_pool(family, slots[at]))), *taken)
    return Question(family=question.family, aspect=question.aspect, values=tuple(values))


def question_pair(draw: Draw) -> Example:
    """Two questions and their label: 1 for the same meaning, else 0. Both keep the length limit."""
    while True:
        pair = _any_pair(draw)
        if max(len(pair.first.split()), len((pair.second or "").split())) <= WORDS_LIMIT:
            return pair


def _any_pair(draw: Draw) -> Example:
    question = draw_question(draw)
    wording = draw_wording(draw, question)
    if draw.chance(POSITIVE_SHARE):
        second = question
    elif draw.chance(EASY_SHARE):
        second = draw_question(draw)
    else:
        second = draw_neighbour(draw, question)
    return Example(
        first=worded(question, wording),
        second=_reworded(draw, second, question, wording),
        label=float(second == question),
    )


def _reworded(draw: Draw, second: Question, question: Question, wording: Wording) -> str:
    """`second` in words: new words for a paraphrase, often the same for a near copy."""
    first = worded(question, wording)
    while True:
        fresh = draw_wording(draw, second)
        keep = draw.chance(SAME_WORDING_SHARE if second == question else COPY_SHARE)
        if second.family == question.family and keep:
            synonyms = fresh.synonyms if second == question else wording.synonyms
            fresh = Wording(form=wording.form, synonyms=synonyms)
        if (text := worded(second, fresh)) != first:
            return text
