"""Counts of high correlations against counting, at any threshold and with any memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvensemble.errors import NotRecordedError, OptionError
from pvensemble.numerics.filter_counts import COUNTS, GRID, FilterCounts

thresholds = st.one_of(
    st.floats(0, 1), st.sampled_from(GRID.tolist()), st.sampled_from([0.0, 0.7, 0.995, 1.0])
)


def correlations(seed: int, n_runs: int = 4, n: int = 9) -> np.ndarray:
    """(n_runs, n, n) with ties at round numbers, dead filters, and some NaN."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.uniform(-1, 1, (n_runs, n, n)), 2).astype(np.float32)
    values = np.where(rng.random(values.shape) < 0.5, values, rng.uniform(-1, 1, values.shape))
    values = np.triu(values, 1)
    values = values + values.swapaxes(1, 2) + np.eye(n)
    if n_runs > 2:
        values[1] = np.eye(n)
        values[2, 0, 1:] = values[2, 1:, 0] = np.nan
    return values.astype(np.float32)


def counted(stack: np.ndarray, threshold: float, what: str) -> list[int]:
    """By the definition, pair by pair."""
    result = []
    for matrix in stack:
        n = len(matrix)
        pairs = [
            (i, j)
            for i in range(n)
            for j in range(i + 1, n)
            if abs(matrix[i, j]) > np.float32(threshold)
        ]
        result.append(len(pairs) if what == "pairs" else len({i for pair in pairs for i in pair}))
    return result


def filled(max_bytes: int, n_keys: int = 3) -> FilterCounts:
    counts = FilterCounts(max_bytes)
    for key in range(n_keys):
        counts.add(key, correlations(key))
    return counts


@settings(max_examples=100, deadline=None)
@given(thresholds, st.sampled_from(COUNTS), st.sampled_from([0, 600, 2**20]))
def test_counts_are_those_of_the_definition_whatever_the_memory(threshold, what, max_bytes):
    counts = filled(max_bytes)
    for key in counts.missing(threshold, what):
        counts.add(key, correlations(key), threshold)
    assert counts.missing(threshold, what) == []
    expected = [counted(correlations(key), threshold, what) for key in range(3)]
    assert counts.count(threshold, what).tolist() == expected


def test_values_beside_a_threshold_are_counted_exactly():
    """In the last bit of float32, at every threshold that is kept."""
    values = [np.nextafter(GRID, np.float32(d)) for d in (-1, 2)]
    values = np.concatenate([GRID, *values, [1, np.nextafter(np.float32(1), np.float32(2))]])
    stack = np.zeros((len(values), 2, 2), np.float32)
    stack[:, 0, 1] = stack[:, 1, 0] = values
    counts = FilterCounts(0)
    counts.add(0, stack)
    for threshold in GRID:
        expected = np.abs(values) > threshold
        np.testing.assert_array_equal(counts.count(float(threshold))[0], expected)


def test_with_enough_memory_nothing_is_asked_for_again():
    counts = filled(2**20)
    assert not any(counts.missing(t, what) for t in (0.123, 0.7, 1.0) for what in COUNTS)


def test_without_memory_round_thresholds_and_filters_need_nothing_either():
    counts = filled(0)
    assert not any(counts.missing(t) for t in (0.0, 0.005, 0.7, 0.85, 0.995, 1.0))
    assert counts.missing(0.123, "filters") == []
    assert counts.missing(0.123) == [0, 1, 2]
    with pytest.raises(NotRecordedError, match="0.123 are not known of 3 of 3 steps"):
        counts.count(0.123)


def test_a_threshold_that_was_asked_for_stays_known():
    counts = filled(0)
    for threshold in (0.123, 0.456):
        for key in counts.missing(threshold):
            counts.add(key, correlations(key), threshold)
    assert counts.missing(0.123) == counts.missing(0.456) == []
    assert counts.count(0.123)[2].tolist() == counted(correlations(2), 0.123, "pairs")


def test_only_what_exceeds_the_memory_is_asked_for_again():
    one = 4 * 4 * 36  # runs x bytes x pairs
    counts = filled(2 * one)
    assert counts.missing(0.123) == [2]


def test_memory_is_bounded():
    n_runs, n = 100, 64
    budget = 3 * 4 * n_runs * n * (n - 1) // 2
    counts = FilterCounts(budget)
    stack = correlations(0, n_runs, n)
    for step in range(20):
        counts.add(step, stack)
    beside = 20 * n_runs * (4 * n + 2 * len(GRID))
    assert counts.n_bytes <= budget + beside
    assert counts.n_bytes < 20 * 4 * n_runs * n * n / 2 / 3
    # 13,000 runs x 51 steps
    assert 13_000 * 51 * (4 * n + 2 * len(GRID)) < 0.5e9


def test_a_key_is_replaced_and_keeps_its_place():
    counts = filled(2**20)
    counts.add(0, correlations(9))
    assert counts.keys == [0, 1, 2]
    assert counts.count(0.5)[0].tolist() == counted(correlations(9), 0.5, "pairs")


def test_the_input_is_neither_kept_nor_changed():
    stack = correlations(2)
    before = stack.copy()
    counts = FilterCounts()
    counts.add(0, stack)
    np.testing.assert_array_equal(stack, before)
    stack[:] = 1
    assert counts.count(0.5)[0].tolist() == counted(before, 0.5, "pairs")


@pytest.mark.parametrize("n", [1, 2])
def test_few_filters(n):
    for max_bytes in (0, 2**20):
        counts = FilterCounts(max_bytes)
        counts.add(0, np.ones((3, n, n), np.float32))
        assert counts.count(0.7).tolist() == [[n - 1] * 3]
        assert counts.count(0.7, "filters").tolist() == [[0 if n == 1 else 2] * 3]


def test_nothing_was_added():
    assert FilterCounts().count(0.7).shape == (0, 0)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda c: c.count(0.7, "pair"), "did you mean 'pairs'"),
        (lambda c: c.count(1.7), "between 0 and 1, got 1.7"),
        (lambda c: c.add(5, np.ones((3, 9, 9))), "got 3 runs where the other keys have 4"),
        (lambda c: c.add(5, np.ones((4, 9))), r"got \(4, 9\)"),
    ],
)
def test_unusable_input_is_named(work, message):
    with pytest.raises(OptionError, match=message):
        work(filled(2**20))
