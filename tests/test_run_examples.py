"""A run's score by example is the metric that counts, also for runs that have collapsed."""

from __future__ import annotations

import numpy as np
import pytest

from mtl.runs.examples import collapsed, examples, floor
from mtl.tasks.metrics import Predictions, overall, score
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName
from tests.prediction_tools import predictions, random_predictions


@pytest.mark.parametrize("task", ["sst", "quora", "sts"])
def test_an_example_s_values_average_to_the_score_that_metrics_reports(task: TaskName) -> None:
    for seed in range(5):
        given = random_predictions(task, np.random.default_rng(seed))
        found = examples(given)
        assert found is not None
        assert found.score == score(given).metrics[TASKS[task].metric_key]
        assert found.values.mean() == pytest.approx(found.score, abs=1e-12)
        assert found.values.shape == (60,)


def test_the_shifted_rule_rescales_sts_as_overall_does_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    for task in TASKS:
        given = random_predictions(task, rng)
        found = examples(given, rule="shifted")
        assert found is not None
        assert found.score == overall(score(given).metrics, (task,), "shifted")[0]
        assert found.values.mean() == pytest.approx(found.score, abs=1e-12)


def test_pearson_s_values_are_the_jackknife_s_to_first_order() -> None:
    rng = np.random.default_rng(2)
    count = 400
    gold = rng.integers(0, 26, count) / 5
    outputs = gold + rng.normal(size=count) * (0.5 + gold / 3)
    found = examples(predictions("sts", gold, outputs[:, None]))
    assert found is not None
    keep = ~np.eye(count, dtype=bool)
    without = np.array([np.corrcoef(outputs[rows], gold[rows])[0, 1] for rows in keep])
    pseudo = count * found.score - (count - 1) * without
    assert np.corrcoef(pseudo, found.values)[0, 1] > 0.9999
    assert found.values.std(ddof=1) == pytest.approx(pseudo.std(ddof=1), rel=0.01)


def test_an_undefined_correlation_has_no_examples() -> None:
    gold, outputs = np.array([0.0, 1.0, 2.0]), np.array([[0.0], [2.0], [1.0]])
    assert examples(predictions("sts", np.ones(3), outputs)) is None
    assert examples(predictions("sts", gold, np.array([[0.0], [np.nan], [1.0]]))) is None


def test_a_run_that_has_collapsed_to_one_output_counts_as_r_0() -> None:
    gold = np.array([0.0, 1.0, 2.0])
    constant = predictions("sts", gold, np.full((3, 1), 2.5))
    for rule, expected in (("mean", 0.0), ("shifted", 0.5)):
        found = examples(constant, rule=rule)
        assert found is not None and found.values is not None
        assert found.score == expected == floor(constant, rule=rule)
        assert (found.values == expected).all()
    assert collapsed(constant) == "sts: all predictions are 2.5"
    assert collapsed(predictions("sts", gold, np.array([[0.0], [1.0], [1.0]]))) == ""


def test_one_class_for_every_row_is_a_collapse_and_scores_the_share_of_its_class() -> None:
    gold = np.array([1.0, 1.0, 0.0, 1.0])
    always = predictions("quora", gold, np.array([[0.1], [2.0], [0.3], [1.0]]))
    found = examples(always)
    assert found is not None and found.score == floor(always) == 0.75
    assert collapsed(always) == "quora: every row is given the class 1"
    assert collapsed(predictions("quora", gold, np.array([[0.1], [2.0], [-0.3], [1.0]]))) == ""


def test_examples_need_gold_labels() -> None:
    blank = Predictions(task="sst", split="test", ids=["a"], gold=None, outputs=np.zeros((1, 5)))
    with pytest.raises(ValueError, match="sst/test: nothing to score against"):
        examples(blank)
