"""Correlations of filters against numpy.corrcoef in float64; of layers against plain CKA."""

from __future__ import annotations

import numpy as np
import pytest
from gram_matrices import centred_alignment, gram_matrices
from hypothesis import given, settings
from hypothesis import strategies as st

from pvensemble.errors import OptionError
from pvensemble.numerics.correlation import (
    ROWS,
    CorrelationSums,
    dead_filters,
    filter_correlation,
    layer_correlation,
)

TOLERANCE = 1e-6


def outputs(seed: int = 0, *, mean: float = 0.0, n_images: int = 20) -> np.ndarray:
    """(runs, images, filters, y, x) with correlated filters."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(3, 6, 6))
    values = np.einsum("rfg,rngyx->rnfyx", mixed, rng.normal(size=(3, n_images, 6, 15, 16)))
    return (values + mean * np.arange(1, 7)[:, None, None]).astype(np.float32)


def as_rows(values: np.ndarray) -> np.ndarray:
    return np.moveaxis(values, 2, -1).reshape(len(values), -1, values.shape[2])


def by_numpy(values: np.ndarray) -> np.ndarray:
    """The definition: one vector a filter, all images and positions concatenated."""
    return np.stack([np.corrcoef(rows.astype(np.float64).T) for rows in as_rows(values)])


def sums_of(*parts: np.ndarray) -> CorrelationSums:
    sums = CorrelationSums()
    for part in parts:
        sums.add(part)
    return sums


@pytest.mark.parametrize("mean", [0.0, 10.0, 1000.0])
def test_correlation_is_that_of_numpy_far_from_zero_too(mean):
    values = outputs(mean=mean)
    assert values.shape[1] * 240 > 4 * ROWS
    matrix, dead = filter_correlation(values)
    np.testing.assert_allclose(matrix, by_numpy(values), rtol=0, atol=TOLERANCE)
    assert matrix.dtype == np.float32
    assert dead.shape == (3, 6)
    assert not dead.any()


def test_plain_float32_moments_would_fail_this():
    """The negative control: without shift and float64 the same data miss the tolerance."""
    rows = as_rows(outputs(mean=1000.0))[0]
    covariance = rows.T @ rows / len(rows) - np.outer(rows.mean(0), rows.mean(0))
    deviation = np.sqrt(np.abs(np.diag(covariance)))
    naive = covariance / np.outer(deviation, deviation)
    assert np.abs(naive - by_numpy(outputs(mean=1000.0))[0]).max() > 1e-3


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 4800), max_size=4).map(sorted),
    st.sampled_from([0.0, -30.0, 1000.0]),
    st.permutations(range(5)),
)
def test_sums_of_any_parts_can_be_merged_in_any_order(cuts, mean, order):
    """Chunks, steps and processes: each has its own shift."""
    values = outputs(mean=mean)
    parts = np.split(as_rows(values), cuts, axis=1)
    merged = CorrelationSums()
    for i in order:
        if i < len(parts):
            merged.merge(sums_of(parts[i]))
    np.testing.assert_allclose(merged.result(), by_numpy(values), rtol=0, atol=TOLERANCE)


def test_merging_leaves_the_other_alone():
    first, second = np.split(as_rows(outputs(mean=5.0)), 2, axis=1)
    merged, other = CorrelationSums(), sums_of(second)
    before = other.result()
    merged.merge(other)
    merged.merge(sums_of(first))
    merged.merge(CorrelationSums())
    np.testing.assert_array_equal(other.result(), before)
    whole = np.concatenate([second, first], axis=1)
    np.testing.assert_allclose(merged.result(), sums_of(whole).result(), rtol=0, atol=TOLERANCE)


def test_parts_with_means_far_apart_are_merged():
    """As of a training whose activations drift: the variance between parts is variance."""
    parts = [as_rows(outputs(seed, mean=mean)) for seed, mean in ((1, -500.0), (2, 300.0))]
    merged = sums_of(parts[0])
    merged.merge(sums_of(parts[1]))
    whole = np.concatenate(parts, axis=1).astype(np.float64)
    expected = np.stack([np.corrcoef(rows.T) for rows in whole])
    np.testing.assert_allclose(merged.result(), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e4, 1e30, np.nan, np.inf])
def test_dead_filters_correlate_with_nothing(value):
    values = outputs()
    values[1, :, 2] = value
    matrix, dead = filter_correlation(values)
    expected = by_numpy(outputs())
    expected[1, 2, :] = expected[1, :, 2] = 0
    expected[1, 2, 2] = 1
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=TOLERANCE)
    assert np.argwhere(dead).tolist() == [[1, 2]]
    np.testing.assert_array_equal(dead_filters(matrix), dead)


def test_a_filter_that_dies_by_one_value_is_dead():
    values = outputs()
    values[0, 7, 4, 3, 3] = np.inf
    matrix, dead = filter_correlation(values)
    assert np.argwhere(dead).tolist() == [[0, 4]]
    assert np.isfinite(matrix).all()


def test_the_last_bit_of_a_constant_is_no_variance():
    values = outputs()
    values[1, :, 2] = 1000
    values[1, ::3, 2] = np.nextafter(np.float32(1000), np.float32(2000))
    assert np.argwhere(filter_correlation(values)[1]).tolist() == [[1, 2]]


def test_small_variance_is_not_death():
    values = outputs() * np.float32(1e-12)
    matrix, dead = filter_correlation(values)
    assert not dead.any()
    np.testing.assert_allclose(matrix, by_numpy(values), rtol=0, atol=TOLERANCE)


def test_layers_without_positions_and_single_runs():
    values = outputs()[0, :, :, 0, 0]
    matrix, _ = filter_correlation(values, n_positions=0)
    np.testing.assert_allclose(matrix, np.corrcoef(values.T.astype(float)), rtol=0, atol=TOLERANCE)
    one, _ = filter_correlation(outputs()[0])
    np.testing.assert_allclose(one, by_numpy(outputs())[0], rtol=0, atol=TOLERANCE)


def test_chunks_of_images_change_nothing(monkeypatch):
    from pvensemble.numerics import correlation

    monkeypatch.setattr(correlation, "_CHUNK", 10_000)
    matrix, _ = filter_correlation(outputs())
    np.testing.assert_allclose(matrix, by_numpy(outputs()), rtol=0, atol=TOLERANCE)


def test_4096_filters():
    rows = np.random.default_rng(0).normal(size=(60, 4096)).astype(np.float32)
    rows[:, 4000:] = 2
    matrix, dead = filter_correlation(rows, n_positions=0)
    expected = np.corrcoef(rows[:, :200].astype(float).T)
    np.testing.assert_allclose(matrix[:200, :200], expected, rtol=0, atol=TOLERANCE)
    assert np.array_equal(dead, np.arange(4096) >= 4000)
    assert np.array_equal(dead_filters(matrix), dead)
    assert np.isfinite(matrix).all()


def test_the_only_filter_is_not_dead_as_far_as_is_known():
    assert dead_filters(np.ones((3, 1, 1))).tolist() == [[False]] * 3
    assert dead_filters(np.eye(2)).tolist() == [True, True]


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: CorrelationSums().result(), "none were added"),
        (lambda: sums_of(np.ones((4, 3)), np.ones((4, 2))), r"\('n_rows', 3\)"),
        (lambda: sums_of(np.ones((4, 3))).merge(sums_of(np.ones((4, 2)))), "cannot be merged"),
        (lambda: filter_correlation(np.ones((4, 3))), r"got an array of shape \(4, 3\)"),
        (lambda: layer_correlation([]), "got none"),
        (lambda: layer_correlation([np.ones((1, 2, 4, 4)), np.ones((1, 1, 4, 4))]), "one shape"),
    ],
)
def test_unusable_input_is_named(work, message):
    with pytest.raises(OptionError, match=message):
        work()


# -- layers ----------------------------------------------------------------------------------------


def test_layers_are_compared_by_alignment():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(24, 5))
    widths = (3, 11, 40)
    outputs_ = [
        [images @ rng.normal(size=(5, w)) + rng.normal(size=(24, w)) for w in widths]
        for _ in range(2)
    ]
    grams = [np.stack([gram_matrices(run[i], 8) for run in outputs_]) for i in range(3)]
    result = layer_correlation(grams)
    assert result.shape == (2, 3, 3)
    for run in range(2):
        for i in range(3):
            for j in range(3):
                expected = centred_alignment(outputs_[run][i], outputs_[run][j], 8)
                assert result[run, i, j] == pytest.approx(expected, abs=1e-5)


def test_a_dead_layer_is_like_no_other():
    grams = [
        np.zeros((1, 2, 8, 8)),
        gram_matrices(np.random.default_rng(0).normal(size=(16, 3)), 8)[None],
    ]
    np.testing.assert_allclose(layer_correlation(grams)[0], np.eye(2), atol=1e-6)
