"""Word lists of the sample's reviews: topics, their parts, and words of praise and blame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A topic of reviews with its words. `words` maps a valence to adjectives."""

    things: tuple[str, ...]
    parts: tuple[str, ...]
    plural_parts: tuple[str, ...]
    tails: tuple[str, ...]
    words: dict[int, tuple[str, ...]]


COMMON = {
    2: ("wonderful", "superb", "splendid", "delightful", "excellent"),
    1: ("pleasant", "decent", "charming", "agreeable", "good"),
    -1: ("dull", "poor", "mediocre", "disappointing", "forgettable"),
    -2: ("awful", "dreadful", "terrible", "hopeless", "horrible"),
}


def _topic(things: str, parts: str, plural_parts: str, tails: str, **words: str) -> Topic:
    def listed(text: str) -> tuple[str, ...]:
        return tuple(item.strip() for item in text.split(","))

    own = {2: words["strong_good"], 1: words["good"], -1: words["bad"], -2: words["strong_bad"]}
    return Topic(
        things=listed(things),
        parts=listed(parts),
        plural_parts=listed(plural_parts),
        tails=listed(tails),
        words={value: COMMON[value] + listed(text) for value, text in own.items()},
    )


TOPICS = (
    _topic(
        "film, comedy, thriller, drama",
        "acting, plot, ending, music, dialogue, script",
        "songs, jokes, costumes",
        "on the big screen, at the late showing, on a second viewing, for a debut",
        strong_good="gripping, moving",
        good="funny, warm, clever",
        bad="slow, predictable, shallow",
        strong_bad="unbearable, tedious",
    ),
    _topic(
        "meal, lunch, dinner, breakfast",
        "soup, bread, sauce, dessert, salad, coffee",
        "noodles, pancakes, dumplings",
        "at the corner table, on a Sunday evening, at this price, for such a small kitchen",
        strong_good="delicious, heavenly",
        good="tasty, fresh, wholesome",
        bad="bland, stale, greasy",
        strong_bad="tasteless, revolting",
    ),
    _topic(
        "novel, memoir, mystery, book",
        "plot, prose, opening, hero, final chapter",
        "letters, dialogues, drawings",
        "in the new edition, on a second reading, in this translation, for a debut",
        strong_good="gripping, masterful",
        good="vivid, witty, clever",
        bad="wordy, slow, predictable",
        strong_bad="unreadable, tedious",
    ),
    _topic(
        "kettle, camera, radio, torch",
        "handle, switch, manual, battery, display, lid",
        "buttons, batteries, settings",
        "after a month of use, on a camping trip, in daily use, at this price",
        strong_good="flawless, ingenious",
        good="handy, sturdy, reliable",
        bad="clumsy, flimsy, fiddly",
        strong_bad="useless, infuriating",
    ),
    _topic(
        "inn, guesthouse, hotel, cabin",
        "room, bed, lobby, bathroom, terrace",
        "bedrooms, corridors, balconies",
        "for a weekend by the sea, in the middle of winter, after a long drive, at this price",
        strong_good="spotless, magnificent",
        good="cosy, comfortable, peaceful",
        bad="shabby, gloomy, noisy",
        strong_bad="filthy, unbearable",
    ),
)
