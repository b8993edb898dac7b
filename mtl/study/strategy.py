"""Samplers and pruners by name, and what each needs. Optuna is imported when one is made."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args

from mtl.config.keys import Settings, flatten, get_key
from mtl.config.schema import RunConfig
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
    """Median; none with several objectives, where pruning has no single number to compare."""
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
    """The pruner of that name; `epochs` is the most scores of a trial."""
    from optuna import pruners

    if name == "median":
        return pruners.MedianPruner(n_startup_trials=WARM_TRIALS, n_min_trials=2)
    if name == "hyperband":
        return pruners.HyperbandPruner(
            min_resource=1, max_resource=epochs, reduction_factor=3 if epochs >= 9 else 2
        )
    return pruners.NopPruner()


def most_epochs(space: Sequence[Parameter], below: Settings) -> int:
    """The most scores of dev in a trial: one per epoch."""
    most = [int(get_key(RunConfig.model_validate(below), "train.epochs"))]
    for one in space:
        if one.kind == "int" and one.name == "train.epochs":
            most.append(int(one.high))
        most += [
            found["train.epochs"]
            for level in one.levels.values()
            if "train.epochs" in (found := flatten(level))
        ]
    return max(most)


def strategy_problems(
    space: Sequence[Parameter],
    objectives: Sequence[Objective],
    sampler: str,
    pruner: str,
    below: Settings,
    written: Mapping[str, Any],
) -> list[tuple[str, str]]:
    """Spaces and objectives that the sampler or pruner cannot handle: (key, message)."""
    found: list[tuple[str, str]] = []
    numbers = [one for one in space if one.kind != "levels"]
    conditional = [one.name for one in space if one.when is not None]
    if len(objectives) > 1 and pruner != "none":
        found.append(("pruner", f"{pruner} needs one number to judge a trial by; there are {len(objectives)} objectives. "
                      "Use pruner: none, or one objective."))  # fmt: skip
    elif pruner != "none" and objectives and objectives[0].key == "seconds":
        found.append(("pruner", "seconds are known when a run has ended; use pruner: none."))
    elif pruner != "none" and most_epochs(space, below) == 1 and "pruner" in written:
        found.append(
            (
                "pruner",
                f"{pruner} has nothing to prune: with train.epochs=1 dev is scored once, at the end.",
            )
        )
    if sampler == "cmaes":
        if len(objectives) > 1:
            found.append(("sampler", "cmaes seeks one objective; use tpe or nsga2 for several."))
        if len(numbers) < 2:
            found.append(("sampler", f"cmaes moves in numbers and needs two parameters of int or float; there are "
                          f"{len(numbers)}. Use tpe."))  # fmt: skip
    if sampler in ("cmaes", "gp") and conditional:
        found.append(("sampler", f"{sampler} cannot model parameters that come and go ({', '.join(conditional)} with "
                      "`when`). Use tpe."))  # fmt: skip
    needs = {"cmaes": ("cmaes",), "gp": ("torch", "scipy")}.get(sampler, ())
    if missing := [name for name in needs if find_spec(name) is None]:
        found.append(
            ("sampler", f"{sampler} needs {' and '.join(missing)}: pip install {' '.join(missing)}")
        )
    return found
