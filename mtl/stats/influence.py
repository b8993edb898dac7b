"""Metrics as means of per-example values, to first order.

Each function gives values, (n,), whose mean is the metric and whose spread is the metric's sampling
error: the metric plus its influence function (Hampel 1974). Against a jackknife on 600 rows their
correlation is above 0.9999 (`tests/test_influence.py`). Gold labels and chosen classes are whole
numbers, (n,) int; scores are (n,) float.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def accuracy_values(gold: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """1 for a row that is right, else 0.

    >>> accuracy_values(np.array([0, 1]), np.array([0, 0]))
    array([1., 0.])
    """
    return np.asarray(gold == chosen, dtype=np.float64)


def f1_values(gold: np.ndarray, chosen: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The per-example values of the mean F1 over `classes`, whole numbers (c,).

    For one class the value of a row is F + [2 1(g = p = c) - F (1(g = c) + 1(p = c))] / d, where d
    is the share of c in gold plus that among the chosen. Raises ValueError for a class that occurs
    in neither.
    """
    is_gold = gold[:, None] == classes
    is_chosen = chosen[:, None] == classes
    either = is_gold.astype(np.float64) + is_chosen
    shares = either.mean(0)
    if not len(classes) or (shares == 0).any():
        raise ValueError("a class occurs neither in gold nor among the chosen")
    hits = 2.0 * (is_gold & is_chosen)
    f1 = hits.mean(0) / shares
    return np.asarray(f1.mean() + ((hits - f1 * either) / shares).mean(1))


def macro_f1_values(gold: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The per-example values of macro-F1 over the classes that occur.

    >>> float(macro_f1_values(np.array([0, 0, 1]), np.array([0, 1, 1])).mean().round(4))
    0.6667
    """
    return f1_values(gold, chosen, np.union1d(gold, chosen))


def mcc_values(gold: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The per-example values of Matthews' correlation for any number of classes (Gorodkin 2004).

    They are the gradient over the cells of the confusion matrix. Where all chosen classes are
    equal, the correlation counts as 0. Raises ValueError where all gold classes are.
    """
    classes = np.union1d(gold, chosen)
    g, p = np.searchsorted(classes, gold), np.searchsorted(classes, chosen)
    size = len(classes)
    cells = np.bincount(g * size + p, minlength=size * size).reshape(size, size) / len(g)
    t, k, s = cells.sum(1), cells.sum(0), np.trace(cells)
    of_gold, of_chosen = 1 - t @ t, 1 - k @ k
    if np.ptp(g) == 0:
        raise ValueError("all gold classes are equal, so the correlation is undefined")
    if np.ptp(p) == 0:
        return np.zeros(len(g))
    root = np.sqrt(of_gold * of_chosen)
    mcc = (s - t @ k) / root
    gradient = (np.eye(size) + s - k[:, None] - t[None, :]) / root
    gradient -= mcc * ((1 - k[None, :]) / of_chosen + (1 - t[:, None]) / of_gold)
    return np.asarray(mcc + gradient[g, p])


def auc_values(gold: np.ndarray, score: np.ndarray) -> np.ndarray:
    """The per-example values of the area under the ROC curve: the placements of DeLong et al. 1988.

    `gold` is 0 or 1. A tie counts half. Raises ValueError where gold has one class.
    """
    from scipy.stats import rankdata

    ones, count = gold == 1, len(gold)
    positive = int(ones.sum())
    negative = count - positive
    if not (positive and negative):
        raise ValueError("gold has one class, so the area is undefined")
    ranks = rankdata(score)
    placed = np.empty(count)
    placed[ones] = (ranks[ones] - rankdata(score[ones])) / negative
    placed[~ones] = 1 - (ranks[~ones] - rankdata(score[~ones])) / positive
    area = float(placed[ones].mean())
    share = np.where(ones, positive, negative) / count
    return np.asarray(area + (placed - area) / share)


def pearson_values(predicted: Any, gold: Any) -> np.ndarray:
    """The per-example values of Pearson's r.

    r plus the influence function zx zy - r (zx^2 + zy^2) / 2 with zx, zy standardised (Devlin,
    Gnanadesikan & Kettenring 1975). Where all predictions are equal, r counts as 0. Raises
    ValueError where a number is not finite, or all gold scores are equal.

    >>> pearson_values([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    array([1., 1., 1.])
    """
    x, y = _checked(predicted, gold)
    if np.ptp(x) == 0:
        return np.zeros(len(x))
    x, y = ((column - column.mean()) / column.std() for column in (x, y))
    r = float(np.mean(x * y))
    return np.asarray(r + x * y - r * (x * x + y * y) / 2)


def spearman_values(predicted: Any, gold: Any) -> np.ndarray:
    """The per-example values of Spearman's rho, with ties at their mean rank.

    A row also moves the ranks of the others, so this is the full influence function (Croux & Dehon
    2010) and not Pearson's formula on ranks, which errs by 3 %. Where all predictions are equal,
    rho counts as 0. Raises ValueError as `pearson_values`.
    """
    from scipy.stats import rankdata

    x, y = _checked(predicted, gold)
    if np.ptp(x) == 0:
        return np.zeros(len(x))
    count = len(x)
    f, g = ((rankdata(column) - 0.5) / count for column in (x, y))
    a, b = f - f.mean(), g - g.mean()
    va, vb, cov = float(a @ a) / count, float(b @ b) / count, float(a @ b) / count
    r = cov / np.sqrt(va * vb)
    # A row adds to the three moments itself, and moves the ranks of all rows above it.
    of_cov = a * b + _above(x, b) + _above(y, a)
    of_va = a * a + 2 * _above(x, a)
    of_vb = b * b + 2 * _above(y, b)
    moved = [part - part.mean() for part in (of_cov, of_va, of_vb)]
    values = moved[0] / np.sqrt(va * vb) - r / 2 * (moved[1] / va + moved[2] / vb)
    return np.asarray(r + values)


def _above(column: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """For each row, the mean over all rows of `weight` where the row is below; a tie counts half.

    That is how much the mean of rank times `weight` grows with the share of this row.
    """
    order = np.argsort(column, kind="stable")
    ordered = column[order]
    sums = np.concatenate([[0.0], np.cumsum(weight[order])])
    below = sums[np.searchsorted(ordered, column, "left")]
    upto = sums[np.searchsorted(ordered, column, "right")]
    return np.asarray((sums[-1] - (below + upto) / 2) / len(column))


def rmse_values(predicted: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """The per-example values of the root mean squared error m: m + (error^2 - m^2) / (2 m).

    >>> rmse_values(np.array([1.0, 3.0]), np.array([0.0, 3.0])).round(3)
    array([1.061, 0.354])
    """
    squares = (np.asarray(predicted, dtype=float) - np.asarray(gold, dtype=float)) ** 2
    if not np.isfinite(squares).all():
        raise ValueError("expected finite numbers")
    m = float(np.sqrt(squares.mean()))
    return np.zeros(len(squares)) if m == 0 else np.asarray(m + (squares - m * m) / (2 * m))


def _checked(predicted: Any, gold: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = (np.asarray(column, dtype=float) for column in (predicted, gold))
    if x.shape != y.shape or x.ndim != 1 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("expected two columns of finite numbers of one length")
    if np.ptp(y) == 0:
        raise ValueError("all gold scores are equal, so the correlation is undefined")
    return x, y
