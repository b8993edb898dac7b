"""Inner products and weighted sums of the tasks' gradients, parameter by parameter.

Surgery on T gradients of P numbers needs only their T x T inner products, so no (T, P) matrix is
made: a task's gradient stays the list of tensors that backward produced. None means that the task
does not reach the parameter. It enters no product, and a parameter that no task reaches keeps None.
The word embeddings' gradient is sparse: only rows that both tasks touch enter a product.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

Gradient = list[Tensor | None]
"""One task's gradient, an entry a parameter; sparse entries are coalesced."""


def take(parameters: Sequence[nn.Parameter]) -> Gradient:
    """Take the parameters' `.grad` away: they are None afterwards."""
    gradient: Gradient = []
    for parameter in parameters:
        grad = parameter.grad
        gradient.append(grad.coalesce() if grad is not None and grad.is_sparse else grad)
        parameter.grad = None
    return gradient


def gram(gradients: Sequence[Gradient]) -> np.ndarray:
    """The inner products of T gradients, (T, T) float64, with one transfer from the device."""
    size = len(gradients)
    places: list[tuple[int, int]] = []
    products: list[Tensor] = []
    for entries in zip(*gradients, strict=True):
        for i, left in enumerate(entries):
            for j, right in enumerate(entries[: i + 1]):
                if left is not None and right is not None:
                    places.append((i, j))
                    products.append(_inner(left, right))
    lower = np.zeros((size, size))
    if products:
        values = torch.stack(products).double().cpu().numpy()
        np.add.at(lower, tuple(zip(*places, strict=True)), values)
    return lower + np.tril(lower, -1).T


def put(
    parameters: Sequence[nn.Parameter], gradients: Sequence[Gradient], weights: np.ndarray
) -> None:
    """Make `.grad` the gradients' weighted sum; `weights` is (T,). Overwrites the gradients."""
    for parameter, entries in zip(parameters, zip(*gradients, strict=True), strict=True):
        present = [
            (entry, float(weight))
            for entry, weight in zip(entries, weights, strict=True)
            if entry is not None
        ]
        if present:
            is_sparse = present[0][0].is_sparse
            parameter.grad = _sparse_sum(present) if is_sparse else _dense_sum(present)


def _inner(left: Tensor, right: Tensor) -> Tensor:
    if not left.is_sparse:
        return torch.dot(_flat(left), _flat(right))
    if left is right:
        values = left.values().flatten()
        return torch.dot(values, values)
    left_rows, right_rows = left.indices()[0], right.indices()[0]
    if not len(left_rows):
        return left.values().sum()
    # Coalesced rows are sorted and distinct.
    places = torch.searchsorted(left_rows, right_rows).clamp_(max=len(left_rows) - 1)
    shared = (left_rows[places] == right_rows).to(left.dtype)
    return torch.dot((left.values()[places] * right.values()).sum(1), shared)


def _flat(values: Tensor) -> Tensor:
    """All numbers in memory order; weights may lie as their transpose (`mtl.model.linear`)."""
    return values.reshape(-1) if values.is_contiguous() else values.t().reshape(-1)


def _dense_sum(present: list[tuple[Tensor, float]]) -> Tensor:
    (total, weight), *others = present
    if weight != 1:
        total.mul_(weight)
    for entry, weight in others:
        total.add_(entry, alpha=weight)
    return total


def _sparse_sum(present: list[tuple[Tensor, float]]) -> Tensor:
    if len(present) == 1 and present[0][1] == 1:
        return present[0][0]
    indices = torch.cat([entry.indices() for entry, _ in present], dim=1)
    values = torch.cat([entry.values() * weight for entry, weight in present])
    return torch.sparse_coo_tensor(indices, values, present[0][0].shape, check_invariants=False)
