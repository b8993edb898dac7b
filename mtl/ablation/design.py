"""From a definition to its arms: which configs are run, what each is called, and which of them are one and the same.

`expand` is pure. Named arms and the grid's combinations are put side by side; conditions (`where`) take some out; what the
config refuses is an error that says how to take it out; what computes the same (`cell_of`) becomes one arm. Where a
factor's level turns a method off (`smart: null`), other factors' knobs of that method vanish.

Designs, with the reference level of a factor the one that is the base config's (else the first):
    full            every combination
    one-at-a-time   all references; then every other level of each factor alone
    pairwise        one-at-a-time; then the other levels of each two factors together
    leave-one-out   `everything`, which is each factor's last level that is not the reference; then each factor back
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mtl.ablation.checks import check_claims, idle_factors, refusals
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
from mtl.config.keys import Settings, flatten, get_key, is_within, merge
from mtl.config.schema import RunConfig
from mtl.config.sections import Smart
from mtl.config.settings import preset_layer
from mtl.config.validation import Problem
from mtl.errors import ConfigError, short
from mtl.grid.arm import Arm


@dataclass(frozen=True, kw_only=True)
class Design:
    """The plan: arms, the baseline first; factors, the reference level first; and the arm of each combination."""

    arms: tuple[Arm, ...]
    baseline: str
    factors: dict[str, tuple[str, ...]]
    combinations: dict[Levels, str]

    def find(self, name: str) -> Arm | None:
        """The arm of that name, or the one that it fell together with."""
        for arm in self.arms:
            if name == arm.name or name in arm.merged:
                return arm
        return None


def expand(definition: Definition, cell_of: Callable[[RunConfig], str]) -> Design:
    """The arms of a definition; `cell_of` names what a resolved config computes. Raises ConfigError."""
    base = merge(preset_layer(definition.base).value, definition.settings)
    factors = factors_of(definition, base)
    chosen = chosen_baseline(definition, factors)
    candidates = candidates_of(definition, factors, chosen)
    plan = _Plan(definition, base, factors, cell_of)
    for candidate in candidates:
        plan.add(candidate)
    return plan.design()


class _Plan:
    """Collects arms one by one, the baseline first, and what is wrong with them."""

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
        self.own = {factor.name: at for at, factor in enumerate(factors) if factor.name in own}
        self.conditions: list[Condition] = [compile_where(text, own) for text in definition.where]
        self.asked = frozenset(key for condition in self.conditions for key in condition.keys)
        self.arms: dict[str, Candidate] = {}
        self.configs: dict[str, RunConfig] = {}
        self.cells: dict[str, str] = {}
        self.merged: dict[str, list[str]] = {}
        self.combinations: dict[Levels, str] = {}
        self.problems: list[str] = []
        self.refused: dict[tuple[str, str], list[str]] = {}
        self.removed: list[Candidate] = []

    def add(self, candidate: Candidate) -> None:
        """Take a candidate in, or note why not."""
        settings = candidate.settings
        if candidate.levels is not None:
            settings = together(
                [levels[name] for levels, name in zip(self.levels, candidate.levels, strict=True)]
            )
        merged = merge(self.base, settings)
        try:
            plain = RunConfig.model_validate(merged)
        except ValidationError:
            plain = validated(merged, self.place(candidate))
        config = plain.resolved()
        if self.conditions and not self.holds(config, candidate.levels):
            self.removed.append(candidate)
            return
        # In a combination a knob of what is off vanishes, and with it what it alone would be refused for.
        if (found := plain.problems()) and (candidate.levels is None or config.problems()):
            self.refuse(candidate, config, found)
            return
        cell = self.cell_of(config)
        if self.cells.setdefault(candidate.name, cell) != cell:
            self.problems.append(
                f"{self.place(candidate)}: two different arms are called {candidate.name!r}; rename one."
            )
        elif cell not in self.arms:
            self.arms[cell], self.configs[cell] = candidate, config
        elif candidate.named:
            self.problems.append(self.changes_nothing(candidate, self.arms[cell]))
        elif candidate.name != self.arms[cell].name:
            self.merged.setdefault(cell, []).append(candidate.name)
        if candidate.levels is not None:
            self.combinations[candidate.levels] = cell

    def place(self, candidate: Candidate) -> str:
        if candidate.named:
            return f"{self.definition.at('arms', candidate.name)}: arm {candidate.name!r}"
        return (
            self.definition.at("base") if candidate.levels is None else self.definition.at("grid")
        )

    def changes_nothing(self, candidate: Candidate, other: Candidate) -> str:
        what = (
            f"changes nothing against the baseline {other.name!r}"
            if other.baseline
            else f"is the same run as {other.name!r}"
        )
        settings = ", ".join(
            f"{key}={level_name(value)}" for key, value in flatten(candidate.settings).items()
        )
        why = f"{settings} has no effect there" if settings else "it has no settings"
        return (
            f"{self.place(candidate)} {what}: {why}. Leave it out, or change something that counts."
        )

    def holds(self, config: RunConfig, levels: Levels | None) -> bool:
        cell: dict[str, Any] = {}
        for key in self.asked:
            at = self.own.get(key)
            cell[key] = (
                get_key(config, key) if at is None else None if levels is None else levels[at]
            )
        return all(condition.holds(cell) for condition in self.conditions)

    def refuse(self, candidate: Candidate, config: RunConfig, found: Sequence[Problem]) -> None:
        """Note a candidate that the config refuses, and for a combination the condition that removes it."""
        for problem in found:
            if candidate.levels is None:
                self.problems.append(f"{self.place(candidate)}: {problem.message}")
                continue
            parts = []
            for factor, level in zip(self.factors, candidate.levels, strict=True):
                keys = {key for settings in factor.levels.values() for key in flatten(settings)}
                if not any(is_within(key, used) for key in keys for used in problem.uses):
                    continue
                own = factor.name in self.own
                parts.append(
                    f"{factor.name} == {literal(level if own else get_key(config, factor.name))}"
                )
            shown = ", ".join(
                f"{factor.name}={level}"
                for factor, level in zip(self.factors, candidate.levels, strict=True)
            )
            self.refused.setdefault((problem.message, " and ".join(parts)), []).append(shown)

    def design(self) -> Design:
        """The plan. Raises ConfigError with all that was found wrong."""
        definition = self.definition
        problems = self.problems + refusals(definition, self.refused)
        problems += idle_factors(definition, self.factors, self.combinations)
        if not problems and self.removed and not self.arms:
            conditions = "; ".join(definition.where)
            problems.append(
                f"{definition.at('where')}: where removes all {len(self.removed)} arms: {short(conditions)}"
            )
        if problems:
            raise ConfigError("\n".join(problems))
        names = [candidate.name for candidate in self.arms.values()]
        for candidate in self.removed:
            if candidate.baseline:
                raise no_baseline(definition, candidate.name, names, "is removed by `where`")
        if len(names) == 1:
            raise ConfigError(
                f"{definition.at('where')}: the baseline {names[0]!r} is all there is: nothing to compare it with."
            )
        design = Design(
            arms=tuple(self.finished()),
            baseline=names[0],
            factors={factor.name: tuple(factor.levels) for factor in self.factors},
            combinations={
                levels: self.arms[cell].name for levels, cell in self.combinations.items()
            },
        )
        check_claims(definition, design.baseline, {arm.name: arm.config for arm in design.arms})
        return design

    def finished(self) -> Iterator[Arm]:
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
    """What to set in the baseline's resolved settings to get these; `smart` that is switched on is one change."""
    changes: dict[str, Any] = {}
    for key, value in plain.items():
        old = baseline[key]
        if old == value:
            continue
        if isinstance(value, dict):
            # What SMART is measured against where the baseline has none: the published values.
            below = old if isinstance(old, dict) else Smart().model_dump(mode="json")
            inner = {name: item for name, item in value.items() if below[name] != item}
            if key == "heads":  # a head of a task that is not trained is no difference
                inner = {task: head for task, head in inner.items() if task in plain["tasks"]}
            changes |= (
                {f"{key}.{name}": item for name, item in inner.items()}
                if below is old
                else {key: inner}
            )
        else:
            changes[key] = value
    return changes
