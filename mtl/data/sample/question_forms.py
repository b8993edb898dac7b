"""Word lists of the sample's questions: values of the slots, and wordings of each question.

The wordings of a family's aspects are listed in parallel. The n-th wordings of two aspects look
alike, so that a near copy can change the aspect.
"""

from __future__ import annotations

from dataclasses import dataclass

# Values of a slot; `|` separates synonyms.
POOLS: dict[str, tuple[tuple[str, ...], ...]] = {
    name: tuple(tuple(value.split("|")) for value in values.split(", "))
    for name, values in {
        "place": "the airport, the harbour|the port, the museum, the old town|the old quarter, "
        "the market, "
        "the stadium, the castle, the beach|the seaside, the library, the university, the city "
        "hall|the town hall",
        "ride": "bus|coach, train, ferry|boat, taxi|cab, tram|streetcar, subway|underground",
        "food": "honey, butter, brown rice, white bread, goat cheese, olive oil, yogurt, maple "
        "syrup, dried fruit, "
        "oatmeal|porridge, tofu, pasta",
        "where": "in winter|in the winter, online|on the internet, in big cities|in large cities, "
        "in spring|in the spring, in small shops|in little shops",
        "animal": "cats, dogs, crows, foxes, rabbits|bunnies, geese, wolves, owls, squirrels, "
        "ducks, goats",
        "when": "at night|in the night, in autumn|in the fall, in the morning|early in the day, "
        "in the snow, "
        "after rain",
        "language": "French, Greek, Polish, Turkish, Dutch, Korean, Swedish, Hindi, Arabic",
        "paper": "a letter, a poem, a recipe, a contract|an agreement, a speech|a talk, a song, "
        "a menu",
        "deed": "eat, swim, stretch, sleep|take a nap, study, run|go for a run, shower|take a "
        "shower, drink coffee, "
        "do yoga, meditate",
        "person": "a beginner|a novice, a child|a kid, a runner, an adult|a grown-up, an old "
        "person|an elderly person",
        "skill": "swim, knit, juggle, sail, bake bread, ride a horse, play the flute, paint "
        "portraits, "
        "type fast|type quickly, read music, ski, draw faces",
        "span": "a week|seven days, two weeks|a fortnight, a year|twelve months, half a year|six "
        "months, three days, "
        "two years, a weekend",
        "pet": "dogs, cats, rabbits|bunnies, parrots, hamsters, ponies|small horses, goldfish, "
        "turtles",
        "snack": "carrots, apples, peanuts, bananas, grapes, mushrooms, cherries, almonds, beans",
        "plant": "tomatoes, roses, ferns, tulips, peppers, lemon trees, herbs, strawberries, "
        "pumpkins, orchids",
        "site": "a small garden|a little garden, the shade|a shady spot, a pot|a planter, sandy "
        "soil|sand, "
        "a dry climate",
        "machine": "a kettle, an old radio, a bicycle|a bike, a washing machine|a washer, a "
        "sewing machine, "
        "a fridge|a refrigerator, a lawn mower, a clock, a car|an automobile",
        "stain": "coffee, red wine, ink, grass, candle wax, chocolate, paint, mud",
        "cloth": "a white shirt, a carpet|a rug, a sofa|a couch, a woollen coat, jeans, a silk "
        "tie, a tablecloth",
        "dish": "rice, soup, pasta, curry, risotto, stew, lasagne, paella",
        "count": "twelve|a dozen, six|half a dozen, four, ten, twenty, eight, thirty",
        "role": "teacher, student|pupil, neighbour, doctor|physician, cousin, boss|manager, "
        "gardener, nephew, nurse",
        "event": "wedding, birthday|birthday party, housewarming|house party, picnic, "
        "farewell|farewell party, "
        "graduation",
        "habit": "cooking, reading, running|jogging, writing, drinking tea, saving money, "
        "working late, singing, "
        "napping, eating fish, playing chess",
    }.items()
}


@dataclass(frozen=True, kw_only=True)
class Family:
    """Questions on one subject: slot -> pool, two slots to swap, and wordings by aspect."""

    slots: dict[str, str]
    swap: tuple[str, str] | None = None
    aspects: tuple[tuple[str, ...], ...]


FAMILIES: tuple[Family, ...] = (
    Family(
        slots={"a": "place", "b": "place", "v": "ride"}, swap=("a", "b"),
        aspects=(
            ("How do I get from {a} to {b} by {v}?", "What is the best way from {a} to {b} by {v}?",
             "How can I reach {b} by {v} from {a}?"),
            ("How much is it from {a} to {b} by {v}?", "What is the price from {a} to {b} by {v}?",
             "What does it cost to reach {b} by {v} from {a}?"),
            ("How long is it from {a} to {b} by {v}?", "What is the travel time from {a} to {b} "
                                                       "by {v}?",
             "How many minutes until I reach {b} by {v} from {a}?"),
        ),
    ),
    Family(
        slots={"a": "food", "b": "food", "w": "where"}, swap=("a", "b"),
        aspects=(
            ("Is {a} cheaper than {b} {w}?", "Does {a} cost less than {b} {w}?",
             "Is {b} more expensive than {a} {w}?", "Do people pay more for {b} than for {a} {w}?"),
            ("Is {a} more popular than {b} {w}?", "Does {a} sell better than {b} {w}?",
             "Is {b} less popular than {a} {w}?", "Do people like {a} more than {b} {w}?"),
        ),
    ),
    Family(
        slots={"a": "animal", "b": "animal", "w": "when"}, swap=("a", "b"),
        aspects=(
            (
                "Why do {a} chase {b} {w}?",
                "What makes {a} run after {b} {w}?",
                "Why are {b} chased by {a} {w}?",
            ),
            ("Why do {a} fear {b} {w}?", "What makes {a} afraid of {b} {w}?", "Why are {b} scary "
                                                                              "to {a} {w}?"),
            ("Why do {a} not chase {b} {w}?", "What stops {a} from running after {b} {w}?",
             "Why are {b} not chased by {a} {w}?"),
        ),
    ),
    Family(
        slots={"a": "language", "b": "language", "p": "paper"}, swap=("a", "b"),
        aspects=(
            ("How do I translate {p} from {a} into {b}?", "What is a good way to put {p} from "
                                                          "{a} into {b}?",
             "How can I turn {p} in {a} into one in {b}?"),
            ("Who can translate {p} from {a} into {b}?", "Who is a good person to put {p} from "
                                                         "{a} into {b}?",
             "Where do I find someone to turn {p} in {a} into {b}?"),
        ),
    ),
    Family(
        slots={"a": "deed", "b": "deed", "p": "person"}, swap=("a", "b"),
        aspects=(
            ("Should {p} {a} before they {b}?", "Is it good for {p} to {a} first and {b} later?",
             "Should {p} {b} only after they {a}?"),
            ("Why should {p} {a} before they {b}?", "Why is it good for {p} to {a} first and {b} "
                                                    "later?",
             "Why should {p} {b} only after they {a}?"),
        ),
    ),
    Family(
        slots={"s": "skill", "t": "span"},
        aspects=(
            ("How can I learn to {s} in {t}?", "What is the best way to learn to {s} within {t}?",
             "How do I teach myself to {s} in {t}?"),
            ("Can anyone learn to {s} in {t}?", "Is it realistic to learn to {s} within {t}?",
             "Is {t} enough to learn to {s}?"),
            ("How can I still {s} after a break of {t}?", "What is the best way to {s} again "
                                                          "after {t}?",
             "After {t} off, how do I {s} well again?"),
        ),
    ),
    Family(
        slots={"p": "pet", "f": "snack"},
        aspects=(
            ("Is it safe for {p} to eat {f}?", "Can {p} eat {f} without getting sick?",
             "Are {f} a harmless treat for {p}?"),
            (
                "Why do {p} like to eat {f}?",
                "What makes {p} enjoy {f} so much?",
                "Why are {p} so fond of {f}?",
            ),
            (
                "Why do {p} not like to eat {f}?",
                "What makes {p} dislike {f} so much?",
                "Why are {p} not fond of {f}?",
            ),
        ),
    ),
    Family(
        slots={"p": "plant", "s": "site"},
        aspects=(
            (
                "How do I grow {p} in {s}?",
                "What is the best way to grow {p} in {s}?",
                "What helps {p} thrive in {s}?",
            ),
            ("Why do {p} not grow in {s}?", "What is the reason that {p} fail to grow in {s}?",
             "What keeps {p} from thriving in {s}?"),
            ("How often do I water {p} in {s}?", "How many times a week do {p} need water in {s}?",
             "What is the right watering schedule for {p} in {s}?"),
            ("When do I plant {p} in {s}?", "What is the best month to plant {p} in {s}?",
             "At what time of year do {p} go into {s}?"),
        ),
    ),
    Family(
        slots={"m": "machine", "t": "span"},
        aspects=(
            ("How do I repair {m} that broke after {t}?", "What can I do to fix {m} that failed "
                                                          "after {t}?",
             "How can I mend {m} that stopped working after {t}?"),
            ("Why does {m} often break after {t}?", "What can make {m} fail after {t}?",
             "What is the reason that {m} stops working after {t}?"),
            ("Can I return {m} that broke after {t}?", "Will shops take back {m} that failed "
                                                       "after {t}?",
             "Is it possible to give back {m} that stopped working after {t}?"),
        ),
    ),
    Family(
        slots={"s": "stain", "c": "cloth"},
        aspects=(
            ("How do I get {s} out of {c}?", "What is the best way to remove {s} from {c}?",
             "How can I clean {c} with {s} on it?"),
            ("Why is it hard to get {s} out of {c}?", "What makes it difficult to remove {s} "
                                                      "from {c}?",
             "Why can I not clean {c} with {s} on it?"),
            ("How long until {s} fades from {c}?", "What is the time {s} needs to fade from {c}?",
             "When will {c} with {s} on it look clean again?"),
        ),
    ),
    Family(
        slots={"d": "dish", "n": "count"},
        aspects=(
            ("How much {d} do I need for {n} people?", "What amount of {d} will feed {n} guests?",
             "How big a pot of {d} is enough for {n} people?"),
            ("How long do I cook {d} for {n} people?", "What cooking time does {d} for {n} "
                                                       "guests need?",
             "For how many minutes should {d} for {n} people cook?"),
            ("How expensive is {d} for {n} people?", "What will {d} for {n} guests cost?",
             "How much money should I plan for {d} for {n} people?"),
        ),
    ),
    Family(
        slots={"a": "role", "b": "role", "e": "event"}, swap=("a", "b"),
        aspects=(
            ("What should a {a} give a {b} at a {e}?", "What is a good gift from a {a} to a {b} "
                                                       "at a {e}?",
             "What present could a {b} get from a {a} at a {e}?"),
            ("What should a {a} say to a {b} at a {e}?", "What are good words from a {a} to a "
                                                         "{b} at a {e}?",
             "What speech could a {b} get from a {a} at a {e}?"),
        ),
    ),
    Family(
        slots={"h": "habit", "t": "span"},
        aspects=(
            ("How do I start {h} every day for {t}?", "How can I get into the habit of {h} daily "
                                                      "for {t}?",
             "What helps me keep up daily {h} for {t}?"),
            ("How do I stop {h} every day for {t}?", "How can I get out of the habit of {h} "
                                                     "daily for {t}?",
             "What helps me give up daily {h} for {t}?"),
            ("Is it healthy to keep {h} every day for {t}?", "Is it good for me to be {h} daily "
                                                             "for {t}?",
             "Would a doctor approve of daily {h} for {t}?"),
        ),
    ),
)  # fmt: skip
