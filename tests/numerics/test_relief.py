"""Reliefs: scales of heights, and lines that follow a grid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from pvensemble.numerics.relief import draped, interpolated, relief_scale, value_at, view_axes

X, Y = np.linspace(-1, 2, 7), np.linspace(0, 1, 5)
GRID = np.random.default_rng(0).normal(size=(5, 7))


def test_interpolation_is_that_of_scipy():
    points = np.random.default_rng(1).uniform((-1, 0), (2, 1), size=(50, 2))
    expected = RegularGridInterpolator((X, Y), GRID.T)(points)
    np.testing.assert_allclose(interpolated(X, Y, GRID, points), expected)
    corners = np.array([[-1.0, 0.0], [2.0, 1.0], [2.1, 0.5], [0.0, -0.1]])
    found = interpolated(X, Y, GRID, corners)
    assert found[:2].tolist() == [GRID[0, 0], GRID[-1, -1]]
    assert np.isnan(found[2:]).all()


def test_a_draped_line_keeps_its_corners_and_follows_every_cell():
    line = np.array([[-1.0, 0.1], [1.9, 0.8], [1.9, 0.8], [0.3, 0.0]])
    at, heights = draped(X, Y, GRID, line)
    assert set(range(4)) <= set(at)
    assert (np.diff(at) > 0).all()
    assert np.diff(at[at <= 1]).max() * 2.9 <= 0.25 + 1e-9  # half of a cell
    assert len(at) == len(heights)
    alone, _ = draped(X, Y, GRID, line[:1])
    assert alone.tolist() == [0.0]
    holes = GRID.copy()
    holes[:, 3] = np.nan
    less, finite = draped(X, Y, holes, line)
    assert 0 < len(less) < len(at)
    assert np.isfinite(finite).all()


def test_scale_ends_where_nearly_all_losses_end():
    values = np.linspace(1, 2, 100)
    assert relief_scale(values, log=True).hi == 2
    values[-2:] = np.inf
    scale = relief_scale(values, log=True)
    assert scale.hi == pytest.approx(np.quantile(values[:-2], 0.95))
    assert scale.n_cut == 2 + 5
    assert scale.largest == np.inf
    values[-2:] = 1e4
    assert relief_scale(values, log=True).hi == 1e4
    assert relief_scale(values, log=False).hi < 2
    assert relief_scale(values, log=False, clip=7.0).hi == 7
    assert relief_scale(np.array([np.nan, np.inf]), log=True).hi == 1


def test_value_at_undoes_positions():
    for log in (True, False):
        scale = relief_scale(np.array([0.1, 3.0]), log=log)
        for position in (0.0, 0.3, 1.0):
            assert scale.positions(value_at(scale, position)) == pytest.approx(position)


def test_view_axes_are_orthonormal_and_look_down():
    axes = view_axes()
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.cross(axes[0], axes[1]), axes[2], atol=1e-12)
    assert axes[0, 2] == 0
    assert axes[2, 2] > 0 > axes[2, 1]
