"""The search space of a study: its parameters, and how points become configs and back.

A parameter is a list of levels (values of a config key, or named groups of settings) or a range of
numbers. A parameter with a condition (`when`) is active only where the condition holds for the
parameters before it. A point has a value for each active parameter: a level's name or a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mtl.ablation.factors import together, validated
from mtl.ablation.where import Condition, compile_where
from mtl.config.assignments import level_name
from mtl.config.key_kinds import config_keys
from mtl.config.schema import RunConfig
from mtl.config.settings import spread
from mtl.documents.keys import Settings, flatten, get_key, is_within, merge
from mtl.documents.yaml_file import YamlDocument
from mtl.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

Value = str | int | float
"""A parameter's value in a point: a level's name, or a number."""

Point = dict[str, Value]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One dimension: `levels` (name -> settings), or numbers from `low` to `high`, both included.

    `step` is the distance between the numbers of a grid; None for a continuous range. `log` draws
    numbers evenly by their logarithm.
    """

    name: str
    kind: Literal["levels", "int", "float"]
    levels: dict[str, Settings] = field(default_factory=dict)
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    when: str | None = None

    def settings(self, value: Value) -> Settings:
        """The settings of a value."""
        if self.kind == "levels":
            return self.levels[str(value)]
        return dict(spread(YamlDocument(source=self.name, value={self.name: value})).value)

    def sets(self) -> set[str]:
        """The config keys that the parameter sets."""
        if self.kind != "levels":
            return {self.name}
        return {key for settings in self.levels.values() for key in flatten(settings)}

    def ends(self) -> list[Value]:
        """Its levels, or its smallest and largest number."""
        if self.kind == "levels":
            return list(self.levels)
        number = int if self.kind == "int" else float
        return [number(self.low), number(self.high)]

    def count(self) -> float:
        """How many values it can have."""
        if self.kind == "levels":
            return len(self.levels)
        if self.step is None:
            return math.inf
        return math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def values(self, most: int) -> list[Value] | None:
        """All its values; None for a continuous range, and for one of more than `most` numbers."""
        if self.kind == "levels":
            return list(self.levels)
        step = self.step or (1 if self.kind == "int" else None)
        if step is None or (self.high - self.low) / step >= most:
            return None
        numbers = [self.low + step * at for at in range(round((self.high - self.low) / step) + 1)]
        if self.kind == "int":
            return [int(number) for number in numbers]
        return [min(float(f"{number:.12g}"), self.high) for number in numbers]

    def takes(self, value: object) -> bool:
        """Whether a number is one of its values."""
        numbers = int if self.kind == "int" else int | float
        if isinstance(value, bool) or not isinstance(value, numbers):
            return False
        if not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-9

    def shown(self) -> str:
        """Its values in words: `siamese, concat`, or `0.0001 to 0.01, log`."""
        if self.kind == "levels":
            return ", ".join(self.levels)
        low, high = map(level_name, self.ends())
        step = "" if self.step in (None, 1) or self.log else f" in steps of {level_name(self.step)}"
        return f"{low} to {high}{step}{', log' if self.log else ''}"


class Space:
    """Parameters over a base. A parameter comes after those that its condition reads."""

    def __init__(self, base: Settings, parameters: Sequence[Parameter]) -> None:
        self.base = base
        self.parameters = list(parameters)
        own = own_levels(parameters)
        self.own = set(own)
        self._conditions: dict[str, Condition] = {
            parameter.name: compile_where(parameter.when, own)
            for parameter in parameters
            if parameter.when is not None
        }

    def __getitem__(self, name: str) -> Parameter:
        return next(parameter for parameter in self.parameters if parameter.name == name)

    @property
    def conditional(self) -> bool:
        """Whether a parameter has a condition."""
        return bool(self._conditions)

    def draw(self, suggest: Callable[[Parameter], Value]) -> Point:
        """A point: each active parameter, in order, with the value that `suggest` gives."""
        point: Point = {}
        for parameter in self.parameters:
            if self.holds(parameter, point):
                point[parameter.name] = suggest(parameter)
        return point

    def points(self, most: int) -> list[Point] | None:
        """All points; None where a parameter is continuous, or there are more than `most`."""
        points: list[Point] = [{}]
        for parameter in self.parameters:
            values = parameter.values(most)
            if values is None:
                return None
            points = [
                {**point, parameter.name: value} if active else point
                for point in points
                for active in [self.holds(parameter, point)]
                for value in (values if active else values[:1])
            ]
            if len(points) > most:
                return None
        return points

    def holds(self, parameter: Parameter, point: Mapping[str, Value]) -> bool:
        """Whether a parameter is active, given the values of those before it."""
        condition = self._conditions.get(parameter.name)
        if condition is None:
            return True
        config = self.plain(point).resolved()
        cell = {
            key: point.get(key) if key in self.own else get_key(config, key)
            for key in condition.keys
        }
        return condition.holds(cell)

    def plain(self, point: Mapping[str, Value]) -> RunConfig:
        """The config of a point. Its settings may exclude each other (`RunConfig.problems`)."""
        settings = together([self[name].settings(value) for name, value in point.items()])
        return validated(merge(self.base, settings), "study")

    def point(self, config: RunConfig) -> Point:
        """The point that computes the same as a config.

        Raises ConfigError with the settings that are outside the space.
        """
        problems: list[str] = []

        def value(parameter: Parameter) -> Value:
            match = _value_in(config, parameter)
            if match is not None:
                return match
            settings = config.resolved().model_dump(mode="json")
            shown = _assignments(settings, sorted(parameter.sets()))
            values = f"{parameter.name} ({parameter.shown()})"
            problems.append(f"{shown} is none of the values of {values}")
            return parameter.ends()[0]

        point = self.draw(value)
        if not problems:
            target = config.resolved().model_dump(mode="json")
            reached = self.plain(point).resolved().model_dump(mode="json")
            if different := _different_keys(target, reached):
                shown = _assignments(target, different)
                problems.append(f"it has {shown}, which neither the base nor the space has")
        if problems:
            raise ConfigError("; ".join(problems))
        return point


def _value_in(config: RunConfig, parameter: Parameter) -> Value | None:
    """The parameter's value in a config; None where the config has none of its values."""
    target = config.resolved()
    if parameter.kind != "levels":
        value = get_key(target.model_dump(mode="json"), parameter.name)
        if not parameter.takes(value):
            return None
        return int(value) if parameter.kind == "int" else float(value)
    plain = config.model_dump(mode="json")
    for level, settings in parameter.levels.items():
        if validated(merge(plain, settings), "study").resolved() == target:
            return level
    return None


def _assignments(settings: Settings, keys: Iterable[str]) -> str:
    """`pairing=concat, smart=null`."""
    return ", ".join(f"{key}={level_name(get_key(settings, key))}" for key in keys)


def _different_keys(target: Settings, reached: Settings) -> list[str]:
    """The dotted keys, but the seed, that differ."""
    first, second = flatten(target), flatten(reached)
    keys = {**first, **second}
    return [key for key in keys if first.get(key) != second.get(key) and key != "seed"]


def random_value(parameter: Parameter, generator: np.random.Generator) -> Value:
    """A random value: a level, or a number, even on the parameter's scale."""
    ends = parameter.ends()
    if parameter.kind == "levels":
        return ends[int(generator.integers(len(ends)))]
    share = float(generator.random())
    low, high = parameter.low, parameter.high
    if parameter.log:
        low, high = math.log(low), math.log(high)
    value = low + share * (high - low)
    value = math.exp(value) if parameter.log else value
    if parameter.kind == "int":
        return round(value)
    return min(max(value, parameter.low), parameter.high)


def own_levels(parameters: Iterable[Parameter]) -> dict[str, tuple[str, ...]]:
    """The parameters that are not config keys, with their level names."""
    return {
        parameter.name: tuple(parameter.levels)
        for parameter in parameters
        if parameter.name not in config_keys()
    }


def depends_on(key: str, parameter: Parameter) -> bool:
    """Whether a condition on `key` depends on a parameter, which sets it or a section around it."""
    return key == parameter.name or any(is_within(key, own) for own in parameter.sets())


def ordered(
    parameters: Sequence[Parameter], condition_keys: Mapping[str, Iterable[str]]
) -> list[Parameter] | None:
    """The parameters, each after those that its condition reads; None for circular conditions.

    `condition_keys` has the keys of each parameter's condition.
    """
    waiting, done = list(parameters), list[Parameter]()

    def is_ready(parameter: Parameter) -> bool:
        keys = condition_keys.get(parameter.name, ())
        return not any(depends_on(key, earlier) for key in keys for earlier in waiting)

    while waiting:
        ready = next(filter(is_ready, waiting), None)
        if ready is None:
            return None
        done.append(ready)
        waiting.remove(ready)
    return done


def in_words(point: Mapping[str, object]) -> str:
    """A point in words: `pairing=concat, train.lr=3.1e-05`."""
    return ", ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in point.items()
    )
