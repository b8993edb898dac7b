"""Samplers and pruners by name, and their requirements. Optuna is imported on first use."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args

from mtl.config.schema import RunConfig
from mtl.documents.keys import Settings, flatten, get_key
from mtl.study.objectives import Objective
from mtl.study.space import Parameter

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

SamplerName = Literal["tpe", "gp", "nsga2", "cmaes", "random"]
PrunerName = Literal["median", "hyperband", "none"]
SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
PRUNERS: tuple[PrunerName, ...] = get_args(PrunerName)
DEFAULT_SAMPLER: SamplerName = "tpe"
WARM_TRIALS = 3
"""Trials that must end before the median pruner stops any."""
STARTUP_TRIALS = 10
"""Random trials before TPE models the scores."""


def default_pruner(objectives: Sequence[Objective]) -> PrunerName:
    """Median; with several objectives none, as trials have no single score to compare."""
    return "median" if len(objectives) < 2 else "none"


def make_sampler(
    name: str, space: Sequence[Parameter], objectives: Sequence[Objective], seed: int
) -> BaseSampler:
    """The sampler of that name."""
    from optuna import samplers

    seed %= 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna warns of experimental arguments
        if name == "tpe":
            # `group` models conditional parameters jointly where they are active together.
            group = any(parameter.when is not None for parameter in space)
            return samplers.TPESampler(
                seed=seed, multivariate=True, group=group, n_startup_trials=STARTUP_TRIALS
            )
        if name == "gp":
            return samplers.GPSampler(seed=seed, deterministic_objective=False)
        if name == "nsga2":
            return samplers.NSGAIISampler(seed=seed, population_size=20)
        if name == "cmaes":
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        return samplers.RandomSampler(seed=seed)


def make_pruner(name: str, epochs: int) -> BasePruner:
    """The pruner of that name. `epochs` is the largest number of scores of a trial."""
    from optuna import pruners

    if name == "median":
        return pruners.MedianPruner(n_startup_trials=WARM_TRIALS, n_min_trials=2)
    if name == "hyperband":
        return pruners.HyperbandPruner(
            min_resource=1, max_resource=epochs, reduction_factor=3 if epochs >= 9 else 2
        )
    return pruners.NopPruner()


def most_epochs(space: Sequence[Parameter], below: Settings) -> int:
    """The largest number of epochs of a trial; dev is scored once per epoch."""
    epochs = [int(get_key(RunConfig.model_validate(below), "train.epochs"))]
    for parameter in space:
        if parameter.kind == "int" and parameter.name == "train.epochs":
            epochs.append(int(parameter.high))
        levels = map(flatten, parameter.levels.values())
        epochs += [level["train.epochs"] for level in levels if "train.epochs" in level]
    return max(epochs)


def strategy_problems(
    space: Sequence[Parameter],
    objectives: Sequence[Objective],
    sampler: str,
    pruner: str,
    below: Settings,
    written: Mapping[str, Any],
) -> list[tuple[str, str]]:
    """Spaces and objectives that the sampler or pruner cannot handle: (key, message)."""
    messages = [("sampler", message) for message in _sampler_problems(space, objectives, sampler)]
    if pruner == "none":
        return messages
    reason = ""
    if len(objectives) > 1:
        reason = (
            f"{pruner} compares trials by one score; there are {len(objectives)} objectives. "
            "Use pruner: none, or one objective."
        )
    elif objectives and objectives[0].key == "seconds":
        reason = "seconds are known only when a run has ended; use pruner: none."
    elif "pruner" in written and most_epochs(space, below) == 1:
        reason = f"{pruner} has nothing to prune: with train.epochs=1 dev is scored once."
    return [("pruner", reason), *messages] if reason else messages


def _sampler_problems(
    space: Sequence[Parameter], objectives: Sequence[Objective], sampler: str
) -> Iterator[str]:
    numbers = [parameter for parameter in space if parameter.kind != "levels"]
    conditional = [parameter.name for parameter in space if parameter.when is not None]
    if sampler == "cmaes" and len(objectives) > 1:
        yield "cmaes optimises one objective; use tpe or nsga2 for several."
    if sampler == "cmaes" and len(numbers) < 2:
        yield f"cmaes needs two int or float parameters; there are {len(numbers)}. Use tpe."
    if sampler in ("cmaes", "gp") and conditional:
        names = ", ".join(conditional)
        yield f"{sampler} cannot model conditional parameters ({names} with `when`). Use tpe."
    needs = {"cmaes": ("cmaes",), "gp": ("torch", "scipy")}.get(sampler, ())
    if missing := [name for name in needs if find_spec(name) is None]:
        yield f"{sampler} needs {' and '.join(missing)}: pip install {' '.join(missing)}"
