"""The grammar of the built-in sample by hand: choices, valence, questions and scenes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mtl.data.sample.draw import Draw
from mtl.data.sample.question_forms import FAMILIES, POOLS
from mtl.data.sample.questions import Question, Wording, swapped, worded
from mtl.data.sample.scene_words import (
    AGENTS,
    ANIMALS,
    DOMAINS,
    MEETING,
    NUMBERS,
    PLACES,
    THING_LOOKS,
    Domain,
    Entry,
)
from mtl.data.sample.scenes import Scene, agreements, described, similarity
from mtl.data.sample.sentiment import review
from mtl.data.sample.topics import TOPICS
from mtl.data.sample.valence import (
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
from tests.sample_tools import labels, rows, words

# Random choices


def test_a_shuffle_keeps_every_item_and_depends_on_the_seed_alone() -> None:
    items = list(range(50))
    order = Draw("one").shuffled(items)
    assert sorted(order) == items and order != items
    assert order == Draw("one").shuffled(items) != Draw("two").shuffled(items)


def test_choices_cover_the_options_evenly_and_leave_out_what_is_taken() -> None:
    draw = Draw("dice")
    counts = Counter(draw.choose("abcd") for _ in range(4000))
    assert set(counts) == set("abcd") and min(counts.values()) > 900
    assert {draw.other("abcd", "a", "c") for _ in range(50)} == {"b", "d"}


# Reviews: the calculus of valence, by hand


DULL, CHARMING = Phrase(text="dull", value=-1.0), Phrase(text="charming", value=1.0)
AWFUL, SUPERB = Phrase(text="awful", value=-2.0), Phrase(text="superb", value=2.0)
PLOT, JOKES = Subject(text="the plot"), Subject(text="the jokes", plural=True)


def test_degree_scales_a_valence() -> None:
    assert graded("slightly", DULL) == Phrase(text="slightly dull", value=-0.5)
    assert graded("very", CHARMING) == Phrase(text="very charming", value=1.5)
    assert graded("utterly", AWFUL) == Phrase(text="utterly awful", value=-3.0)


def test_negation_turns_a_valence_in_part_and_never_makes_it_strong() -> None:
    assert negated("not at all", DULL) == Phrase(text="not at all dull", value=1.0)
    assert negated("not", DULL).value == 0.5
    assert negated("hardly", SUPERB).value == -1.5
    assert negated("anything but", AWFUL).value == 1.5
    assert turned(-2.0, 0.5) == 1.0
    assert sentiment_class(negated("anything but", SUPERB).value) == 1


def test_neither_of_two_opposites_is_neutral_and_neither_of_two_faults_is_praise() -> None:
    assert neither(CHARMING, DULL) == Phrase(text="neither charming nor dull", value=0.0)
    assert neither(DULL, AWFUL).value == 1.5


def test_clauses_agree_in_number_and_nouns_have_amounts() -> None:
    assert says(PLOT, DULL) == Phrase(text="the plot is dull", value=-1.0)
    assert says(JOKES, DULL).text == "the jokes are dull"
    assert has(JOKES, "plenty of", "flaws") == Phrase(
        text="the jokes have plenty of flaws", value=-1.5
    )
    assert has(PLOT, "hardly any", "flaws") == Phrase(
        text="the plot has hardly any flaws", value=1.0
    )


def test_in_a_contrast_the_main_clause_wins() -> None:
    assert conceded(main=CHARMING, aside=DULL) == 0.5
    assert conceded(main=DULL, aside=CHARMING) == -0.5
    assert sentiment_class(conceded(main=DULL, aside=SUPERB)) == 2
    assert sentiment_class(conceded(main=AWFUL, aside=CHARMING)) == 1


def test_two_faults_add_up_to_the_stronger_and_half_the_weaker() -> None:
    assert added(DULL, AWFUL) == added(AWFUL, DULL) == -2.5
    assert added(CHARMING, CHARMING) == 1.5


def test_a_surprise_sharpens_the_outcome() -> None:
    assert unexpected(outcome=DULL, hope=SUPERB) == -2.0
    assert unexpected(outcome=CHARMING, hope=DULL) == 1.5


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (-3, 0),
        (-1.75, 0),
        (-1.5, 1),
        (-0.5, 1),
        (-0.25, 2),
        (0, 2),
        (0.25, 2),
        (0.5, 3),
        (1.5, 3),
        (1.75, 4),
        (3, 4),
    ],
)
def test_a_valence_has_its_class(value: float, label: int) -> None:
    assert sentiment_class(value) == label


def test_the_neutral_class_is_full_of_polar_words() -> None:
    polar = {word for topic in TOPICS for adjectives in topic.words.values() for word in adjectives}
    part = rows("sst", "train")
    neutral = [
        set(words(text)) for text, label in zip(part.first, labels(part), strict=True) if label == 2
    ]
    assert np.mean([bool(found & polar) for found in neutral]) > 0.9


def test_the_grammar_reaches_every_class() -> None:
    draw = Draw("topics")
    found = Counter(review(draw).label for _ in range(2000))
    assert set(found) == {0.0, 1.0, 2.0, 3.0, 4.0} and min(found.values()) > 100


# Questions


def question(form: str, **values: str) -> Question:
    """The question that has the wording `form`, with these values of its slots."""
    for index, family in enumerate(FAMILIES):
        for aspect, forms in enumerate(family.aspects):
            if form in forms:
                found = tuple(
                    next(at for at, options in enumerate(POOLS[pool]) if values[slot] in options)
                    for slot, pool in family.slots.items()
                )
                return Question(family=index, aspect=aspect, values=found)
    raise AssertionError(form)


def test_one_question_has_several_wordings_and_swapped_roles_make_another() -> None:
    asked = question("Is {a} cheaper than {b} {w}?", a="honey", b="oatmeal", w="online")
    assert (
        worded(asked, Wording(form=0, synonyms=(0, 0, 0)))
        == "Is honey cheaper than oatmeal online?"
    )
    assert (
        worded(asked, Wording(form=2, synonyms=(0, 1, 1)))
        == "Is porridge more expensive than honey on the internet?"
    )
    other = swapped(asked)
    assert other != asked and swapped(other) == asked
    assert (
        worded(other, Wording(form=0, synonyms=(0, 0, 0)))
        == "Is oatmeal cheaper than honey online?"
    )


def test_no_two_values_of_a_slot_share_a_word_for_it() -> None:
    for pool in POOLS.values():
        every = [word for options in pool for word in options]
        assert len(set(every)) == len(every)


def test_no_wording_serves_two_questions_and_each_names_every_slot() -> None:
    seen: set[str] = set()
    for family in FAMILIES:
        for forms in family.aspects:
            assert len(forms) == len(family.aspects[0])
            for form in forms:
                assert set(re.findall(r"\{(\w)\}", form)) == set(family.slots), form
                assert form not in seen
                seen.add(form)


# Scenes


def entry(entries: tuple[Entry, ...], word: str) -> Entry:
    return next(item for item in entries if any(word in forms for forms in item.words))


def domain_of(action: str) -> Domain:
    return next(
        domain
        for domain in DOMAINS
        if any(action in forms for item in domain.actions for forms in item.words)
    )


def painting() -> Scene:
    """A woman paints a red boat near the lake."""
    domain = domain_of("paints")
    return Scene(
        agent=entry(AGENTS, "woman"),
        action=entry(domain.actions, "paints"),
        object=entry(domain.objects, "boat"),
        domain=domain,
        place=entry(PLACES, "near the lake"),
        object_look=entry(THING_LOOKS, "red"),
    )


def test_the_same_scene_in_other_words_is_worth_five() -> None:
    scene = painting()
    texts = {described(Draw(str(seed)), scene) for seed in range(200)}
    assert "A woman paints a red boat near the lake." in texts
    assert "Near the lake, a red boat is painted by a lady." in texts
    assert similarity(scene, scene) == 5.0


def test_slots_that_differ_cost_their_weight() -> None:
    scene = painting()
    # All weights except the agent's look: 3 agent + 4 action + 3 object + 1.5 place + 1 number
    # + 1 object's look = 13.5.
    man = replace(scene, agent=entry(AGENTS, "man"))  # another adult: 0.3 of 3
    assert agreements(scene, man)["agent"] == 0.3
    assert similarity(scene, man) == pytest.approx(5 * (13.5 - 3 * 0.7) / 13.5)
    nurse = replace(
        scene, agent=entry(AGENTS, "nurse"), place=None
    )  # nothing alike, and 0.4 of a missing 1.5
    assert similarity(scene, nurse) == pytest.approx(5 * (13.5 - 3 - 1.5 * 0.6) / 13.5)
    three = replace(scene, number=NUMBERS.index("three"))
    assert similarity(scene, three) == pytest.approx(5 * 12.5 / 13.5)


def test_a_denied_action_leaves_two_fifths_of_the_similarity() -> None:
    scene = painting()
    denied = replace(scene, denied=True)
    assert similarity(scene, denied) == pytest.approx(2.0)
    assert similarity(denied, denied) == 5.0
    assert " is not painting a red boat" in described(Draw("not"), denied)


def test_swapped_roles_keep_the_words_and_lose_the_scene() -> None:
    cat, girl = entry(ANIMALS, "cat"), entry(AGENTS, "girl")
    scene = Scene(agent=cat, action=entry(MEETING.actions, "chases"), object=girl, domain=MEETING)
    # 3 agent and 3 object at 0.3, 4 action and 1 number in full, of 11.
    assert similarity(scene, replace(scene, agent=girl, object=cat)) == pytest.approx(
        5 * (1.8 + 5) / 11
    )


def test_similarity_is_symmetric() -> None:
    draw = Draw("both ways")
    scenes = [painting(), replace(painting(), number=1, place=None, denied=True)]
    scenes.append(replace(painting(), agent=draw.choose(AGENTS), object_look=None))
    for one, two in pairwise(scenes):
        assert similarity(one, two) == similarity(two, one)
