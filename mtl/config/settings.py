"""Builds a `RunConfig` from layers: defaults < preset < YAML files < `key=value` words.

Each layer keeps its source, so that an error names the file and line, the preset or the word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mtl.config.key_kinds import takes_text
from mtl.config.presets import PRESETS
from mtl.config.schema import RunConfig
from mtl.config.task_weights import beside_rule
from mtl.documents.keys import Settings
from mtl.documents.validation import validated
from mtl.documents.yaml_file import MAX_DEPTH, Place, YamlDocument, parse_yaml, read_yaml
from mtl.errors import ConfigError, printable, short, suggestion


def config_from(words: Sequence[str], *, base: str | None = None) -> RunConfig:
    """The config of command-line words: at most one preset, YAML files and `key=value`.

    The words may have any order. `base` is the preset where no word names one. Raises ConfigError
    with every error, one per line.

    >>> config_from(["final", "train.epochs=2"]).train.epochs
    2
    """
    presets, files, assignments = _sorted(words)
    if len(presets) > 1:
        raise ConfigError(f"expected at most one preset, got {', '.join(presets)}.")
    if base is not None and not presets:
        presets = [base]
    layers = [preset_layer(name) for name in presets]
    layers += [file_layer(path) for path in files]
    layers += assignment_layers(assignments)
    _refuse_keys_of_disabled_sections(assignments)
    return build(layers)


def _sorted(words: Sequence[str]) -> tuple[list[str], list[Path], list[str]]:
    """Presets, files and `key=value` words. Raises ConfigError for a word that is none of them."""
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
                f"{short(word)} is neither a preset ({', '.join(PRESETS)}), a YAML file, "
                "nor key=value."
                + suggestion(word, [*PRESETS, *(f"{key}=" for key in RunConfig.model_fields)])
            )
    return presets, files, assignments


def _is_file(word: str) -> bool:
    """Whether a word names a file. A word that is too long for a path names none."""
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
    """The settings of a YAML file, with dotted keys nested. Raises ConfigError."""
    document = read_yaml(path)
    if document.value is None:
        return YamlDocument(source=document.source, value={})
    if not isinstance(document.value, dict):
        raise ConfigError(
            f"{path}: expected settings (`key: value`), got a {type(document.value).__name__}."
        )
    return spread(document)


def assignment_layers(words: Iterable[str]) -> list[YamlDocument]:
    """One layer per `key=value` word (see `assigned`). Raises ConfigError."""
    layers = []
    for word in words:
        key, value = assigned(word)
        layers.append(spread(YamlDocument(source=short(word), value={key: value})))
    return layers


def assigned(word: str) -> tuple[str, Any]:
    """The key and the value of a `key=value` word.

    A key whose value is text, such as `data`, takes the text as it is. Other values are YAML, such
    as `[sst, sts]` and `null`. Raises ConfigError.

    >>> assigned("data=my data #2"), assigned("train.lr=1e-4")
    (('data', 'my data #2'), ('train.lr', 0.0001))
    """
    key, _, text = word.partition("=")
    key = key.strip()
    if not key:
        raise ConfigError(f"{short(word)}: expected key=value, got no key.")
    return key, text if takes_text(key) else parse_yaml(text, short(word)).value


def _refuse_keys_of_disabled_sections(words: Sequence[str]) -> None:
    """Raise ConfigError for contradictions: `smart=null smart.epsilon=1e-4`, and
    `task_weights=dwa task_weights.sst=2`."""
    keys = {word: word.partition("=")[0].strip() for word in words}
    for word, section in keys.items():
        value = assigned(word)[1]
        rule = section == "task_weights" and isinstance(value, str)
        if value is not None and not rule:
            continue
        settings = [repr(setting) for setting, key in keys.items() if key.startswith(f"{section}.")]
        if settings and rule:
            raise ConfigError(beside_rule(repr(word), settings))
        if settings:
            raise ConfigError(
                f"{word!r} disables {section}, so {', '.join(settings)} would have no effect. "
                f"Leave {word!r} out, or write {section}={{}} to enable it with its defaults."
            )


def build(layers: Sequence[YamlDocument]) -> RunConfig:
    """The config of the layers; a later layer wins.

    Raises ConfigError with every error, one per line.
    """
    config, messages = validated(RunConfig, layers)
    if messages:
        raise ConfigError("\n".join(messages))
    return config


def spread(document: YamlDocument) -> YamlDocument:
    """Nest dotted keys: `{train.lr: 1}` becomes `{train: {lr: 1}}`, with its line numbers.

    The time grows with the size of the document. Raises ConfigError for a key that is set twice,
    or that nests too deep.
    """
    lines: dict[Place, int] = {}

    def walk(value: Any, old: Place, new: Place) -> Any:
        if old in document.lines:
            lines.setdefault(new, document.lines[old])
        if isinstance(value, list):
            for index, item in enumerate(value):
                copy_lines(item, (*old, index), (*new, index))
        if not isinstance(value, dict):
            return value
        result: dict[str, Any] = {}
        for key, item in value.items():
            path = key.split(".")
            if len(new) + len(path) > MAX_DEPTH:
                where = document.where((*old, key))
                raise ConfigError(
                    f"{where}: {short(key)} is nested deeper than {MAX_DEPTH} levels."
                )
            for end in range(1, len(path)):
                if (*old, key) in document.lines:
                    lines.setdefault((*new, *path[:end]), document.lines[(*old, key)])
            if not _put(result, path, walk(item, (*old, key), (*new, *path))):
                raise ConfigError(
                    f"{document.where((*old, key))}: {printable(key)} is set here a second time; "
                    "keep one of the two."
                )
        return result

    def copy_lines(value: Any, old: Place, new: Place) -> None:
        if old in document.lines:
            lines[new] = document.lines[old]
        items = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(items, dict):
            for key, item in items.items():
                copy_lines(item, (*old, key), (*new, key))

    value = _lists_of_words(walk(document.value, (), ()))
    return YamlDocument(source=document.source, value=value, lines=lines)


def _put(settings: Settings, path: Sequence[str], value: Any) -> bool:
    """Set a value in nested settings, in place; False where one of its keys is set already."""
    *sections, last = path
    for name in sections:
        section = settings.setdefault(name, {})
        if not isinstance(section, dict):
            return False
        settings = section
    if last not in settings:
        settings[last] = value
        return True
    before = settings[last]
    if not (isinstance(before, dict) and isinstance(value, dict)):
        return False
    return all(_put(before, [key], item) for key, item in value.items())


def _lists_of_words(value: Any, key: str = "") -> Any:
    """Read `tasks=sst,sts` as the list `tasks=[sst, sts]`, and likewise `freeze.scope`."""
    if key in ("tasks", "freeze.scope") and isinstance(value, str) and value != "all":
        return [part.strip() for part in value.split(",")]
    if key in ("", "freeze") and isinstance(value, dict):
        return {
            name: _lists_of_words(item, f"{key}.{name}".lstrip(".")) for name, item in value.items()
        }
    return value
