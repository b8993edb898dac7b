"""Reads the space of a study: every problem with its file, line and key, collected by the reader of the whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from mtl.ablation.reading import MAX_NAME, Reader
from mtl.ablation.where import RESERVED, compile_where
from mtl.config.assignments import level_name, refusals
from mtl.config.key_kinds import config_keys
from mtl.config.keys import Settings, flatten, get_key
from mtl.config.settings import spread
from mtl.config.yaml_file import Place, YamlDocument
from mtl.errors import ConfigError, short, suggestion
from mtl.study.space import Parameter, ordered, own_levels, rests_on

KINDS = ("int", "float", "choices", "levels")


class SpaceReader(Reader):
    """Reads `space`, and knows what it may not say."""

    def space(self) -> list[Parameter]:
        value = self.get("space")
        if not isinstance(value, dict) or not value:
            self.fail(
                f"expected parameters (key: values), came {'nothing' if value is None else short(value)}.",
                "space",
            )
            return []
        found = [
            one for name, item in value.items() if (one := self.parameter(name, item)) is not None
        ]
        setter: dict[str, str] = {}
        for one in found:
            for key in sorted(one.sets()):
                if setter.setdefault(key, one.name) != one.name:
                    self.fail(
                        f"{key} is set by {setter[key]} too; one of the two would do nothing.",
                        "space",
                        one.name,
                    )
        own, asked = own_levels(found), dict[str, frozenset[str]]()
        for one in found:
            if one.when is not None:
                try:
                    asked[one.name] = compile_where(one.when, own).keys
                except ConfigError as error:
                    self.fail(f"when: {error}", "space", one.name)
        for one in found:
            for key in sorted(asked.get(one.name, ())):
                if not any(rests_on(key, other) for other in found):
                    names = ", ".join(other.name for other in found if other is not one)
                    self.fail(
                        f"when: {key} is not in the space, so the condition is the same for every trial. "
                        f"In the space: {names or 'nothing else'}.", "space", one.name,
                    )  # fmt: skip
        arranged = ordered(found, asked)
        if arranged is None:
            self.fail("the conditions (`when`) go in a circle: each waits for another.", "space")
        return arranged or found

    def parameter(self, name: str, value: Any) -> Parameter | None:
        """One dimension, or None where what stands there is none."""
        place = ("space", name)
        keys = config_keys()
        spec = value if isinstance(value, dict) else {"choices": value}
        kinds = [kind for kind in KINDS if kind in spec]
        if name == "seed":
            self.fail("seeds are no parameter: every trial runs with all of `seeds`.", *place)
            return None
        if name not in keys:
            if isinstance(value, dict) and not (set(kinds) & {"int", "float", "choices"}):
                named = spec["levels"] if kinds else spec
                return self.named_levels(name, named, spec if kinds else {})
            hint = (
                suggestion(name, keys)
                or " One of your own has named levels: {low: {train.lr: 1e-5}, high: ...}."
            )
            self.fail(f"no config key.{hint}", *place)
            return None
        if len(kinds) != 1 or kinds == ["levels"]:
            self.fail("expected a list of values, or {int: [low, high]}, {float: [low, high]} or {choices: [...]}, "
                      f"came {short(value)}.", *place)  # fmt: skip
            return None
        kind = kinds[0]
        allowed = {"choices": ("choices", "when")}.get(kind, (kind, "step", "log", "when"))
        for key in spec:
            if key not in allowed:
                self.fail(
                    f"{key}: unknown here.{suggestion(key, allowed)} Beside {kind}: {', '.join(allowed[1:])}.",
                    *place,
                )
        when = self.when(name, spec)
        if kind == "choices":
            levels = self.choices(name, spec["choices"], nested=isinstance(value, dict))
            return Parameter(name=name, kind="levels", levels=levels, when=when) if levels else None
        return self.range(name, kind, spec, when)

    def when(self, name: str, spec: Mapping[str, Any]) -> str | None:
        when = spec.get("when")
        if when is not None and not isinstance(when, str):
            self.fail(f"when: expected a condition in quotes, came {short(when)}.", "space", name)
            return None
        return when

    def choices(self, name: str, values: Any, *, nested: bool) -> dict[str, Settings]:
        """The levels of a config key, one a value."""
        place = ("space", name)
        if not isinstance(values, list) or len(values) < 2:
            self.fail(
                f"expected two values or more, came {short(values)}; one value goes under `set`.",
                *place,
            )
            return {}
        found: dict[str, Settings] = {}
        lines = self.inside.get((*place, "choices") if nested else place, {})
        for number, value in enumerate(values):
            own = {(name, *at[1:]): line for at, line in lines.items() if at[:1] == (number,)}
            own.setdefault((name,), self.line(*place))
            document = spread(
                YamlDocument(source=self.document.source, value={name: value}, lines=own)
            )
            level = level_name(get_key(document.value, name))
            if level in found:
                self.fail(f"the level {level} is there twice; keep one.", *place)
            self.problems += refusals(document)
            found[level] = document.value
        return found

    def named_levels(self, name: str, levels: Any, spec: Mapping[str, Any]) -> Parameter | None:
        """Several settings under one name as one level."""
        place = ("space", name)
        if (
            name in RESERVED
            or len(name) > MAX_NAME
            or not name.replace("_", "").replace("-", "").replace(".", "").isalnum()
        ):
            self.fail(
                "a parameter's name is made of letters, digits, _ - and dots, and is no word of `when`.",
                *place,
            )
        for key in spec:
            if key not in ("levels", "when"):
                self.fail(f"{key}: unknown beside levels; there is `when`.", *place)
        if not isinstance(levels, dict) or len(levels) < 2:
            self.fail(
                f"expected two levels or more (name: settings), came {short(levels)}.", *place
            )
            return None
        inner = ("levels",) if spec else ()
        for level in levels:
            self.named("a level", *place, *inner, level)
        found = {
            level: self.settings(value, *place, *inner, level) for level, value in levels.items()
        }
        return Parameter(name=name, kind="levels", levels=found, when=self.when(name, spec))

    def range(
        self, name: str, kind: str, spec: Mapping[str, Any], when: str | None
    ) -> Parameter | None:
        """Numbers between two, as the sampler draws them."""
        place, ends, log, step = (
            ("space", name),
            spec[kind],
            spec.get("log", False),
            spec.get("step"),
        )
        if (
            not isinstance(ends, list)
            or len(ends) != 2
            or not all(number(end, kind) for end in ends)
        ):
            what = "whole numbers" if kind == "int" else "numbers"
            self.fail(f"expected {kind}: [low, high], two {what}, came {short(ends)}.", *place)
            return None
        low, high = ends
        if not isinstance(log, bool):
            self.fail(f"log: expected true or false, came {short(log)}.", *place)
        elif low >= high:
            self.fail(
                f"{kind}: [{level_name(low)}, {level_name(high)}] has no room; the first is to be the smaller.",
                *place,
            )
        elif log and low <= 0:
            self.fail(
                f"log: needs a low end above 0, came {level_name(low)}; logarithms of 0 and less do not exist.",
                *place,
            )
        elif log and step is not None:
            self.fail(
                "log and step exclude each other: steps are even, logarithms are not. Keep one.",
                *place,
            )
        elif step is not None and (not number(step, kind) or step <= 0 or step > high - low):
            self.fail(
                f"step: expected a number above 0 and at most {level_name(high - low)}, came {short(step)}.",
                *place,
            )
        elif step is not None and abs((high - low) / step - round((high - low) / step)) > 1e-9:
            last = low + math.floor((high - low) / step) * step
            self.fail(
                f"step: {level_name(high)} is not reached in steps of {level_name(step)}; the last is {last:g}.",
                *place,
            )
        elif not self.refused(name, ends):
            even = step if step is not None else (1 if kind == "int" else None)
            chosen: Literal["int", "float"] = "int" if kind == "int" else "float"
            return Parameter(
                name=name, kind=chosen, low=low, high=high, step=even, log=log, when=when
            )
        return None

    def refused(self, name: str, ends: list[Any]) -> bool:
        """Note what the config has against the ends of a range."""
        before = len(self.problems)
        for end in ends:
            lines: dict[Place, int] = {(name,): self.line("space", name)}
            self.problems += refusals(
                spread(YamlDocument(source=self.document.source, value={name: end}, lines=lines))
            )
        return len(self.problems) > before

    def line(self, *place: str) -> int:
        """The line of a place; 0 where the document has no lines."""
        return self.document.lines.get(place, 0)

    def pointless(self, space: list[Parameter], below: Settings) -> None:
        """Knobs of a section that a level turns off need a condition: there they would do nothing."""
        for one in space:
            for section in [key for key in one.sets() if self.off(one, key)]:
                for other in space:
                    if (
                        other.when is None
                        and other is not one
                        and any(k.startswith(f"{section}.") for k in other.sets())
                    ):
                        self.fail(
                            f"means nothing where {section} is null. Say so: when: \"{section} != null\".", "space", other.name
                        )  # fmt: skip

    def off(self, parameter: Parameter, key: str) -> bool:
        """Whether a level sets the key to null."""
        return any(
            key in (found := flatten(level)) and found[key] is None
            for level in parameter.levels.values()
        )


def number(value: Any, kind: str) -> bool:
    """Whether a value is a finite number, a whole one for `int`."""
    if isinstance(value, bool) or not isinstance(value, int if kind == "int" else int | float):
        return False
    return math.isfinite(value)
