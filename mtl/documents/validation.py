"""Validates plain data with a pydantic model and describes every error by file, line and key.

A wrong key does not hide other errors. The model is validated again without the wrong keys, and
its own `problems()` (settings that exclude each other) are added, except those that concern a
wrong key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from mtl.documents.keys import is_within, merge
from mtl.documents.yaml_file import Place, YamlDocument
from mtl.errors import printable, short, suggestion

MAX_DESCRIBED = 50
"""The most wrong places with a message of their own. The others are counted."""

DEFAULT = "config"
"""The source of a setting that no layer sets."""

Model = TypeVar("Model", bound=BaseModel)


class Problem(BaseModel):
    """A message about settings that exclude each other, and the keys that it concerns.

    It stands at the lines of `uses`. Where one of these or of `needs` is wrong itself, it is left
    out.
    """

    uses: tuple[str, ...]
    message: str
    needs: tuple[str, ...] = ()


class FileModel(BaseModel):
    """A mapping in a file. Unknown keys and values of another type are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def problems(self) -> list[Problem]:
        """Keys that are valid alone and exclude each other."""
        return []


@dataclass(frozen=True)
class Expected:
    """Marks a field: its errors read `expected TEXT, got VALUE`, with the nearest of `choices`.

    `each` gives every wrong item of a list an error of its own.
    """

    text: str
    choices: tuple[str, ...] = ()
    each: bool = False


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("blank text")
    return text


NOT_BLANK = AfterValidator(_not_blank)
"""For a field of text: refuses white space alone."""


def wrong(message: str) -> PydanticCustomError:
    """The error for a validator to raise. Its message is shown unchanged."""
    return PydanticCustomError("wrong", "{text}", {"text": message})


def validated(
    model: type[Model],
    layers: Sequence[YamlDocument],
    *,
    prefix: str = "",
    stand_ins: Mapping[str, Any] | None = None,
    hint: Callable[[str], str] = lambda key: "",
    further: Callable[[Model], Sequence[Problem]] = lambda model: (),
) -> tuple[Model, list[str]]:
    """The model of the merged layers, and a message for every error.

    In the model, a wrong key has its default, or its value in `stand_ins`. `prefix` stands before
    the keys in messages. `hint` gives the hint for an unknown key, if it has one. `further` gives
    problems besides the model's own.
    """
    raw: dict[str, Any] = {}
    for layer in layers:
        raw = merge(raw, layer.value)
    messages: list[str] = []
    wrong_keys: set[str] = set()
    undescribed = 0
    try:
        value = model.model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        for place, message in _described(error, model, raw, hint):
            key = ".".join(map(str, place))
            source = _source(layers, place)
            if source == DEFAULT and len(layers) == 1:  # a required key that is missing
                source = layers[0].where(place)
            if not message:
                undescribed += 1
            else:
                messages.append(f"{source}: {prefix}{printable(key)}: {message}")
            wrong_keys.add(".".join(part for part in place if isinstance(part, str)))
        value = _without(model, raw, wrong_keys, dict(stand_ins or {}))
    for problem in (*getattr(value, "problems", list)(), *further(value)):
        needed = (*problem.uses, *problem.needs)
        if not any(is_within(key, used) for key in wrong_keys for used in needed):
            sources = [_source(layers, tuple(used.split("."))) for used in problem.uses]
            known = dict.fromkeys(source for source in sources if source != DEFAULT)
            messages.append(f"{', '.join(known) or DEFAULT}: {prefix}{problem.message}")
    if undescribed:
        messages.append(f"{layers[-1].source}: {prefix}{undescribed} more values are wrong.")
    return value, list(dict.fromkeys(messages))


def by_line(messages: Sequence[str]) -> list[str]:
    """The messages in the order of the file's lines, without repetition."""

    def line(message: str) -> int:
        number = re.search(r":(\d+): ", message)
        return int(number[1]) if number else 0

    return sorted(dict.fromkeys(messages), key=line)


def _source(layers: Sequence[YamlDocument], place: Place) -> str:
    """`file:line` of a place in the last layer that sets it."""
    for layer in reversed(layers):
        value = layer.value
        for part in place:
            if isinstance(part, int):
                return layer.where(place)
            if not isinstance(value, dict) or part not in value:
                break
            value = value[part]
        else:
            return layer.where(place)
    return DEFAULT


def _without(
    model: type[Model], raw: dict[str, Any], keys: set[str], stand_ins: dict[str, Any]
) -> Model:
    """The model of the data without some keys, of which `stand_ins` replace the required ones."""

    def keep(settings: dict[str, Any], prefix: str) -> dict[str, Any]:
        return {
            name: keep(value, f"{prefix}{name}.") if isinstance(value, dict) else value
            for name, value in settings.items()
            if f"{prefix}{name}" not in keys
        }

    try:
        return model.model_validate(stand_ins | keep(raw, ""), by_alias=True, by_name=False)
    except ValidationError:  # a section requires the key; leave the whole section out
        sections = {key.partition(".")[0] for key in keys}
        rest = {name: value for name, value in raw.items() if name not in keys | sections}
        return model.model_validate(stand_ins | rest, by_alias=True, by_name=False)


def _described(
    error: ValidationError, model: type[BaseModel], raw: Any, hint: Callable[[str], str]
) -> list[tuple[Place, str]]:
    """The place and message of every error; errors at one place are joined.

    The message is empty beyond `MAX_DESCRIBED` places.
    """
    messages: dict[Place, list[str]] = {}
    itemised: set[Place] = set()
    for item in error.errors(include_url=False):
        place = _place(item["loc"], raw, missing=item["type"] == "missing")
        if len(messages) >= MAX_DESCRIBED and place not in messages:
            messages[place] = []
            continue
        section, expected, at = _field(model, place)
        if item["type"] == "extra_forbidden":
            message = _unknown(str(place[-1]), model, section, hint)
        elif item["type"] == "wrong":
            message = item["ctx"]["text"]
            if expected is not None and expected.each and len(place) > at:
                itemised.add(place[:at])
        elif expected is not None:
            if expected.each and len(place) > at:
                itemised.add(place[:at])
            else:
                place = place[:at]
            message = _unexpected(expected, item, place, raw)
        else:
            message = _in_words(item)
        messages.setdefault(place, []).append(message)
    for place in itemised & messages.keys():
        del messages[place]
    return [(place, "; or ".join(dict.fromkeys(texts))) for place, texts in messages.items()]


def _unexpected(expected: Expected, item: Any, place: Place, raw: Any) -> str:
    """`expected TEXT, got VALUE`, with the nearest choice."""
    if item["type"] == "missing":
        return f"expected {expected.text}, got nothing."
    value = raw
    for part in place:
        value = value[part]
    came = "nothing" if value is None else short(value)
    end = suggestion(value, expected.choices) if expected.choices else ""
    return f"expected {expected.text}, got {came}.{end}"


def _in_words(item: Any) -> str:
    """Pydantic's message without Python's terms."""
    came = f", got {short(item['input'])}"
    if item["type"] in ("tuple_type", "list_type"):
        return f"expected a list of {item['loc'][-1]}{came}"
    if item["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"expected settings (key: value){came}"
    message = str(item["msg"]).replace("Input should be", "must be")
    message = message[:1].lower() + message[1:] + came
    if item["type"] == "literal_error":
        choices = str(item["ctx"]["expected"]).replace(" or ", ", ").replace("'", "")
        message += f".{suggestion(item['input'], choices.split(', '))}".removesuffix(".")
    return message


def _unknown(
    key: str,
    model: type[BaseModel],
    section: type[BaseModel] | None,
    hint: Callable[[str], str],
) -> str:
    if section is None:
        return "unknown key. Leave it out."
    names = [str(field.validation_alias or name) for name, field in section.model_fields.items()]
    near = hint(key) or _deeper(key, model) or suggestion(key, names)
    return f"unknown key.{near} Keys here: {', '.join(names)}."


def _deeper(key: str, model: type[BaseModel]) -> str:
    """A hint for the key of a section: `lr` means `train.lr`."""
    for name, field in model.model_fields.items():
        section = _model_in(field.annotation)
        if section is not None and key in section.model_fields:
            return f" Did you mean '{name}.{key}'?"
    return ""


def _place(loc: tuple[str | int, ...], raw: Any, *, missing: bool) -> Place:
    """The keys of an error's location, without the branches of unions that pydantic adds."""
    place: list[str | int] = []
    value = raw
    for part in loc:
        inside = isinstance(value, dict) and part in value
        item = isinstance(value, list | tuple) and isinstance(part, int) and part < len(value)
        if inside or item:
            place.append(part)
            value = value[part]
    return (*place, loc[-1]) if missing else tuple(place)


def _field(
    model: type[BaseModel], place: Place
) -> tuple[type[BaseModel] | None, Expected | None, int]:
    """The model with the last key of a place, and the deepest `Expected` there with its depth.

    The model is None below a mapping of free keys.
    """
    section: type[BaseModel] | None = model
    inner: type[BaseModel] | None = model
    expected: tuple[Expected | None, int] = None, 0
    for depth, key in enumerate(place, 1):
        section = inner
        if section is None:
            break
        field = _by_alias(section, key)
        if field is None:
            break
        for mark in field.metadata:
            if isinstance(mark, Expected):
                expected = mark, depth
        inner = _model_in(field.annotation)
    return section, *expected


def _by_alias(model: type[BaseModel], key: str | int) -> FieldInfo | None:
    """The field that a file calls `key`."""
    for name, field in model.model_fields.items():
        if key == (field.validation_alias or name):
            return field
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a field: `Train`, or `Smart` in `Smart | None`."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
