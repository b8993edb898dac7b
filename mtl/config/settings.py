"""Builds a `RunConfig` from layers: defaults < preset < YAML files < `key=value` words.

Each layer keeps its source, so that an error names the file and line, the preset or the word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mtl.config.keys import merge, nest_key
from mtl.config.schema import PRESETS, RunConfig
from mtl.config.validation import validated
from mtl.config.yaml_file import Place, YamlDocument, parse_yaml, read_yaml
from mtl.errors import ConfigError, short, suggestion


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
    """One layer per `key=value` word. Values are YAML, such as `[sst, sts]` and `null`.

    Raises ConfigError.
    """
    layers = []
    for word in words:
        key, _, text = word.partition("=")
        source = short(word)
        if not key.strip():
            raise ConfigError(f"{source}: expected key=value, got no key.")
        parsed = parse_yaml(text, source)
        layers.append(spread(YamlDocument(source=source, value={key.strip(): parsed.value})))
    return layers


def _refuse_keys_of_disabled_sections(words: Sequence[str]) -> None:
    """Raise ConfigError for contradictions such as `smart=null smart.epsilon=1e-4`."""
    keys = {word: word.partition("=")[0].strip() for word in words}
    for word, section in keys.items():
        if parse_yaml(word.partition("=")[2], word).value is not None:
            continue
        settings = [repr(setting) for setting, key in keys.items() if key.startswith(f"{section}.")]
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

    Raises ConfigError for a key that is set twice.
    """
    lines: dict[Place, int] = {}

    def walk(value: Any, old: Place, new: Place) -> Any:
        if old in document.lines:
            lines.setdefault(new, document.lines[old])
        if not isinstance(value, dict):
            lines.update(
                {
                    (*new, *place[len(old) :]): line
                    for place, line in document.lines.items()
                    if place[: len(old)] == old
                }
            )
            return value
        result: dict[str, Any] = {}
        for key, item in value.items():
            path = key.split(".")
            for end in range(1, len(path)):
                if (*old, key) in document.lines:
                    lines.setdefault((*new, *path[:end]), document.lines[(*old, key)])
            nested = nest_key(key, walk(item, (*old, key), (*new, *path)))
            if _overlap(result, nested):
                source = document.where((*old, key))
                raise ConfigError(
                    f"{source}: {key} is set here a second time; keep one of the two."
                )
            result = merge(result, nested)
        return result

    value = _lists_of_words(walk(document.value, (), ()))
    return YamlDocument(source=document.source, value=value, lines=lines)


def _overlap(first: Any, second: Any) -> bool:
    """Whether two parts of one layer set the same key, as `train: {lr: 1}` and `train.lr: 1` do."""
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return True
    return any(_overlap(first[key], second[key]) for key in first.keys() & second.keys())


def _lists_of_words(value: Any, key: str = "") -> Any:
    """Read `tasks=sst,sts` as the list `tasks=[sst, sts]`, and likewise `freeze.scope`."""
    if key in ("tasks", "freeze.scope") and isinstance(value, str) and value != "all":
        return [part.strip() for part in value.split(",")]
    if key in ("", "freeze") and isinstance(value, dict):
        return {
            name: _lists_of_words(item, f"{key}.{name}".lstrip(".")) for name, item in value.items()
        }
    return value
