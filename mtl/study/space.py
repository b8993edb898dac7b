"""The search space of a study: its parameters, and how a point of it becomes a config and back.

A parameter is a list of levels (values of a config key, or several settings under one name) or a range of numbers. A
parameter with a condition (`when`) is active only where the condition holds for the parameters before it. A point has
a value for each active parameter: a level's name or a number. Samplers draw the values (`mtl.study.drawing`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mtl.ablation.factors import together, validated
from mtl.ablation.where import Condition, compile_where
from mtl.config.assignments import level_name
from mtl.config.key_kinds import config_keys
from mtl.config.keys import Settings, flatten, get_key, is_within, merge
from mtl.config.schema import RunConfig
from mtl.config.settings import spread
from mtl.config.yaml_file import YamlDocument
from mtl.errors import ConfigError

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
        return (
            [int(self.low), int(self.high)]
            if self.kind == "int"
            else [float(self.low), float(self.high)]
        )

    def count(self) -> float:
        """How many values it can have."""
        if self.kind == "levels":
            return len(self.levels)
        return (
            math.inf
            if self.step is None
            else math.floor((self.high - self.low) / self.step + 1e-9) + 1
        )

    def takes(self, value: object) -> bool:
        """Whether a number is one of its values."""
        if isinstance(value, bool) or not isinstance(
            value, int if self.kind == "int" else int | float
        ):
            return False
        if not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-9

    def shown(self) -> str:
        """`siamese, concat`; `0.0001 to 0.01, log`."""
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
        """The point that computes the same as a config. Raises ConfigError with the settings outside the space."""
        target = config.resolved()
        plain = config.model_dump(mode="json")
        there = target.model_dump(mode="json")
        problems: list[str] = []

        def value_in(parameter: Parameter) -> Value:
            if parameter.kind == "levels":
                for level, settings in parameter.levels.items():
                    if validated(merge(plain, settings), "study").resolved() == target:
                        return level
                shown = ", ".join(
                    f"{key}={level_name(get_key(there, key))}" for key in sorted(parameter.sets())
                )
            elif parameter.takes(value := get_key(there, parameter.name)):
                return int(value) if parameter.kind == "int" else float(value)
            else:
                shown = f"{parameter.name}={level_name(value)}"
            problems.append(
                f"{shown} is none of the values of {parameter.name} ({parameter.shown()})"
            )
            return parameter.ends()[0]

        point = self.draw(value_in)
        if not problems:
            here = flatten(self.plain(point).resolved().model_dump(mode="json"))
            there = flatten(there)
            other = [
                key
                for key in {**there, **here}
                if here.get(key) != there.get(key) and key != "seed"
            ]
            if other:
                names = ", ".join(f"{key}={level_name(there.get(key))}" for key in other)
                problems.append(
                    f"it has {names}, which the space does not vary and its base has not"
                )
        if problems:
            raise ConfigError("; ".join(problems))
        return point


def own_levels(parameters: Iterable[Parameter]) -> dict[str, tuple[str, ...]]:
    """The parameters that are not config keys, with their level names."""
    return {
        parameter.name: tuple(parameter.levels)
        for parameter in parameters
        if parameter.name not in config_keys()
    }


def rests_on(key: str, parameter: Parameter) -> bool:
    """Whether a parameter sets `key`, or a section around it, so that conditions on it depend on it."""
    return key == parameter.name or any(is_within(key, own) for own in parameter.sets())


def ordered(
    parameters: Sequence[Parameter], asked: Mapping[str, Iterable[str]]
) -> list[Parameter] | None:
    """The parameters, each after those that its condition rests on; None where conditions go in a circle.

    `asked` has the keys of each parameter's condition.
    """
    left, done = list(parameters), list[Parameter]()
    while left:
        ready = [
            one
            for one in left
            if not any(rests_on(key, other) for key in asked.get(one.name, ()) for other in left)
        ]
        if not ready:
            return None
        done.append(ready[0])
        left.remove(ready[0])
    return done


def in_words(point: Mapping[str, object]) -> str:
    """`pairing=concat, train.lr=3.1e-05`."""
    return ", ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in point.items()
    )
