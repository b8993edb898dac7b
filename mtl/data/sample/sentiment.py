"""The grammar of the sample's reviews: frames that combine phrases.

`mtl.data.sample.valence` computes the valence of a review. Other people's opinions, fears, and
circumstances have no valence of their own, even if their words are strong.
"""

from __future__ import annotations

from collections.abc import Callable

from mtl.data.sample.draw import Draw, Example
from mtl.data.sample.topics import COMMON, TOPICS
from mtl.data.sample.valence import (
    BAD_NOUNS,
    DEGREES,
    GOOD_NOUNS,
    HAVING,
    NEGATIONS,
    Phrase,
    Subject,
    added,
    conceded,
    graded,
    has,
    negated,
    neither,
    says,
    sentiment_class,
    turned,
    unexpected,
)


class Writer:
    """Draws the parts of one review about one topic."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.topic = draw.choose(TOPICS)
        self.thing = draw.choose(self.topic.things)

    def subject(self, *taken: Subject) -> Subject:
        """The thing or one of its parts, but none of `taken`."""
        while True:
            if (roll := self.draw.random()) < 0.2:
                subject = Subject(text=f"the {self.thing}")
            elif roll < 0.8:
                subject = Subject(text=f"the {self.draw.choose(self.topic.parts)}")
            else:
                subject = Subject(
                    text=f"the {self.draw.choose(self.topic.plural_parts)}", plural=True
                )
            if subject not in taken:
                return subject

    def tail(self) -> str:
        """An adjunct without valence."""
        return self.draw.choose(self.topic.tails)

    def word(self, sign: int = 0, strength: int = 0) -> Phrase:
        """An adjective of this sign (1 or -1) and strength (1 mild, 2 strong); 0 means any."""
        sign = sign or (1 if self.draw.chance(0.5) else -1)
        strength = strength or (1 if self.draw.chance(0.6) else 2)
        return Phrase(
            text=self.draw.choose(self.topic.words[sign * strength]), value=float(sign * strength)
        )

    def quality(self, sign: int = 0) -> Phrase:
        """An adjective, often with a word of degree."""
        word = self.word(sign)
        if self.draw.chance(0.5):
            return word
        if abs(word.value) == 2:
            return graded(
                self.draw.choose(("truly", "simply") if word.value > 0 else ("utterly", "simply")),
                word,
            )
        mild = ("fairly", "rather", "really", "very") if word.value > 0 else tuple(DEGREES)
        return graded(self.draw.choose(mild), word)

    def denial(self, sign: int = 0) -> Phrase:
        """A negated adjective; its valence after the negation has this sign."""
        return negated(self.draw.choose(tuple(NEGATIONS)), self.word(-sign))

    def clause(self, subject: Subject, sign: int = 0) -> Phrase:
        """A clause about `subject`: plain, negated, or with `has`."""
        sign = sign or (1 if self.draw.chance(0.5) else -1)
        if (roll := self.draw.random()) < 0.5:
            return says(subject, self.quality(sign))
        if roll < 0.8:
            return says(subject, self.denial(sign))
        amount = self.draw.choose(tuple(HAVING))
        return has(
            subject,
            amount,
            self.draw.choose(GOOD_NOUNS if HAVING[amount] * sign > 0 else BAD_NOUNS),
        )


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" and not word.startswith("use") else f"a {word}"


def _plain(write: Writer) -> Phrase:
    phrase = write.clause(write.subject())
    forms = (
        f"{phrase.text} {write.tail()}",
        f"I must say that {phrase.text}",
        f"{write.tail()}, {phrase.text}",
    )
    return Phrase(text=write.draw.choose(forms), value=phrase.value)


def _contrast(write: Writer) -> Phrase:
    sign = 1 if write.draw.chance(0.5) else -1
    first = write.subject()
    second = write.subject(first)
    aside, main = write.clause(first, -sign), write.clause(second, sign)
    forms = (
        f"{aside.text}, but {main.text}",
        f"although {aside.text}, {main.text}",
        f"{main.text}, although {aside.text}",
        f"{main.text}, even if {aside.text}",
    )
    return Phrase(text=write.draw.choose(forms), value=conceded(main, aside))


def _exception(write: Writer) -> Phrase:
    sign = 1 if write.draw.chance(0.5) else -1
    aside, main = write.word(-sign), says(Subject(text=f"the {write.thing}"), write.quality(sign))
    part = f"the {aside.text} {write.draw.choose(write.topic.parts)}"
    forms = (f"apart from {part}, {main.text}", f"{main.text} in spite of {part}")
    return Phrase(text=write.draw.choose(forms), value=conceded(main, aside))


def _sum(write: Writer) -> Phrase:
    sign = 1 if write.draw.chance(0.5) else -1
    subject = write.subject()
    if write.draw.chance(0.4):
        first, second = write.quality(sign), write.word(sign, 1)
        if second.text not in first.text:
            return Phrase(
                text=f"{says(subject, first).text} and {second.text} {write.tail()}",
                value=added(first, second),
            )
    first, second = write.clause(subject, sign), write.clause(write.subject(subject), sign)
    return Phrase(text=f"{first.text}, and {second.text}", value=added(first, second))


def _hearsay(write: Writer) -> Phrase:
    subject = write.subject()
    theirs = write.word()
    people = write.draw.choose(
        ("my friends", "the critics", "my cousins", "most visitors", "my neighbours")
    )
    text = f"{people} call {subject.text} {theirs.text}"
    if write.draw.chance(0.25):
        no_view = (
            "and I have no view yet",
            "and I cannot judge",
            "and I will see for myself next week",
        )
        return Phrase(text=f"{text}, {write.draw.choose(no_view)}", value=0.0)
    own = (
        write.quality(-1 if theirs.value > 0 else 1) if write.draw.chance(0.8) else write.quality()
    )
    joint = "but" if own.value * theirs.value < 0 else "and"
    return Phrase(text=f"{text}, {joint} I find {subject.pronoun} {own.text}", value=own.value)


def _surprise(write: Writer) -> Phrase:
    hope = write.word()
    outcome = write.word(-1 if hope.value > 0 else 1)
    text = f"I expected {_article(hope.text)} {write.thing} and got {_article(outcome.text)} one"
    return Phrase(text=text, value=unexpected(outcome, hope))


def _feared(write: Writer) -> Phrase:
    subject, expected = write.subject(), write.word()
    verb = write.draw.choose(
        ("hoped", "expected") if expected.value > 0 else ("feared", "expected")
    )
    they, be = ("they", "are") if subject.plural else ("it", "is")
    came_true = write.draw.chance(0.5)
    value = expected.value if came_true else turned(expected.value, 1.0)
    ends = f"and {they} really {be}" if came_true else f"but {they} {be} not"
    return Phrase(
        text=f"I {verb} that {subject.text} would be {expected.text}, {ends}", value=value
    )


def _neither(write: Writer) -> Phrase:
    first = write.word()
    second = write.word(
        0 if write.draw.chance(0.4) else (-1 if first.value > 0 else 1), int(abs(first.value))
    )
    if first == second:
        return _neither(write)
    phrase = says(write.subject(), neither(first, second))
    return Phrase(text=f"{phrase.text} {write.tail()}", value=phrase.value)


def _doubt(write: Writer) -> Phrase:
    subject, word = write.subject(), write.word()
    view = says(subject, word)
    called = f"call {subject.text} {word.text}"
    half, whole = turned(view.value, 0.5), turned(view.value, 1.0)
    forms = (
        (f"I doubt that anyone will {called}", half),
        (f"I would not go so far as to {called}", half),
        (f"nobody at our table could {called}", whole),
        (f"I never once found {subject.text} {word.text}", whole),
        (f"nobody can deny that {view.text}", view.value),
        (f"it would be wrong not to {called}", view.value),
    )
    text, value = write.draw.choose(forms)
    return Phrase(text=text, value=value)


def _missed(write: Writer) -> Phrase:
    subject, chance = write.subject(), write.word()
    reason = write.draw.choose(
        ("in other hands", "with another team", "on another day", "in someone else's care")
    )
    text = f"{subject.text} could have been {chance.text} {reason}"
    return Phrase(text=text, value=turned(chance.value, 0.5))


def _compared(write: Writer) -> Phrase:
    word = write.word(strength=1)
    comparison, value = write.draw.choose(
        (("less", turned(word.value, 0.5)), ("no less", word.value))
    )
    phrase = says(
        write.subject(), Phrase(text=f"{comparison} {word.text} than last time", value=value)
    )
    forms = (f"{phrase.text} {write.tail()}", f"I must say that {phrase.text}")
    return Phrase(text=write.draw.choose(forms), value=value)


def _halves(write: Writer) -> Phrase:
    first = write.word()
    second = write.word(
        0 if write.draw.chance(0.35) else (-1 if first.value > 0 else 1), int(abs(first.value))
    )
    if first == second:
        return _halves(write)
    many = write.draw.choose(write.topic.plural_parts)
    text = f"half of the {many} are {first.text} and the other half are {second.text}"
    return Phrase(text=text, value=(first.value + second.value) / 2)


def _undecided(write: Writer) -> Phrase:
    subject = write.subject()
    first = write.word()
    second = write.word(-1 if first.value > 0 else 1)
    be = "are" if subject.plural else "is"
    text = f"I cannot say whether {subject.text} {be} {first.text} or {second.text}"
    if write.draw.chance(0.5):
        return Phrase(text=text, value=0.0)
    verdict = write.clause(write.subject(subject))
    return Phrase(text=f"{text}, but {verdict.text}", value=verdict.value)


def _circumstance(write: Writer) -> Phrase:
    decoy = write.word(strength=0 if write.draw.chance(0.5) else 2)
    when = write.draw.choose(("week", "journey", "morning", "day at work"))
    opening = f"after {_article(write.draw.choose(COMMON[int(decoy.value)]))} {when}"
    if write.draw.chance(0.2):
        return Phrase(text=f"{opening}, we talked about the {write.thing} for a while", value=0.0)
    phrase = write.clause(write.subject(), -1 if decoy.value > 0 else 1)
    return Phrase(text=f"{opening}, I find that {phrase.text}", value=phrase.value)


FRAMES: tuple[tuple[int, Callable[[Writer], Phrase]], ...] = (
    (10, _plain),
    (22, _contrast),
    (7, _exception),
    (9, _sum),
    (10, _hearsay),
    (5, _surprise),
    (6, _feared),
    (7, _neither),
    (7, _doubt),
    (4, _missed),
    (4, _compared),
    (5, _halves),
    (5, _undecided),
    (7, _circumstance),
)
_FRAME_LIST = tuple(frame for weight, frame in FRAMES for _ in range(weight))


def review(draw: Draw) -> Example:
    """One invented review of 7 to 18 words and its class, 0..4."""
    phrase = draw.choose(_FRAME_LIST)(Writer(draw))
    return Example(
        first=f"{phrase.text[0].upper()}{phrase.text[1:]}.",
        second=None,
        label=float(sentiment_class(phrase.value)),
    )
