"""Paths of weight vectors: random walks are recognized, and what is none."""

from __future__ import annotations

import numpy as np
import pytest

from pvensemble.numerics.projections import principal_plane, sketched
from pvensemble.numerics.trajectories import (
    CONFINED,
    DIRECTED,
    RANDOM_WALK,
    UNDECIDED,
    Motion,
    displacements,
    effective_dimensions,
    equal_steps,
    motion,
)

N = 60


def random_walk(rng, n_weights, scale=1.0, slowing=1.0):
    """A walk whose increments differ by direction and become shorter."""
    lengths = np.geomspace(1, slowing, N + 1)[:, None]
    return np.cumsum(rng.normal(size=(N + 1, n_weights)) * scale * lengths, axis=0)


def ballistic(rng, n_weights):
    straight = np.arange(N + 1)[:, None] * rng.normal(size=n_weights)
    return straight + 0.3 * random_walk(rng, n_weights)


def ornstein_uhlenbeck(rng, n_weights):
    path = rng.normal(size=(N + 1, n_weights))
    for k in range(1, N + 1):
        path[k] = 0.5 * path[k - 1] + path[k]
    return path


def fractional(rng, n_weights, exponent):
    """Fractional Brownian motion by the root of its covariance."""
    t = np.arange(1.0, N + 1)
    covariance = 0.5 * (t[:, None] ** exponent + t**exponent - np.abs(t[:, None] - t) ** exponent)
    walk = np.linalg.cholesky(covariance) @ rng.normal(size=(N, n_weights))
    return np.vstack([np.zeros(n_weights), walk])


def slow_displacement(path, lag):
    return np.mean([np.sum((path[i + lag] - path[i]) ** 2) for i in range(len(path) - lag)])


# -- what is recognized ------------------------------------------------------------------------
@pytest.mark.parametrize(("n_weights", "n_paths"), [(2, 60), (10_000, 8)])
@pytest.mark.parametrize(
    ("make", "kind"),
    [(random_walk, RANDOM_WALK), (ballistic, DIRECTED), (ornstein_uhlenbeck, CONFINED)],
)
def test_simulated_paths_are_recognized(make, kind, n_weights, n_paths):
    rng = np.random.default_rng(1)
    found = [motion(make(rng, n_weights)) for _ in range(n_paths)]
    assert np.mean([each.kind == kind for each in found]) >= 0.75
    opposite = {DIRECTED: CONFINED, CONFINED: DIRECTED}.get(kind)
    assert not any(each.kind == opposite for each in found)


@pytest.mark.parametrize("slowing", [1.0, 0.1])
@pytest.mark.parametrize("n_weights", [2, 10, 300])
def test_the_intervals_hold_for_random_walks(n_weights, slowing):
    """Also where increments become shorter and most weights hardly move."""
    rng = np.random.default_rng(2)
    scale = np.geomspace(1, 0.03, n_weights)
    found = [motion(random_walk(rng, n_weights, scale, slowing)) for _ in range(200)]
    assert np.mean([each.low <= 1 <= each.high for each in found]) >= 0.92
    within = [abs(each.increment_correlation) <= each.band for each in found]
    assert 0.9 <= np.mean(within) <= 0.99


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_the_interval_holds_a_planted_exponent(exponent):
    rng = np.random.default_rng(3)
    found = [motion(fractional(rng, 20, exponent)) for _ in range(150)]
    assert np.mean([each.low <= exponent <= each.high for each in found]) >= 0.88
    assert abs(np.mean([each.exponent for each in found]) - exponent) < 0.06
    # The interval is no wider than it has to be.
    spread = np.std([each.exponent for each in found])
    assert np.median([each.high - each.low for each in found]) < 6.5 * spread


def test_the_plane_cannot_tell_what_the_numbers_tell():
    """A random walk of many weights has most of its variance in two components, and is smooth."""
    path = random_walk(np.random.default_rng(4), 10_000)
    plane = principal_plane([path])
    assert sum(plane.explained) > 0.7
    first = plane.paths[0][:, 0]
    cosine = np.cos(np.pi * np.arange(N + 1) / N)
    assert abs(np.corrcoef(first, cosine)[0, 1]) > 0.98  # Antognini and Sohl-Dickstein 2018
    assert motion(path).kind == RANDOM_WALK
    assert motion(plane.paths[0]).kind == DIRECTED  # of the plane alone the answer is wrong


# -- by value -------------------------------------------------------------------------------------
def test_numbers_against_their_definitions():
    path = random_walk(np.random.default_rng(5), 7)
    steps = np.diff(path, axis=0)
    found = motion(path)
    products = np.array([a @ b for a, b in zip(steps, steps[1:])])
    total = np.sum(steps**2)
    assert found.increment_correlation == pytest.approx(products.sum() / total)
    assert found.band == pytest.approx(1.96 * np.sqrt(np.sum(products**2)) / total)
    length = np.sum([np.linalg.norm(d) for d in steps])
    assert found.path_ratio == pytest.approx(length / np.linalg.norm(path[-1] - path[0]))
    slow = [slow_displacement(path, lag) for lag in range(1, N + 1)]
    np.testing.assert_allclose(displacements(steps @ steps.T), slow)
    assert found.n_increments == N


def test_the_exponent_is_the_slope_of_the_mean_squared_displacement():
    """With increments of equal lengths, for which the reference is the lag itself."""
    rng = np.random.default_rng(6)
    steps = rng.normal(size=(N, 50))
    steps = steps + 0.6 * np.roll(steps, 1, axis=0)
    steps /= np.linalg.norm(steps, axis=1)[:, None]
    path = np.vstack([np.zeros(50), np.cumsum(steps, axis=0)])
    lags = np.unique(np.geomspace(1, N // 4, 8).round().astype(int))
    slow = [slow_displacement(path, lag) for lag in lags]
    slope = np.polyfit(np.log(lags), np.log(slow), 1)[0]
    assert motion(path).exponent == pytest.approx(slope)


def test_rotations_shifts_and_scales_change_nothing():
    rng = np.random.default_rng(7)
    path = random_walk(rng, 12)
    turned = 5.0 + 0.01 * path @ np.linalg.qr(rng.normal(size=(12, 12)))[0]
    for name, value in vars(motion(path)).items():
        assert getattr(motion(turned), name) == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize(("scale", "dimensions"), [([1, 1, 1, 1], 4), ([1, 1, 0.01, 0.01], 2)])
def test_effective_dimensions(scale, dimensions):
    steps = np.random.default_rng(8).normal(size=(300, 4)) * scale
    assert effective_dimensions(steps @ steps.T) == pytest.approx(dimensions, rel=0.1)


def test_a_straight_line_is_straight():
    found = motion(np.arange(20.0)[:, None] * np.array([3.0, 4.0]))
    assert found.path_ratio == pytest.approx(1)
    assert found.exponent == pytest.approx(2)
    assert found.increment_correlation == pytest.approx(19 / 20, rel=0.01)
    assert found.kind == DIRECTED
    assert "goes on in its direction" in found.sentence()


def test_equal_steps():
    assert equal_steps([0, 10, 20, 30, 35]).tolist() == [0, 1, 2, 3]
    assert equal_steps([0, 1, 10, 20, 30, 40]).tolist() == [0, 2, 3, 4, 5]
    assert equal_steps([0, 10, 15, 20, 30]).tolist() == [0, 1, 3, 4]
    assert equal_steps([7]).tolist() == [0]
    assert equal_steps([]).tolist() == []
    steps = np.array([0, 1, *range(10, 700, 10)])
    path = np.random.default_rng(9).normal(size=(len(steps), 3)).cumsum(axis=0)
    assert motion(path, steps).exponent == motion(np.delete(path, 1, axis=0)).exponent


def test_what_cannot_be_told():
    path = random_walk(np.random.default_rng(10), 3)
    for short in (path[:8], path[:1], path[:0], np.zeros((30, 3))):
        found = motion(short)
        assert found.kind == UNDECIDED
        assert np.isnan(found.exponent)
        assert "too few" in found.sentence()
    broken = path.copy()
    broken[40:] = np.nan  # diverged
    assert motion(broken).exponent == motion(path[:40]).exponent
    closed = np.vstack([path, path[::-1]])
    assert motion(closed).path_ratio == np.inf


def test_a_verdict_needs_both_numbers():
    agreed = {"band": 0.1, "path_ratio": 3.0, "dimensions": 5.0, "n_increments": 50}
    for r, low, high, kind in (
        (0.0, 0.9, 1.1, RANDOM_WALK),
        (0.2, 0.9, 1.1, UNDECIDED),
        (0.2, 1.1, 1.3, DIRECTED),
        (-0.2, 1.1, 1.3, UNDECIDED),
        (-0.2, 0.7, 0.9, CONFINED),
        (0.2, 0.7, 0.9, UNDECIDED),
    ):
        each = Motion(increment_correlation=r, exponent=1.0, low=low, high=high, **agreed)
        assert each.kind == kind


# -- projections ---------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(30, 200), (200, 5)])
def test_the_plane_is_that_of_principal_components(shape):
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(11)
    rows = rng.normal(size=shape) * np.linspace(3, 0.1, shape[1])
    cut = shape[0] // 3
    plane = principal_plane([rows[:cut], rows[cut:]])
    reference = PCA(2, svd_solver="full").fit(rows)
    places = np.concatenate(plane.paths)
    np.testing.assert_allclose(np.abs(places), np.abs(reference.transform(rows)), atol=1e-8)
    np.testing.assert_allclose(plane.explained, reference.explained_variance_ratio_)
    moved = sum(path[-1] - path[0] for path in plane.paths)
    assert (moved >= 0).all()


def test_planes_of_what_does_not_fill_one():
    still = principal_plane([np.ones((4, 3))])
    np.testing.assert_array_equal(still.paths[0], np.zeros((4, 2)))
    line = principal_plane([np.arange(5.0)[:, None] * np.ones(3)])
    np.testing.assert_allclose(line.paths[0][:, 0], np.arange(-2.0, 3) * np.sqrt(3))
    np.testing.assert_allclose(line.paths[0][:, 1], 0, atol=1e-9)
    broken = principal_plane([np.array([[0.0, 0], [np.nan, 1], [1, 1]])])
    assert np.isnan(broken.paths[0][1]).all()
    assert np.isfinite(broken.paths[0][[0, 2]]).all()


def test_sketches_keep_inner_products():
    rng = np.random.default_rng(12)
    path = np.cumsum(rng.normal(size=(N + 1, 30_001)), axis=0).astype(np.float32)
    small = sketched(path, 4096)
    assert small.shape == (N + 1, 4096)
    np.testing.assert_array_equal(sketched(path[5], 4096), small[5])
    exact, about = path @ path.T, small @ small.T
    norms = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    assert np.abs((about - exact) / norms).max() < 5 * np.sqrt(2 / 4096)
    assert motion(small).exponent == pytest.approx(motion(path).exponent, abs=0.02)
    assert sketched(path, 50_000) is path
