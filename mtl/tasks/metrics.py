"""Metrics from predictions, with numpy. No torch, so a saved run can be scored again anywhere.

Shapes: gold labels (n,) float64; outputs (n, outputs) as a head returns them. An undefined metric
is None with a reason, never 0 or NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mtl.tasks.registry import TASKS
from mtl.tasks.task import Split, Task, TaskName

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
    probability = probabilities(task, outputs)
    labels = gold.astype(np.int64)
    chosen = chosen_classes(predictions)
    classes = probability.shape[1]
    confusion = confusion_matrix(labels, chosen, classes)
    correct = chosen == labels
    scores = Scores()
    scores.metrics[f"{task.name}/accuracy"] = float(correct.mean())
    scores.metrics[f"{task.name}/macro_f1"] = macro_f1(confusion)
    scores.metrics[f"{task.name}/calibration_error"] = calibration_error(
        probability.max(1), correct
    )
    for label in range(classes):
        _put(scores, f"{task.name}/recall/{label}", *_recall(confusion, label))
    return scores


def _score_scores(task: Task, gold: np.ndarray, predicted: np.ndarray) -> Scores:
    from scipy.stats import rankdata

    scores = Scores()
    _put(scores, f"{task.name}/pearson", *pearson(predicted, gold))
    _put(scores, f"{task.name}/spearman", *pearson(rankdata(predicted), rankdata(gold)))
    scores.metrics[f"{task.name}/mean_squared_error"] = float(np.mean((predicted - gold) ** 2))
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
    """The mean of the tasks' metrics and "", or None and the reason.

    With the rule `shifted`, (r + 1) / 2 replaces Pearson's r.
    """
    values = []
    for task in tasks:
        value = metrics.get(TASKS[task].metric_key)
        if value is None:
            return None, f"{TASKS[task].metric_key} is undefined"
        values.append(
            (value + 1) / 2 if rule == "shifted" and TASKS[task].metric == "pearson" else value
        )
    return float(np.mean(values)), ""


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
