"""The grammar of the sample's scenes, and the similarity of two scenes.

A scene has seven slots: agent, action, object, place, number, and an attribute of agent and of
object. Two scenes agree in a slot by a share from 0 to 1. Their similarity is the weighted mean of
these shares, times 5. The wording does not count: synonyms, word order, passive and tense change
only the words. Swapped roles or a denied action change the scene, but hardly the words.
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
"""Allowed numbers of words in a description."""
RELATED = 0.3
"""Agreement of two entries of one group."""
MISSING = 0.4
"""Agreement of a place or an attribute that one scene leaves out."""
SWAPPED = 0.3
"""Agreement of agent and object if they have swapped roles."""
DENIED = 0.4
"""Factor of the similarity if only one scene denies the action."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The slots of a scene; None if not mentioned. `number` is an index into `NUMBERS`."""

    agent: Entry
    action: Entry
    object: Entry
    domain: Domain
    place: Entry | None = None
    number: int = 0
    agent_look: Entry | None = None
    object_look: Entry | None = None
    denied: bool = False


def _agreement(first: Entry | None, second: Entry | None) -> float:
    if first == second:
        return 1.0
    if first is None or second is None:
        return MISSING
    return RELATED if first.group == second.group else 0.0


def agreements(first: Scene, second: Scene) -> dict[str, float]:
    """The agreement of two scenes per slot, 0 to 1, without slots that both leave empty."""
    roles_swapped = first.agent == second.object and first.object == second.agent
    shares = {
        "agent": SWAPPED if roles_swapped else _agreement(first.agent, second.agent),
        "action": _agreement(first.action, second.action),
        "object": SWAPPED if roles_swapped else _agreement(first.object, second.object),
        "number": 1.0
        if first.number == second.number
        else (0.5 if first.number and second.number else 0.0),
    }
    optional = {
        "place": (first.place, second.place),
        "agent look": (first.agent_look, second.agent_look),
        "object look": (first.object_look, second.object_look),
    }
    return shares | {
        slot: _agreement(*pair) for slot, pair in optional.items() if pair != (None, None)
    }


def similarity(first: Scene, second: Scene) -> float:
    """The similarity of two scenes, 0 to 5, before noise: the weighted mean agreement, times 5."""
    shares = agreements(first, second)
    mean = sum(WEIGHTS[slot] * share for slot, share in shares.items()) / sum(
        WEIGHTS[slot] for slot in shares
    )
    return 5 * mean * (DENIED if first.denied != second.denied else 1.0)


def draw_scene(draw: Draw) -> Scene:
    """A random scene: a third are meetings of two beings, the rest are people and things."""
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
    """Another entry, in half of the cases from the same group (if it has others)."""
    near = [
        option
        for option in options
        if option.group == entry.group and option != entry and option not in taken
    ]
    if near and draw.chance(0.5):
        return draw.choose(near)
    return draw.other(options, entry, *taken)


def draw_variant(draw: Draw, scene: Scene) -> Scene:
    """A scene that shares all, some or nothing of `scene`."""
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
    singular, plural = draw.choose(entry.words)
    words = (f"{draw.choose(look.words)[0]} " if look else "") + (plural if number else singular)
    return f"{NUMBERS[number]} {words}" if number else _article(words)


def described(draw: Draw, scene: Scene) -> str:
    """The scene in a random wording."""
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
    """Two scenes within the length limits, and their similarity (0 to 5) before noise."""
    while True:
        scene = draw_scene(draw)
        variant = draw_variant(draw, scene)
        first, second = described(draw, scene), described(draw, variant)
        if first != second and all(len(text.split()) in WORDS for text in (first, second)):
            return Example(first=first, second=second, label=similarity(scene, variant))
