"""From a sampler's trial to a parameter's value, and from a config to its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl.config.schema import RunConfig
from mtl.grid.arm import Arm
from mtl.grid.plan import PlannedRun, Planner
from mtl.study.space import Parameter, Value

if TYPE_CHECKING:
    import optuna

DIGITS = 4
"""Significant digits of a number that is drawn."""


def suggest(trial: optuna.Trial, parameter: Parameter) -> Value:
    """A sampler's value for a parameter."""
    if parameter.kind == "levels":
        return str(trial.suggest_categorical(parameter.name, list(parameter.levels)))
    if parameter.kind == "int":
        step = 1 if parameter.log else int(parameter.step or 1)
        return trial.suggest_int(
            parameter.name, int(parameter.low), int(parameter.high), step=step, log=parameter.log
        )
    value = trial.suggest_float(
        parameter.name, parameter.low, parameter.high, step=parameter.step, log=parameter.log
    )
    # Digits that nobody would write make configs and reports hard to read, and no difference.
    rounded = float(f"{value:.12g}" if parameter.step else f"{value:.{DIGITS}g}")
    return min(max(rounded, parameter.low), parameter.high)


def plan_runs(
    planner: Planner, name: str, config: RunConfig, cell: str, seeds: tuple[int, ...], workers: int
) -> tuple[PlannedRun, ...]:
    """The runs of one config, a seed each, as they stand on disk."""
    arm = Arm(name=name, config=config.resolved(), cell=cell)
    return planner.plan([arm], {name: seeds}, workers).runs
