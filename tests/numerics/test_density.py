"""Line density: conservation, agreement with a slow version, rare runs."""

from __future__ import annotations

import numpy as np

from pvensemble.numerics.density import line_density, log_density, sparsest_runs


def slow_density(place, n_columns, n_rows):
    """One line and pixel column at a time; the positions are the centres of rows."""
    n_runs, n_axes = place.shape
    rows = np.clip((place * n_rows).astype(int), 0, n_rows - 1)
    counts = np.zeros((n_rows, n_columns))
    for column in range(n_columns):
        at = column * (n_axes - 1) / (n_columns - 1)
        k = min(int(at), n_axes - 2)
        t = at - k
        for run in range(n_runs):
            row = rows[run, k] + t * (rows[run, k + 1] - rows[run, k])
            counts[int(np.rint(row)), column] += 1
    return counts


def test_density_equals_one_line_at_a_time():
    place = np.random.default_rng(0).uniform(0, 1, (40, 3))
    # 65 columns, 3 axes: every column position is exact in binary.
    np.testing.assert_array_equal(
        line_density(place, 65, 32, 0.0, 1.0), slow_density(place, 65, 32)
    )


def test_each_column_counts_every_run_once():
    place = np.random.default_rng(1).uniform(-0.5, 1.5, (500, 5))
    counts = line_density(place, 101, 64, 0.0, 1.0)
    np.testing.assert_allclose(counts.sum(axis=0), np.full(101, 500))


def test_steep_lines_have_no_gaps():
    counts = line_density(np.array([[0.0, 0.999]]), 11, 64, 0.0, 1.0)
    assert np.all(counts.sum(axis=1) > 0)
    np.testing.assert_allclose(counts.sum(axis=0), 1)


def test_equal_runs_pile_up_on_one_line():
    place = np.tile([0.0, 0.999], (1000, 1))
    counts = line_density(place, 8, 8, 0.0, 1.0)
    np.testing.assert_array_equal(counts, 1000 * np.eye(8))


def test_log_density_is_monotone_and_normalized():
    image = log_density(np.array([[0.0, 1.0], [10.0, 100.0]]))
    assert image[0, 0] == 0
    assert image[1, 1] == 1
    assert np.all(np.diff(image.ravel()) > 0)
    np.testing.assert_array_equal(log_density(np.zeros((2, 2))), np.zeros((2, 2)))


def test_the_odd_run_is_found():
    rng = np.random.default_rng(2)
    place = np.column_stack([rng.uniform(0, 0.3, 2000), rng.uniform(0, 0.3, 2000)])
    place[1234] = [0.9, 0.05]
    np.testing.assert_array_equal(sparsest_runs(place, 1), [1234])
    assert len(sparsest_runs(place, 50)) == 50
    assert len(sparsest_runs(place[:, :1], 50)) == 0
    np.testing.assert_array_equal(sparsest_runs(place, 50), np.unique(sparsest_runs(place, 50)))
