"""Cells of heat maps: grids keep their values, random values are binned, runs share cells."""

from __future__ import annotations

import numpy as np

from pvensemble.numerics.axis_scales import make_axis
from pvensemble.numerics.binning import NO_VALUE, bin_axis, share_cells


def binned(values, *, declared=None, flipped=False, **options):
    axis = make_axis("a", values, declared=declared, flipped=flipped)
    return bin_axis(axis, values, **options)


def test_grid_values_get_a_bin_each_in_order():
    values = np.repeat([0.3, 0.1, 0.2, 0.9, 0.5, 0.6, 0.7, 0.8, 0.4], 9)
    bins = binned(values)
    assert bins.is_exact
    assert bins.n_bins == 9
    np.testing.assert_array_equal(bins.index[::9], [2, 0, 1, 8, 4, 5, 6, 7, 3])
    assert [t.label for t in bins.ticks][:3] == ["0.1", "0.2", "0.3"]
    assert [t.position for t in bins.ticks][:3] == [0.5, 1.5, 2.5]


def test_random_values_are_sorted_into_equal_ranges_of_the_scale():
    values = np.geomspace(1e-4, 1.0, 100)
    bins = binned(values, declared="log", n_bins=4)
    assert not bins.is_exact
    assert bins.n_bins == 4
    np.testing.assert_array_equal(np.bincount(bins.index), [25, 25, 25, 25])
    np.testing.assert_allclose([t.value for t in bins.ticks], [1e-4, 1e-3, 1e-2, 0.1, 1.0])
    assert [t.position for t in bins.ticks] == [0, 1, 2, 3, 4]


def test_an_axis_alone_keeps_its_values():
    values = np.linspace(0, 1, 30)
    assert binned(values, alone=True).n_bins == 30
    assert not binned(values).is_exact


def test_categories_and_missing_values_have_bins():
    bins = binned(np.array(["b", "", "a", "b"]))
    assert [t.label for t in bins.ticks] == [NO_VALUE, "a", "b"]
    np.testing.assert_array_equal(bins.index, [2, 0, 1, 2])
    bins = binned(np.array(["b", "a", "c"]), flipped=True)
    assert [t.label for t in bins.ticks] == ["c", "b", "a"]
    np.testing.assert_array_equal(bins.index, [1, 2, 0])


def test_all_missing_is_one_bin():
    bins = binned(np.full(3, np.nan))
    assert bins.n_bins == 1
    np.testing.assert_array_equal(bins.index, [0, 0, 0])


def test_runs_share_cells():
    x, y = np.array([0, 1, 0, 0]), np.array([0, 0, 0, 1])
    shares = share_cells(x, y, np.array([1.0, 5.0, 3.0, np.nan]))
    np.testing.assert_array_equal(shares.rank, [0, 0, 1, 0])
    np.testing.assert_array_equal(shares.count, [2, 1, 2, 1])
    np.testing.assert_array_equal(shares.mean, [2.0, 5.0, 2.0, np.nan])


def test_nan_does_not_enter_the_mean():
    zero = np.zeros(3, int)
    shares = share_cells(zero, zero, np.array([1.0, np.nan, 2.0]))
    np.testing.assert_array_equal(shares.mean, [1.5, 1.5, 1.5])
    np.testing.assert_array_equal(shares.count, [3, 3, 3])
