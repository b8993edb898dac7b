"""Metrics have their textbook values; undefined ones are None with a reason; `overall`."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mtl.tasks.metrics import (
    Predictions,
    calibration_error,
    confusion_matrix,
    macro_f1,
    overall,
    pearson,
    probabilities,
    score,
    score_all,
)
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

ALL: tuple[TaskName, ...] = ("sst", "quora", "sts")


def predictions(
    task: TaskName, gold: list[float] | None, outputs: list[list[float]]
) -> Predictions:
    return Predictions(
        task=task,
        split="dev",
        ids=[str(number) for number in range(len(outputs))],
        gold=None if gold is None else np.array(gold, dtype=np.float64),
        outputs=np.array(outputs, dtype=np.float32),
    )


def one_hot(chosen: list[int]) -> list[list[float]]:
    """Logits (n, 5) with their largest value at the chosen class."""
    return [[4.0 if label == pick else 0.0 for label in range(5)] for pick in chosen]


SST = predictions("sst", [0, 0, 1, 2, 2], one_hot([0, 1, 1, 2, 0]))


# --- classes


def test_accuracy_is_the_share_of_rows_whose_largest_logit_is_the_gold_class() -> None:
    assert score(SST).metrics["sst/accuracy"] == pytest.approx(3 / 5)


def test_a_confusion_matrix_has_a_row_a_gold_class_and_a_column_a_chosen_one() -> None:
    found = confusion_matrix(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 0]), 3)
    assert found.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert confusion_matrix(np.array([0]), np.array([0]), 5).shape == (5, 5)


def test_macro_f1_is_the_plain_mean_of_the_classes_that_occur() -> None:
    # Class 0: tp 1 fp 1 fn 1; class 1: tp 1 fp 1 fn 0; class 2: tp 1 fp 0 fn 1; no class 3 or 4.
    wanted = (2 / 4 + 2 / 3 + 2 / 3) / 3
    assert macro_f1(np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1]])) == pytest.approx(wanted)
    assert score(SST).metrics["sst/macro_f1"] == pytest.approx(wanted)


def test_macro_f1_counts_a_class_that_is_chosen_but_never_occurs_as_0() -> None:
    assert macro_f1(np.array([[1, 1], [0, 0]])) == pytest.approx((2 / 3 + 0) / 2)


def test_recall_is_per_gold_class_and_undefined_where_no_row_has_the_class() -> None:
    scores = score(SST)
    assert [scores.metrics[f"sst/recall/{label}"] for label in range(5)] == [
        0.5,
        1.0,
        0.5,
        None,
        None,
    ]
    assert set(scores.reasons) == {"sst/recall/3", "sst/recall/4"}
    assert "3" in scores.reasons["sst/recall/3"]


def test_class_probabilities_are_a_softmax_that_survives_large_logits() -> None:
    found = probabilities(TASKS["sst"], np.array([[0, 0, 0, 0, math.log(4)], [5000, 0, 0, 0, 0]]))
    assert found[0] == pytest.approx([1 / 8, 1 / 8, 1 / 8, 1 / 8, 1 / 2])
    assert found[1] == pytest.approx([1, 0, 0, 0, 0])


# --- binary


def test_a_tie_at_logit_0_is_not_a_paraphrase() -> None:
    assert score(predictions("quora", [0, 0], [[0.0], [-0.0]])).metrics["quora/accuracy"] == 1.0
    assert score(predictions("quora", [1, 1], [[0.0], [1e-30]])).metrics["quora/accuracy"] == 0.5


def test_binary_scores_by_hand() -> None:
    metrics = score(
        predictions("quora", [1, 1, 0, 0, 0], [[2.0], [-1.0], [-3.0], [0.5], [-0.1]])
    ).metrics
    assert metrics["quora/accuracy"] == pytest.approx(3 / 5)
    assert metrics["quora/recall/1"] == pytest.approx(1 / 2)
    assert metrics["quora/recall/0"] == pytest.approx(2 / 3)
    assert metrics["quora/macro_f1"] == pytest.approx(
        (2 * 2 / (2 * 2 + 1 + 1) + 2 * 1 / (2 * 1 + 1 + 1)) / 2
    )


def test_binary_probabilities_are_both_sides_of_the_sigmoid() -> None:
    found = probabilities(TASKS["quora"], np.array([[0.0], [math.log(3)], [-2000.0], [2000.0]]))
    assert found == pytest.approx(np.array([[0.5, 0.5], [0.25, 0.75], [1, 0], [0, 1]]))


# --- calibration


def test_calibration_error_by_hand() -> None:
    # Two bins of two rows: |1/2 - 0.9| and |1 - 0.65|, each half of the rows.
    found = calibration_error(np.array([0.9, 0.9, 0.65, 0.65]), np.array([True, False, True, True]))
    assert found == pytest.approx(0.5 * 0.4 + 0.5 * 0.35)


def test_calibration_error_averages_inside_a_bin_before_it_takes_the_distance() -> None:
    assert calibration_error(
        np.array([0.71, 0.79]), np.array([True, False]), bins=5
    ) == pytest.approx(0.25)
    assert calibration_error(
        np.array([0.71, 0.79]), np.array([True, True]), bins=1
    ) == pytest.approx(0.25)


def test_certainty_belongs_to_the_last_bin() -> None:
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0
    assert calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0


def test_calibration_of_a_task_uses_the_probability_of_the_chosen_class() -> None:
    scores = score(predictions("quora", [1, 0], [[math.log(3)], [-math.log(3)]]))
    assert scores.metrics["quora/calibration_error"] == pytest.approx(0.25)


# --- scores

FLOATS = st.floats(-1e6, 1e6, width=32)
COLUMNS = st.integers(2, 30).flatmap(
    lambda rows: st.tuples(
        st.lists(FLOATS, min_size=rows, max_size=rows),
        st.lists(FLOATS, min_size=rows, max_size=rows),
    )
)


def test_pearson_by_hand() -> None:
    # Deviations (-1, 0, 1) and (-1, 1, 0): 1 / sqrt(2 * 2).
    found, reason = pearson(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    assert found == pytest.approx(0.5)
    assert reason == ""
    assert pearson(np.array([1.0, 2.0]), np.array([5.0, 3.0]))[0] == pytest.approx(-1)


@settings(max_examples=200, deadline=None)
@given(COLUMNS)
def test_pearson_is_scipys(columns: tuple[list[float], list[float]]) -> None:
    x, y = (np.array(column, dtype=np.float64) for column in columns)
    assume(np.std(x) > 1e-3 and np.std(y) > 1e-3)
    assert pearson(x, y)[0] == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(COLUMNS)
def test_pearson_is_a_correlation_or_none_with_a_reason_and_never_nan(
    columns: tuple[list[float], list[float]],
) -> None:
    found, reason = pearson(*(np.array(column, dtype=np.float64) for column in columns))
    if found is None:
        assert reason
    else:
        assert -1 - 1e-12 <= found <= 1 + 1e-12


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 25), st.integers(-4, 4)), min_size=3, max_size=30))
def test_spearman_is_scipys_with_ties(rows: list[tuple[int, int]]) -> None:
    gold, outputs = [gold / 5 for gold, _ in rows], [float(output) for _, output in rows]
    assume(len(set(gold)) > 1 and len(set(outputs)) > 1)
    found = score(predictions("sts", gold, [[value] for value in outputs])).metrics["sts/spearman"]
    assert found == pytest.approx(scipy.stats.spearmanr(outputs, gold).statistic, abs=1e-9)


def test_mean_squared_error_by_hand() -> None:
    found = score(predictions("sts", [1, 4, 5], [[1.0], [2.0], [4.0]])).metrics[
        "sts/mean_squared_error"
    ]
    assert found == pytest.approx(5 / 3)


@pytest.mark.parametrize(
    ("gold", "outputs", "word"),
    [
        ([1.0, 2.0, 3.0], [0.1, 0.1, 0.1], "predictions"),
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], "predictions"),
        ([2.2, 2.2, 2.2], [0.1, 0.2, 0.3], "gold"),
        ([2.0], [1.0], "row"),
    ],
)
def test_an_undefined_correlation_is_none_with_its_reason(
    gold: list[float], outputs: list[float], word: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score(predictions("sts", gold, [[value] for value in outputs]))
    for key in ("sts/pearson", "sts/spearman"):
        assert scores.metrics[key] is None
        assert word in scores.reasons[key]
    assert scores.metrics["sts/mean_squared_error"] is not None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_predictions_that_are_not_finite_have_no_correlation(bad: float) -> None:
    found, reason = pearson(np.array([1.0, bad, 3.0]), np.array([1.0, 2.0, 4.0]))
    assert found is None
    assert reason


@pytest.mark.parametrize("gold", [None, []])
def test_nothing_to_score_against_is_an_error(gold: list[float] | None) -> None:
    with pytest.raises(ValueError, match="sts/dev"):
        score(predictions("sts", gold, [] if gold == [] else [[1.0]]))


# --- overall


@pytest.mark.parametrize(
    ("sst", "quora", "sts", "published"),
    [
        (0.508, 0.811, 0.551, 0.623),
        (0.498, 0.817, 0.690, 0.668),
        (0.518, 0.819, 0.643, 0.660),
        (0.494, 0.881, 0.865, 0.747),
    ],
)
def test_overall_is_the_plain_mean_that_the_paper_published(
    sst: float, quora: float, sts: float, published: float
) -> None:
    metrics = {
        "sst/accuracy": sst,
        "quora/accuracy": quora,
        "sts/pearson": sts,
        "sts/spearman": 0.0,
    }
    assert round(overall(metrics, ALL, "mean")[0] or 0, 3) == published


def test_shifted_overall_uses_half_of_r_plus_one_for_sts_alone() -> None:
    metrics = {"sst/accuracy": 0.5, "quora/accuracy": 0.8, "sts/pearson": 0.6}
    assert overall(metrics, ALL, "shifted")[0] == pytest.approx((0.5 + 0.8 + 0.8) / 3)
    assert overall(metrics | {"sts/pearson": -1.0}, ("sts",), "shifted")[0] == 0


def test_overall_is_over_the_tasks_of_the_run() -> None:
    assert overall(
        {"sst/accuracy": 0.5, "sts/pearson": 0.7, "quora/accuracy": 0.9}, ("sst", "sts"), "mean"
    )[0] == pytest.approx(0.6)
    assert overall({"sts/pearson": 0.7}, ("sts",), "mean")[0] == pytest.approx(0.7)


@pytest.mark.parametrize(
    "metrics", [{"sst/accuracy": 0.5, "sts/pearson": None}, {"sst/accuracy": 0.5}]
)
def test_overall_is_none_with_a_reason_when_a_part_is_unknown(
    metrics: dict[str, float | None],
) -> None:
    found, reason = overall(metrics, ("sst", "sts"), "mean")
    assert found is None
    assert "sts/pearson" in reason


def test_all_scores_of_a_split_have_its_prefix() -> None:
    sts = predictions("sts", [1, 2, 4], [[1.0], [2.0], [4.0]])
    scores = score_all({"sst": SST, "sts": sts}, ("sst", "sts"), "mean", "dev")
    assert scores.metrics["dev/sts/pearson"] == pytest.approx(1)
    assert scores.metrics["dev/overall"] == pytest.approx((0.6 + 1) / 2)
    assert all(key.startswith("dev/") for key in [*scores.metrics, *scores.reasons])


def test_an_undefined_part_makes_overall_undefined_and_says_why() -> None:
    flat = predictions("sts", [1, 2, 4], [[0.0], [0.0], [0.0]])
    scores = score_all({"sst": SST, "sts": flat}, ("sst", "sts"), "mean", "dev")
    assert scores.metrics["dev/overall"] is None
    assert "sts/pearson" in scores.reasons["dev/overall"]
    assert {key for key, value in scores.metrics.items() if value is None} == set(scores.reasons)


def test_scores_are_plain_numbers_that_json_takes() -> None:
    scores = score_all({"sst": SST}, ("sst",), "mean", "train")
    assert all(value is None or type(value) is float for value in scores.metrics.values())
