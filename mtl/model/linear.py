"""Linear layers on the machine's fastest product: y = x W' + b and its gradients.

On the CPU torch multiplies with Intel's MKL. On an AMD processor with AVX-512, oneDNN, which torch ships too, reaches more than
twice MKL's rate (benchmarks/README.md has figures). Which of them is used is a fact of the machine, never of a measurement, so
that a run repeats itself bit for bit. oneDNN compiles a kernel for each shape of matrices that it meets: `ROWS` rounds the
number of rows up, so that shapes come again.
Shapes: T rows, I inputs, O outputs.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mtl.model.device import vendor

ROWS = 16
"""Rows of a batch of tokens are filled up to a multiple of this (`Packed.fill`), 2 % of a batch of 400."""


ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""Whether this torch has oneDNN's product, a private name that another version may not have."""


class Linear(nn.Linear):
    """`nn.Linear`, (T, I) -> (T, O). What oneDNN cannot take (a GPU, float64, autocast) goes the ordinary way."""

    def forward(self, input: Tensor) -> Tensor:
        if not _takes(input):
            return F.linear(input, self.weight, self.bias)
        found: Tensor = _Product.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return found


@functools.cache
def by_onednn() -> bool:
    """Whether float32 products on this machine's CPU are oneDNN's: an x86 with AVX-512 that is not Intel's."""
    return (
        ONEDNN
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and vendor() not in (None, "GenuineIntel")
    )


def arrange(model: nn.Module) -> None:
    """Lay out the weights of linear layers so that the least has to be transposed for their gradients; no value changes.

    One factor of dW = dy' x must be transposed in memory. The smaller is x where O > I, and then dW' is what comes out: so such
    weights lie as their transpose, for a gradient to lie as its weight does.
    """
    for module in model.modules():
        if (
            isinstance(module, Linear)
            and module.out_features > module.in_features
            and _takes(module.weight)
        ):
            module.weight.data = module.weight.detach().t().contiguous().t()


def product(one: Tensor, other: Tensor, bias: Tensor | None = None) -> Tensor:
    """one (n, k) times other' (m, k) plus bias (m,) -> (n, m), float32, by oneDNN. `other` may be a transposed view."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(one, other, bias, "none", [], "")
    return found


def _takes(values: Tensor) -> bool:
    """Whether products with these are oneDNN's."""
    return (
        values.dtype == torch.float32
        and values.device.type == "cpu"
        and by_onednn()
        and not torch.is_autocast_enabled("cpu")
    )


class _Product(torch.autograd.Function):
    """x W' + b; dx = dy W, dW = dy' x, db = sum of dy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        d_x = d_weight = d_bias = None
        if ctx.needs_input_grad[0]:
            d_x = product(dy, weight.t())
        if ctx.needs_input_grad[1]:
            d_weight = (
                product(dy.t(), x.t()) if weight.is_contiguous() else product(x.t(), dy.t()).t()
            )
        if ctx.needs_input_grad[2]:
            d_bias = dy.sum(0)
        return d_x, d_weight, d_bias
