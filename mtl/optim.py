"""AdamW as BERT was fine-tuned, and its learning rate over the run.

Two things keep a step cheap. The word embeddings' gradient comes as the few rows a batch touches; it is put into one
dense buffer that lives for the whole run, of which only the rows of the step before are cleared. And clipping is not a
pass of its own: the fused kernel divides by the scale as it reads the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mtl.config import Train

BETAS = (0.9, 0.999)
EPSILON = 1e-6


class Optimizer:
    """AdamW (fused; Loshchilov & Hutter 2019) over named parameters, with clipping of the whole gradient's norm.

    Biases and norms, which are the tensors with one dimension, do not decay. A parameter whose `.grad` is None is neither
    moved nor decayed, and its moments stay.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], settings: Train) -> None:
        self.parameters = dict(parameters)
        self.limit = settings.max_grad_norm
        decayed = [parameter for parameter in self.parameters.values() if parameter.ndim > 1]
        plain = [parameter for parameter in self.parameters.values() if parameter.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.adamw = torch.optim.AdamW(groups, lr=settings.lr, betas=BETAS, eps=EPSILON, fused=True)
        self._dense: dict[nn.Parameter, Tensor] = {}
        self._touched: dict[nn.Parameter, Tensor] = {}

    def zero_grad(self) -> None:
        """Forget the gradients: None, not zeros."""
        self.adamw.zero_grad(set_to_none=True)

    def step(self, rate: float) -> Tensor:
        """Clip and move by learning rate `rate`; returns the gradient's norm before clipping, a scalar."""
        norm = torch.nn.utils.get_total_norm(
            [self._gradient(p) for p in self.parameters.values() if p.grad is not None]
        )
        for group in self.adamw.param_groups:
            group["lr"] = rate
        if self.limit is not None:
            # What the fused kernel offers to gradient scalers: it divides each gradient by `grad_scale`.
            scale = ((norm + 1e-6) / self.limit).clamp(min=1.0).float()
            self.adamw.grad_scale, self.adamw.found_inf = scale, torch.zeros_like(scale)  # type: ignore[attr-defined]
        self.adamw.step()
        return norm

    def moments(self) -> dict[str, Tensor]:
        """AdamW's state, keyed `<parameter>.exp_avg` and so on; parameters that never had a gradient have none."""
        state = self.adamw.state
        return {f"{name}.{key}": v for name, p in self.parameters.items() for key, v in state.get(p, {}).items()}

    def load_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Put back what `moments` gave."""
        for key, value in moments.items():
            name, _, part = key.rpartition(".")
            parameter = self.parameters[name]
            self.adamw.state[parameter][part] = value.to(parameter.device)

    def _gradient(self, parameter: nn.Parameter) -> Tensor:
        """What counts towards the norm: the gradient, or its rows that are not zero. Makes a sparse `.grad` dense."""
        gradient = parameter.grad
        assert gradient is not None
        if not gradient.is_sparse:
            return gradient
        rows = gradient.coalesce()
        dense = self._dense.get(parameter)
        if dense is None:
            dense = self._dense[parameter] = torch.zeros_like(parameter)
        else:
            dense.index_fill_(0, self._touched[parameter], 0.0)
        self._touched[parameter] = rows.indices()[0]
        dense.index_copy_(0, rows.indices()[0], rows.values())
        parameter.grad = dense
        return rows.values()


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
