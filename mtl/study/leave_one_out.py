"""Makes an ablation of a study's best trial: what each change from the base is worth.

A factor is a parameter in which the trial differs from the base. Parameters that depend on each
other form one factor: `smart` and its weights, or a surgery and the schedule that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtl.ablation.definition import Definition
from mtl.ablation.factors import together
from mtl.config.assignments import level_name
from mtl.config.by_task import LEFT_OUT
from mtl.config.key_kinds import config_keys
from mtl.config.schema import default_of
from mtl.config.task_weights import RULE
from mtl.documents.keys import Settings, get_key, merge, nest_key
from mtl.errors import ConfigError
from mtl.study.definition import Study
from mtl.study.space import Parameter, Point, Space

_ABSENT = object()


def leave_one_out(definition: Study, point: Point, seeds: Sequence[int]) -> Definition:
    """A leave-one-out definition of a trial. Raises ConfigError for a trial without changes."""
    space = definition.make_space()
    groups = _groups(space, point)
    if not groups:
        raise ConfigError(
            f"{definition.name}: the best trial is the base itself; there is nothing to leave out."
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
    """The parameters that differ from the base, in groups that can be reset alone."""
    base = space.plain({}).resolved()
    best = space.plain(point).resolved()
    groups: list[list[str]] = []
    for name in point:
        parameter = space[name]
        around = [
            group for group in groups if any(_below(parameter, space[switch]) for switch in group)
        ]
        if around:
            around[0].append(name)
        elif any(get_key(base, key) != get_key(best, key) for key in parameter.sets()):
            groups.append([name])
    while (joined := _joined(space, point, groups)) is not None:
        groups = joined
    return groups


def _below(parameter: Parameter, switch: Parameter) -> bool:
    """Whether a parameter sets keys in a section that `switch` sets as a whole."""
    return any(
        key.startswith(f"{section}.") for key in parameter.sets() for section in switch.sets()
    )


def _joined(space: Space, point: Point, groups: list[list[str]]) -> list[list[str]] | None:
    """The groups with two merged that need each other; None if each can be reset alone."""
    for group in groups:
        if not _refused(space, point, group):
            continue
        for partner in groups:
            if partner is not group and not _refused(space, point, [*group, *partner]):
                rest = [kept for kept in groups if kept is not group and kept is not partner]
                return [*rest, [*group, *partner]]
        raise ConfigError(
            f"the best trial cannot be run without {' and '.join(group)}, "
            "even with another change left out."
        )
    return None


def _refused(space: Space, point: Point, group: Sequence[str]) -> bool:
    """Whether the config refuses the trial without a group."""
    rest = {name: value for name, value in point.items() if name not in group}
    return bool(space.plain(rest).problems())


def _before(space: Space, group: Sequence[str]) -> Settings:
    """The base's settings for every key that a group sets; none for keys of a disabled section."""
    base = space.plain({}).model_dump(mode="json")
    before: Settings = {}
    for name in group:
        for key in sorted(space[name].sets()):
            value = get_key(base, key, _unset(key))
            if value is not _ABSENT:
                before = merge(before, nest_key(key, value))
    return before


def _unset(key: str) -> Any:
    """The value of a key that a dump of the base lacks: some sections are left out at their
    default."""
    if key in LEFT_OUT:
        return default_of(RULE) if key == "task_weights" else {}
    return default_of(key) if key.partition(".")[0] in LEFT_OUT else _ABSENT


def _factor(
    space: Space, group: Sequence[str], point: Point, before: Settings, chosen: Settings
) -> tuple[str, dict[str, Settings]]:
    """A factor's name and its two levels, the base's first."""
    first, *rest = group
    inside = all(_below(space[name], space[first]) for name in rest)
    if first in config_keys() and inside:
        levels = {
            level_name(get_key(before, first)): before,
            level_name(get_key(chosen, first)): chosen,
        }
        return first, levels
    if not rest:
        return first, {"base": before, str(point[first]): chosen}
    return "-and-".join(name.replace(".", "_") for name in group), {"base": before, "best": chosen}
