"""Word lists of the sample's scenes: agents, actions, objects, places and attributes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A value of a slot: its synonyms, and the group of similar values.

    A noun has the forms `singular/plural`, a verb `washes/wash/washed/washing`.
    """

    words: tuple[tuple[str, ...], ...]
    group: str


def _entries(**groups: str) -> tuple[Entry, ...]:
    """Entries from text: `,` between entries, `|` between synonyms, `/` between forms."""
    return tuple(
        Entry(words=tuple(tuple(word.split("/")) for word in entry.strip().split("|")), group=group)
        for group, text in groups.items()
        for entry in text.split(",")
    )


PLACES = _entries(
    home="in the kitchen, in the living room|in the lounge",
    yard="in the garden|in the yard, in the garage",
    town="in the street|on the road, at the market, at the station, in the park",
    water="at the beach|on the shore, near the lake, by the river|next to the stream",
    country="behind the barn, under a tree, in the field|in the meadow, in the woods|in the forest",
)
OUTDOOR_PLACES = tuple(place for place in PLACES if place.group != "home")
AGENT_LOOKS = _entries(
    size="tall, short",
    mood="happy|cheerful, tired|weary, angry|furious, calm|quiet",
    wet="wet|soaked, muddy|dirty",
)
THING_LOOKS = _entries(
    colour="red, blue, green, yellow",
    size="big|large, small|little",
    state="old, new|brand-new, dirty|grimy",
)
FOOD_LOOKS = _entries(size="big|large, small|little", state="fresh, ripe, cold|chilled")
TEXT_LOOKS = _entries(size="long, short", tone="funny|amusing, sad", state="old, new")
NUMBERS = ("a", "two", "three", "several")


@dataclass(frozen=True, kw_only=True)
class Domain:
    """Actions, their possible objects, and the attributes of these objects."""

    actions: tuple[Entry, ...]
    objects: tuple[Entry, ...]
    looks: tuple[Entry, ...] = THING_LOOKS
    outdoors: bool = False

    @property
    def places(self) -> tuple[Entry, ...]:
        """Where it can happen: a boat is not washed in the kitchen."""
        return OUTDOOR_PLACES if self.outdoors else PLACES


AGENTS = _entries(
    adult="man/men|gentleman/gentlemen, woman/women|lady/ladies",
    young="boy/boys|lad/lads, girl/girls, child/children|kid/kids",
    healer="doctor/doctors|physician/physicians, nurse/nurses",
    kitchen="cook/cooks|chef/chefs, waiter/waiters, baker/bakers",
    outdoors="farmer/farmers, sailor/sailors|seaman/seamen, gardener/gardeners, hiker/hikers",
    school="teacher/teachers, student/students|pupil/pupils",
)
ANIMALS = _entries(
    pet="dog/dogs|hound/hounds, cat/cats, puppy/puppies",
    farm="goat/goats, horse/horses, sheep/sheep, goose/geese",
    wild="fox/foxes, monkey/monkeys",
)
MEETING = Domain(
    actions=_entries(
        pursue="chases/chase/chased/chasing|pursues/pursue/pursued/pursuing, "
        "follows/follow/followed/following",
        see="watches/watch/watched/watching|observes/observe/observed/observing",
        meet="photographs/photograph/photographed/photographing, "
        "greets/greet/greeted/greeting|welcomes/welcome/welcomed/welcoming",
        move="pushes/push/pushed/pushing|shoves/shove/shoved/shoving",
    ),
    objects=AGENTS + ANIMALS,
    looks=AGENT_LOOKS,
    outdoors=True,
)
DOMAINS = (
    Domain(
        actions=_entries(
            play="plays/play/played/playing",
            mend="repairs/repair/repaired/repairing|fixes/fix/fixed/fixing, "
                 "tunes/tune/tuned/tuning",
            trade="sells/sell/sold/selling, "
                  "buys/buy/bought/buying|purchases/purchase/purchased/purchasing",
        ),
        objects=_entries(
            strings="guitar/guitars, violin/violins|fiddle/fiddles, harp/harps",
            loud="drum/drums, trumpet/trumpets",
        ),
    ),
    Domain(
        actions=_entries(
            clean="washes/wash/washed/washing|cleans/clean/cleaned/cleaning",
            mend="paints/paint/painted/painting, "
                 "repairs/repair/repaired/repairing|fixes/fix/fixed/fixing",
            move="pushes/push/pushed/pushing|shoves/shove/shoved/shoving, "
                 "pulls/pull/pulled/pulling|"
            "drags/drag/dragged/dragging",
        ),
        objects=_entries(
            road="car/cars|automobile/automobiles, bicycle/bicycles|bike/bikes, "
                 "truck/trucks|lorry/lorries",
            water="boat/boats, canoe/canoes",
            rolling="cart/carts|wagon/wagons",
        ),
        outdoors=True,
    ),
    Domain(
        actions=_entries(
            cut="cuts/cut/cut/cutting|slices/slice/sliced/slicing, peels/peel/peeled/peeling",
            eat="eats/eat/eaten/eating, tastes/taste/tasted/tasting|tries/try/tried/trying",
            clean="washes/wash/washed/washing|rinses/rinse/rinsed/rinsing",
        ),
        objects=_entries(
            vegetable="onion/onions, carrot/carrots, potato/potatoes, cucumber/cucumbers",
            fruit="melon/melons, apple/apples, peach/peaches",
        ),
        looks=FOOD_LOOKS,
    ),
    Domain(
        actions=_entries(
            use="reads/read/read/reading|studies/study/studied/studying, "
                "writes/write/written/writing",
            spoil="tears up/tear up/torn up/tearing up|rips up/rip up/ripped up/ripping up, "
            "burns/burn/burned/burning",
            hide="hides/hide/hidden/hiding|conceals/conceal/concealed/concealing",
        ),
        objects=_entries(
            mail="letter/letters, postcard/postcards, note/notes|message/messages",
            long="book/books, story/stories|tale/tales, poem/poems",
        ),
        looks=TEXT_LOOKS,
    ),
    Domain(
        actions=_entries(
            air="throws/throw/thrown/throwing|tosses/toss/tossed/tossing, "
                "catches/catch/caught/catching",
            ground="drops/drop/dropped/dropping, kicks/kick/kicked/kicking",
            lift="picks up/pick up/picked up/picking up|lifts/lift/lifted/lifting",
        ),
        objects=_entries(
            toy="ball/balls, doll/dolls",
            nature="stone/stones|rock/rocks, stick/sticks|branch/branches",
            wear="hat/hats|cap/caps",
        ),
    ),
    Domain(
        actions=_entries(
            hold="carries/carry/carried/carrying|lugs/lug/lugged/lugging",
            lift="lifts/lift/lifted/lifting|raises/raise/raised/raising",
            open="opens/open/opened/opening, closes/close/closed/closing|shuts/shut/shut/shutting",
            fill="fills/fill/filled/filling, empties/empty/emptied/emptying",
        ),
        objects=_entries(
            luggage="suitcase/suitcases|travel bag/travel bags, "
                    "backpack/backpacks|rucksack/rucksacks",
            store="box/boxes|crate/crates, basket/baskets, barrel/barrels|cask/casks",
        ),
    ),
)  # fmt: skip
