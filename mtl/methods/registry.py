"""Finds a config's methods by name, so that training names none of them.

Each method is a module of this package and registers itself: a surgery with
`mtl.methods.surgery.register`, a penalty with `mtl.methods.penalty.register`, a rule of the tasks'
weights with `mtl.methods.weighing.register`. Importing this module imports them all.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module

import torch
from torch import nn

from mtl import methods
from mtl.config.schema import RunConfig
from mtl.methods.penalty import PENALTIES, NoPenalty, Penalty
from mtl.methods.surgery import SURGERIES, Surgery
from mtl.methods.weighing import WEIGHINGS, Weighing
from mtl.model.multitask import MultiTaskModel

for _module in pkgutil.iter_modules(methods.__path__):
    import_module(f"{methods.__name__}.{_module.name}")


def make_surgery(config: RunConfig, backbone: Sequence[nn.Parameter]) -> Surgery:
    """The config's surgery on these parameters."""
    return SURGERIES[config.surgery](backbone)


def make_penalty(config: RunConfig, model: MultiTaskModel) -> Penalty:
    """The config's penalty on this model; `NoPenalty` where the config turns none on."""
    active = [make for key, make in PENALTIES.items() if getattr(config, key) is not None]
    assert len(active) <= 1  # each penalty runs the model itself
    make = active[0] if active else NoPenalty
    return make.from_config(config, model)


def make_weighing(config: RunConfig, epoch_steps: int, device: torch.device) -> Weighing:
    """The config's rule of the tasks' weights, for epochs of so many steps.

    One task has nothing to be weighed against: it has no rule.
    """
    return WEIGHINGS[config.resolved().task_weights.rule].from_config(config, epoch_steps, device)
