"""From what people write to a `RunConfig`: defaults < preset < YAML < `key=value`, every error at once.

Each layer keeps where it came from, so an error names the file and line, the preset, or the words on the command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mtl.config.keys import is_within, merge, nest_key
from mtl.config.schema import PRESETS, RunConfig
from mtl.config.yaml_file import Place, YamlDocument, parse_yaml, read_yaml
from mtl.errors import ConfigError, short, suggestion
from mtl.tasks.registry import TASKS

SCOPE = ("freeze", "scope")
NOWHERE = "config"
"""Where a setting stands that no layer sets: a default."""


def config_from(words: Sequence[str], *, base: str | None = None) -> RunConfig:
    """A config from command-line words: at most one preset, YAML files, and `key=value`, in any order.

    Raises ConfigError with all problems, one a line.
    """
    presets, files, assignments = [], [], []
    for word in words:
        if "=" in word and not _is_file(word):
            assignments.append(word)
        elif word in PRESETS:
            presets.append(word)
        elif word.endswith((".yaml", ".yml")) or _is_file(word):
            files.append(Path(word))
        else:
            raise ConfigError(
                f"{short(word)} is neither a preset ({', '.join(PRESETS)}), a YAML file, nor key=value."
                + suggestion(word, [*PRESETS, *(f"{key}=" for key in RunConfig.model_fields)])
            )
    if len(presets) > 1:
        raise ConfigError(f"one preset at a time; came {', '.join(presets)}.")
    if base is not None and not presets:
        presets = [base]
    layers = [preset_layer(name) for name in presets]
    layers += [file_layer(path) for path in files]
    layers += assignment_layers(assignments)
    _refuse_knobs_of_what_is_off(assignments)
    return build(layers)


def _is_file(word: str) -> bool:
    """Whether a word names a file; one too long to be a path does not."""
    try:
        return Path(word).is_file()
    except OSError:
        return False


def preset_layer(name: str) -> YamlDocument:
    """A preset's settings. Raises ConfigError for an unknown name."""
    if name not in PRESETS:
        raise ConfigError(
            f"no preset {name!r}; there are {', '.join(PRESETS)}.{suggestion(name, PRESETS)}"
        )
    return YamlDocument(source=f"preset {name}", value=PRESETS[name])


def file_layer(path: Path) -> YamlDocument:
    """The settings of a YAML file, dotted keys spread out. Raises ConfigError."""
    document = read_yaml(path)
    if document.value is None:
        return YamlDocument(source=document.source, value={})
    if not isinstance(document.value, dict):
        raise ConfigError(
            f"{path}: expected settings (`key: value`), came a {type(document.value).__name__}."
        )
    return spread(document)


def assignment_layers(words: Iterable[str]) -> list[YamlDocument]:
    """One layer for each `key=value`; values are read as YAML, so lists and `null` work. Raises ConfigError."""
    layers = []
    for word in words:
        key, _, text = word.partition("=")
        source = short(word)
        if not key.strip():
            raise ConfigError(f"{source}: expected key=value, came no key.")
        parsed = parse_yaml(text, source)
        layers.append(spread(YamlDocument(source=source, value={key.strip(): parsed.value})))
    return layers


def _refuse_knobs_of_what_is_off(words: Sequence[str]) -> None:
    """`smart=null` beside `smart.epsilon=1e-4` on one command line: one of the two was not meant. Raises ConfigError."""
    keys = {word: word.partition("=")[0].strip() for word in words}
    for off, section in keys.items():
        if parse_yaml(off.partition("=")[2], off).value is None:
            knobs = [word for word, key in keys.items() if key.startswith(f"{section}.")]
            if knobs:
                raise ConfigError(
                    f"{off!r} turns {section} off, and {', '.join(map(repr, knobs))} would do nothing. "
                    f"Leave {off!r} out, or write {section}={{}} to turn it on with its defaults."
                )


def spread(document: YamlDocument) -> YamlDocument:
    """Dotted keys written out: `{train.lr: 1}` is `{train: {lr: 1}}`; line numbers move along. `tasks: sst` is a list."""
    lines: dict[Place, int] = {}

    def walk(value: Any, old: Place, new: Place) -> Any:
        if old in document.lines:
            lines.setdefault(new, document.lines[old])
        if not isinstance(value, dict):
            inside = {
                place: number
                for place, number in document.lines.items()
                if place[: len(old)] == old
            }
            lines.update({(*new, *place[len(old) :]): number for place, number in inside.items()})
            return value
        result: dict[str, Any] = {}
        for key, item in value.items():
            path = key.split(".")
            for end in range(1, len(path)):
                if (*old, key) in document.lines:
                    lines.setdefault((*new, *path[:end]), document.lines[(*old, key)])
            built = walk(item, (*old, key), (*new, *path))
            built = nest_key(key, built)
            if _clash(result, built):
                raise ConfigError(
                    f"{document.where((*old, key))}: {key} is set here a second time; keep one of the two."
                )
            result = merge(result, built)
        return result

    return YamlDocument(
        source=document.source, value=_lists_of_words(walk(document.value, (), ())), lines=lines
    )


def _clash(one: Any, two: Any) -> bool:
    """Whether two pieces of one layer set the same thing, as `train: {lr: 1}` and `train.lr: 1` do."""
    if not (isinstance(one, dict) and isinstance(two, dict)):
        return True
    return any(_clash(one[key], two[key]) for key in one.keys() & two.keys())


def build(layers: Sequence[YamlDocument]) -> RunConfig:
    """The config that the layers give. Raises ConfigError naming every problem, its source and its key."""
    raw: dict[str, Any] = {}
    for layer in layers:
        raw = merge(raw, layer.value)
    messages: list[str] = []
    bad: set[str] = set()
    try:
        config = RunConfig.model_validate(raw)
    except ValidationError as error:
        for place, message in _readable(error):
            messages.append(f"{_where(layers, place)}: {'.'.join(map(str, place))}: {message}")
            bad.add(".".join(map(str, place)))
        config = _without(raw, bad)
    for problem in config.problems():
        # A key that is wrong already must not cause a second complaint about the value that stands in for it.
        if not any(is_within(key, used) for key in bad for used in problem.uses):
            places = [_where(layers, tuple(used.split("."))) for used in problem.uses]
            messages.append(
                f"{', '.join(dict.fromkeys(p for p in places if p != NOWHERE)) or NOWHERE}: {problem.message}"
            )
    if messages:
        raise ConfigError("\n".join(dict.fromkeys(messages)))
    return config


def _lists_of_words(value: Any, key: str = "") -> Any:
    """`tasks=sst,sts` means a list: the short form of `tasks=[sst, sts]`; a single task too. So for `freeze.scope`."""
    if key in ("tasks", "freeze.scope") and isinstance(value, str) and value != "all":
        return [part.strip() for part in value.split(",")]
    if key in ("", "freeze") and isinstance(value, dict):
        return {
            name: _lists_of_words(item, f"{key}.{name}".lstrip(".")) for name, item in value.items()
        }
    return value


def _readable(error: ValidationError) -> list[tuple[Place, str]]:
    found: dict[Place, list[str]] = {}
    for item in error.errors(include_url=False):
        place, section = _place(item["loc"])
        if item["type"] == "extra_forbidden":
            names = list(section.model_fields)
            message = f"unknown key.{suggestion(place[-1], names) or _deeper(place[-1])} Keys here: {', '.join(names)}."
        else:
            message = f"{_expected(item['type'], item['msg'], place)}, came {short(item['input'])}"
            if place[:2] == SCOPE:
                message += f".{suggestion(item['input'], ('all', *TASKS))}".removesuffix(".")
            elif item["type"] == "literal_error":
                choices = str(item["ctx"]["expected"]).replace(" or ", ", ").replace("'", "")
                message += f".{suggestion(item['input'], choices.split(', '))}".removesuffix(".")
        found.setdefault(place, []).append(message)
    if any(place[:2] == SCOPE and len(place) > len(SCOPE) for place in found):
        found.pop(
            SCOPE, None
        )  # a list with a wrong task in it: that it is not `all` either goes without saying
    return [(place, "; or ".join(dict.fromkeys(messages))) for place, messages in found.items()]


def _expected(kind: str, message: str, place: Place) -> str:
    """What a setting should have been, in words that need no Python."""
    if place[:2] == SCOPE:
        return f"expected all, or tasks among {', '.join(TASKS)}"
    if kind in ("tuple_type", "list_type"):
        return "expected a list of tasks" if place[:1] == ("tasks",) else "expected a list"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "expected settings (key: value)"
    return message[:1].lower() + message[1:]


def _deeper(word: object) -> str:
    """A hint for a key that is one of a section's: `lr` means `train.lr`."""
    for name, field in RunConfig.model_fields.items():
        inner = _section(field.annotation)
        if inner is not None and word in inner.model_fields:
            return f" Did you mean '{name}.{word}'?"
    return ""


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section behind a field: `Train`, or `Smart` in `Smart | None`."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _place(loc: tuple[str | int, ...]) -> tuple[Place, type[BaseModel]]:
    """The keys of an error, without the branch names that pydantic adds for a union; and the section it is in."""
    section: type[BaseModel] = RunConfig
    place: list[str | int] = []
    for position, part in enumerate(loc):
        place.append(part)
        if not isinstance(part, str) or part not in section.model_fields:
            break
        inner = _section(section.model_fields[part].annotation)
        if inner is not None:
            section = inner
        else:
            items = [item for item in loc[position + 1 :] if isinstance(item, int)]
            return (*place, *items), section
    return tuple(place), section


def _where(layers: Sequence[YamlDocument], place: Place) -> str:
    for layer in reversed(layers):
        value = layer.value
        for part in place:
            if isinstance(part, int):
                break
            if not isinstance(value, dict) or part not in value:
                break
            value = value[part]
        else:
            return layer.where(place)
        if isinstance(part, int):
            return layer.where(place)
    return NOWHERE


def _without(raw: dict[str, Any], bad: set[str]) -> RunConfig:
    """The config with the wrong keys left out, so that what remains can be checked too."""

    def keep(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            return value
        inside = {key: f"{path}.{key}".lstrip(".") for key in value}
        return {
            key: keep(item, inside[key])
            for key, item in value.items()
            if not any(
                name == inside[key] or re.fullmatch(re.escape(inside[key]) + r"\.\d+", name)
                for name in bad
            )
        }

    return RunConfig.model_validate(keep(raw, ""))
