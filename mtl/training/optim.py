"""AdamW with gradient clipping, as BERT is fine-tuned, and the learning rate over the run.

Two things keep a step cheap. The word embeddings' gradient has only the rows of a batch's words,
and AdamW runs over the rows that ever had a gradient instead of the whole vocabulary
(`TouchedRows`). Clipping needs no pass of its own: the fused kernel divides the gradient by the
scale as it reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl.config.sections import Train

BETAS = (0.9, 0.999)
EPSILON = 1e-6


class Optimizer:
    """Fused AdamW over named parameters, with clipping by the norm of the whole gradient.

    Biases and norms, the tensors of one dimension, do not decay. A parameter whose `.grad` is None
    is neither moved nor decayed, and its moments stay. Source: Loshchilov & Hutter 2019.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        settings: Train,
        factors: Mapping[str, float] | None = None,
    ) -> None:
        """`factors` are multiples of the learning rate by name; 1 where none is given."""
        self.parameters = dict(parameters)
        self.limit, self.decay = settings.max_grad_norm, settings.weight_decay
        by_group: dict[tuple[bool, float], list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            group = parameter.ndim > 1, (factors or {}).get(name, 1.0)
            by_group.setdefault(group, []).append(parameter)
        groups = [
            {"params": members, "factor": factor, "weight_decay": self.decay if decays else 0.0}
            for (decays, factor), members in sorted(
                by_group.items(), key=lambda item: item[0], reverse=True
            )
        ]
        self.adamw = torch.optim.AdamW(groups, lr=settings.lr, betas=BETAS, eps=EPSILON, fused=True)
        self.touched: dict[nn.Parameter, TouchedRows] = {}

    def zero_grad(self) -> None:
        """Set all gradients to None, not to zeros."""
        for parameter in (
            *self.parameters.values(),
            *(rows.values for rows in self.touched.values()),
        ):
            parameter.grad = None

    def step(self, rate: float) -> Tensor:
        """Clip, and move by learning rate `rate`. Returns the norm before clipping, a scalar."""
        norm = torch.nn.utils.get_total_norm(
            [self._gradient(p) for p in self.parameters.values() if p.grad is not None]
        )
        for group in self.adamw.param_groups:
            group["lr"] = rate * group["factor"]
        if self.limit is not None:
            # The fused kernel's hook for gradient scalers: it divides gradients by `grad_scale`.
            scale = ((norm + 1e-6) / self.limit).clamp(min=1.0).float()
            self.adamw.grad_scale, self.adamw.found_inf = scale, torch.zeros_like(scale)  # type: ignore[attr-defined]
        self.adamw.step()
        for rows in self.touched.values():
            rows.put_back()
        return norm

    def moments(self) -> dict[str, Tensor]:
        """AdamW's state, keyed `<parameter>.exp_avg` and so on, where there was a gradient.

        For an embedding it is the state of the rows that `<parameter>.rows` lists.
        """
        moments: dict[str, Tensor] = {}
        for name, parameter in self.parameters.items():
            rows = self.touched.get(parameter)
            state = self.adamw.state.get(parameter if rows is None else rows.values, {})
            moments |= {
                f"{name}.{key}": value if rows is None else rows.used(value)
                for key, value in state.items()
            }
            if rows is not None:
                moments[f"{name}.rows"] = rows.numbers
        return moments

    def load_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Restore what `moments` gave, once the parameters have their values of that time."""
        by_parameter: dict[str, dict[str, Tensor]] = {}
        for key, value in moments.items():
            name, _, part = key.rpartition(".")
            by_parameter.setdefault(name, {})[part] = value.to(self.parameters[name].device)
        for name, parts in by_parameter.items():
            parameter = self.parameters[name]
            numbers = parts.pop("rows", None)
            if numbers is None:
                state = {
                    part: _like(parameter, value) if value.ndim else value
                    for part, value in parts.items()
                }
                self.adamw.state[parameter] = state
            else:
                rows = self._touch(parameter, numbers)
                self.adamw.state[rows.values] = {
                    part: rows.widened(value) for part, value in parts.items()
                }

    def _gradient(self, parameter: nn.Parameter) -> Tensor:
        """A gradient's values for the norm: all, or the rows that a sparse gradient has.

        A sparse gradient is also passed to the parameter's `TouchedRows`.
        """
        gradient = parameter.grad
        assert gradient is not None
        if not gradient.is_sparse:
            parameter.grad = _like(parameter, gradient)
            return parameter.grad
        rows = gradient.coalesce()
        self._touch(parameter, rows.indices()[0]).take(rows.indices()[0], rows.values())
        return rows.values()

    def _touch(self, parameter: nn.Parameter, numbers: Tensor) -> TouchedRows:
        """An embedding's `TouchedRows`, with these rows among them; all rows where they decay."""
        rows = self.touched.get(parameter)
        if rows is None:
            rows = self.touched[parameter] = TouchedRows(parameter)
            self._exchange(parameter, rows.values)
            if self.decay:
                numbers = torch.arange(len(parameter), device=parameter.device)
        old = rows.values
        if rows.add(numbers):
            self._exchange(old, rows.values)
            state = self.adamw.state
            state[rows.values] = {
                key: rows.widened(value) for key, value in state.pop(old, {}).items()
            }
        return rows

    def _exchange(self, old: nn.Parameter, new: nn.Parameter) -> None:
        for group in self.adamw.param_groups:
            group["params"] = [
                new if parameter is old else parameter for parameter in group["params"]
            ]


class TouchedRows:
    """The rows of an embedding, (V, H), that ever had a gradient, collected for AdamW.

    This is exact: a row without a gradient has moments of 0 and, without decay, does not move.
    `values`, (capacity, H), is the parameter that AdamW sees. Its first rows are those of
    `numbers`; the rest are zeros and stay so.
    """

    MIN_CAPACITY = 1024
    """The smallest capacity; it grows by half."""

    def __init__(self, table: nn.Parameter) -> None:
        self.table = table
        self.place = torch.full((len(table),), -1, dtype=torch.int64, device=table.device)
        self.numbers = torch.zeros(0, dtype=torch.int64, device=table.device)
        self.values = nn.Parameter(table.new_zeros(0, table.shape[1]))
        self.gradient = torch.zeros_like(self.values)
        self.last = self.numbers  # places of the rows that have a gradient in this step

    def add(self, numbers: Tensor) -> bool:
        """Add rows (distinct numbers). True where `values` became a new, larger parameter."""
        new = numbers[self.place[numbers] < 0]
        if not len(new):
            return False
        known = len(self.numbers)
        self.place[new] = torch.arange(known, known + len(new), device=new.device)
        self.numbers = torch.cat([self.numbers, new])
        added = self.table.detach().index_select(0, new)
        if len(self.numbers) <= len(self.values):
            self.values.detach()[known : len(self.numbers)] = added
            return False
        capacity = min(len(self.table), max(self.MIN_CAPACITY, len(self.numbers) * 3 // 2))
        values = self.table.new_zeros(capacity, self.table.shape[1])
        values[: len(self.numbers)] = torch.cat([self.values.detach()[:known], added])
        self.values = nn.Parameter(values)
        self.gradient, self.last = torch.zeros_like(values), self.numbers[:0]
        return True

    def take(self, numbers: Tensor, gradient: Tensor) -> None:
        """Set the gradient that AdamW sees: (n, H) for these rows, 0 for all others."""
        self.gradient.index_fill_(0, self.last, 0.0)
        self.last = self.place[numbers]
        self.gradient.index_copy_(0, self.last, gradient)
        self.values.grad = self.gradient

    def put_back(self) -> None:
        """Copy the rows back into the embedding after AdamW has moved them."""
        if self.values.grad is not None:
            self.table.detach().index_copy_(0, self.numbers, self.used(self.values.detach()))

    def used(self, value: Tensor) -> Tensor:
        """The used rows of a moment, (capacity, H); a step count is a scalar and stays as it is."""
        return value[: len(self.numbers)] if value.ndim else value

    def widened(self, value: Tensor) -> Tensor:
        """A moment, filled up with rows of zeros to the capacity."""
        return F.pad(value, (0, 0, 0, len(self.values) - len(value))) if value.ndim else value


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """A value with the parameter's memory layout, which the fused kernel relies on."""
    if value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter).copy_(value)


def learning_rate(step: int, total: int, settings: Train) -> float:
    """The rate of step `step` (from 0) of `total`: a linear warm-up, then a decay to 0.

    Example:
        >>> settings = Train(lr=1.0, warmup=0.5, decay="linear")
        >>> [learning_rate(step, 4, settings) for step in range(4)]
        [0.5, 1.0, 1.0, 0.5]
    """
    warmup = math.ceil(round(settings.warmup * total, 9))  # 0.07 * 100 is 7.000000000000001
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    left = (total - step) / max(1, total - warmup)
    if settings.decay == "linear":
        return settings.lr * left
    if settings.decay == "cosine":
        return settings.lr * 0.5 * (1 - math.cos(math.pi * left))
    return settings.lr
