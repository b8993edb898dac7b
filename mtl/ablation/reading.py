"""Reads a definition from YAML: every problem at once, each with file, line and key."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from mtl.ablation.claims import Claim, read_claims
from mtl.ablation.where import RESERVED, WORD, compile_where
from mtl.config.assignments import DEFAULT_SEEDS, MAX_SEEDS, level_name, refusals, seeds_of, whole
from mtl.config.key_kinds import config_keys, own_factors
from mtl.config.keys import Settings, get_key, merge
from mtl.config.library import SUFFIXES
from mtl.config.settings import file_layer, preset_layer, spread
from mtl.config.yaml_file import Place, YamlDocument
from mtl.errors import ConfigError, short, suggestion

DesignName = Literal["full", "one-at-a-time", "leave-one-out", "pairwise"]
DESIGNS: tuple[DesignName, ...] = get_args(DesignName)
KEYS = (
    "name",
    "question",
    "base",
    "set",
    "seeds",
    "arms",
    "grid",
    "design",
    "where",
    "baseline",
    "margin",
    "claims",
)
DEFAULT_MARGIN = 0.01
MAX_NAME = 100
"""Characters of the name of an arm, a factor, a level."""
MAX_QUESTION = 2000


class Reader:
    """Reads one definition and collects what is wrong with it."""

    def __init__(self, document: YamlDocument, folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.problems: list[str] = []
        self.inside: dict[Place, dict[Place, int]] = {}
        for place, number in document.lines.items():
            for end in range(1, min(len(place), 3) + 1):
                self.inside.setdefault(place[:end], {})[place[end:]] = number

    def fail(self, message: str, *place: str) -> None:
        key = ".".join(part if len(part) <= MAX_NAME else f"{part[:MAX_NAME]}..." for part in place)
        self.problems.append(f"{self.document.where(place)}: {key}: {message}")

    def get(self, key: str) -> Any:
        return self.document.value.get(key)

    def part(self, value: Any, *place: str) -> YamlDocument:
        """A piece of the definition with the lines of its own."""
        lines = self.inside.get(place, {})
        return YamlDocument(source=self.document.source, value=value, lines=lines)

    def fields(self, name: str) -> dict[str, Any]:
        """What a `Definition` is made of. Raises ConfigError with all problems, one a line."""
        written = self.document.value
        for key in written:
            if key not in KEYS:
                hint = (
                    " Settings go under `set`." if key in config_keys() else suggestion(key, KEYS)
                )
                self.fail(f"unknown key.{hint} Keys here: {', '.join(KEYS)}.", key)
        base, below = self.base()
        settings = merge(below, self.settings(self.get("set"), "set"))
        arms, grid = self.arms(), self.grid()
        if "arms" not in written and "grid" not in written:
            self.problems.append(
                f"{self.document.source}: expected arms or a grid: there is nothing to compare."
            )
        found = {
            "name": self.name(name),
            "question": self.text("question", MAX_QUESTION),
            "base": base,
            "settings": settings,
            "seeds": self.seeds(),
            "arms": arms,
            "grid": grid,
            "design": self.design(grid),
            "where": self.where(own_factors(grid)),
            "baseline": self.baseline(),
            "margin": self.margin(),
            "claims": self.claims(),
            "source": self.document.source,
            "lines": self.document.lines,
        }
        if self.problems:
            raise ConfigError("\n".join(dict.fromkeys(self.problems)))
        return found

    def name(self, name: str) -> str:
        """The definition's name, which is a folder's too: its own, or else the given one."""
        found = self.get("name")
        found = name if found is None else found
        if (
            not isinstance(found, str)
            or not re.fullmatch(r"[^\W_][^/\\]*", found)
            or len(found) > MAX_NAME
            or not found.isprintable()
        ):
            self.fail(
                f"expected a name that a folder can have, beginning with a letter or digit, came {short(found)}.",
                "name",
            )
            return "unnamed"
        return found

    def text(self, key: str, most: int) -> str:
        found = self.get(key)
        if not isinstance(found, str) or not found.strip() or len(found) > most:
            came = "nothing" if found is None else short(found)
            self.fail(f"expected text of 1 to {most} characters, came {came}.", key)
            return ""
        return found

    def base(self) -> tuple[str, Settings]:
        """A preset, or `baseline` with the settings of the file that is the base; a file's seed is not taken."""
        word = self.document.value.get("base", "baseline")
        try:
            if not isinstance(word, str):
                raise ConfigError(f"expected a preset or a path, came {short(word)}.")
            if not word.endswith(SUFFIXES):
                preset_layer(word)
                return word, {}
            layer = file_layer(self.folder / word)
            self.problems += refusals(layer)
            return "baseline", {key: value for key, value in layer.value.items() if key != "seed"}
        except ConfigError as error:
            self.fail(str(error), "base")
            return "baseline", {}

    def settings(self, value: Any, *place: str) -> Settings:
        """Checked settings; nothing at all is `{}`."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.fail(f"expected settings (key: value), came {short(value)}.", *place)
            return {}
        try:
            document = spread(self.part(value, *place))
        except ConfigError as error:
            self.problems.append(str(error))
            return {}
        if "seed" in document.value:
            self.fail("the seeds of all arms are set by `seeds: [0, 1, 2]`.", *place, "seed")
            del document.value["seed"]
        self.problems += refusals(document)
        return dict(document.value)

    def named(self, what: str, *place: str) -> None:
        """The last word of a place must do as a name in tables."""
        name = place[-1]
        if (
            not name.strip()
            or len(name) > MAX_NAME
            or not name.isprintable()
            or {"'", '"'} <= set(name)
        ):
            self.fail(
                f"the name of {what}: 1 to {MAX_NAME} printable characters, quotes of one kind only.",
                *place,
            )

    def arms(self) -> dict[str, Settings]:
        arms = self.get("arms")
        if arms is None and "arms" not in self.document.value:
            return {}
        if not isinstance(arms, dict) or not arms:
            self.fail(
                f"expected arms (name: settings), came {'nothing' if arms is None else short(arms)}.",
                "arms",
            )
            return {}
        for name in arms:
            self.named("an arm", "arms", name)
        return {name: self.settings(value, "arms", name) for name, value in arms.items()}

    def grid(self) -> dict[str, dict[str, Settings]]:
        grid = self.get("grid")
        if grid is None and "grid" not in self.document.value:
            return {}
        if not isinstance(grid, dict) or not grid:
            self.fail(
                f"expected factors (key: [value, value]), came {'nothing' if grid is None else short(grid)}.",
                "grid",
            )
            return {}
        return {factor: self.levels(factor, value) for factor, value in grid.items()}

    def levels(self, factor: str, value: Any) -> dict[str, Settings]:
        keys = config_keys()
        if factor == "seed":
            self.fail(
                "seeds are no factor: every arm runs with all of `seeds: [0, 1, 2]`.",
                "grid",
                factor,
            )
        elif isinstance(value, dict):
            if factor in keys:
                self.fail(
                    "is a config key and takes a list of values; levels with names need a name of their own.",
                    "grid",
                    factor,
                )
            elif not re.fullmatch(WORD, factor) or factor in RESERVED or len(factor) > MAX_NAME:
                self.fail(
                    "a factor's name is made of letters, digits, _ - and dots, and is no word of `where`.",
                    "grid",
                    factor,
                )
            for name in value:
                self.named("a level", "grid", factor, name)
            return {
                name: self.settings(level, "grid", factor, name) for name, level in value.items()
            }
        elif factor not in keys:
            hint = (
                suggestion(factor, keys)
                or " A factor of your own has named levels: {low: {train.lr: 1e-5}, high: ...}."
            )
            self.fail(f"no config key.{hint}", "grid", factor)
        elif not isinstance(value, list):
            self.fail(f"expected a list of values, came {short(value)}.", "grid", factor)
        else:
            return self.values(factor, value)
        return {}

    def values(self, factor: str, values: list[Any]) -> dict[str, Settings]:
        """The levels of a config key, one a value."""
        found: dict[str, Settings] = {}
        lines = self.inside.get(("grid", factor), {})
        for number, value in enumerate(values):
            own = {
                (factor, *place[1:]): line
                for place, line in lines.items()
                if place[:1] == (number,)
            }
            document = spread(
                YamlDocument(source=self.document.source, value={factor: value}, lines=own)
            )
            before = len(self.problems)
            self.problems += refusals(document)
            name = level_name(get_key(document.value, factor))
            if name in found:
                self.fail(f"the level {name} is there twice; keep one.", "grid", factor)
            if len(self.problems) == before:
                found[name] = document.value
        return found

    def seeds(self) -> tuple[int, ...]:
        value = self.document.value.get("seeds", list(DEFAULT_SEEDS))
        if whole(value, 1, MAX_SEEDS):
            return tuple(range(value))
        return seeds_of(value, f"{self.document.where(('seeds',))}: seeds", self.problems)

    def design(self, grid: Mapping[str, Any]) -> DesignName:
        word = self.document.value.get("design", "full")
        if word not in DESIGNS:
            self.fail(
                f"expected one of {', '.join(DESIGNS)}, came {short(word)}.{suggestion(word, DESIGNS)}",
                "design",
            )
            return "full"
        if word != "full" and not grid:
            self.fail(
                f"{word} has no effect without a grid; leave it out or add factors.", "design"
            )
        return DESIGNS[DESIGNS.index(word)]

    def where(self, own: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        value = self.get("where")
        texts = [value] if isinstance(value, str) else [] if value is None else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            self.fail(f"expected a list of conditions in quotes, came {short(value)}.", "where")
            return ()
        for number, text in enumerate(texts):
            try:
                compile_where(text, own)
            except ConfigError as error:
                self.problems.append(f"{self.document.where(('where', number))}: where: {error}")
        return tuple(texts)

    def baseline(self) -> str | dict[str, str] | None:
        value = self.get("baseline")
        if isinstance(value, dict) and value:
            return {factor: level_name(level) for factor, level in value.items()}
        if value is not None and not (isinstance(value, str) and value):
            self.fail(
                f"expected an arm's name, or {{factor: level}}, came {short(value)}.", "baseline"
            )
            return None
        return value

    def margin(self) -> float:
        value = self.document.value.get("margin", DEFAULT_MARGIN)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not (math.isfinite(value) and value >= 0)
        ):
            self.fail(f"expected a difference of scores, 0 or more, came {short(value)}.", "margin")
            return DEFAULT_MARGIN
        return float(value)

    def claims(self) -> tuple[Claim, ...]:
        if self.get("claims") is None:
            return ()
        claims, problems = read_claims(self.part(self.get("claims"), "claims"))
        self.problems += problems
        return claims
