"""The aggregators of TorchJD that need the tasks' inner products alone, through one adapter.

TorchJD's own weights differ in scale: some sum to 1, some to the number of tasks. Here they are
divided by the weight that the same method gives orthogonal gradients of equal norm, the root mean
square of the step's. So such gradients give the plain sum under each method, and learning rates and
clipping compare between methods. A task whose gradient is zero is left out: it would take all of
the weight in some of them.
Source: Quinton & Rey, TorchJD (arXiv:2406.16232).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtl.config.surgeries import NEEDS
from mtl.methods.surgery import SURGERIES, Surgery
from mtl.tasks.task import TaskName

CAGRAD_C, FAIRGRAD_ALPHA = 0.5, 1.0
"""CAGrad's radius around the mean gradient, and FairGrad's proportional fairness."""


def _makers() -> dict[str, Callable[[], Any]]:
    from torchjd import aggregation

    return {
        "mgda": aggregation.MGDAWeighting,
        "imtlg": aggregation.IMTLGWeighting,
        "alignedmtl": aggregation.AlignedMTLWeighting,
        "cagrad": partial(aggregation.CAGradWeighting, c=CAGRAD_C),
        "upgrad": aggregation.UPGradWeighting,
        "dualproj": aggregation.DualProjWeighting,
        "fairgrad": partial(aggregation.FairGradWeighting, alpha=FAIRGRAD_ALPHA),
        "random": aggregation.RandomWeighting,
    }


class Weighting(Surgery):
    """One of TorchJD's weightings, by its word in a config."""

    def __init__(self, word: str, backbone: Sequence[nn.Parameter] = ()) -> None:
        super().__init__(backbone)
        self.weighting = _makers()[word]()

    def weights(
        self, gram: np.ndarray, generator: np.random.Generator, tasks: Sequence[TaskName] = ()
    ) -> np.ndarray:
        weights = np.zeros(len(gram))
        used = gram.diagonal() > 0
        if not np.isfinite(gram).all() or not used.any():
            return np.ones(len(gram))  # the training loop reports a gradient that is not finite
        # Some of the weightings have constants that are meant for norms of about 1.
        products = torch.from_numpy(gram[np.ix_(used, used)] / gram.diagonal()[used].mean())
        even = torch.eye(len(products), dtype=products.dtype)
        # Some of the weightings draw from torch's global generator.
        with torch.random.fork_rng(devices=[]):
            seed = int(generator.integers(2**63))
            found, usual = (self._given(seed, matrix) for matrix in (products, even))
        weights[used] = found / usual.mean()
        return weights

    def _given(self, seed: int, products: Tensor) -> np.ndarray:
        torch.manual_seed(seed)
        given: Tensor = self.weighting(products)
        return given.double().numpy()


for _word in NEEDS:
    SURGERIES[_word] = partial(Weighting, _word)
