"""The score of predictions, example by example, as `mtl.stats` compares runs.

Also what a run does that has collapsed to a constant output, and what such a run scores.
"""

from __future__ import annotations

import numpy as np

from mtl.stats.examples import Examples, order_of, pearson_values
from mtl.tasks.metrics import Predictions, chosen_classes, pearson
from mtl.tasks.registry import TASKS


def examples(predictions: Predictions, *, rule: str = "mean") -> Examples | None:
    """The per-example values of the metric that counts in `overall`, or None if it is undefined.

    Accuracy: 1 if the example is right, else 0. Pearson: `mtl.stats.pearson_values`; constant
    predictions count as r = 0, so that a collapsed run is not left out. With the rule `shifted`,
    sts counts as (r + 1) / 2. Undefined are a Pearson of equal gold scores and outputs that are not
    finite. Raises ValueError without gold labels or rows.

    >>> predictions = Predictions(
    ...     task="quora", split="dev", ids=["a", "b"],
    ...     gold=np.array([1.0, 1.0]), outputs=np.array([[2.5], [-0.5]]),
    ... )
    >>> examples(predictions).score
    0.5
    """
    task, gold = TASKS[predictions.task], _gold(predictions)
    order = order_of(predictions.ids)
    if task.metric == "accuracy":
        correct = (chosen_classes(predictions) == gold.astype(np.int64)).astype(np.float64)
        return Examples(score=float(correct.mean()), values=correct, order=order)
    predicted = predictions.outputs[:, 0].astype(np.float64)
    if not np.isfinite(predicted).all() or len(gold) < 2 or np.ptp(gold) == 0:
        return None
    r, _ = pearson(predicted, gold)
    score, values = r or 0.0, pearson_values(predicted, gold)
    if rule == "shifted":
        score, values = (score + 1) / 2, (values + 1) / 2
    return Examples(score=score, values=values, order=order)


def collapsed(predictions: Predictions) -> str:
    """Why the outputs say nothing of the rows, in words; "" if they do.

    >>> collapsed(Predictions(
    ...     task="sts", split="dev", ids=["a", "b"], gold=None, outputs=np.full((2, 1), 2.5),
    ... ))
    'sts: all predictions are 2.5'
    """
    if len(predictions.ids) < 2:
        return ""
    if TASKS[predictions.task].kind == "score":
        outputs = predictions.outputs[:, 0]
        equal = bool(np.ptp(outputs) == 0)
        return f"{predictions.task}: all predictions are {outputs[0]:g}" if equal else ""
    classes = chosen_classes(predictions)
    equal = bool((classes == classes[0]).all())
    return f"{predictions.task}: every row is given the class {classes[0]}" if equal else ""


def floor(predictions: Predictions, *, rule: str = "mean") -> float:
    """What a constant output scores at best: the share of the commonest class, or r = 0.

    Raises ValueError without gold labels or rows.
    """
    gold = _gold(predictions)
    if TASKS[predictions.task].metric == "accuracy":
        return float(np.unique(gold, return_counts=True)[1].max() / len(gold))
    return 0.5 if rule == "shifted" else 0.0


def _gold(predictions: Predictions) -> np.ndarray:
    if predictions.gold is None or not len(predictions.gold):
        raise ValueError(f"{predictions.task}/{predictions.split}: nothing to score against")
    return predictions.gold
