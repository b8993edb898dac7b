"""Per-example values of metrics: their mean is the metric, their spread its sampling error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from mtl.stats import influence
from mtl.tasks.metrics import confusion_matrix, f1, mcc

Columns = tuple[np.ndarray, np.ndarray]
RNG = np.random.default_rng(0)
ROWS = 600


def classes(count: int, shares: list[float] | None = None) -> Columns:
    """Gold and chosen classes, about 60 % right."""
    gold = RNG.choice(count, ROWS, p=shares)
    return gold, np.where(RNG.random(ROWS) < 0.5, gold, RNG.choice(count, ROWS, p=shares))


def scores(step: float = 0.0) -> Columns:
    """Predicted and gold scores, rounded to a step so that there are ties."""
    gold = RNG.normal(size=ROWS)
    predicted = 0.6 * gold + RNG.normal(size=ROWS)
    return (predicted, gold) if not step else (np.round(predicted / step), np.round(gold / step))


SMALL = [0.5, 0.3, 0.15, 0.05]
BINARY = classes(2, [0.7, 0.3])
CASES: dict[str, tuple[Callable[..., float], Callable[..., np.ndarray], Columns]] = {
    "accuracy": (sklearn.accuracy_score, influence.accuracy_values, classes(4)),
    "macro-F1": (
        lambda g, p: sklearn.f1_score(g, p, average="macro"),
        influence.macro_f1_values,
        classes(4),
    ),
    "macro-F1, small class": (
        lambda g, p: sklearn.f1_score(g, p, average="macro"),
        influence.macro_f1_values,
        classes(4, SMALL),
    ),
    "macro-F1, absent class": (
        lambda g, p: sklearn.f1_score(g, p, average="macro"),
        influence.macro_f1_values,
        tuple(2 * column for column in classes(3)),  # type: ignore[dict-item]
    ),
    "F1": (
        lambda g, p: sklearn.f1_score(g, p),
        lambda g, p: influence.f1_values(g, p, np.array([1])),
        BINARY,
    ),
    "MCC": (sklearn.matthews_corrcoef, influence.mcc_values, classes(4)),
    "MCC, small class": (sklearn.matthews_corrcoef, influence.mcc_values, classes(4, SMALL)),
    "MCC, two classes": (sklearn.matthews_corrcoef, influence.mcc_values, BINARY),
    "AUC": (sklearn.roc_auc_score, influence.auc_values, (BINARY[0], BINARY[0] + scores()[0])),
    "AUC, ties": (
        sklearn.roc_auc_score,
        influence.auc_values,
        (BINARY[0], np.round(BINARY[0] + scores()[0])),
    ),
    "Pearson": (lambda x, y: scipy.stats.pearsonr(x, y)[0], influence.pearson_values, scores()),
    "Spearman": (lambda x, y: scipy.stats.spearmanr(x, y)[0], influence.spearman_values, scores()),
    "Spearman, ties": (
        lambda x, y: scipy.stats.spearmanr(x, y)[0],
        influence.spearman_values,
        scores(0.5),
    ),
    "RMSE": (
        lambda x, y: float(np.sqrt(np.mean((x - y) ** 2))),
        influence.rmse_values,
        scores(),
    ),
}


def jackknife(metric: Callable[..., float], columns: Columns) -> np.ndarray:
    """The pseudo-values of a metric: n times the whole minus n - 1 times the rest, row by row."""
    whole, places = metric(*columns), np.arange(ROWS)
    rest = [metric(*(column[places != row] for column in columns)) for row in places]
    return ROWS * whole - (ROWS - 1) * np.array(rest)


@pytest.mark.parametrize("name", CASES)
def test_values_agree_with_the_jackknife(name: str) -> None:
    metric, values, columns = CASES[name]
    found, expected = values(*columns), jackknife(metric, columns)
    assert found.mean() == pytest.approx(metric(*columns), abs=1e-12)
    assert np.corrcoef(found, expected)[0, 1] > 0.9999
    assert found.std() == pytest.approx(expected.std(), rel=0.03)


def test_pearsons_formula_on_ranks_is_no_substitute() -> None:
    x, y = CASES["Spearman"][2]
    naive = influence.pearson_values(scipy.stats.rankdata(x), scipy.stats.rankdata(y))
    expected = jackknife(CASES["Spearman"][0], (x, y))
    assert np.corrcoef(naive, expected)[0, 1] < 0.999


def test_a_hand_worked_macro_f1() -> None:
    # Class 0: 1 hit, 2 gold, 1 chosen: F = 2/3. Class 1: 1 hit, 1 gold, 2 chosen: F = 2/3.
    gold, chosen = np.array([0, 0, 1]), np.array([0, 1, 1])
    # Shares of gold plus chosen are 1 for both classes, so a row's value is
    # 2/3 + the mean over classes of 2 hit - 2/3 (gold + chosen).
    assert influence.macro_f1_values(gold, chosen) == pytest.approx([1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("values", "columns"),
    [
        (influence.mcc_values, (np.zeros(5, int), np.arange(5) % 2)),
        (influence.auc_values, (np.ones(5, int), np.arange(5.0))),
        (influence.pearson_values, (np.arange(5.0), np.ones(5))),
        (influence.spearman_values, (np.arange(5.0), np.ones(5))),
        (influence.pearson_values, (np.array([np.nan, 1.0]), np.arange(2.0))),
        (influence.rmse_values, (np.array([np.inf, 1.0]), np.arange(2.0))),
        (lambda g, p: influence.f1_values(g, p, np.array([1])), (np.zeros(3, int),) * 2),
    ],
)
def test_an_undefined_metric_has_no_values(
    values: Callable[..., np.ndarray], columns: Columns
) -> None:
    with pytest.raises(ValueError, match=r"undefined|finite|neither"):
        values(*columns)


def test_a_collapsed_run_counts_as_no_correlation() -> None:
    gold = np.arange(6) % 3
    assert influence.mcc_values(gold, np.ones(6, int)).tolist() == [0.0] * 6
    assert influence.spearman_values(np.ones(6), gold).tolist() == [0.0] * 6
    assert influence.auc_values(gold > 1, np.ones(6)).mean() == 0.5


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=40))
def test_metrics_are_those_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    gold, chosen = (np.array(column) for column in zip(*rows, strict=True))
    confusion = confusion_matrix(gold, chosen, 4)
    found = mcc(confusion)[0]
    if len(set(gold.tolist())) > 1:
        assert found == pytest.approx(sklearn.matthews_corrcoef(gold, chosen), abs=1e-12)
        assert influence.mcc_values(gold, chosen).mean() == pytest.approx(found, abs=1e-9)
    else:
        assert found is None
    two = confusion_matrix(gold // 2, chosen // 2, 2)
    if two[1].sum() + two[:, 1].sum():
        expected = sklearn.f1_score(gold // 2, chosen // 2, zero_division=0.0)
        assert f1(two)[0] == pytest.approx(expected, abs=1e-12)
    else:
        assert f1(two)[0] is None
