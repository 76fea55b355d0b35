"""Scales of curves and dashes along them."""

from __future__ import annotations

import numpy as np
import pytest

from pvensemble.numerics.curves import curve_scale, dashes


def test_scale_covers_the_values():
    scale = curve_scale(np.array([[0.2, 0.6], [0.4, 1.0]]), upper=1.0)
    assert scale.n_cut == 0
    assert scale.lo < 0.2
    assert 1.0 < scale.hi < 1.05
    assert [t.value for t in scale.ticks(5)][-1] == 1.0


def test_diverged_runs_do_not_destroy_the_scale():
    values = np.random.default_rng(0).uniform(0.1, 2.3, (100, 50))
    values[7, 49] = 5000.0
    values[8, 48:] = np.inf
    scale = curve_scale(values)
    assert scale.hi < 2.5
    assert scale.n_cut == 2
    assert scale.largest == np.inf
    np.testing.assert_array_equal(scale.positions(np.array([5000.0, np.inf])), [1, 1])


def test_an_ordinary_spread_is_not_cut():
    scale = curve_scale(np.linspace(0.1, 2.3, 100)[None])
    assert scale.n_cut == 0
    assert scale.hi > 2.3


def test_log_scale_puts_zero_at_the_bottom():
    scale = curve_scale(np.array([[0.0, 0.01, 1.0]]), log=True)
    place = scale.positions(np.array([0.0, 0.01, 1.0, np.nan]))
    assert place[0] == 0
    assert 0 < place[1] < place[2] < 1
    assert np.isnan(place[3])


@pytest.mark.parametrize("log", [False, True])
def test_no_values_still_make_a_scale(log):
    scale = curve_scale(np.full((2, 3), np.nan), log=log)
    assert scale.lo < scale.hi
    assert scale.n_cut == 0


def test_constant_values_make_a_scale():
    scale = curve_scale(np.full((1, 3), 2.0))
    assert scale.lo < 2.0 < scale.hi


def test_dashes_lie_on_the_curve_and_leave_gaps():
    x, y = np.array([0.0, 10.0]), np.array([0.0, 0.0])
    points = dashes(x, y, spacing=0.01, dash=0.3, gap=0.2)
    assert np.all(points[:, 1] == 0)
    assert np.all(points[:, 0] % 0.5 <= 0.3)
    steps = np.diff(points[:, 0])
    assert np.isclose(steps.max(), 0.2, atol=0.011)
    assert 0.55 < len(points) / 1001 < 0.65


def test_dashes_of_a_point_are_the_point():
    points = dashes(np.array([1.0]), np.array([2.0]), spacing=0.1, dash=1, gap=1)
    np.testing.assert_array_equal(points, [[1, 2]])
