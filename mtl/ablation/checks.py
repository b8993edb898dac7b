"""Errors of a whole plan: combinations that cannot run, factors without effect, claims without their arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl.ablation.claims import ALONE
from mtl.ablation.definition import Definition
from mtl.ablation.factors import MANY, Factor, Levels
from mtl.config.schema import RunConfig
from mtl.errors import ConfigError, short, suggestion

SHOWN = 5
"""How many reasons for refused combinations an error shows."""


def refusals(definition: Definition, refused: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    """A message for each reason that combinations are refused for.

    `refused` is (why, the condition that holds for them all) -> the combinations.
    """
    where = definition.at("grid")
    found = []
    for (why, condition), shown in list(refused.items())[:SHOWN]:
        which = (
            f"the combination {shown[0]}"
            if len(shown) == 1
            else f"{len(shown)} combinations, such as {shown[0]},"
        )
        remedy = "The base or `set` causes it."
        if condition:
            remedy = f"To leave it out: where: [{_quoted(f'not ({condition})')}]"
        found.append(f"{where}: {which} cannot be run: {why} {remedy}")
    if len(refused) > SHOWN:
        found.append(f"{where}: and {len(refused) - SHOWN} more reasons.")
    return found


def _quoted(text: str) -> str:
    """Text in double quotes, as YAML reads it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def idle_factors(
    definition: Definition, factors: Sequence[Factor], cells: Mapping[Levels, str]
) -> list[str]:
    """A message for each factor all of whose levels compute the same in every combination of the others."""
    found = []
    for at, factor in enumerate(factors):
        beside: dict[Levels, str] = {}
        compared = varies = False
        for levels, cell in cells.items():
            others = levels[:at] + levels[at + 1 :]
            compared = compared or others in beside
            if beside.setdefault(others, cell) != cell:
                varies = True
                break
        if compared and not varies:
            found.append(
                f"{definition.at('grid', factor.name)}: {factor.name} changes nothing: its levels "
                f"{', '.join(factor.levels)} give the same runs in every combination."
            )
    return found


def check_claims(definition: Definition, baseline: str, arms: Mapping[str, RunConfig]) -> None:
    """Raises ConfigError for claims about arms that are not in the plan, or tasks that an arm does not train."""
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
                there = ", ".join(list(arms)[:MANY])
                problems.append(
                    f"{place}.{key}: no arm {short(name)}; there are {there}.{suggestion(name, arms)}"
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
                f"{place}: overall is not the same mean in {first!r} and {second!r}, which train other tasks; name a task."
            )
    if problems:
        raise ConfigError("\n".join(problems))
