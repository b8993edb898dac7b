"""Inner products and weighted sums of the tasks' gradients, parameter by parameter.

What surgery needs to know of T gradients of P numbers are their T x T inner products, so no (T, P) matrix is ever laid
out: a task's gradient stays the list of tensors that backward made. None means that the task does not reach the
parameter (frozen for it, or not on its path); it enters no product, and a parameter that no task reaches keeps None.
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
    """The parameters' `.grad`, which are None afterwards."""
    taken: Gradient = []
    for parameter in parameters:
        grad = parameter.grad
        taken.append(grad.coalesce() if grad is not None and grad.is_sparse else grad)
        parameter.grad = None
    return taken


def gram(gradients: Sequence[Gradient]) -> np.ndarray:
    """The inner products of T gradients, (T, T) float64: exact rows where they are sparse, summed in double precision.

    One transfer from the device.
    """
    size = len(gradients)
    places: list[tuple[int, int]] = []
    products: list[Tensor] = []
    for entries in zip(*gradients, strict=True):
        for i, one in enumerate(entries):
            for j, other in enumerate(entries[: i + 1]):
                if one is not None and other is not None:
                    places.append((i, j))
                    products.append(_inner(one, other))
    found = np.zeros((size, size))
    if products:
        np.add.at(
            found, tuple(zip(*places, strict=True)), torch.stack(products).double().cpu().numpy()
        )
    return found + np.tril(found, -1).T


def put(
    parameters: Sequence[nn.Parameter], gradients: Sequence[Gradient], weights: np.ndarray
) -> None:
    """Make `.grad` the sum of the gradients by weight, (T,). The gradients' own memory is used and no longer theirs."""
    for parameter, entries in zip(parameters, zip(*gradients, strict=True), strict=True):
        present = [
            (entry, float(w))
            for entry, w in zip(entries, weights, strict=True)
            if entry is not None
        ]
        if present:
            parameter.grad = (
                _sparse_sum(present) if present[0][0].is_sparse else _dense_sum(present)
            )


def _inner(one: Tensor, other: Tensor) -> Tensor:
    if not one.is_sparse:
        return torch.dot(_flat(one), _flat(other))
    if one is other:
        values = one.values().flatten()
        return torch.dot(values, values)
    rows, others = one.indices()[0], other.indices()[0]
    if not len(rows):
        return one.values().sum()
    # Coalesced rows are in order and each there once.
    places = torch.searchsorted(rows, others).clamp_(max=len(rows) - 1)
    shared = (rows[places] == others).to(one.dtype)
    return torch.dot((one.values()[places] * other.values()).sum(1), shared)


def _flat(values: Tensor) -> Tensor:
    """All numbers in one row, in the order in which they lie (weights may lie as their transpose: `mtl.model.linear`)."""
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
