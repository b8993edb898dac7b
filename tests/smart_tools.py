"""Shared by the tests of SMART: a run in float64 with SMART on, and the pairings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.methods.smart import SmartPenalty
from mtl.model.batch import Batch, make_batch
from mtl.training.run import Training
from tests.training_tools import config, started

PAIRINGS = [
    {"pairing": "siamese", "heads": {"quora": "dot", "sts": "cosine"}},
    {"pairing": "siamese", "heads": {"quora": "features", "sts": "features"}},
    {"pairing": "concat", "heads": {"quora": "linear", "sts": "mlp"}},
]
pairings = pytest.mark.parametrize("pairing", PAIRINGS, ids=["siamese", "features", "concat"])


def smart(
    tiny: dict[str, Any], tmp_path: Path, **changes: Any
) -> tuple[Training, SmartPenalty, Batch]:
    """A run with SMART on in float64, and a batch of five rows of every task."""
    changes = {"smart": {}, "train__dropout": 0.0, "schedule": "consolidated"} | changes
    training = started(config(tiny, **changes), tmp_path)
    penalty = training.penalty
    assert isinstance(penalty, SmartPenalty)
    training.model.double()
    if penalty.teacher is not None:
        penalty.teacher.double()
    return training, penalty, batch_of(training)


def batch_of(training: Training, rows: int = 5) -> Batch:
    step = {task: np.arange(rows) for task in training.config.tasks}
    return make_batch(training.prepared.train, step, training.prepared.pairer, training.device)
