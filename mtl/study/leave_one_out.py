"""Makes an ablation of a study's best trial: how much each change from the base is worth, on fresh seeds.

A factor is a parameter in which the trial differs from the base. Parameters that depend on each other form one factor:
`smart` and its weights, or surgery and the schedule that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence

from mtl.ablation.definition import Definition
from mtl.ablation.factors import together
from mtl.config.assignments import level_name
from mtl.config.key_kinds import config_keys
from mtl.config.keys import Settings, get_key, merge, nest_key
from mtl.errors import ConfigError
from mtl.study.definition import Study
from mtl.study.space import Parameter, Point, Space

_ABSENT = object()


def leave_one_out(definition: Study, point: Point, seeds: Sequence[int]) -> Definition:
    """A leave-one-out definition of a trial. Raises ConfigError for a trial that changes nothing."""
    space = definition.make_space()
    groups = _groups(space, point)
    if not groups:
        raise ConfigError(
            f"{definition.name}: the best trial is the base itself: there is nothing to leave out."
        )
    grid: dict[str, dict[str, Settings]] = {}
    for group in groups:
        chosen = together([space[name].settings(point[name]) for name in group])
        before = _before(space, group)
        name, levels = _factor(space, group, point, before, chosen)
        grid[name] = levels
    return Definition(
        name=f"{definition.name}-best",
        question=f"Which of the changes that the study {definition.name} chose are worth keeping?",
        base=definition.base,
        settings=definition.settings,
        seeds=tuple(seeds),
        grid=grid,
        design="leave-one-out",
        source=f"study {definition.name}",
    )


def _groups(space: Space, point: Point) -> list[list[str]]:
    """The parameters that differ from the base, grouped with those that they cannot be reset without."""
    base = space.plain({}).resolved()
    best = space.plain(point).resolved()
    groups: list[list[str]] = []
    for name in point:
        parameter = space[name]
        owner = next(
            (group for group in groups if any(_below(parameter, space[one]) for one in group)), None
        )
        if owner is not None:
            owner.append(name)
        elif any(get_key(base, key) != get_key(best, key) for key in parameter.sets()):
            groups.append([name])
    while (joined := _joined(space, point, groups)) is not None:
        groups = joined
    return groups


def _below(parameter: Parameter, other: Parameter) -> bool:
    """Whether a parameter sets keys in a section that the other one turns on."""
    return any(
        key.startswith(f"{section}.") for key in parameter.sets() for section in other.sets()
    )


def _joined(space: Space, point: Point, groups: list[list[str]]) -> list[list[str]] | None:
    """The groups with one merged into another that it needs; None if each can be reset alone."""
    for group in groups:
        if not _refused(space, point, group):
            continue
        for other in groups:
            if other is not group and not _refused(space, point, [*group, *other]):
                rest = [one for one in groups if one is not group and one is not other]
                return [*rest, [*group, *other]]
        raise ConfigError(
            f"without {' and '.join(group)} the best trial cannot be run, whatever else is left out."
        )
    return None


def _refused(space: Space, point: Point, group: Sequence[str]) -> bool:
    return bool(
        space.plain({name: value for name, value in point.items() if name not in group}).problems()
    )


def _before(space: Space, group: Sequence[str]) -> Settings:
    """The base's settings for every key that a group sets. A knob whose section is off has none."""
    base = space.plain({}).model_dump(mode="json")
    before: Settings = {}
    for name in group:
        for key in sorted(space[name].sets()):
            value = get_key(base, key, _ABSENT)
            if value is not _ABSENT:
                before = merge(before, nest_key(key, value))
    return before


def _factor(
    space: Space, group: Sequence[str], point: Point, before: Settings, chosen: Settings
) -> tuple[str, dict[str, Settings]]:
    """A factor's name and its two levels, the base's first."""
    (first, *others) = group
    inside = all(_below(space[other], space[first]) for other in others)
    if first in config_keys() and inside:
        levels = {
            level_name(get_key(before, first)): before,
            level_name(get_key(chosen, first)): chosen,
        }
        return first, levels
    if not others:
        return first, {"base": before, str(point[first]): chosen}
    return "-and-".join(name.replace(".", "_") for name in group), {"base": before, "best": chosen}
