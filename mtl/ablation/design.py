"""Expands a definition into its arms: their configs, their names, and which compute the same.

`expand` is pure. It lists the named arms and the grid's combinations, and drops those that a
condition (`where`) excludes. A combination that the config refuses is an error that says how to
exclude it. Candidates that compute the same (`cell_of`) become one arm. Where a factor's level
disables a method (`smart: null`), the other factors' settings of that method are dropped.

Designs. A factor's reference level is that of the base config, else its first level:
    full            every combination
    one-at-a-time   all references; then every other level of each factor alone
    pairwise        one-at-a-time; then the other levels of each two factors together
    leave-one-out   `everything`: the last level of each factor, which is not its reference;
                    then each factor in turn back at its reference
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mtl.ablation.checks import check_claims, check_delta, idle_factors, refusals
from mtl.ablation.definition import Definition
from mtl.ablation.factors import (
    Candidate,
    Factor,
    Levels,
    candidates_of,
    chosen_baseline,
    factors_of,
    no_baseline,
    together,
    validated,
)
from mtl.ablation.where import Condition, compile_where, literal
from mtl.config.assignments import level_name
from mtl.config.by_task import LEFT_OUT, TASK_DEFAULTS
from mtl.config.schema import SECTIONS, RunConfig, default_of
from mtl.config.settings import preset_layer
from mtl.documents.keys import Settings, flatten, get_key, is_within, merge
from mtl.documents.validation import Problem
from mtl.errors import ConfigError, short
from mtl.grid.arm import Arm


@dataclass(frozen=True, kw_only=True)
class Design:
    """The plan of a grid.

    The baseline is the first of `arms`, the reference the first of a factor's levels.
    `combinations` maps each combination of levels to the name of its arm.
    """

    arms: tuple[Arm, ...]
    baseline: str
    factors: dict[str, tuple[str, ...]]
    combinations: dict[Levels, str]

    def find(self, name: str) -> Arm | None:
        """The arm of that name, or the arm that computes the same; None if there is none."""
        return self.named().get(name)

    def named(self) -> dict[str, Arm]:
        """The arms by name, also by the names of those that compute the same."""
        merged = {name: arm for arm in self.arms for name in arm.merged}
        return merged | {arm.name: arm for arm in self.arms}


def expand(definition: Definition, cell_of: Callable[[RunConfig], str]) -> Design:
    """The plan of a definition. Raises ConfigError with every problem.

    `cell_of` names what a resolved config computes; equal cells become one arm.
    """
    base = merge(preset_layer(definition.base).value, definition.settings)
    factors = factors_of(definition, base)
    baseline = chosen_baseline(definition, factors)
    plan = _Plan(definition, base, factors, cell_of)
    for candidate in candidates_of(definition, factors, baseline):
        plan.add(candidate)
    return plan.design()


class _Plan:
    """Collects candidates as arms, the baseline first, with their problems."""

    def __init__(
        self,
        definition: Definition,
        base: Settings,
        factors: Sequence[Factor],
        cell_of: Callable[[RunConfig], str],
    ) -> None:
        self.definition = definition
        self.base = base
        self.factors = factors
        self.levels = [factor.levels for factor in factors]
        self.cell_of = cell_of
        own = definition.own_factors()
        # The definition's own factors, and the position of each in a combination.
        self.own = {
            factor.name: position for position, factor in enumerate(factors) if factor.name in own
        }
        self.conditions: list[Condition] = [compile_where(text, own) for text in definition.where]
        self.condition_keys = frozenset[str]().union(
            *(condition.keys for condition in self.conditions)
        )
        self.arms: dict[str, Candidate] = {}
        self.configs: dict[str, RunConfig] = {}
        self.cells: dict[str, str] = {}
        self.merged: dict[str, list[str]] = {}
        self.combinations: dict[Levels, str] = {}
        self.problems: list[str] = []
        self.refused: dict[tuple[str, str], list[str]] = {}
        self.removed: list[Candidate] = []

    def add(self, candidate: Candidate) -> None:
        """Add a candidate as an arm, or note why it is none."""
        plain = self.plain(candidate)
        config = plain.resolved()
        if self.conditions and not self.holds(config, candidate.levels):
            self.removed.append(candidate)
            return
        # Resolving drops the settings of disabled methods. A combination is refused only for
        # problems that remain.
        problems = plain.problems()
        if problems and (candidate.levels is None or config.problems()):
            self.refuse(candidate, config, problems)
            return
        cell = self.cell_of(config)
        if self.cells.setdefault(candidate.name, cell) != cell:
            self.problems.append(
                f"{self.place(candidate)}: two different arms are called {candidate.name!r}; "
                "rename one."
            )
        elif cell not in self.arms:
            self.arms[cell], self.configs[cell] = candidate, config
        elif candidate.named:
            self.problems.append(self.changes_nothing(candidate, self.arms[cell]))
        elif candidate.name != self.arms[cell].name:
            self.merged.setdefault(cell, []).append(candidate.name)
        if candidate.levels is not None:
            self.combinations[candidate.levels] = cell

    def plain(self, candidate: Candidate) -> RunConfig:
        """A candidate's config as written, before it is resolved."""
        settings = candidate.settings
        if candidate.levels is not None:
            settings = together(
                [levels[name] for levels, name in zip(self.levels, candidate.levels, strict=True)]
            )
        merged = merge(self.base, settings)
        try:  # the place is slow to find, and needed for errors only
            return RunConfig.model_validate(merged)
        except ValidationError:
            return validated(merged, self.place(candidate))

    def place(self, candidate: Candidate) -> str:
        """`file:line` of a candidate, with its name if it is a named arm."""
        if candidate.named:
            return f"{self.definition.at('arms', candidate.name)}: arm {candidate.name!r}"
        return (
            self.definition.at("base") if candidate.levels is None else self.definition.at("grid")
        )

    def changes_nothing(self, candidate: Candidate, same: Candidate) -> str:
        """The message for a named arm that computes the same as another arm."""
        verdict = (
            f"changes nothing against the baseline {same.name!r}"
            if same.baseline
            else f"is the same run as {same.name!r}"
        )
        settings = ", ".join(
            f"{key}={level_name(value)}" for key, value in flatten(candidate.settings).items()
        )
        why = f"{settings} has no effect there" if settings else "it has no settings"
        return (
            f"{self.place(candidate)} {verdict}: {why}. "
            "Leave it out, or change a setting that has an effect."
        )

    def holds(self, config: RunConfig, levels: Levels | None) -> bool:
        """Whether a candidate meets every condition."""
        cell: dict[str, Any] = {}
        for key in self.condition_keys:
            position = self.own.get(key)
            if position is None:
                cell[key] = get_key(config, key)
            else:
                cell[key] = None if levels is None else levels[position]
        return all(condition.holds(cell) for condition in self.conditions)

    def refuse(self, candidate: Candidate, config: RunConfig, problems: Sequence[Problem]) -> None:
        """Note a candidate that the config refuses; a combination with its condition."""
        if candidate.levels is None:
            place = self.place(candidate)
            self.problems += [f"{place}: {problem.message}" for problem in problems]
            return
        levels = {
            factor.name: level for factor, level in zip(self.factors, candidate.levels, strict=True)
        }
        shown = ", ".join(f"{name}={level}" for name, level in levels.items())
        for problem in problems:
            condition = self.condition_of(problem, config, levels)
            self.refused.setdefault((problem.message, condition), []).append(shown)

    def condition_of(self, problem: Problem, config: RunConfig, levels: dict[str, str]) -> str:
        """The condition that holds where the factors of a problem have these levels."""
        parts = []
        for factor in self.factors:
            keys = {key for settings in factor.levels.values() for key in flatten(settings)}
            if any(is_within(key, used) for key in keys for used in problem.uses):
                own = factor.name in self.own
                value = levels[factor.name] if own else get_key(config, factor.name)
                parts.append(f"{factor.name} == {literal(value)}")
        return " and ".join(parts)

    def design(self) -> Design:
        """The plan. Raises ConfigError with every problem."""
        names = self.checked_names()
        design = Design(
            arms=tuple(self.finished()),
            baseline=names[0],
            factors={factor.name: tuple(factor.levels) for factor in self.factors},
            combinations={
                levels: self.arms[cell].name for levels, cell in self.combinations.items()
            },
        )
        configs = {arm.name: arm.config for arm in design.arms}
        check_claims(self.definition, design.baseline, configs)
        check_delta(self.definition, {name: arm.config for name, arm in design.named().items()})
        return design

    def checked_names(self) -> list[str]:
        """The names of the arms, the baseline first. Raises ConfigError with every problem."""
        definition = self.definition
        problems = self.problems + refusals(definition, self.refused)
        problems += idle_factors(definition, self.factors, self.combinations)
        if not problems and self.removed and not self.arms:
            conditions = "; ".join(definition.where)
            problems.append(
                f"{definition.at('where')}: where removes all {len(self.removed)} arms: "
                f"{short(conditions)}"
            )
        if problems:
            raise ConfigError("\n".join(problems))
        names = [candidate.name for candidate in self.arms.values()]
        for candidate in self.removed:
            if candidate.baseline:
                raise no_baseline(definition, candidate.name, names, "is removed by `where`")
        if len(names) == 1:
            raise ConfigError(
                f"{definition.at('where')}: the baseline {names[0]!r} is the only arm; "
                "add another to compare it with."
            )
        return names

    def finished(self) -> Iterator[Arm]:
        """The arms with their changes from the baseline."""
        baseline: dict[str, Any] | None = None
        factors = [factor.name for factor in self.factors]
        first_levels: dict[str, Levels] = {}
        for levels, cell in self.combinations.items():
            first_levels.setdefault(cell, levels)
        for cell, candidate in self.arms.items():
            plain = self.configs[cell].model_dump(mode="json")
            baseline = plain if baseline is None else baseline
            levels = first_levels.get(cell, ()) if not candidate.named else ()
            yield Arm(
                name=candidate.name,
                config=self.configs[cell],
                cell=cell,
                changes=_changes(baseline, plain),
                levels=dict(zip(factors, levels, strict=False)),
                merged=tuple(self.merged.get(cell, ())),
            )


def _changes(baseline: Settings, plain: Settings) -> dict[str, Any]:
    """The settings that turn the baseline's resolved settings into these.

    Enabling `smart` or `lora` is one change.
    """
    changes: dict[str, Any] = {}
    for section in LEFT_OUT & baseline.keys():  # what the arm lacks is back at its default
        usual = {name: default_of(f"{section}.{name}") for name in baseline[section]}
        plain = plain | {section: usual | plain.get(section, {})}
    for key, value in plain.items():
        old = baseline.get(key, {})
        if old == value:
            continue
        if isinstance(value, dict):
            # A method that is off in the baseline: its settings are compared with its defaults.
            below = old if isinstance(old, dict) else SECTIONS[key]().model_dump(mode="json")
            if key in TASK_DEFAULTS:  # a task that the baseline lacks has the usual
                below = {task: default_of(f"{key}.{task}") for task in value} | (old or {})
            inner = {name: item for name, item in value.items() if below[name] != item}
            changes |= (
                {f"{key}.{name}": item for name, item in inner.items()}
                if isinstance(old, dict)
                else {key: inner}
            )
        else:
            changes[key] = value
    return changes
