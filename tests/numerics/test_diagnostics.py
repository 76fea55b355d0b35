"""Diagnostics of a training: gradients, movement and signs, against slow definitions."""

from __future__ import annotations

import numpy as np
import pytest

from pvensemble.numerics.diagnostics import FINE, WeightChanges, diagnoses, gradient_ratios


def changes(weights):
    """Gather weights (n_runs, n_steps, n_weights)."""
    found = WeightChanges()
    for k in range(weights.shape[1]):
        found.add(weights[:, k])
    return found


def slow_flips(path):
    """Sign changes of each weight of a path (n_steps, n_weights); zeros do not count."""
    counts = []
    for weight in path.T:
        signs = [np.sign(v) for v in weight if v != 0]
        counts.append(sum(a != b for a, b in zip(signs, signs[1:])))
    return np.array(counts)


def test_signs_and_movement_by_their_definitions():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3, 9, 20)).round(1)  # some are exactly 0
    assert (weights == 0).any()
    found = changes(weights)
    for run in range(3):
        flips = slow_flips(weights[run])
        assert found.flips_per_weight()[run] == pytest.approx(flips.mean())
        assert found.never_flipped()[run] == pytest.approx((flips == 0).mean())
        path = [np.linalg.norm(weights[run, k + 1] - weights[run, k]) for k in range(4, 8)]
        expected = sum(path) / np.linalg.norm(weights[run, 4])
        assert found.movement(np.full(3, 9))[run] == pytest.approx(expected, rel=1e-5)


def test_only_the_steps_of_a_run_count():
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(2, 11, 5))
    weights[1, 6:] = weights[1, 5]  # ended
    found = changes(weights).movement(np.array([11, 6]))
    alone = changes(weights[1:, :6]).movement(np.array([6]))
    assert found[1] == pytest.approx(alone[0])
    assert changes(weights).movement(np.array([11, 11]))[1] == 0  # negative control


def test_filters_that_do_not_move_are_counted():
    rng = np.random.default_rng(2)
    weights = np.cumsum(rng.normal(size=(2, 9, 4, 5)), axis=1)
    weights[0, 4:, 1] = weights[0, 4, 1]  # from the middle on
    weights[0, 5:, 2] = weights[0, 5, 2]  # a step later
    weights[1, 4:, 3] *= 1 + 1e-9 * np.arange(5)[:, None]
    weights[1, 4:, 0] = 0.0
    found = WeightChanges(4)
    for k in range(9):
        found.add(weights[:, k].reshape(2, 20))
    np.testing.assert_array_equal(found.still_filters(np.array([9, 9])), [1, 1])
    np.testing.assert_array_equal(found.still_filters(np.array([9, 2])), [1, np.nan])


def test_what_cannot_be_told_is_nan():
    weights = np.ones((2, 4, 3))
    weights[1, 2:] = np.nan
    found = changes(weights)
    np.testing.assert_array_equal(found.movement(np.array([4, 4])), [0, np.nan])
    assert np.isnan(changes(np.zeros((1, 5, 3))).movement(np.array([5]))[0])
    one = changes(weights[:, :1])
    for values in (one.movement(np.array([1, 1])), one.never_flipped(), one.flips_per_weight()):
        assert np.isnan(values).all()
    assert found.never_flipped()[0] == 1


def test_gradients_relative_to_weights():
    weight = np.array([[1.0, 2, 4], [1, 1, 1], [np.nan] * 3])
    gradient = np.array([[0.1, 0.2, 4], [1e-9, 1e-9, np.nan], [1, 2, 3]])
    other = (2 * weight, 2e-3 * np.ones((3, 3)))
    low, high = gradient_ratios([(weight, gradient), other])
    np.testing.assert_allclose(low, [min(0.1, 5e-4), 1e-9, np.nan])
    np.testing.assert_allclose(high, [1.0, 1e-3, np.nan])
    np.testing.assert_allclose(gradient_ratios([(weight, gradient)])[1], [1.0, 1e-9, np.nan])


def test_findings_are_put_in_words():
    flags = {"stuck": np.array([True, False, True]), "dead filters": np.array([False, False, True])}
    assert diagnoses(flags, 3).tolist() == ["stuck", FINE, "stuck, dead filters"]
