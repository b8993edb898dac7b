"""The grammar of the sample corpus's scenes: who does what to what, where, and how alike two scenes are.

A scene fills seven slots (agent, action, object, place, number, and an attribute of agent and of object). Each slot of
two scenes agrees by a share from 0 to 1; similarity is the weighted mean of the shares, times 5, whatever the wording:
synonyms, word order, passive and tense change the words and not the scene. Swapped roles and a denied action change
the scene and hardly the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mtl.data.sample.draw import Draw, Example
from mtl.data.sample.scene_words import (
    AGENT_LOOKS,
    AGENTS,
    DOMAINS,
    MEETING,
    NUMBERS,
    Domain,
    Entry,
)

WEIGHTS = {
    "agent": 3.0,
    "action": 4.0,
    "object": 3.0,
    "place": 1.5,
    "number": 1.0,
    "agent look": 1.0,
    "object look": 1.0,
}
WORDS = range(6, 12)
"""Numbers of words that a description may have."""
RELATED = 0.3
"""How far two entries of one group agree."""
MISSING = 0.4
"""How far a place or an attribute agrees that one scene leaves out."""
SWAPPED = 0.3
"""How far agent and object agree where they have changed roles."""
DENIED = 0.4
"""What is left of a similarity where one scene says that the action does not happen."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is going on, as entries; None for what is not mentioned. `number` counts agents (index into NUMBERS)."""

    agent: Entry
    action: Entry
    object: Entry
    domain: Domain
    place: Entry | None = None
    number: int = 0
    agent_look: Entry | None = None
    object_look: Entry | None = None
    denied: bool = False


def _agreement(one: Entry | None, two: Entry | None) -> float:
    if one == two:
        return 1.0
    if one is None or two is None:
        return MISSING
    return RELATED if one.group == two.group else 0.0


def agreements(one: Scene, two: Scene) -> dict[str, float]:
    """How far two scenes agree in each slot, 0 to 1; attributes and places that neither has are left out."""
    roles_swapped = one.agent == two.object and one.object == two.agent
    shares = {
        "agent": SWAPPED if roles_swapped else _agreement(one.agent, two.agent),
        "action": _agreement(one.action, two.action),
        "object": SWAPPED if roles_swapped else _agreement(one.object, two.object),
        "number": 1.0 if one.number == two.number else (0.5 if one.number and two.number else 0.0),
    }
    optional = {
        "place": (one.place, two.place),
        "agent look": (one.agent_look, two.agent_look),
        "object look": (one.object_look, two.object_look),
    }
    return shares | {
        slot: _agreement(*pair) for slot, pair in optional.items() if pair != (None, None)
    }


def similarity(one: Scene, two: Scene) -> float:
    """The similarity of two scenes before noise, 0 to 5: the weighted mean of their agreements, times 5."""
    shares = agreements(one, two)
    mean = sum(WEIGHTS[slot] * share for slot, share in shares.items()) / sum(
        WEIGHTS[slot] for slot in shares
    )
    return 5 * mean * (DENIED if one.denied != two.denied else 1.0)


def draw_scene(draw: Draw) -> Scene:
    """Any scene: a third are meetings of two living beings, the rest are people who do something to a thing."""
    if draw.chance(0.35):
        domain, agent, number = MEETING, draw.choose(MEETING.objects), 0
    else:
        domain, agent, number = (
            draw.choose(DOMAINS),
            draw.choose(AGENTS),
            draw.choose((0, 0, 0, 1, 2, 3)),
        )
    return Scene(
        agent=agent,
        action=draw.choose(domain.actions),
        object=draw.other(domain.objects, agent),
        domain=domain,
        place=draw.choose(domain.places) if draw.chance(0.7) else None,
        number=number,
        agent_look=draw.choose(AGENT_LOOKS) if draw.chance(0.3) else None,
        object_look=draw.choose(domain.looks) if draw.chance(0.35) else None,
        denied=draw.chance(0.06),
    )


def _altered(draw: Draw, entry: Entry, options: Sequence[Entry], *taken: Entry) -> Entry:
    """Another entry, more often than not from the same group where that has others."""
    near = [
        other
        for other in options
        if other.group == entry.group and other != entry and other not in taken
    ]
    if near and draw.chance(0.5):
        return draw.choose(near)
    return draw.other(options, entry, *taken)


def draw_variant(draw: Draw, scene: Scene) -> Scene:
    """A scene that shares some of `scene`: anything from all of it to nothing."""
    change = draw.random() * 1.03 - 0.03
    if scene.domain is MEETING and draw.chance(0.3):
        scene = replace(
            scene,
            agent=scene.object,
            object=scene.agent,
            agent_look=scene.object_look,
            object_look=scene.agent_look,
        )
        change /= 3
    elif draw.chance(0.1):
        scene = replace(scene, denied=not scene.denied)
        change /= 3
    if change > 0.9:
        return draw_scene(draw)
    agents = MEETING.objects if scene.domain is MEETING else AGENTS
    if draw.chance(change):
        scene = replace(scene, agent=_altered(draw, scene.agent, agents, scene.object))
    if draw.chance(change):
        scene = replace(scene, action=_altered(draw, scene.action, scene.domain.actions))
    if draw.chance(change):
        scene = replace(
            scene, object=_altered(draw, scene.object, scene.domain.objects, scene.agent)
        )
    if draw.chance(change):
        scene = replace(scene, place=None if draw.chance(0.3) else draw.choose(scene.domain.places))
    if draw.chance(change):
        scene = replace(scene, agent_look=None if draw.chance(0.4) else draw.choose(AGENT_LOOKS))
    if draw.chance(change):
        scene = replace(
            scene, object_look=None if draw.chance(0.4) else draw.choose(scene.domain.looks)
        )
    if scene.domain is not MEETING and draw.chance(change / 2):
        scene = replace(scene, number=draw.below(len(NUMBERS)))
    return scene


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _noun(draw: Draw, entry: Entry, look: Entry | None, number: int = 0) -> str:
    one, many = draw.choose(entry.words)
    words = (f"{draw.choose(look.words)[0]} " if look else "") + (many if number else one)
    return f"{NUMBERS[number]} {words}" if number else _article(words)


def described(draw: Draw, scene: Scene) -> str:
    """The scene in any of its wordings."""
    agent = _noun(draw, scene.agent, scene.agent_look, scene.number)
    thing = _noun(draw, scene.object, scene.object_look)
    third, plain, passive, doing = draw.choose(scene.action.words)
    be = "are" if scene.number else "is"
    roll = draw.random()
    if scene.denied:
        text = f"{agent} {be} not {doing} {thing}"
    elif roll < 0.4:
        text = f"{agent} {be} {doing} {thing}"
    elif roll < 0.75:
        text = f"{agent} {plain if scene.number else third} {thing}"
    else:
        text = f"{thing} is {passive} by {agent}"
    if scene.place:
        place = draw.choose(scene.place.words)[0]
        text = f"{place}, {text}" if draw.chance(0.25) else f"{text} {place}"
    return f"{text[0].upper()}{text[1:]}."


def scene_pair(draw: Draw) -> Example:
    """Two scenes, each within the limits of length, and their similarity, 0 to 5, before noise and rounding."""
    while True:
        one = draw_scene(draw)
        two = draw_variant(draw, one)
        first, second = described(draw, one), described(draw, two)
        if first != second and all(len(text.split()) in WORDS for text in (first, second)):
            return Example(first=first, second=second, label=similarity(one, two))
