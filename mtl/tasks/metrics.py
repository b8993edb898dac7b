"""Metrics from predictions, with numpy. No torch, so a saved run can be scored again anywhere.

Shapes: gold labels (n,) float64; outputs (n, outputs) as a head returns them. An undefined metric
is None with a reason, never 0 or NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mtl.tasks.registry import TASKS
from mtl.tasks.task import CORRELATIONS, Split, Task, TaskName

CALIBRATION_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The outputs of a model for one task and split. `gold` is None without labels."""

    task: TaskName
    split: Split
    ids: list[str]
    gold: np.ndarray | None
    outputs: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Metrics by key, and a reason for each metric that is None."""

    metrics: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def score(predictions: Predictions) -> Scores:
    """All metrics of one task, with keys such as `sts/pearson`.

    Raises ValueError without gold labels or rows.

    >>> predictions = Predictions(
    ...     task="quora", split="dev", ids=["a", "b"],
    ...     gold=np.array([1.0, 1.0]), outputs=np.array([[2.5], [-0.5]]),
    ... )
    >>> scores = score(predictions)
    >>> scores.metrics["quora/accuracy"], scores.reasons["quora/recall/0"]
    (0.5, 'no row has the gold label 0')
    """
    task, gold, outputs = TASKS[predictions.task], predictions.gold, predictions.outputs
    if gold is None or not len(gold):
        raise ValueError(f"{task.name}/{predictions.split}: nothing to score against")
    if task.kind == "score":
        return _score_scores(task, gold, outputs[:, 0].astype(np.float64))
    return _score_classes(task, predictions, gold.astype(np.int64))


def _score_classes(task: Task, predictions: Predictions, gold: np.ndarray) -> Scores:
    probability = probabilities(task, predictions.outputs)
    chosen = chosen_classes(predictions)
    classes = probability.shape[1]
    confusion = confusion_matrix(gold, chosen, classes)
    correct = chosen == gold
    scores = Scores()
    scores.metrics[f"{task.name}/accuracy"] = float(correct.mean())
    scores.metrics[f"{task.name}/macro_f1"] = macro_f1(confusion)
    scores.metrics[f"{task.name}/calibration_error"] = calibration_error(
        probability.max(1), correct
    )
    for label in range(classes):
        _put(scores, f"{task.name}/recall/{label}", *_recall(confusion, label))
    for metric in (task.metric, *task.metrics):
        if f"{task.name}/{metric}" in scores.metrics:
            continue
        value = (
            auc(predictions)
            if metric == "auc"
            else f1(confusion)
            if metric == "f1"
            else mcc(confusion)
        )
        _put(scores, f"{task.name}/{metric}", *value)
    return scores


def _score_scores(task: Task, gold: np.ndarray, predicted: np.ndarray) -> Scores:
    from scipy.stats import rankdata

    scores = Scores()
    _put(scores, f"{task.name}/pearson", *pearson(predicted, gold))
    _put(scores, f"{task.name}/spearman", *pearson(rankdata(predicted), rankdata(gold)))
    error = float(np.mean((predicted - gold) ** 2))
    scores.metrics[f"{task.name}/mean_squared_error"] = error
    if "rmse" in (task.metric, *task.metrics):
        scores.metrics[f"{task.name}/rmse"] = math.sqrt(error)
    return scores


def probabilities(task: Task, outputs: np.ndarray) -> np.ndarray:
    """Class probabilities (n, classes), float64: softmax, or the sigmoid of a binary task."""
    logits = outputs.astype(np.float64)
    if task.kind == "binary":
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True))


def chosen_classes(predictions: Predictions) -> np.ndarray:
    """The class of each row, (n,) int: of the largest output, or by the sign of a single one."""
    task = TASKS[predictions.task]
    if task.kind == "binary":
        return (predictions.outputs[:, 0] > 0).astype(np.int64)
    return np.asarray(probabilities(task, predictions.outputs).argmax(1))


def confusion_matrix(gold: np.ndarray, chosen: np.ndarray, classes: int) -> np.ndarray:
    """Counts of shape (classes, classes): rows are gold classes, columns chosen classes."""
    return np.bincount(gold * classes + chosen, minlength=classes * classes).reshape(
        classes, classes
    )


def macro_f1(confusion: np.ndarray) -> float:
    """The mean over classes of 2 tp / (2 tp + fp + fn), without classes that never occur."""
    hits = np.diag(confusion)
    sums = confusion.sum(0) + confusion.sum(1)
    return float(np.mean(2 * hits[sums > 0] / sums[sums > 0]))


def f1(confusion: np.ndarray) -> tuple[float | None, str]:
    """F1 of the second of two classes and "", or None and the reason."""
    count = confusion[1].sum() + confusion[:, 1].sum()
    if not count:
        return None, "no row has the second class, in gold or chosen"
    return float(2 * confusion[1, 1] / count), ""


def mcc(confusion: np.ndarray) -> tuple[float | None, str]:
    """Matthews' correlation of any number of classes (Gorodkin 2004) and "", or None and why.

    0 where one class is chosen for every row.
    """
    cells = confusion.astype(np.float64)
    n, gold, chosen = cells.sum(), cells.sum(1), cells.sum(0)
    if (gold > 0).sum() < 2:
        return None, "all gold classes are equal, so the correlation is undefined"
    spread = (n * n - chosen @ chosen) * (n * n - gold @ gold)
    return float((np.trace(cells) * n - gold @ chosen) / np.sqrt(spread)) if spread else 0.0, ""


def auc(predictions: Predictions) -> tuple[float | None, str]:
    """The area under the ROC curve of two classes and "", or None and why. Ties count half."""
    from scipy.stats import rankdata

    assert predictions.gold is not None
    ones = predictions.gold == 1
    positive, negative = int(ones.sum()), int((~ones).sum())
    if not (positive and negative):
        return None, "all gold classes are equal, so there is no pair to rank"
    total = rankdata(second_class(predictions))[ones].sum() - positive * (positive + 1) / 2
    return float(total / (positive * negative)), ""


def second_class(predictions: Predictions) -> np.ndarray:
    """The logit of the second of two classes against the first, (n,) float64."""
    logits = predictions.outputs.astype(np.float64)
    return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]


def calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int = CALIBRATION_BINS
) -> float:
    """Expected calibration error: mean |accuracy - confidence| over bins (Guo et al. 2017)."""
    bin_of_row = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(bin_of_row, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def pearson(x: np.ndarray, y: np.ndarray) -> tuple[float | None, str]:
    """Pearson's r and "", or None and the reason why r is undefined."""
    if len(x) < 2:
        return None, "fewer than two rows"
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None, "a value is not finite"
    for values, name in ((x, "predictions"), (y, "gold scores")):
        if np.ptp(values) == 0:
            return None, f"all {name} are equal ({values[0]:g}), so the correlation is undefined"
    x, y = x - x.mean(), y - y.mean()
    return float(np.dot(x, y) / np.sqrt(np.dot(x, x) * np.dot(y, y))), ""


def overall(
    metrics: Mapping[str, float | None], tasks: tuple[TaskName, ...], rule: str
) -> tuple[float | None, str]:
    """The mean of the tasks' metrics, by weight, and ""; or None and the reason.

    A task of weight 0 does not count. The root mean squared error counts as its negative. With the
    rule `shifted`, (r + 1) / 2 replaces a correlation r.
    """
    values: dict[TaskName, float] = {}
    for task in tasks:
        value = metrics.get(TASKS[task].metric_key)
        if TASKS[task].weight == 0:
            continue
        if value is None:
            return None, f"{TASKS[task].metric_key} is undefined"
        values[task] = counted(value, task, rule)
    return weighted_mean(values), ""


def counted(value: float, task: TaskName, rule: str) -> float:
    """A task's metric as it counts in `overall`: larger is better."""
    metric = TASKS[task].metric
    if metric == "rmse":
        return -value
    return (value + 1) / 2 if rule == "shifted" and metric in CORRELATIONS else value


def weighted_mean(values: Mapping[TaskName, float]) -> float:
    """The mean of values by task, with the tasks' weights."""
    factors = shares_of(tuple(values))
    return float(np.mean([factors[task] * value for task, value in values.items()]))


def shares_of(tasks: Sequence[TaskName]) -> dict[TaskName, float]:
    """The weight of each task over the mean weight, without tasks of weight 0.

    1 for every task where the weights are equal.

    >>> shares_of(("sst", "sts"))
    {'sst': 1.0, 'sts': 1.0}
    """
    weights = {task: TASKS[task].weight for task in tasks if TASKS[task].weight > 0}
    total = sum(weights.values())
    return {task: weight * len(weights) / total for task, weight in weights.items()}


def score_all(
    predictions: Mapping[TaskName, Predictions], tasks: tuple[TaskName, ...], rule: str, prefix: str
) -> Scores:
    """The metrics of all tasks and `overall`, with keys such as `<prefix>/sts/pearson`."""
    scores = Scores()
    for task in tasks:
        task_scores = score(predictions[task])
        scores.metrics.update(task_scores.metrics)
        scores.reasons.update(task_scores.reasons)
    _put(scores, "overall", *overall(scores.metrics, tasks, rule))
    return Scores(
        metrics={f"{prefix}/{key}": value for key, value in scores.metrics.items()},
        reasons={f"{prefix}/{key}": reason for key, reason in scores.reasons.items()},
    )


def _recall(confusion: np.ndarray, label: int) -> tuple[float | None, str]:
    rows = confusion[label].sum()
    return (
        (float(confusion[label, label] / rows), "")
        if rows
        else (None, f"no row has the gold label {label}")
    )


def _put(scores: Scores, key: str, value: float | None, reason: str) -> None:
    scores.metrics[key] = value
    if value is None:
        scores.reasons[key] = reason
