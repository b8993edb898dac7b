"""Linear layers on the machine's fastest matrix product: y = x W' + b and its gradients.

On the CPU torch multiplies with Intel's MKL. On an AMD processor with AVX-512, oneDNN, which torch
ships too, is more than twice as fast (figures in benchmarks/README.md). The machine alone decides
which is used, never a measurement, so that a run repeats bit for bit. oneDNN compiles a kernel for
each shape: numbers of rows are rounded up to `ROWS`, so that shapes recur.
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
"""A batch's number of rows is a multiple of this (`Packed.fill`); it costs 2 % at 400 tokens."""

ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""Whether torch has oneDNN's product, a private function that other versions may lack."""


class Linear(nn.Linear):
    """`nn.Linear`, (T, I) -> (T, O), by oneDNN except on a GPU, in float64 and under autocast."""

    def forward(self, input: Tensor) -> Tensor:
        if not _takes(input):
            return F.linear(input, self.weight, self.bias)
        output: Tensor = _Product.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return output

    def matrix(self) -> Tensor:
        """The weight that the layer computes with, (O, I): an adapted layer's is not `weight`."""
        return self.weight


@functools.cache
def by_onednn() -> bool:
    """Whether oneDNN computes float32 products here: an x86 with AVX-512 that is not Intel's."""
    return (
        ONEDNN
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and vendor() not in (None, "GenuineIntel")
    )


def arrange(model: nn.Module) -> None:
    """Lay the weights of linear layers out for the cheapest gradients; no value changes.

    One factor of dW = dy' x is transposed in memory. Where O > I, x is the smaller one, and the
    product gives dW'. Such weights are stored as their transpose, so that gradient and weight have
    the same layout.
    """
    for module in model.modules():
        if (
            isinstance(module, Linear)
            and module.out_features > module.in_features
            and _takes(module.weight)
        ):
            module.weight.data = module.weight.detach().t().contiguous().t()


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """left (n, k) times right' (m, k) plus bias (m,) -> (n, m), float32, by oneDNN.

    `right` may be a transposed view.
    """
    result: Tensor = torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")
    return result


def _takes(values: Tensor) -> bool:
    """Whether oneDNN computes products with these values."""
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
