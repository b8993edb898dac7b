"""Reads the space of a study. Every error has its file, line and key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from mtl.ablation.parts import check_own_name, fail, named_levels, value_levels
from mtl.ablation.where import compile_where
from mtl.config.assignments import level_name, refusals
from mtl.config.key_kinds import config_keys
from mtl.config.settings import spread
from mtl.documents.keys import Settings, flatten, is_within
from mtl.documents.validation import Expected, FileModel, Problem, validated
from mtl.documents.yaml_file import YamlDocument
from mtl.errors import ConfigError, short, suggestion
from mtl.study.space import Parameter, depends_on, ordered, own_levels

FORMS = ("int", "float", "choices", "levels")


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


When = Annotated[str | None, Expected("a condition in quotes")]
Log = Annotated[bool, Expected("true or false")]
Values = Annotated[list[Any], Field(min_length=2)]


class _Range(FileModel):
    """Numbers between two ends, both included."""

    ends: Any
    step: Any = None
    log: Log = False
    when: When = None

    def problems(self) -> list[Problem]:
        """Ends in the wrong order, and a step or `log` that does not fit them."""
        if self.ends is None:
            return []
        low, high = self.ends
        steps = 0.0 if self.step is None else (high - low) / self.step
        if low >= high:
            message = (
                f"[{level_name(low)}, {level_name(high)}] is empty: the first must be smaller."
            )
        elif self.log and low <= 0:
            message = f"log: needs a low end above 0, got {level_name(low)}."
        elif self.log and self.step is not None:
            message = "log and step exclude each other: steps are even, log is not. Keep one."
        elif self.step is not None and self.step > high - low:
            most, step = level_name(high - low), level_name(self.step)
            message = f"step: expected a number above 0 and at most {most}, got {step}."
        elif abs(steps - round(steps)) > 1e-9:
            end, step = level_name(high), level_name(self.step)
            last = low + math.floor(steps) * self.step
            message = f"step: {end} is not reached in steps of {step}; the last is {last:g}."
        else:
            return []
        return [Problem(uses=("int", "float", "step", "log"), message=message)]


class IntRange(_Range):
    """Whole numbers."""

    ends: Annotated[
        tuple[int, int] | None,
        BeforeValidator(_as_tuple),
        Expected("[low, high], two whole numbers"),
    ] = Field(validation_alias="int")
    step: Annotated[int | None, Field(gt=0), Expected("a whole number above 0")] = None


class FloatRange(_Range):
    """Real numbers."""

    ends: Annotated[
        tuple[float, float] | None, BeforeValidator(_as_tuple), Expected("[low, high], two numbers")
    ] = Field(validation_alias="float")
    step: Annotated[float | None, Field(gt=0), Expected("a number above 0")] = None


class Choices(FileModel):
    """Values of a config key."""

    choices: Annotated[Values, Expected("two values or more; one value goes under `set`")]
    when: When = None


class NamedLevels(FileModel):
    """Named groups of settings, each of them one level."""

    levels: Annotated[
        dict[str, Any], Field(min_length=2), Expected("two levels or more (name: settings)")
    ]
    when: When = None


def read_space(
    document: YamlDocument, space: Mapping[str, Any], problems: list[str]
) -> list[Parameter]:
    """The parameters, each after those that its condition reads."""
    parameters = [
        parameter
        for name, value in space.items()
        if (parameter := _parameter(document, name, value, problems)) is not None
    ]
    _check_keys_set_once(document, parameters, problems)
    condition_keys = _check_conditions(document, parameters, problems)
    arranged = ordered(parameters, condition_keys)
    if arranged is None:
        message = "the conditions (`when`) form a circle: each depends on another."
        fail(document, problems, message, "space")
    return arranged or parameters


def _parameter(
    document: YamlDocument, name: str, value: Any, problems: list[str]
) -> Parameter | None:
    """One parameter; None where it has an error."""
    place, keys = ("space", name), config_keys()
    forms = [form for form in FORMS if isinstance(value, dict) and form in value]
    message = ""
    if name == "seed":
        message = "seeds are no parameter: every trial runs with all of `seeds`."
    elif name not in keys:
        if isinstance(value, dict) and not set(forms) & {"int", "float", "choices"}:
            return _named(document, name, value, problems, short_form=not forms)
        hint = " A parameter of your own has named levels: {low: {train.lr: 1e-5}, high: ...}."
        message = f"no config key.{suggestion(name, keys) or hint}"
    elif not isinstance(value, dict):
        return _choices(document, name, {"choices": value}, problems, *place)
    elif len(forms) != 1 or forms == ["levels"]:
        message = (
            "expected a list of values, or {int: [low, high]}, {float: [low, high]} or "
            f"{{choices: [...]}}, got {short(value)}."
        )
    elif forms == ["choices"]:
        return _choices(document, name, value, problems, *place, "choices")
    else:
        return _range(document, name, value, problems)
    fail(document, problems, message, *place)
    return None


def _choices(
    document: YamlDocument, name: str, value: dict[str, Any], problems: list[str], *place: str
) -> Parameter | None:
    part = document.part(value, "space", name)
    spec, errors = validated(
        Choices, [part], prefix=f"space.{name}.", stand_ins={"choices": [0, 1]}
    )
    problems += errors
    if errors:
        return None
    levels = value_levels(document, name, spec.choices, problems, *place)
    return Parameter(name=name, kind="levels", levels=levels, when=spec.when)


def _named(
    document: YamlDocument,
    name: str,
    value: dict[str, Any],
    problems: list[str],
    *,
    short_form: bool,
) -> Parameter | None:
    check_own_name(document, problems, "space", name)
    part = document.part({"levels": value} if short_form else value, "space", name)
    spec, errors = validated(
        NamedLevels, [part], prefix=f"space.{name}.", stand_ins={"levels": {"a": {}, "b": {}}}
    )
    problems += errors
    if errors:
        return None
    place = ("space", name) if short_form else ("space", name, "levels")
    levels = named_levels(document, spec.levels, problems, *place)
    return Parameter(name=name, kind="levels", levels=levels, when=spec.when)


def _range(
    document: YamlDocument, name: str, value: dict[str, Any], problems: list[str]
) -> Parameter | None:
    part = document.part(value, "space", name)
    kind = "int" if "int" in value else "float"
    model = IntRange if kind == "int" else FloatRange
    spec, errors = validated(model, [part], prefix=f"space.{name}.", stand_ins={kind: None})
    if not errors:
        line = document.lines.get(("space", name), 0)
        for end in spec.ends:
            setting = YamlDocument(source=document.source, value={name: end}, lines={(name,): line})
            errors += refusals(spread(setting))
    problems += errors
    if errors:
        return None
    low, high = spec.ends
    step = spec.step if spec.step is not None else 1 if kind == "int" else None
    return Parameter(
        name=name,
        kind="int" if kind == "int" else "float",
        low=low,
        high=high,
        step=step,
        log=spec.log,
        when=spec.when,
    )


def _check_keys_set_once(
    document: YamlDocument, parameters: list[Parameter], problems: list[str]
) -> None:
    setter: dict[str, str] = {}
    for parameter in parameters:
        for key in sorted(parameter.sets()):
            first = setter.setdefault(key, parameter.name)
            if first != parameter.name:
                message = f"{key} is set by {first} too; one of the two would have no effect."
                fail(document, problems, message, "space", parameter.name)


def _check_conditions(
    document: YamlDocument, parameters: list[Parameter], problems: list[str]
) -> dict[str, frozenset[str]]:
    """The keys that each parameter's condition reads."""
    own, condition_keys = own_levels(parameters), dict[str, frozenset[str]]()
    for parameter in parameters:
        if parameter.when is None:
            continue
        try:
            condition_keys[parameter.name] = compile_where(parameter.when, own).keys
        except ConfigError as error:
            fail(document, problems, f"when: {error}", "space", parameter.name)
    for name, keys in condition_keys.items():
        rest = [parameter.name for parameter in parameters if parameter.name != name]
        for key in sorted(keys):
            if not any(depends_on(key, parameter) for parameter in parameters):
                message = (
                    f"when: {key} is not in the space, so the condition never changes. "
                    f"In the space: {', '.join(rest) or 'nothing else'}."
                )
                fail(document, problems, message, "space", name)
    return condition_keys


def check_keys_of_disabled_sections(
    document: YamlDocument, parameters: list[Parameter], problems: list[str]
) -> None:
    """A parameter in a section needs a condition where a level sets the section to null."""
    for switch in parameters:
        for section in sorted(switch.sets()):
            if not _disables(switch.levels, section):
                continue
            for parameter in parameters:
                inside = any(is_within(key, section) and key != section for key in parameter.sets())
                if inside and parameter is not switch and parameter.when is None:
                    message = (
                        f"has no effect where {section} is null. "
                        f'Add the condition when: "{section} != null".'
                    )
                    fail(document, problems, message, "space", parameter.name)


def _disables(levels: Mapping[str, Settings], key: str) -> bool:
    """Whether a level sets the key to null."""
    return any(key in flat and flat[key] is None for flat in map(flatten, levels.values()))
