"""Planes through networks: against scikit-learn, by distances, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from pvensemble.numerics.planes import framed, plane_through, principal_plane, project


def walk(n=12, size=400, seed=0):
    """Differences (n, size) of a curved path from its end."""
    generator = np.random.default_rng(seed)
    t = np.linspace(1, 0, n)[:, None]
    directions = generator.normal(size=(3, size))
    return t * directions[0] + t**2 * 0.5 * directions[1] + 0.05 * t**3 * directions[2]


def projected(points, plane):
    axes = plane.coefficients @ points
    return project(axes @ axes.T, axes @ points.T, (points**2).sum(1)), axes


def test_principal_plane_is_that_of_scikit_learn():
    points = walk()
    plane = principal_plane(points @ points.T)
    (coordinates, _), axes = projected(points, plane)
    expected = PCA(2).fit(points)
    np.testing.assert_allclose(np.abs(np.sum(axes * expected.components_, axis=1)), 1, atol=1e-9)
    np.testing.assert_allclose(plane.explained, expected.explained_variance_ratio_, atol=1e-9)
    assert (coordinates[0] >= 0).all()
    np.testing.assert_allclose(coordinates[-1], 0, atol=1e-9)  # the end is the origin


def test_distance_is_what_the_plane_does_not_hold():
    points = walk()
    (coordinates, distance), axes = projected(points, principal_plane(points @ points.T))
    np.testing.assert_allclose(distance, np.linalg.norm(points - coordinates @ axes, axis=1))
    assert distance.max() > 0.05
    flat = coordinates @ axes
    (_, distance), _ = projected(flat, principal_plane(flat @ flat.T))
    np.testing.assert_array_equal(distance, 0)


def test_least_squares_where_axes_are_oblique():
    points = walk()
    axes = np.random.default_rng(3).normal(size=(2, points.shape[1]))
    axes[1] += 2 * axes[0]
    coordinates, distance = project(axes @ axes.T, axes @ points.T, (points**2).sum(1))
    expected, squared, *_ = np.linalg.lstsq(axes.T, points.T, rcond=None)
    np.testing.assert_allclose(coordinates, expected.T)
    np.testing.assert_allclose(distance**2, squared)


def test_plane_through_keeps_distances():
    points = np.random.default_rng(5).normal(size=(2, 50))
    plane = plane_through(points @ points.T)
    (coordinates, distance), axes = projected(points, plane)
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-12)
    np.testing.assert_array_equal(distance, 0)
    assert coordinates[0] == pytest.approx([np.linalg.norm(points[0]), 0])
    assert coordinates[1, 1] > 0
    assert np.linalg.norm(coordinates[1] - coordinates[0]) == pytest.approx(
        np.linalg.norm(points[1] - points[0])
    )


def test_points_on_a_line_span_no_plane():
    line = np.linspace(3, 0, 7)[:, None] * np.ones((1, 9))
    assert principal_plane(line @ line.T) is None
    assert principal_plane(line[:2] @ line[:2].T) is None
    assert principal_plane(np.zeros((5, 5))) is None
    two = line[:2]
    assert plane_through(two @ two.T) is None
    assert plane_through(np.zeros((2, 2))) is None


def test_frame_leaves_room_and_is_no_ribbon():
    low, high = framed(np.array([[0.0, 0.0], [4.0, 0.1]]), 1.0)
    np.testing.assert_allclose((low, high), [[-1, -1.45], [5, 1.55]])
    low2, high2 = framed(np.array([[0.0, 0.0], [4.0, 0.1]]), 2.0)
    np.testing.assert_allclose(high2 - low2, 2 * (high - low))
