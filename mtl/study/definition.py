"""Studies: a question, a space of settings and the objectives of its search, in YAML.

`mtl.study.reading` checks all that needs no data. A definition is plain data and complete, so that
the study's storage can keep it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtl.config.assignments import assignments
from mtl.config.schema import RunConfig
from mtl.config.settings import preset_layer
from mtl.documents.keys import Settings, flatten, is_within, merge
from mtl.documents.library import Library
from mtl.documents.yaml_file import Place, YamlDocument, dump_yaml, read_yaml
from mtl.errors import ConfigError, short
from mtl.rng import numpy_stream
from mtl.runs.prepare import Sources
from mtl.study.objectives import Objective
from mtl.study.reading import KEYS, study_fields
from mtl.study.space import Parameter, Point, Space, Value, in_words, random_value

RANDOM_POINTS = 200
"""How many random points are tried before a value counts as unusable."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, the space to search for its answer, and the strategy of the search.

    `base` is a preset, `settings` the `set` on top of it. A trial's score is the mean over `seeds`;
    the best trial runs again on `fresh` further seeds. `trials` and `hours` limit the whole study,
    over all its restarts. `first` are the trials before the sampler's: presets, or settings over
    base and set. `written` is the document as read. `source` and `lines` locate errors.
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
        """`file:line` of a place, or of the section around it."""
        return YamlDocument(source=self.source, value=None, lines=self.lines).where(place)

    def below(self) -> Settings:
        """The settings that every trial starts from: base and set."""
        return merge(preset_layer(self.base).value, self.settings)

    def make_space(self) -> Space:
        """The space over base and set."""
        return Space(self.below(), self.space)

    def fresh_seeds(self) -> tuple[int, ...]:
        """The seeds after the largest one, which no trial has seen."""
        start = max(self.seeds) + 1
        return tuple(range(start, start + self.fresh))

    def points(self) -> dict[str, Point]:
        """The first trials by name, as points.

        Raises ConfigError for a trial that is not in the space.
        """
        space, points, problems = self.make_space(), dict[str, Point](), list[str]()
        for number, entry in enumerate(self.first):
            if isinstance(entry, str):
                name, settings = entry, merge(preset_layer(entry).value, self.settings)
            else:
                words = [f"{key}={value}" for key, value in flatten(entry).items()]
                name, settings = ", ".join(words) or "base", merge(self.below(), entry)
            try:
                config = RunConfig.model_validate(settings)
                config.check()
                points[name] = space.point(config)
            except ConfigError as error:
                problems.append(
                    f"{self.at('first', number)}: first: {name} is not in the space: {error}."
                )
        if problems:
            raise ConfigError("\n".join(problems))
        return points

    def check(self, sources: Sources) -> str:
        """Check all that needs the encoder or the data; returns the cell of the base.

        Raises ConfigError for a value that the encoder or the tasks refuse, DataError or
        EncoderError.
        """
        self.points()
        space, problems = self.make_space(), list[str]()
        for parameter in self.space:
            place = f"{self.at('space', parameter.name)}: space.{parameter.name}"
            for value in parameter.ends():
                config = space.plain({parameter.name: value}).resolved()
                try:
                    sources.pretrained(config)
                except ConfigError as error:
                    problems.append(f"{place}: {error}")
            problems += [f"{place}: {reason}" for reason in unusable(space, parameter)]
        if problems:
            raise ConfigError("\n".join(dict.fromkeys(problems)))
        return sources.cell(space.plain({}))

    def canonical(self) -> dict[str, Any]:
        """The definition as plain data, which `study_from` reads."""
        replaced = ("name", "base", "set", "budget")
        rest = {key: value for key, value in self.written.items() if key not in replaced}
        keys = {
            "name": self.name,
            "question": self.question,
            "base": self.base,
            "set": self.settings,
        }
        keys |= rest | {
            "objective": {objective.key: objective.direction for objective in self.objectives},
            "seeds": list(self.seeds),
        }
        budget = {"trials": self.trials, "hours": self.hours}
        keys["budget"] = {key: value for key, value in budget.items() if value is not None}
        return keys

    def to_yaml(self) -> str:
        """The text of a file that begins with the question as a comment."""
        return dump_yaml(self.canonical(), heading=self.question)


def unusable(space: Space, parameter: Parameter) -> Iterator[str]:
    """Why values of a parameter cannot be run, judged by random points of the space."""
    generator = numpy_stream(0, f"idle/{parameter.name}")
    for value in parameter.ends():

        def suggest(drawn: Parameter, value: Value = value) -> Value:
            return value if drawn is parameter else random_value(drawn, generator)

        active, reason = False, ""
        for _ in range(RANDOM_POINTS):
            point = space.draw(suggest)
            if parameter.name not in point:
                continue
            active = True
            problems = space.plain(point).problems()
            if not problems:
                break
            reason = problems[0].message
        else:
            if not active:
                yield f"its condition never holds (when: {parameter.when})."
                return
            shown = in_words({parameter.name: value})
            yield f"with {shown} no point of the space can be run, such as: {reason}"


LIBRARY = Library(kind="study", folder="studies", package="mtl.study", inside="spaces")


def studies() -> dict[str, Path]:
    """Every study of the library by name."""
    return LIBRARY.paths()


def find_study(word: str) -> Study:
    """The study with a name of the library, or at a path.

    Raises ConfigError, for an unknown name with the nearest one.
    """
    return read_study(LIBRARY.find(word))


def read_study(path: Path) -> Study:
    """A study from a file. Raises ConfigError with every problem, each with its line."""
    return study_from(read_yaml(path), path.parent, path.stem)


def study_from(document: YamlDocument, folder: Path, name: str) -> Study:
    """A study from a document; `name` is the default name.

    Raises ConfigError with every problem.
    """
    if not isinstance(document.value, dict):
        came = short(document.value)
        raise ConfigError(f"{document.source}: expected a study ({', '.join(KEYS)}), got {came}.")
    return Study(**study_fields(document, folder, name), written=document.value)


def with_words(study: Study, words: Sequence[str], *, name: str | None = None) -> Study:
    """The study with `key=value` words over its `set`, `seed=0,1` as its seeds, and another name.

    Raises ConfigError, also for a key that the study varies: there the word would have no effect.
    """
    if not words and name is None:
        return study
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
    value = study.canonical() | changed
    document = YamlDocument(source=study.source, value=value, lines=study.lines)
    return study_from(document, Path(), study.name)
