"""The score of predictions, example by example, as `mtl.stats` compares runs.

Also what a run does that has collapsed to a constant output, and what such a run scores.
"""

from __future__ import annotations

import numpy as np

from mtl.stats import influence
from mtl.stats.examples import Examples, order_of
from mtl.tasks.metrics import Predictions, chosen_classes, score, second_class
from mtl.tasks.registry import TASKS
from mtl.tasks.task import CORRELATIONS


def examples(predictions: Predictions, *, rule: str = "mean") -> Examples | None:
    """The per-example values of the metric that counts in `overall`, or None if it is undefined.

    They are as they count there (`mtl.tasks.metrics.counted`). Constant predictions count as a
    correlation of 0, so that a collapsed run is not left out. Undefined are a metric of equal gold
    labels where it needs different ones, and outputs that are not finite. Raises ValueError without
    gold labels or rows.

    >>> predictions = Predictions(
    ...     task="quora", split="dev", ids=["a", "b"],
    ...     gold=np.array([1.0, 1.0]), outputs=np.array([[2.5], [-0.5]]),
    ... )
    >>> examples(predictions).score
    0.5
    """
    gold = _gold(predictions)
    if not np.isfinite(predictions.outputs).all():
        return None
    try:
        values = _values(predictions, gold)
    except ValueError:  # the metric is undefined
        return None
    score = _score(predictions, values)
    metric = TASKS[predictions.task].metric
    if metric == "rmse":
        score, values = -score, -values
    elif rule == "shifted" and metric in CORRELATIONS:
        score, values = (score + 1) / 2, (values + 1) / 2
    return Examples(score=score, values=values, order=order_of(predictions.ids))


def _values(predictions: Predictions, gold: np.ndarray) -> np.ndarray:
    """The per-example values of the task's metric. Raises ValueError where it is undefined."""
    task = TASKS[predictions.task]
    if task.class_names:
        labels, chosen = gold.astype(np.int64), chosen_classes(predictions)
        match task.metric:
            case "accuracy":
                return influence.accuracy_values(labels, chosen)
            case "macro_f1":
                return influence.macro_f1_values(labels, chosen)
            case "f1":
                return influence.f1_values(labels, chosen, np.array([1]))
            case "mcc":
                return influence.mcc_values(labels, chosen)
        return influence.auc_values(labels, second_class(predictions))
    predicted = predictions.outputs[:, 0].astype(np.float64)
    if task.metric == "rmse":
        return influence.rmse_values(predicted, gold)
    if len(gold) < 2:
        raise ValueError("fewer than two rows")
    if task.metric == "spearman":
        return influence.spearman_values(predicted, gold)
    return influence.pearson_values(predicted, gold)


def _score(predictions: Predictions, values: np.ndarray) -> float:
    """The metric itself; it is the mean of its values up to rounding.

    An undefined correlation of constant predictions is 0, as its values are.
    """
    task = TASKS[predictions.task]
    if task.metric == "accuracy":
        return float(values.mean())
    return score(predictions).metrics[task.metric_key] or 0.0


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
    """What a constant output scores at best, as it counts in `overall`.

    For accuracy it is the share of the commonest class, for a correlation 0. Raises ValueError
    without gold labels or rows.
    """
    gold, metric = _gold(predictions), TASKS[predictions.task].metric
    shares = np.unique(gold, return_counts=True)[1] / len(gold)
    most = float(shares.max())
    match metric:
        case "accuracy":
            return most
        case "macro_f1":
            return 2 * most / (1 + most) / len(shares)
        case "f1":
            ones = float((gold == 1).mean())
            return 2 * ones / (1 + ones)
        case "auc":
            return 0.5
        case "rmse":
            return -float(gold.std())
    return 0.5 if rule == "shifted" and metric in CORRELATIONS else 0.0


def _gold(predictions: Predictions) -> np.ndarray:
    if predictions.gold is None or not len(predictions.gold):
        raise ValueError(f"{predictions.task}/{predictions.split}: nothing to score against")
    return predictions.gold
