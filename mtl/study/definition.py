"""Studies: a question, a space of settings and what is sought in it, in YAML.

Reading checks all that can be checked without data (`mtl.study.reading`). A definition is plain data and whole, so that it
can be kept in the study's storage and read from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mtl.config.assignments import assignments
from mtl.config.keys import Settings, flatten, is_within, merge
from mtl.config.library import Library
from mtl.config.schema import RunConfig
from mtl.config.settings import preset_layer
from mtl.config.yaml_file import Place, YamlDocument, dump_yaml, read_yaml
from mtl.errors import ConfigError, short
from mtl.rng import numpy_stream
from mtl.runs.prepare import Sources
from mtl.study.objectives import Objective
from mtl.study.reading import KEYS, study_fields
from mtl.study.space import Parameter, Point, Space, Value, in_words

RANDOM_POINTS = 200
"""Points that are tried before a value is said to be of no use."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, the space that is searched for its answer, and how.

    `base` is a preset, `settings` the `set` on top of it. The mean over `seeds` is what a trial scores; the best is run
    again on `fresh` further seeds. `trials` and `hours` limit the whole study, over all its restarts. `first` are the
    trials before any that is sought: a preset, or settings over base and set. `written` is the document as it was.
    """

    name: str
    question: str
    base: str
    settings: Settings
    space: tuple[Parameter, ...]
    objectives: tuple[Objective, ...]
    sampler: str
    pruner: str
    seeds: tuple[int, ...]
    fresh: int
    trials: int | None
    hours: float | None
    first: tuple[str | Settings, ...]
    written: dict[str, Any] = field(compare=False, repr=False)
    source: str = field(default="study", compare=False)
    lines: dict[Place, int] = field(default_factory=dict, compare=False, repr=False)

    def at(self, *place: str | int) -> str:
        """`file:line` of a place, or of what is around it."""
        return YamlDocument(source=self.source, value=None, lines=self.lines).where(place)

    def below(self) -> Settings:
        """What every trial starts from: base and set."""
        return merge(preset_layer(self.base).value, self.settings)

    def make_space(self) -> Space:
        """The space over base and set."""
        return Space(self.below(), self.space)

    def fresh_seeds(self) -> tuple[int, ...]:
        """Seeds that no trial has seen: the ones after the largest."""
        start = max(self.seeds) + 1
        return tuple(range(start, start + self.fresh))

    def points(self) -> dict[str, Point]:
        """The first trials by name, as points. Raises ConfigError for one that is not in the space."""
        space, found, problems = self.make_space(), dict[str, Point](), list[str]()
        for number, entry in enumerate(self.first):
            if isinstance(entry, str):
                name, settings = entry, merge(preset_layer(entry).value, self.settings)
            else:
                name = (
                    ", ".join(f"{key}={value}" for key, value in flatten(entry).items()) or "base"
                )
                settings = merge(self.below(), entry)
            try:
                config = RunConfig.model_validate(settings)
                config.check()
                found[name] = space.point(config)
            except ConfigError as error:
                problems.append(
                    f"{self.at('first', number)}: first: {name} is not in the space: {error}."
                )
        if problems:
            raise ConfigError("\n".join(problems))
        return found

    def check(self, sources: Sources) -> str:
        """The cell of the base, once all that needs the encoder or the data has been checked.

        Raises ConfigError for a level that the encoder or the tasks refuse, DataError or EncoderError.
        """
        self.points()
        space, problems = self.make_space(), list[str]()
        for parameter in self.space:
            for value in parameter.ends():
                config = space.plain({parameter.name: value}).resolved()
                try:
                    sources.pretrained(config)
                except ConfigError as error:
                    problems.append(
                        f"{self.at('space', parameter.name)}: space.{parameter.name}: {error}"
                    )
            problems += [
                f"{self.at('space', parameter.name)}: space.{parameter.name}: {why}"
                for why in idle(space, parameter)
            ]
        if problems:
            raise ConfigError("\n".join(dict.fromkeys(problems)))
        return sources.cell(space.plain({}))

    def canonical(self) -> dict[str, Any]:
        """The definition as plain data, which `study_from` takes."""
        rest = {
            key: value
            for key, value in self.written.items()
            if key not in ("name", "base", "set", "budget")
        }
        budget = {"trials": self.trials, "hours": self.hours}
        found = {
            "name": self.name,
            "question": self.question,
            "base": self.base,
            "set": self.settings,
        }
        found |= rest | {
            "objective": {one.key: one.direction for one in self.objectives},
            "seeds": list(self.seeds),
        }
        return found | {
            "budget": {key: value for key, value in budget.items() if value is not None}
        }

    def to_yaml(self) -> str:
        """The definition as a file, which begins with its question."""
        question = "".join(mark if mark.isprintable() else " " for mark in self.question)
        return f"# {' '.join(question.split())}\n{dump_yaml(self.canonical())}"


def idle(space: Space, parameter: Parameter) -> Iterator[str]:
    """Why values of a parameter are never trained with, as far as random points show it."""
    draw = numpy_stream(0, f"idle/{parameter.name}")

    def at_random(one: Parameter) -> Value:
        ends = one.ends()
        if one.kind == "levels":
            return ends[int(draw.integers(len(ends)))]
        share = float(draw.random())
        low, high = (math.log(one.low), math.log(one.high)) if one.log else (one.low, one.high)
        value = low + share * (high - low)
        value = math.exp(value) if one.log else value
        return round(value) if one.kind == "int" else min(max(value, one.low), one.high)

    for value in parameter.ends():
        met, why = 0, ""
        for _ in range(RANDOM_POINTS):
            point = space.draw(
                lambda one, value=value: value if one is parameter else at_random(one)  # type: ignore[misc]
            )
            if parameter.name not in point:
                continue
            met += 1
            found = space.plain(point).problems()
            if not found:
                break
            why = found[0].message
        else:
            if not met:
                yield f"its condition never holds (when: {parameter.when})."
                return
            yield f"with {in_words({parameter.name: value})} no point of the space can be run, such as: {why}"


LIBRARY = Library(kind="study", folder="studies", package="mtl.study", inside="spaces")


def studies() -> dict[str, Path]:
    """Every study of the library by name."""
    return LIBRARY.paths()


def find_study(word: str) -> Study:
    """The study that a name of the library, or a path, means. Raises ConfigError with the nearest."""
    return read_study(LIBRARY.find(word))


def read_study(path: Path) -> Study:
    """A study from a file. Raises ConfigError with every problem, each with its line."""
    return study_from(read_yaml(path), path.parent, path.stem)


def study_from(document: YamlDocument, folder: Path, name: str) -> Study:
    """A study from a document; `name` is for one that has none. Raises ConfigError with every problem."""
    if not isinstance(document.value, dict):
        raise ConfigError(
            f"{document.source}: expected a study ({', '.join(KEYS)}), came {short(document.value)}."
        )
    return Study(**study_fields(document, folder, name), written=document.value)


def with_words(study: Study, words: Sequence[str], *, name: str | None = None) -> Study:
    """The study with `key=value` words over its `set`, `seed=0,1` as its seeds, and another name.

    Raises ConfigError, also for a key that the study varies: there the word would have no effect.
    """
    problems: list[str] = []
    settings, seeds = assignments(words, problems)
    for key in flatten(settings):
        for parameter in study.space:
            if any(is_within(own, key) for own in parameter.sets()):
                problems.append(
                    f"{key}: {study.name} varies it ({parameter.shown()}); leave it out."
                )
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    changed = {
        "set": merge(study.settings, settings),
        "seeds": list(seeds or study.seeds),
        "name": name or study.name,
    }
    if not words and name is None:
        return study
    value = study.canonical() | changed
    found = study_from(
        YamlDocument(source=study.source, value=value, lines=study.lines), Path(), study.name
    )
    return replace(found, source=study.source)
