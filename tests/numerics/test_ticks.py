"""Ticks: round values inside the axis, distinct texts, no overlap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvensemble.numerics.ticks import (
    Tick,
    log_ticks,
    nice_ticks,
    number_labels,
    short_labels,
    thin,
)


def test_linear_ticks_are_round_numbers_inside_the_interval():
    np.testing.assert_array_equal(nice_ticks(0.03, 0.97, 6), [0.2, 0.4, 0.6, 0.8])
    np.testing.assert_array_equal(nice_ticks(0, 1000, 6), [0, 200, 400, 600, 800, 1000])
    np.testing.assert_array_equal(nice_ticks(-1, 1, 5), [-1, -0.5, 0, 0.5, 1])
    np.testing.assert_array_equal(nice_ticks(7, 7), [7])


def test_log_ticks_are_decades_then_one_two_five_then_linear():
    np.testing.assert_allclose(log_ticks(1e-5, 1.0, 8), [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0])
    np.testing.assert_allclose(log_ticks(1e-12, 1.0, 5), [1e-12, 1e-9, 1e-6, 1e-3, 1.0])
    np.testing.assert_allclose(log_ticks(0.9, 25), [1, 2, 5, 10, 20])
    np.testing.assert_allclose(log_ticks(0.0059, 0.0161, 6), [0.0075, 0.01, 0.0125, 0.015])


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 12))
def test_linear_ticks_stay_inside_and_are_not_many(lo, width, n):
    hi = lo + width
    if hi <= lo:
        return
    ticks = nice_ticks(lo, hi, n)
    slack = 1e-6 * max(abs(lo), abs(hi), width)
    assert np.all((ticks >= lo - slack) & (ticks <= hi + slack))
    assert len(ticks) <= 2 * n + 2


def test_numbers_are_written_as_short_as_is_exact():
    assert number_labels([0.2, 0.4, 1.0]) == ["0.2", "0.4", "1"]
    assert number_labels([1e-5, 1e-4, 0.001]) == ["1e-5", "1e-4", "0.001"]
    assert number_labels([0, 2.5e7, -1.5e-6]) == ["0", "2.5e7", "-1.5e-6"]
    assert number_labels([0.01 * 0.9**5, 0.9**11]) == ["0.005905", "0.3138"]


def test_different_numbers_get_different_texts():
    values = [0.123456, 0.123457, 0.123458]
    assert number_labels(values) == ["0.123456", "0.123457", "0.123458"]


def test_long_labels_that_differ_in_the_middle_stay_different():
    labels = ["resnet_wide_18_cosine", "resnet_deep_18_cosine"]
    short = short_labels(labels, 8)
    assert len(set(short)) == 2
    assert all(len(s) < len(label) for s, label in zip(short, labels))


@given(st.lists(st.text("ab_", max_size=12), unique=True, max_size=8), st.integers(1, 12))
def test_labels_are_never_merged(labels, length):
    assert len(set(short_labels(labels, length))) == len(labels)


def ticks_at(*positions):
    return [Tick(p, str(p), p) for p in positions]


def test_even_ticks_keep_every_kth():
    kept = thin(ticks_at(0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), 0.15)
    assert [t.position for t in kept] == [0, 0.2, 0.4, 0.6]


def test_uneven_ticks_keep_the_ends():
    kept = thin(ticks_at(0, 0.02, 0.5, 0.95, 1.0), 0.1)
    assert [t.position for t in kept] == [0, 0.5, 1.0]


@given(st.lists(st.floats(0, 1), max_size=40), st.floats(0.01, 0.5))
def test_thinned_ticks_keep_their_distance(positions, gap):
    kept = [t.position for t in thin(ticks_at(*positions), gap)]
    assert np.all(np.diff(kept) >= gap - 1e-6)
    assert bool(kept) == bool(positions)


def test_room_for_all_drops_none():
    assert len(thin(ticks_at(0, 0.5, 1), 0.5)) == 3


@pytest.mark.parametrize("n", [0, 1])
def test_few_ticks_pass(n):
    assert len(thin(ticks_at(*range(n)), 9)) == n
