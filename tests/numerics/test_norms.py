"""Norms over the training: quantities, power laws, and whether their intervals can be trusted."""

from __future__ import annotations

import numpy as np
import pytest

from pvensemble.errors import OptionError
from pvensemble.numerics.norms import (
    GROWTH,
    NORM,
    QUADRATURE,
    fit_power_law,
    quantity_of,
    total_norm,
)

STEPS = np.arange(0, 2001, 20)
LOG_STEPS = np.log(STEPS[1:])


def ornstein_uhlenbeck(rng, n_runs, length):
    """Deviations (n_runs, n_steps - 1) that are correlated over a length of log t."""
    covariance = np.exp(-np.abs(LOG_STEPS[:, None] - LOG_STEPS) / length)
    return rng.normal(size=(n_runs, len(LOG_STEPS))) @ np.linalg.cholesky(covariance).T


def autoregressive(rng, n_runs, memory):
    """Deviations that are correlated from each recorded step to the next."""
    noise = rng.normal(size=(n_runs, len(LOG_STEPS)))
    for k in range(1, noise.shape[1]):
        noise[:, k] = memory * noise[:, k - 1] + np.sqrt(1 - memory**2) * noise[:, k]
    return noise


def curves(exponent, noise):
    """Norms a t^exponent with relative deviations; the norm at step 0 is 0."""
    return np.column_stack([np.zeros(len(noise)), np.exp(exponent * LOG_STEPS + noise)])


def coverage(fit, exponent):
    """Share of the intervals that hold the planted exponent."""
    assert np.isfinite(fit.exponent).all()
    return np.mean((fit.low <= exponent) & (exponent <= fit.high))


def test_an_exact_power_law_is_found_exactly():
    values = np.stack([3.0 * STEPS**0.5, 0.02 * STEPS**1.3])
    fit = fit_power_law(STEPS, values)
    np.testing.assert_allclose(fit.exponent, [0.5, 1.3], rtol=1e-6)
    np.testing.assert_allclose(fit.factor, [3.0, 0.02], rtol=1e-6)
    assert (fit.high - fit.low < 1e-4).all()
    np.testing.assert_array_equal([fit.first, fit.last], [[20, 20], [2000, 2000]])


@pytest.mark.parametrize("length", [0.05, 0.5, 2.0])
def test_intervals_cover_a_planted_exponent_when_deviations_are_correlated_over_log_steps(length):
    noise = 0.1 * ornstein_uhlenbeck(np.random.default_rng(1), 400, length)
    assert coverage(fit_power_law(STEPS, curves(0.7, noise)), 0.7) >= 0.92


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_intervals_cover_a_planted_exponent_when_neighbouring_steps_are_correlated(memory):
    noise = 0.05 * autoregressive(np.random.default_rng(2), 400, memory)
    fit = fit_power_law(STEPS, curves(0.7, noise))
    assert 0.92 <= coverage(fit, 0.7) <= 0.99
    assert np.median(fit.high - fit.low) < 0.2


def test_ordinary_least_squares_would_not_cover_it():
    """Negative control: what the correlation of the deviations is accounted for."""
    from scipy.stats import linregress, t

    noise = 0.1 * ornstein_uhlenbeck(np.random.default_rng(1), 400, 2.0)
    hits = []
    for y in np.log(curves(0.7, noise)[:, 1:]):
        line = linregress(LOG_STEPS, y)
        half = t.ppf(0.975, len(y) - 2) * line.stderr
        hits.append(abs(line.slope - 0.7) <= half)
    assert np.mean(hits) < 0.5


def test_intervals_are_those_of_least_squares_when_deviations_are_independent():
    """Against scipy: about as wide, at the same points, as long as there is no correlation."""
    from scipy.stats import linregress

    steps = np.unique(np.geomspace(1, 10000, 40).astype(int))
    noise = 0.1 * np.random.default_rng(3).normal(size=(200, len(steps)))
    fit = fit_power_law(steps, np.exp(0.4 * np.log(steps) + noise))
    lines = [linregress(np.log(steps), 0.4 * np.log(steps) + e) for e in noise]
    slopes, errors = np.array([(line.slope, line.stderr) for line in lines]).T
    np.testing.assert_allclose(fit.exponent, slopes, atol=0.02)
    ratio = np.median((fit.high - fit.low) / (2 * 1.96 * errors))
    assert 0.95 < ratio < 1.35


@pytest.mark.parametrize("n_weights", [2, 1000])
def test_a_random_walk_grows_with_the_root_of_the_steps(n_weights):
    rng = np.random.default_rng(4)
    walks = np.cumsum(20**0.5 * rng.normal(size=(60, 100, n_weights)), axis=1)
    norms = np.column_stack([np.zeros(60), np.linalg.norm(walks, axis=2)])
    fit = fit_power_law(STEPS, norms)
    assert coverage(fit, 0.5) > 0.9
    assert abs(fit.exponent.mean() - 0.5) < (0.02 if n_weights > 2 else 0.1)


def test_far_from_the_origin_only_the_quadrature_does():
    rng = np.random.default_rng(5)
    start = 30 * rng.normal(size=(40, 1, 2000))
    walks = start + np.cumsum(20**0.5 * rng.normal(size=(40, 100, 2000)), axis=1)
    norms = np.linalg.norm(np.concatenate([start, walks], axis=1), axis=2)
    exponents = {
        name: np.median(fit_power_law(STEPS, quantity_of(norms, name)).exponent)
        for name in (NORM, GROWTH, QUADRATURE)
    }
    assert abs(exponents[QUADRATURE] - 0.5) < 0.04
    assert 0.85 < exponents[GROWTH] < 1.1
    assert exponents[NORM] < 0.2


def test_quantities():
    norms = np.array([[np.nan, 3.0, 5.0, np.nan, 2.0], [np.nan] * 5])
    np.testing.assert_array_equal(quantity_of(norms, NORM), norms)
    nan = np.nan
    np.testing.assert_array_equal(quantity_of(norms, GROWTH), [[nan, 0, 2, nan, -1], [nan] * 5])
    np.testing.assert_array_equal(
        quantity_of(norms, QUADRATURE), [[nan, 0, 4, nan, nan], [nan] * 5]
    )
    with pytest.raises(OptionError, match="did you mean 'growth'"):
        quantity_of(norms, "grow")


def test_the_norm_of_several_vectors_is_that_of_the_long_one():
    rng = np.random.default_rng(6)
    vectors = [rng.normal(size=(3, 4, size)) for size in (2, 5)]
    steps = [np.array([0, 10, 20, 30]), np.array([0, 10, 15, 20])]
    norms = [np.linalg.norm(v, axis=2) for v in vectors]
    norms[1][2] = np.nan  # a network without the second one
    together, values = total_norm(list(zip(steps, norms)))
    np.testing.assert_array_equal(together, [0, 10, 15, 20, 30])
    whole = np.linalg.norm(
        np.concatenate([vectors[0][:, [0, 1, 2]], vectors[1][:, [0, 1, 3]]], 2), axis=2
    )
    np.testing.assert_allclose(values[:2][:, [0, 1, 3]], whole[:2])
    assert np.isnan(values[:2][:, [2, 4]]).all()
    np.testing.assert_allclose(values[2, [0, 1, 3, 4]], norms[0][2])


def test_only_the_interval_counts():
    values = np.where(STEPS <= 500, STEPS**0.5, 500**0.5 * (STEPS / 500.0) ** 2)[None]
    early, late = (fit_power_law(STEPS, values, part) for part in ((0, 500), (500, 2000)))
    np.testing.assert_allclose([early.exponent[0], late.exponent[0]], [0.5, 2.0], rtol=1e-6)
    assert (early.last[0], late.first[0]) == (500, 500)
    with pytest.raises(OptionError, match="the start is after the end"):
        fit_power_law(STEPS, values, (10, 5))


def test_curves_that_follow_no_power_law_have_none():
    shrinking = 5.0 - 0.001 * STEPS
    values = np.stack([quantity_of(shrinking[None], GROWTH)[0], STEPS**0.5, STEPS**0.5])
    values[2, 5:] = np.nan  # diverged after four steps
    fit = fit_power_law(STEPS, values)
    np.testing.assert_array_equal(np.isfinite(fit.exponent), [False, True, False])
    assert np.isnan([fit.low[0], fit.high[0], fit.factor[0], fit.first[0]]).all()
    nothing = fit_power_law(STEPS[:0], values[:, :0])
    assert np.isnan(nothing.exponent).all()


def test_gaps_and_other_runs_do_not_matter():
    rng = np.random.default_rng(7)
    values = curves(0.6, 0.05 * rng.normal(size=(4, len(LOG_STEPS))))
    values[1, 10:13] = np.nan
    together = fit_power_law(STEPS, values)
    for k in range(4):
        alone = fit_power_law(STEPS, values[k : k + 1])
        np.testing.assert_allclose(together.exponent[k], alone.exponent[0], rtol=1e-9)
        np.testing.assert_allclose(together.low[k], alone.low[0], rtol=1e-6)
