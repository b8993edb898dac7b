"""The factors and combinations of a definition, their names, and the baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

from pydantic import ValidationError

from mtl.ablation.definition import Definition
from mtl.config.keys import Settings, flatten, merge
from mtl.config.schema import RunConfig
from mtl.config.settings import build
from mtl.config.yaml_file import YamlDocument
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
    """The factors, each with its reference level first. Raises ConfigError for a factor without effect."""
    problems: list[str] = []
    factors: list[Factor] = []
    setter: dict[str, str] = {}
    plain = validated(base, f"{definition.source}: set")
    for name, levels in definition.grid.items():
        where = f"{definition.at('grid', name)}: {name}"
        for key in dict.fromkeys(key for settings in levels.values() for key in flatten(settings)):
            if setter.setdefault(key, name) != name:
                problems.append(
                    f"{where}: {key} is set by the factor {setter[key]} too; one of the two would do nothing."
                )
        if len(levels) < 2:
            only = (
                f"has one level, {next(iter(levels))}, and so changes nothing; put it under `set`"
                if levels
                else "has no levels"
            )
            problems.append(f"{where} {only}, or give it more levels.")
            continue
        configs = {
            level: validated(merge(base, settings), f"{where}={level}")
            for level, settings in levels.items()
        }
        for one, two in combinations(levels, 2):
            if configs[one] == configs[two]:
                problems.append(f"{where}: the levels {one} and {two} are the same; keep one.")
        same = [level for level, config in configs.items() if config == plain]
        same += [
            level for level, config in configs.items() if config.resolved() == plain.resolved()
        ]
        first = (same or list(levels))[0]
        ordered = {first: levels[first]} | levels
        factors.append(Factor(name=name, levels=ordered))
    if problems:
        raise ConfigError("\n".join(problems))
    return factors


def validated(settings: Settings, source: str) -> RunConfig:
    """A config whose settings may exclude each other. Raises ConfigError for invalid values."""
    try:
        return RunConfig.model_validate(settings)
    except ValidationError:
        return build([YamlDocument(source=source, value=settings)])


def chosen_baseline(definition: Definition, factors: Sequence[Factor]) -> str | Levels:
    """The baseline as a name, or as a combination; `baseline` where it is the base itself. Raises ConfigError."""
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
            there = ", ".join(known) or "none"
            raise ConfigError(
                f"{where}: no factor {short(name)}; there are {there}.{suggestion(name, known)}"
            )
        if level not in known[name]:
            there = ", ".join(known[name])
            raise ConfigError(
                f"{where}: {name} has no level {level}; it has {there}.{suggestion(level, known[name])}"
            )
    return tuple(chosen.get(factor.name, next(iter(factor.levels))) for factor in factors)


def _reference(factors: Sequence[Factor]) -> Levels:
    return tuple(next(iter(factor.levels)) for factor in factors)


def _everything(factors: Sequence[Factor]) -> Levels:
    return tuple(list(factor.levels)[-1] for factor in factors)


def _combinations(definition: Definition, factors: Sequence[Factor]) -> Iterator[Levels]:
    """The combinations of the design, the simplest first. Raises ConfigError where there are far too many."""
    others = [list(factor.levels)[1:] for factor in factors]
    counts = {
        "full": math.prod(len(factor.levels) for factor in factors),
        "one-at-a-time": 1 + sum(map(len, others)),
        "pairwise": 1
        + sum(map(len, others))
        + sum(len(one) * len(two) for one, two in combinations(others, 2)),
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
        yield from (_with(everything, {at: reference[at]}) for at in range(len(factors)))
        return
    yield reference
    yield from (
        _with(reference, {at: level}) for at, levels in enumerate(others) for level in levels
    )
    if definition.design == "pairwise":
        for one, two in combinations(range(len(factors)), 2):
            yield from (
                _with(reference, {one: a, two: b}) for a, b in product(others[one], others[two])
            )


def _with(levels: Levels, changed: Mapping[int, str]) -> Levels:
    return tuple(changed.get(at, level) for at, level in enumerate(levels))


def _name(
    definition: Definition, factors: Sequence[Factor], levels: Levels, baseline: str | Levels
) -> str:
    """A combination's name: what is not at its reference level, or what is left out."""
    reference = _reference(factors)
    if definition.design == "leave-one-out":
        back = [
            factor.name
            for factor, one, last in zip(factors, levels, _everything(factors), strict=True)
            if one != last
        ]
        return f"without {back[0]}" if back else EVERYTHING
    if levels == reference:
        return BASELINE if levels == baseline and BASELINE not in definition.arms else REFERENCE
    return ", ".join(
        f"{factor.name}={level}"
        for factor, level, plain in zip(factors, levels, reference, strict=True)
        if level != plain
    )


def candidates_of(
    definition: Definition, factors: Sequence[Factor], baseline: str | Levels
) -> list[Candidate]:
    """The candidates: the baseline, the named arms, the combinations. Raises ConfigError."""
    found = [
        Candidate(name=name, settings=settings, named=True, baseline=name == baseline)
        for name, settings in definition.arms.items()
    ]
    for levels in _combinations(definition, factors) if factors else ():
        name = _name(definition, factors, levels, baseline)
        chosen = levels == baseline or (name == baseline and name not in definition.arms)
        found.append(Candidate(name=name, levels=levels, baseline=chosen))
    if baseline == BASELINE and not any(candidate.baseline for candidate in found):
        found.append(Candidate(name=BASELINE, baseline=True))
    if not any(candidate.baseline for candidate in found):
        raise no_baseline(
            definition, baseline, [candidate.name for candidate in found], "is not in the plan"
        )
    return sorted(found, key=lambda candidate: not candidate.baseline)


def no_baseline(
    definition: Definition, baseline: str | Levels, names: Sequence[str], why: str
) -> ConfigError:
    word = baseline if isinstance(baseline, str) else ", ".join(baseline)
    there = ", ".join(names[:MANY]) + (
        f" and {len(names) - MANY} more" if len(names) > MANY else ""
    )
    return ConfigError(
        f"{definition.at('baseline')}: the baseline {short(word)} {why}; there are {there or 'none'}."
        + suggestion(word, names[:1000])
    )


def together(settings: Sequence[Settings]) -> Settings:
    """The settings of several factors together. A null section drops its knobs, in any order."""
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
            joined[key] = None  # a section that is off; two factors never set the same key
    return joined
