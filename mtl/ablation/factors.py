"""The factors and combinations of a definition, their names, and the baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

from pydantic import ValidationError

from mtl.ablation.definition import Definition
from mtl.config.schema import RunConfig
from mtl.config.settings import build
from mtl.documents.keys import Settings, flatten, merge
from mtl.documents.yaml_file import YamlDocument
from mtl.errors import ConfigError, short, suggestion

MAX_COMBINATIONS = 100_000
BASELINE, REFERENCE, EVERYTHING = "baseline", "reference", "everything"
MANY = 10
"""How many names an error lists."""

Levels = tuple[str, ...]
"""A combination: the level of each factor, in the factors' order."""


@dataclass(frozen=True, kw_only=True)
class Factor:
    name: str
    levels: dict[str, Settings]
    """Level name -> settings, the reference level first."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A possible arm: a named arm with its settings, a combination of levels, or the base."""

    name: str
    settings: Settings = field(default_factory=dict)
    levels: Levels | None = None
    named: bool = False
    baseline: bool = False


def factors_of(definition: Definition, base: Settings) -> list[Factor]:
    """The factors, each with its reference level first.

    Raises ConfigError for a factor without effect, and for a key that two factors set.
    """
    problems: list[str] = []
    factors: list[Factor] = []
    setter: dict[str, str] = {}
    plain = validated(base, f"{definition.source}: set")
    for name, levels in definition.grid.items():
        where = f"{definition.at('grid', name)}: {name}"
        for key in dict.fromkeys(key for settings in levels.values() for key in flatten(settings)):
            if setter.setdefault(key, name) != name:
                problems.append(
                    f"{where}: {key} is set by the factor {setter[key]} too; "
                    "one of the two would have no effect."
                )
        if len(levels) > 1:
            reference = _reference_level(levels, base, plain, where, problems)
            factors.append(Factor(name=name, levels={reference: levels[reference]} | levels))
        elif levels:
            problems.append(
                f"{where} has one level, {next(iter(levels))}, and so changes nothing; "
                "put it under `set`, or give it more levels."
            )
        else:
            problems.append(f"{where} has no levels; give it two or more.")
    if problems:
        raise ConfigError("\n".join(problems))
    return factors


def _reference_level(
    levels: Mapping[str, Settings],
    base: Settings,
    plain: RunConfig,
    where: str,
    problems: list[str],
) -> str:
    """The level of the base config (`plain`), else the first level. Equal levels are a problem."""
    configs = {
        level: validated(merge(base, settings), f"{where}={level}")
        for level, settings in levels.items()
    }
    for first, second in combinations(levels, 2):
        if configs[first] == configs[second]:
            problems.append(f"{where}: the levels {first} and {second} are the same; keep one.")
    as_written = [level for level, config in configs.items() if config == plain]
    resolved = plain.resolved()
    as_resolved = [level for level, config in configs.items() if config.resolved() == resolved]
    return [*as_written, *as_resolved, *levels][0]


def validated(settings: Settings, source: str) -> RunConfig:
    """A config whose settings may exclude each other. Raises ConfigError for invalid values."""
    try:
        return RunConfig.model_validate(settings)
    except ValidationError:
        return build([YamlDocument(source=source, value=settings)])


def chosen_baseline(definition: Definition, factors: Sequence[Factor]) -> str | Levels:
    """The baseline: an arm's name, a combination, or `baseline` for the base itself.

    Raises ConfigError for an unknown factor or level.
    """
    chosen = definition.baseline
    if chosen is None:
        if BASELINE in definition.arms or not factors:
            return BASELINE
        return _everything(factors) if definition.design == "leave-one-out" else _reference(factors)
    if isinstance(chosen, str):
        return chosen
    known = {factor.name: factor.levels for factor in factors}
    where = f"{definition.at('baseline')}: baseline"
    for name, level in chosen.items():
        if name not in known:
            available = ", ".join(known) or "none"
            raise ConfigError(
                f"{where}: no factor {short(name)}; there are {available}.{suggestion(name, known)}"
            )
        if level not in known[name]:
            available = ", ".join(known[name])
            raise ConfigError(
                f"{where}: {name} has no level {level}; it has {available}."
                f"{suggestion(level, known[name])}"
            )
    return tuple(chosen.get(factor.name, next(iter(factor.levels))) for factor in factors)


def _reference(factors: Sequence[Factor]) -> Levels:
    """The first level of each factor."""
    return tuple(next(iter(factor.levels)) for factor in factors)


def _everything(factors: Sequence[Factor]) -> Levels:
    """The last level of each factor."""
    return tuple(list(factor.levels)[-1] for factor in factors)


def _combinations(definition: Definition, factors: Sequence[Factor]) -> Iterator[Levels]:
    """The combinations of the design, the simplest first. Raises ConfigError for too many."""
    others = [list(factor.levels)[1:] for factor in factors]
    one_at_a_time = 1 + sum(map(len, others))
    pairs = sum(len(first) * len(second) for first, second in combinations(others, 2))
    counts = {
        "full": math.prod(len(factor.levels) for factor in factors),
        "one-at-a-time": one_at_a_time,
        "pairwise": one_at_a_time + pairs,
        "leave-one-out": 1 + len(factors),
    }
    count = counts[definition.design]
    if count > MAX_COMBINATIONS:
        raise ConfigError(
            f"{definition.at('grid')}: grid: {count} combinations; at most {MAX_COMBINATIONS}. "
            f"design: one-at-a-time has {counts['one-at-a-time']}."
        )
    reference, everything = _reference(factors), _everything(factors)
    if definition.design == "full":
        yield from product(*(factor.levels for factor in factors))
        return
    if definition.design == "leave-one-out":
        yield everything
        yield from (
            _with(everything, {position: level}) for position, level in enumerate(reference)
        )
        return
    yield reference
    yield from (
        _with(reference, {position: level})
        for position, levels in enumerate(others)
        for level in levels
    )
    if definition.design == "pairwise":
        for first, second in combinations(range(len(factors)), 2):
            for pair in product(others[first], others[second]):
                yield _with(reference, dict(zip((first, second), pair, strict=True)))


def _with(levels: Levels, changed: Mapping[int, str]) -> Levels:
    """The combination with other levels at some positions."""
    return tuple(changed.get(position, level) for position, level in enumerate(levels))


def _name(
    definition: Definition, factors: Sequence[Factor], levels: Levels, baseline: str | Levels
) -> str:
    """A combination's name: the levels that are not the reference, or the factor left out."""
    reference = _reference(factors)
    if definition.design == "leave-one-out":
        back = [
            factor.name
            for factor, level, last in zip(factors, levels, _everything(factors), strict=True)
            if level != last
        ]
        return f"without {back[0]}" if back else EVERYTHING
    if levels == reference:
        return BASELINE if levels == baseline and BASELINE not in definition.arms else REFERENCE
    return ", ".join(
        f"{factor.name}={level}"
        for factor, level, default in zip(factors, levels, reference, strict=True)
        if level != default
    )


def candidates_of(
    definition: Definition, factors: Sequence[Factor], baseline: str | Levels
) -> list[Candidate]:
    """The candidates: the baseline, the named arms, the combinations.

    Raises ConfigError where none of them is the baseline.
    """
    candidates = [
        Candidate(name=name, settings=settings, named=True, baseline=name == baseline)
        for name, settings in definition.arms.items()
    ]
    for levels in _combinations(definition, factors) if factors else ():
        name = _name(definition, factors, levels, baseline)
        chosen = levels == baseline or (name == baseline and name not in definition.arms)
        candidates.append(Candidate(name=name, levels=levels, baseline=chosen))
    if not any(candidate.baseline for candidate in candidates):
        if baseline != BASELINE:
            names = [candidate.name for candidate in candidates]
            raise no_baseline(definition, baseline, names, "is not in the plan")
        candidates.append(Candidate(name=BASELINE, baseline=True))
    return sorted(candidates, key=lambda candidate: not candidate.baseline)


def no_baseline(
    definition: Definition, baseline: str | Levels, names: Sequence[str], why: str
) -> ConfigError:
    """The error for a baseline that is no arm of the plan."""
    name = baseline if isinstance(baseline, str) else ", ".join(baseline)
    available = ", ".join(names[:MANY]) or "none"
    if len(names) > MANY:
        available += f" and {len(names) - MANY} more"
    place = f"{definition.at('baseline')}: the baseline {short(name)}"
    return ConfigError(f"{place} {why}; there are {available}.{suggestion(name, names[:1000])}")


def together(settings: Sequence[Settings]) -> Settings:
    """The settings of several factors together.

    A null section wins over its keys, in any order.
    """
    joined: Settings = {}
    for part in settings:
        joined = _join(joined, part)
    return joined


def _join(first: Settings, second: Settings) -> Settings:
    joined = dict(first)
    for key, value in second.items():
        if key not in joined:
            joined[key] = value
        elif isinstance(joined[key], dict) and isinstance(value, dict):
            joined[key] = _join(joined[key], value)
        else:
            joined[key] = None  # a disabled section; two factors never set the same key
    return joined
