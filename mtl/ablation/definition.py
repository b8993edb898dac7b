"""Definitions of ablations, from YAML or from the command line.

Reading checks each key by itself, with file and line: unknown keys, values that the config
refuses, conditions that do not parse. `mtl.ablation.design` checks whether the keys make a plan.
A definition is plain data and complete: the settings of a base file are copied into it. So
`to_yaml` can be stored beside the runs and reads back as an equal definition.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mtl.ablation.claims import Claim
from mtl.ablation.margins import DEFAULT_MARGIN, Margin
from mtl.ablation.reading import KEYS, DesignName, definition_fields
from mtl.config.assignments import DEFAULT_SEEDS, assignments, listed, seeds_of
from mtl.config.key_kinds import config_keys, own_factors
from mtl.documents.keys import Settings, flatten, get_key, is_within, merge
from mtl.documents.library import Library
from mtl.documents.yaml_file import Place, YamlDocument, dump_yaml, read_yaml
from mtl.errors import ConfigError, short
from mtl.tasks.task import TaskName


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A question and the plan that answers it.

    `base` is a preset, `settings` the `set` on top of it. `grid` maps factor -> level name ->
    settings. `delta` names the arm that trains each task alone; arms are then also compared with
    these, by `mtl.stats.relative`. `source` and `lines` locate errors; they are not compared.
    """

    name: str
    question: str
    base: str = "baseline"
    settings: Settings = field(default_factory=dict)
    seeds: tuple[int, ...] = DEFAULT_SEEDS
    arms: dict[str, Settings] = field(default_factory=dict)
    grid: dict[str, dict[str, Settings]] = field(default_factory=dict)
    design: DesignName = "full"
    where: tuple[str, ...] = ()
    baseline: str | dict[str, str] | None = None
    margin: Margin = DEFAULT_MARGIN
    delta: dict[TaskName, str] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    source: str = field(default="definition", compare=False)
    lines: dict[Place, int] = field(default_factory=dict, compare=False, repr=False)

    def at(self, *place: str | int) -> str:
        """`file:line` of a place, or of the section around it."""
        return YamlDocument(source=self.source, value=None, lines=self.lines).where(place)

    def own_factors(self) -> dict[str, tuple[str, ...]]:
        """The factors that are not config keys, with their level names."""
        return own_factors(self.grid)

    def canonical(self) -> dict[str, Any]:
        """The definition as a file has it, without its name and its empty keys."""
        grid = {
            factor: [get_key(settings, factor) for settings in levels.values()]
            if factor in config_keys()
            else dict(levels)
            for factor, levels in self.grid.items()
        }
        keys: dict[str, Any] = {
            "question": self.question,
            "base": self.base,
            "set": self.settings,
            "seeds": list(self.seeds),
            "arms": self.arms,
            "grid": grid,
            "design": self.design,
            "where": list(self.where),
            "baseline": self.baseline,
            "margin": self.margin,
            "delta": self.delta,
            "claims": [claim.plain() for claim in self.claims],
        }
        return {key: value for key, value in keys.items() if value not in (None, {}, [])}

    def to_yaml(self) -> str:
        """The text of a file that begins with the question as a comment."""
        return dump_yaml({"name": self.name} | self.canonical(), heading=self.question)


LIBRARY = Library(kind="ablation", folder="ablations", package="mtl.ablation", inside="definitions")


def definitions() -> dict[str, Path]:
    """Every definition of the library by name."""
    return LIBRARY.paths()


def find_definition(word: str) -> Definition:
    """The definition with a name of the library, or at a path.

    Raises ConfigError, for an unknown name with the nearest one.
    """
    return read_definition(LIBRARY.find(word))


def read_definition(path: Path) -> Definition:
    """A definition from a file. Raises ConfigError with every problem, each with its line."""
    document = read_yaml(path)
    if not isinstance(document.value, dict):
        raise ConfigError(
            f"{path}: expected a definition ({', '.join(KEYS)}), got {short(document.value)}."
        )
    return Definition(**definition_fields(document, path.parent, path.stem, []))


def from_words(
    grids: Sequence[str], sets: Sequence[str] = (), base: str = "baseline"
) -> Definition:
    """A definition from command-line words.

    `grids` are factors and seeds, as in `pairing=siamese,concat` and `seed=0,1,2`; `sets` are
    `key=value` for all arms. The name is `grid-` and 8 digits of the definition's hash, whatever
    its seeds: more seeds are a further look at the same grid. Raises ConfigError with every
    problem.
    """
    problems: list[str] = []
    grid, grid_seeds = _factors_and_seeds(grids, problems)
    settings, set_seeds = assignments(sets, problems)
    if grid_seeds is not None and set_seeds is not None:
        problems.append("seed: given in --grid and as a setting; keep one of the two.")
    if not grid:
        problems.append(
            "--grid: only the seed varies. Add a factor, as in --grid pairing=siamese,concat."
        )
        raise ConfigError("\n".join(problems))
    value = {
        "question": f"Which values of {' and '.join(grid)[:500]} do best?",
        "base": base,
        "grid": grid,
    }
    document = YamlDocument(source="--grid", value=value)
    fields = definition_fields(document, Path(), "grid", problems) | {
        "source": "the command line",
        "seeds": grid_seeds or set_seeds or DEFAULT_SEEDS,
    }
    definition = _with_settings(Definition(**fields), settings, [])
    plain = definition.canonical() | {"seeds": list(DEFAULT_SEEDS)}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return replace(definition, name=f"grid-{hashlib.sha256(text.encode()).hexdigest()[:8]}")


def _factors_and_seeds(
    words: Sequence[str], problems: list[str]
) -> tuple[dict[str, list[Any]], tuple[int, ...] | None]:
    """The values of each factor among `key=value,value` words, and the seeds if a word has them."""
    grid: dict[str, list[Any]] = {}
    seeds: tuple[int, ...] | None = None
    for word in words:
        key, values = listed(word)
        if key == "seed" and seeds is None:
            seeds = seeds_of(word, problems)
        elif key in grid or key == "seed":
            problems.append(
                f"{short(word)}: {key} is given a second time; write all its values in one list."
            )
        else:
            grid[key] = values
    return grid, seeds


def with_words(definition: Definition, words: Sequence[str]) -> Definition:
    """The definition with `key=value` words over its `set`; `seed=0,1` sets its seeds.

    Raises ConfigError, also for a key that the grid varies: there the word would have no effect.
    """
    problems: list[str] = []
    settings, seeds = assignments(words, problems)
    return replace(_with_settings(definition, settings, problems), seeds=seeds or definition.seeds)


def _with_settings(definition: Definition, settings: Settings, problems: list[str]) -> Definition:
    """The definition with these settings over its `set`.

    Raises ConfigError with `problems`, and with every key that the grid varies.
    """
    for key in flatten(settings):
        for factor, levels in definition.grid.items():
            varied = {leaf for level in levels.values() for leaf in flatten(level)}
            if any(is_within(leaf, key) for leaf in varied):
                problems.append(
                    f"{key}: {definition.name} varies it ({factor}: {', '.join(levels)}); "
                    "leave it out."
                )
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))
    return replace(definition, settings=merge(definition.settings, settings))
