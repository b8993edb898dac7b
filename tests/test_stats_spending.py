"""Levels for several looks spend alpha in proportion to the seeds, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from mtl.stats.spending import levels


def test_one_look_has_all_of_alpha() -> None:
    assert levels((3,)) == (0.05,)
    assert levels((3,), 6) == (0.025,)


def test_six_looks_from_3_to_8_seeds() -> None:
    found = levels((3, 4, 5, 6, 7, 8))
    expected = (0.0188, 0.0138, 0.0147, 0.0164, 0.0183, 0.0204)
    assert found == pytest.approx(expected, abs=3e-4)


def test_two_looks_by_the_bivariate_normal() -> None:
    """P(first not, second) = alpha (1 - 3/5), with the correlation sqrt(3/5) of the two means."""
    first, second = levels((3, 5))
    a, b = (norm.isf(level / 2) for level in (first, second))
    both = multivariate_normal([0, 0], [[1, np.sqrt(0.6)], [np.sqrt(0.6), 1]])

    def inside(x: float, y: float) -> float:
        return float(both.cdf([x, y]) - both.cdf([-x, y]) - both.cdf([x, -y]) + both.cdf([-x, -y]))

    assert first == pytest.approx(0.03)
    assert (1 - first) - inside(a, b) == pytest.approx(0.02, abs=2e-5)


@pytest.mark.parametrize("looks", [(2, 3, 4), (3, 6), (3, 4, 5, 6, 7, 8), (3, 3, 6), (2, 20)])
def test_no_more_than_alpha_is_spent(looks: tuple[int, ...]) -> None:
    """On simulated seeds of known variance; looks at equally many seeds see other seeds."""
    rng = np.random.default_rng(0)
    draws = 40_000
    called = np.zeros(draws, dtype=bool)
    seeds = rng.normal(size=(draws, looks[-1]))
    seen: set[int] = set()
    for count, level in zip(looks, levels(looks), strict=True):
        others = rng.normal(size=(draws, count)) if count in seen else seeds[:, :count]
        seen.add(count)
        called |= np.abs(others.sum(1)) / np.sqrt(count) > norm.isf(level / 2)
    spent = float(called.mean())
    assert spent <= 0.053
    if len(seen) == len(looks):
        assert spent >= 0.047


def test_looks_that_make_no_sense_are_refused() -> None:
    for looks, most in (((4, 3), None), ((1, 3), None), ((3, 9), 8)):
        with pytest.raises(ValueError, match="expected sorted numbers of seeds"):
            levels(looks, most)
