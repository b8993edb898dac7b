"""AdamW as BERT was fine-tuned, and its learning rate over the run."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from mtl.config import Train

BETAS = (0.9, 0.999)
EPSILON = 1e-6


def make_optimizer(parameters: Mapping[str, nn.Parameter], settings: Train) -> torch.optim.AdamW:
    """AdamW (fused) with no decay on biases and norms, which are the tensors with one dimension."""
    decayed = [parameter for parameter in parameters.values() if parameter.ndim > 1]
    plain = [parameter for parameter in parameters.values() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=BETAS, eps=EPSILON, fused=True)


def learning_rate(step: int, total: int, settings: Train) -> float:
    """The rate of step `step` (from 0) of `total`: a linear rise over the warm-up's share, then the decay to 0."""
    rising = math.ceil(round(settings.warmup * total, 9))  # 0.07 * 100 is 7.000000000000001
    if step < rising:
        return settings.lr * (step + 1) / rising
    left = (total - step) / max(1, total - rising)
    if settings.decay == "linear":
        return settings.lr * left
    if settings.decay == "cosine":
        return settings.lr * 0.5 * (1 - math.cos(math.pi * left))
    return settings.lr
