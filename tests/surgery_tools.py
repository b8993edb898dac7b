"""Shared by the tests of gradient surgery: small matrices and every surgery."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mtl.methods.surgery import Surgery

every_real_surgery = pytest.mark.parametrize("name", ["dominant", "pcgrad"])


def drawn() -> np.random.Generator:
    return np.random.default_rng(0)


def projected(surgery: Surgery, gradients: Tensor, generator: np.random.Generator) -> Tensor:
    """Each task's gradient after surgery, (T, P)."""
    products = (gradients.double() @ gradients.double().T).cpu().numpy()
    return torch.from_numpy(surgery.coefficients(products, generator)).to(gradients) @ gradients


def combined(surgery: Surgery, gradients: Tensor, generator: np.random.Generator) -> Tensor:
    """The step's gradient from the tasks' gradients in one matrix, (T, P) -> (P,)."""
    products = (gradients.double() @ gradients.double().T).cpu().numpy()
    return torch.from_numpy(surgery.weights(products, generator)).to(gradients) @ gradients
