"""Statistics, extents and histograms of weights."""

from __future__ import annotations

import numpy as np
import pytest

from pvensemble.numerics.weight_statistics import (
    BINS,
    STATISTICS,
    Histogram,
    common_limits,
    exponent_of,
    extents,
    extents_of_statistics,
    histogram,
    statistics,
)


def sample(n=1000, scale=1.0, seed=0):
    return (scale * np.random.default_rng(seed).normal(size=n)).astype(np.float32)


def named(values):
    return dict(zip(STATISTICS, statistics(values)))


def test_statistics_of_known_numbers():
    got = named(np.array([0, 0, 1, 2, 7], np.float32))
    assert got["mean"] == 2
    assert got["std"] == pytest.approx(np.sqrt((4 + 4 + 1 + 0 + 25) / 5))
    assert (got["min"], got["median"], got["max"]) == (0, 1, 7)
    assert got["q25"] == 0
    assert got["q75"] == 2
    assert got["q95"] == pytest.approx(6)
    assert got["zeros"] == pytest.approx(0.4)
    assert got["not_finite"] == 0


def test_what_is_not_finite_is_counted_and_left_out():
    values = np.array([1, np.nan, 3, np.inf, -np.inf], np.float32)
    got = named(values)
    assert (got["mean"], got["min"], got["max"], got["not_finite"]) == (2, 1, 3, 3)
    nothing = named(np.full(4, np.nan))
    assert nothing["not_finite"] == 4
    assert all(np.isnan(v) for name, v in nothing.items() if name != "not_finite")


def test_extents_directly_and_from_statistics():
    stack = np.stack([sample(seed=k, scale=k + 1.0) + 0.3 for k in range(3)]).reshape(3, 10, 100)
    stack[1, 0, 0] = np.nan
    expected = []
    for run in stack.astype(np.float64):
        finite = run[np.isfinite(run)]
        expected.append([np.abs(finite).max(), np.sqrt((finite**2).mean())])
    np.testing.assert_allclose(extents(stack), expected, rtol=1e-5)
    rows = np.stack([statistics(run.ravel()) for run in stack])
    np.testing.assert_allclose(extents_of_statistics(rows), expected, rtol=1e-5)
    assert np.isnan(extents(np.full((1, 3), np.nan))).all()
    np.testing.assert_allclose(
        extents(np.full((1, 9), 1e30, np.float32)), [[1e30, 1e30]], rtol=1e-6
    )


def test_a_scale_is_not_that_of_a_run_that_diverges():
    usual = np.column_stack([np.linspace(1, 2, 9), np.linspace(0.2, 0.5, 9)])
    assert common_limits(usual) == (2.0, 1.5)
    strange = np.vstack([usual, [[1e9, 1e8], [np.nan, np.nan], [0.0, 0.0]]])
    assert common_limits(strange) == (2.0, 1.5)
    assert common_limits(np.array([[1.0, 0.9]])) == (1.0, 1.0)  # at most the largest
    assert common_limits(np.full((2, 2), np.nan)) == (1.0, 1.0)
    assert common_limits(np.zeros((2, 2))) == (1.0, 1.0)


# -- histograms ------------------------------------------------------------------------------------
def edges(exponent):
    return (np.arange(BINS + 1) - BINS // 2) * 2.0**exponent


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 0.7, 1.0, 300.0, 1e30])
def test_counts_are_those_of_numpy(scale):
    values = sample(scale=scale)
    got = histogram(values)
    expected, _ = np.histogram(values.astype(np.float64), edges(got.exponent))
    np.testing.assert_array_equal(got.counts, expected)
    assert got.counts.sum() == len(values)
    used = np.abs(np.flatnonzero(got.counts) + 0.5 - BINS // 2).max()
    assert used > BINS // 4 - 1, "bins of half the width would do"


@pytest.mark.parametrize("values", [[0.0], [0.0, 1.0], [-1.0], [1.0, -1.0], [64.0, -64.0], []])
def test_ends_and_zero(values):
    values = np.array(values, np.float32)
    got = histogram(values)
    expected, _ = np.histogram(values, edges(got.exponent))
    np.testing.assert_array_equal(got.counts, expected)
    assert got.counts.sum() == len(values)


@pytest.mark.parametrize("more", [0, 1, 2, 5, 7, 40])
def test_wider_bins_are_exact(more):
    values = sample(5000, 0.37)
    got = histogram(values)
    expected, _ = np.histogram(values.astype(np.float64), edges(got.exponent + more))
    np.testing.assert_array_equal(got.coarsened(got.exponent + more), expected)


def test_narrower_bins_lose_nothing():
    got = histogram(sample(5000, 1e6))
    for exponent in (got.exponent - 1, got.exponent - 3, got.exponent - 60):
        assert got.coarsened(exponent).sum() == 5000
    one = Histogram(0, np.eye(BINS, dtype=np.int64)[BINS // 2 + 3])  # from 3 to 4
    np.testing.assert_array_equal(np.flatnonzero(one.coarsened(-1)), [BINS // 2 + 7])


def test_the_exponent_holds_the_limit():
    for limit in (1e-20, 0.3, 1.0, 63.9, 64.0, 1e20):
        half = BINS // 2 * 2.0 ** exponent_of(limit)
        assert half / 2 <= limit < half
