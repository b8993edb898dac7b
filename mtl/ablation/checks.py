"""Errors of a whole plan: refused combinations, idle factors, claims and `delta` without an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl.ablation.claims import ALONE
from mtl.ablation.definition import Definition
from mtl.ablation.factors import MANY, Factor, Levels
from mtl.config.schema import RunConfig
from mtl.errors import ConfigError, printable, short, suggestion

SHOWN = 5
"""How many reasons for refused combinations an error shows."""


def refusals(definition: Definition, refused: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    """A message for each reason that combinations are refused for.

    `refused` maps (reason, condition that holds for all of them) -> the combinations.
    """
    where = definition.at("grid")
    messages = []
    for (reason, condition), combinations in list(refused.items())[:SHOWN]:
        subject = (
            f"the combination {combinations[0]}"
            if len(combinations) == 1
            else f"{len(combinations)} combinations, such as {combinations[0]},"
        )
        remedy = "The base or `set` causes it."
        if condition:
            remedy = f"To leave it out: where: [{_quoted(f'not ({condition})')}]"
        messages.append(f"{where}: {subject} cannot be run: {reason} {remedy}")
    if len(refused) > SHOWN:
        messages.append(f"{where}: and {len(refused) - SHOWN} more reasons.")
    return messages


def _quoted(text: str) -> str:
    """Text in double quotes, as YAML reads it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def idle_factors(
    definition: Definition, factors: Sequence[Factor], cells: Mapping[Levels, str]
) -> list[str]:
    """A message for each factor without effect.

    Its levels compute the same in every combination of the other factors' levels.
    """
    messages = []
    for position, factor in enumerate(factors):
        cell_of: dict[Levels, str] = {}
        compared = varies = False
        for levels, cell in cells.items():
            rest = levels[:position] + levels[position + 1 :]
            compared = compared or rest in cell_of
            if cell_of.setdefault(rest, cell) != cell:
                varies = True
                break
        if compared and not varies:
            messages.append(
                f"{definition.at('grid', factor.name)}: {factor.name} changes nothing: its levels "
                f"{', '.join(factor.levels)} give the same runs in every combination."
            )
    return messages


def check_claims(definition: Definition, baseline: str, arms: Mapping[str, RunConfig]) -> None:
    """Raise ConfigError for claims about unknown arms, or about tasks that an arm lacks."""
    problems = []
    for number, claim in enumerate(definition.claims):
        place = f"{definition.at('claims', number)}: claims.{number}"
        named = (
            {"arm": claim.arm}
            if claim.expect in ALONE
            else {"arm": claim.arm, "than": claim.than or baseline}
        )
        for key, name in named.items():
            if name not in arms:
                available = ", ".join(list(arms)[:MANY])
                problems.append(
                    f"{place}.{key}: no arm {short(name)}; there are {available}."
                    f"{suggestion(name, arms)}"
                )
            elif claim.task != "overall" and claim.task not in arms[name].tasks:
                trained = ", ".join(arms[name].tasks)
                problems.append(f"{place}: {name!r} does not train {claim.task}; it has {trained}.")
        if len(named) < 2 or not set(named.values()) <= arms.keys():
            continue
        first, second = named.values()
        if first == second:
            problems.append(f"{place}: {first!r} is compared with itself.")
        elif claim.task == "overall" and arms[first].tasks != arms[second].tasks:
            problems.append(
                f"{place}: overall is not the same mean in {first!r} and {second!r}, "
                "which train different tasks; name a task."
            )
    if problems:
        raise ConfigError("\n".join(problems))


def check_delta(definition: Definition, arms: Mapping[str, RunConfig]) -> None:
    """Raise ConfigError where `delta` names no arm that trains the task alone.

    `arms` has their configs by every name. Some other arm must train all these tasks.
    """
    problems = []
    for task, name in definition.delta.items():
        place = f"{definition.at('delta', task)}: delta.{printable(task)}"
        if name not in arms:
            available = ", ".join(list(arms)[:MANY])
            problems.append(
                f"{place}: no arm {short(name)}; there are {available}.{suggestion(name, arms)}"
            )
        elif arms[name].tasks != (task,):
            trained = ", ".join(arms[name].tasks)
            problems.append(
                f"{place}: expected an arm that trains {printable(task)} alone, but {name!r} "
                f"trains {trained}. Name one with `tasks: [{printable(task)}]`."
            )
    wanted = set(definition.delta)
    others = [config for name, config in arms.items() if name not in definition.delta.values()]
    if wanted and not problems and not any(wanted <= set(config.tasks) for config in others):
        problems.append(
            f"{definition.at('delta')}: delta: no other arm trains {', '.join(definition.delta)}, "
            "so there is nothing to compare. Add one, or leave a task out."
        )
    if problems:
        raise ConfigError("\n".join(problems))
