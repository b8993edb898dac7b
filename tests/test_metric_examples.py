"""What `examples` and `floor` say of every metric that can count in overall."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mtl.runs.examples import collapsed, examples, floor
from mtl.tasks.metrics import Predictions, counted, score
from mtl.tasks.registry import TASKS
from mtl.tasks.task import CORRELATIONS, Metric, Task

METRICS: dict[Metric, str] = {
    "accuracy": "sst", "macro_f1": "sst", "mcc": "sst", "f1": "quora", "auc": "quora",
    "pearson": "sts", "spearman": "sts", "rmse": "sts",
}  # fmt: skip
"""A task on which each metric is defined."""

ROWS = 200


def task_of(metric: Metric) -> Task:
    return replace(TASKS[METRICS[metric]], metric=metric)


def predictions(task: Task, outputs: np.ndarray | None = None) -> Predictions:
    """Predictions that are right more often than chance; some outputs are equal."""
    rng = np.random.default_rng(5)
    if task.class_names:
        gold = rng.choice(len(task.class_names), ROWS, p=shares(task)).astype(float)
        signal = np.eye(task.outputs)[gold.astype(int)] if task.outputs > 1 else gold[:, None] - 0.5
        signal = 3 * signal
    else:
        gold = np.round(rng.uniform(0, 5, ROWS), 1)
        signal = gold[:, None]
    usual = np.round(signal + rng.normal(size=(ROWS, task.outputs)), 1)
    return Predictions(
        task=task.name,
        split="dev",
        ids=list(map(str, range(ROWS))),
        gold=gold,
        outputs=usual if outputs is None else outputs,
    )


def shares(task: Task) -> np.ndarray:
    """The shares of the classes: each is half as large as the one before."""
    sizes = 0.5 ** np.arange(len(task.class_names))
    return np.asarray(sizes / sizes.sum())


@pytest.mark.parametrize("rule", ["mean", "shifted"])
@pytest.mark.parametrize("metric", METRICS)
def test_the_score_is_the_metric_as_it_counts_and_the_mean_of_its_values(
    metric: Metric, rule: str
) -> None:
    task = task_of(metric)
    with TASKS.using([task]):
        found = examples(predictions(task), rule=rule)
        expected = score(predictions(task)).metrics[task.metric_key]
        assert found is not None and expected is not None and found.values is not None
        assert found.score == counted(expected, task.name, rule)
        assert found.values.mean() == pytest.approx(found.score, abs=1e-12)
        assert found.values.std() > 0
        if rule == "shifted" and metric not in CORRELATIONS:
            usual = examples(predictions(task))
            assert usual is not None and usual.score == found.score


@pytest.mark.parametrize("rule", ["mean", "shifted"])
@pytest.mark.parametrize("metric", METRICS)
def test_the_floor_is_the_best_of_all_constant_outputs(metric: Metric, rule: str) -> None:
    task = task_of(metric)
    if task.outputs > 1:
        constants = list(np.eye(task.outputs))
    elif task.class_names:
        constants = [np.array([-1.0]), np.array([1.0])]
    else:
        gold = predictions(task).gold
        assert gold is not None
        constants = [np.array([value]) for value in (0.0, float(gold.mean()), 5.0)]
    with TASKS.using([task]):
        scores = []
        for constant in constants:
            always = predictions(task, np.tile(constant, (ROWS, 1)))
            found = examples(always, rule=rule)
            assert found is not None and collapsed(always)
            scores.append(found.score)
        assert max(scores) == pytest.approx(floor(predictions(task), rule=rule), abs=1e-12)
        usual = examples(predictions(task), rule=rule)
        assert usual is not None and usual.score > max(scores)


@pytest.mark.parametrize("metric", METRICS)
def test_one_class_or_score_in_gold_makes_a_metric_undefined_for_both(metric: Metric) -> None:
    """`examples` and `score` agree on which metrics are then undefined, and never give NaN."""
    task = task_of(metric)
    with TASKS.using([task]):
        equal = replace(predictions(task), gold=np.zeros(ROWS))
        value = score(equal).metrics[task.metric_key]
        found = examples(equal)
        assert (found is None) == (value is None)
        if found is None:
            assert score(equal).reasons[task.metric_key]
        elif found.values is not None:
            assert np.isfinite(found.values).all() and np.isfinite(found.score)
