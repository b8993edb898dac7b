"""Several predictions of the same rows as one: the mean of probabilities, or of scores.

Source: Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty
Estimation using Deep Ensembles", NeurIPS 2017, arXiv:1612.01474.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mtl.tasks.metrics import Predictions, probabilities
from mtl.tasks.registry import TASKS


def mean_predictions(parts: Sequence[Predictions]) -> Predictions:
    """The mean of the predictions of one task for the same rows in the same order.

    One part's outputs keep their bits. A mean's are float64 (rows, outputs): scores, or the logits
    of the mean probabilities.

    >>> parts = [Predictions(task="quora", split="dev", ids=["a"], gold=None,
    ...                      outputs=np.log(np.array([[odds]]))) for odds in (1.0, 3.0)]
    >>> float(1 / (1 + np.exp(-mean_predictions(parts).outputs[0, 0])))  # of 1/2 and 3/4
    0.625
    """
    first = parts[0]
    assert all(part.task == first.task and part.ids == first.ids for part in parts)
    if len(parts) == 1:
        return first
    task = TASKS[first.task]
    if task.kind == "score":
        outputs = np.mean([part.outputs.astype(np.float64) for part in parts], axis=0)
    else:
        chances = np.mean([probabilities(task, part.outputs) for part in parts], axis=0)
        logs = np.log(np.maximum(chances, np.finfo(np.float64).tiny))
        outputs = logs[:, 1:] - logs[:, :1] if task.kind == "binary" else logs
    return replace(first, outputs=outputs)
