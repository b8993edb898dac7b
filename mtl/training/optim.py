"""AdamW as BERT was fine-tuned, and its learning rate over the run.

Two things keep a step cheap. The word embeddings' gradient comes as the few rows a batch touches, and AdamW runs over the rows
that were ever touched instead of the whole vocabulary (`TouchedRows`). And clipping is not a pass of its own: the fused kernel
divides by the scale as it reads the gradient.
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
    """AdamW (fused; Loshchilov & Hutter 2019) over named parameters, with clipping of the whole gradient's norm.

    Biases and norms, which are the tensors with one dimension, do not decay. A parameter whose `.grad` is None is neither
    moved nor decayed, and its moments stay.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], settings: Train) -> None:
        self.parameters = dict(parameters)
        self.limit, self.decay = settings.max_grad_norm, settings.weight_decay
        decayed = [parameter for parameter in self.parameters.values() if parameter.ndim > 1]
        plain = [parameter for parameter in self.parameters.values() if parameter.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.adamw = torch.optim.AdamW(groups, lr=settings.lr, betas=BETAS, eps=EPSILON, fused=True)
        self.touched: dict[nn.Parameter, TouchedRows] = {}

    def zero_grad(self) -> None:
        """Forget the gradients: None, not zeros."""
        for parameter in (
            *self.parameters.values(),
            *(rows.values for rows in self.touched.values()),
        ):
            parameter.grad = None

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
        for rows in self.touched.values():
            rows.put_back()
        return norm

    def moments(self) -> dict[str, Tensor]:
        """AdamW's state, keyed `<parameter>.exp_avg` and so on; parameters that never had a gradient have none.

        Of an embedding it is that of the rows in `<parameter>.rows`.
        """
        found: dict[str, Tensor] = {}
        for name, parameter in self.parameters.items():
            rows = self.touched.get(parameter)
            state = self.adamw.state.get(parameter if rows is None else rows.values, {})
            found |= {
                f"{name}.{key}": value if rows is None else rows.of(value)
                for key, value in state.items()
            }
            if rows is not None:
                found[f"{name}.rows"] = rows.numbers
        return found

    def load_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Put back what `moments` gave; the parameters have their values of then already."""
        of: dict[str, dict[str, Tensor]] = {}
        for key, value in moments.items():
            name, _, part = key.rpartition(".")
            of.setdefault(name, {})[part] = value.to(self.parameters[name].device)
        for name, parts in of.items():
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
        """What counts towards the norm: the gradient, or its rows that are not zero. A sparse `.grad` goes to `touched` too."""
        gradient = parameter.grad
        assert gradient is not None
        if not gradient.is_sparse:
            parameter.grad = _like(parameter, gradient)
            return parameter.grad
        rows = gradient.coalesce()
        self._touch(parameter, rows.indices()[0]).take(rows.indices()[0], rows.values())
        return rows.values()

    def _touch(self, parameter: nn.Parameter, numbers: Tensor) -> TouchedRows:
        """The rows of an embedding that AdamW runs over, with these among them. All of them, where they decay."""
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
    """The rows of an embedding, (V, H), that ever had a gradient, laid together so that AdamW can run over them alone.

    Exact: a row that never had one has moments of 0 and, where nothing decays, stays as it is. `values` is the parameter that
    AdamW sees, (room, H); its first rows are those of `numbers`, the rest zeros that stay zeros.
    """

    ROOM = 1024
    """The least room; more is made by half."""

    def __init__(self, table: nn.Parameter) -> None:
        self.table = table
        self.place = torch.full((len(table),), -1, dtype=torch.int64, device=table.device)
        self.numbers = torch.zeros(0, dtype=torch.int64, device=table.device)
        self.values = nn.Parameter(table.new_zeros(0, table.shape[1]))
        self.gradient = torch.zeros_like(self.values)
        self.last = self.numbers  # places of the rows that have a gradient now

    def add(self, numbers: Tensor) -> bool:
        """Have these rows (distinct) among them; True where `values` is another parameter now, since it had no room."""
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
        room = min(len(self.table), max(self.ROOM, len(self.numbers) * 3 // 2))
        values = self.table.new_zeros(room, self.table.shape[1])
        values[: len(self.numbers)] = torch.cat([self.values.detach()[:known], added])
        self.values = nn.Parameter(values)
        self.gradient, self.last = torch.zeros_like(values), self.numbers[:0]
        return True

    def take(self, numbers: Tensor, gradient: Tensor) -> None:
        """Make the gradient of these rows, (n, H), the one that AdamW sees; that of all others is 0."""
        self.gradient.index_fill_(0, self.last, 0.0)
        self.last = self.place[numbers]
        self.gradient.index_copy_(0, self.last, gradient)
        self.values.grad = self.gradient

    def put_back(self) -> None:
        """Write the rows into the embedding, where AdamW has moved them."""
        if self.values.grad is not None:
            self.table.detach().index_copy_(0, self.numbers, self.of(self.values.detach()))

    def of(self, value: Tensor) -> Tensor:
        """Of a moment, (room, H), the part that means something; a step count is one as it is."""
        return value[: len(self.numbers)] if value.ndim else value

    def widened(self, value: Tensor) -> Tensor:
        """A moment with rows of zeros up to the room there is."""
        return F.pad(value, (0, 0, 0, len(self.values) - len(value))) if value.ndim else value


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """A value that lies in memory as the parameter does, which the fused kernel takes for granted."""
    return (
        value if value.stride() == parameter.stride() else torch.empty_like(parameter).copy_(value)
    )


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
