"""The average of the trained weights over the steps, for evaluation and for what is kept.

After each step m = beta m + (1 - beta) w, from m = 0. Evaluation uses m / (1 - beta^t) after t
steps, so that the first steps do not pull it to zero. Training goes on from w.
Source: Polyak & Juditsky 1992; the correction is that of Adam (Kingma & Ba 2015, arXiv:1412.6980).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mtl.methods.stateful import Stateful


class NoAverage(Stateful):
    """The weights of the last step."""

    def update(self) -> None:
        """Take in the weights of a finished step."""

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averaged weights while the context lasts."""
        yield

    def distance(self) -> float | None:
        """|average - weights| / |weights| over all trained weights. None without an average."""
        return None


class WeightAverage(NoAverage):
    """The average of some parameters, by name.

    Example:
        >>> weight = nn.Parameter(torch.zeros(1))
        >>> average = WeightAverage({"w": weight}, beta=0.5)
        >>> for value in (1.0, 4.0):
        ...     _ = weight.data.fill_(value)
        ...     average.update()
        >>> with average.in_place():
        ...     print(weight.item())  # (0.25 * 1 + 0.5 * 4) / 0.75
        3.0
        >>> weight.item()
        4.0
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], beta: float) -> None:
        self.parameters, self.beta, self.steps = dict(parameters), beta, 0
        self.sums = {name: torch.zeros_like(value) for name, value in self.parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        weights = [value.detach() for value in self.parameters.values()]
        torch._foreach_lerp_(list(self.sums.values()), weights, 1 - self.beta)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        if not self.steps:
            yield
            return
        own = {name: value.detach().clone() for name, value in self.parameters.items()}
        self._copy(self._averages())
        try:
            yield
        finally:
            self._copy(own)

    def distance(self) -> float | None:
        if not self.steps:
            return None
        pairs = [
            (self.parameters[name].detach(), value) for name, value in self._averages().items()
        ]
        apart = sum(float((value - weight).square().sum()) for weight, value in pairs)
        size = sum(float(weight.square().sum()) for weight, _ in pairs)
        return float((apart / size) ** 0.5) if size else None

    def tensors(self) -> dict[str, Tensor]:
        return {"steps": torch.tensor(self.steps), **self.sums}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.steps = int(tensors["steps"])
        for name, value in self.sums.items():
            value.copy_(tensors[name])

    def _averages(self) -> dict[str, Tensor]:
        share = 1 - self.beta**self.steps
        return {name: value / share for name, value in self.sums.items()}

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.parameters[name].copy_(value)


def make_average(parameters: Mapping[str, nn.Parameter], beta: float | None) -> NoAverage:
    """The average that `train.ema` asks for."""
    return NoAverage() if beta is None else WeightAverage(parameters, beta)
