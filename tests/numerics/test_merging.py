"""Which filters are merged: by brute force, by properties, and what must not be merged."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pvensemble.errors import OptionError
from pvensemble.numerics.merging import (
    all_standing,
    existing,
    merged,
    similar_filters,
    smallest_correlation,
)


def of_vectors(rng: np.random.Generator, n: int, n_kinds: int, noise: float) -> np.ndarray:
    """Return the correlations of noisy copies of a few vectors, in random order."""
    kinds = rng.standard_normal((n_kinds, 40))
    rows = kinds[rng.integers(n_kinds, size=n)] + noise * rng.standard_normal((n, 40))
    return np.corrcoef(rows).astype(np.float32)


def by_hand(matrix: np.ndarray, threshold: float) -> list[list[int]]:
    """Complete linkage as it is defined: join the two groups whose worst pair is the best."""
    groups = [[i] for i in range(len(matrix))]
    while True:
        best, pair = -np.inf, None
        for a, b in itertools.combinations(range(len(groups)), 2):
            least = min(matrix[i, j] for i in groups[a] for j in groups[b])
            if least > best:
                best, pair = least, (a, b)
        if pair is None or best < np.float32(threshold):
            return sorted(sorted(g) for g in groups if len(g) > 1)
        groups[pair[0]] += groups.pop(pair[1])


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_groups_are_those_of_complete_linkage(threshold):
    rng = np.random.default_rng(0)
    for _ in range(20):
        matrix = of_vectors(rng, 14, 4, 0.5)
        found = [g.tolist() for g in similar_filters(matrix, threshold)]
        assert found == by_hand(matrix, threshold)
        for group in found:
            assert smallest_correlation(matrix, group) >= np.float32(threshold)


def test_single_linkage_would_chain():
    """0 - 1 and 1 - 2 are alike, 0 - 2 are not: no group may hold all three."""
    matrix = np.array([[1, 0.95, 0.8], [0.95, 1, 0.92], [0.8, 0.92, 1]], np.float32)
    assert [g.tolist() for g in similar_filters(matrix, 0.9)] == [[0, 1]]


def test_numbers_of_filters_do_not_matter_even_with_ties():
    rng = np.random.default_rng(0)
    values = np.array([0.0, 0.5, 0.9, 1.0], np.float32)
    n_groups = 0
    for _ in range(60):
        matrix = np.triu(values[rng.integers(4, size=(9, 9))], 1)
        matrix = matrix + matrix.T + np.eye(9, dtype=np.float32)
        groups = {frozenset(g.tolist()) for g in similar_filters(matrix, 0.9)}
        order = rng.permutation(9)
        again = similar_filters(matrix[np.ix_(order, order)], 0.9)
        # Exchangeable filters may change places: what is left is the same matrix.
        assert sorted(map(len, groups)) == sorted(map(len, again))
        left = [sorted(matrix[np.ix_(sorted(g), sorted(g))].ravel().tolist()) for g in groups]
        other = [sorted(matrix[np.ix_(order[g], order[g])].ravel().tolist()) for g in again]
        assert sorted(left) == sorted(other)
        n_groups += len(groups)
    assert n_groups > 60


def test_distinct_correlations_give_the_same_groups_in_any_order():
    rng = np.random.default_rng(0)
    for _ in range(30):
        matrix = of_vectors(rng, 12, 4, 0.3)
        order = rng.permutation(12)
        groups = {frozenset(g.tolist()) for g in similar_filters(matrix, 0.8)}
        again = similar_filters(matrix[np.ix_(order, order)], 0.8)
        assert {frozenset(order[g].tolist()) for g in again} == groups


def test_opposite_and_dead_filters_are_not_merged():
    matrix = np.array([[1, -1, 0], [-1, 1, 0], [0, 0, 1]], np.float32)
    assert similar_filters(matrix, 0.5) == []
    assert similar_filters(np.zeros((4, 4), np.float32), 0.5) == []
    assert similar_filters(np.full((3, 3), np.nan, np.float32), 0.5) == []
    assert similar_filters(np.ones((1, 1), np.float32), 0.5) == []


def test_threshold_in_float32_is_reached():
    matrix = np.array([[1, 0.9], [0.9, 1]], np.float32)  # 0.89999998
    assert [g.tolist() for g in similar_filters(matrix, 0.9)] == [[0, 1]]
    assert similar_filters(np.nextafter(matrix, np.float32(0)), 0.9) == []
    identical = np.ones((3, 3), np.float32)
    assert [g.tolist() for g in similar_filters(identical, 1.0)] == [[0, 1, 2]]


def test_rounding_beyond_one_is_one():
    matrix = np.full((3, 3), np.nextafter(np.float32(1), np.float32(2)))
    assert [g.tolist() for g in similar_filters(matrix, 1.0)] == [[0, 1, 2]]


def test_wrong_input_is_told():
    with pytest.raises(OptionError, match="above 0 and at most at 1, got 1.5"):
        similar_filters(np.eye(3), 1.5)
    with pytest.raises(OptionError, match=r"got \(3, 2\)"):
        similar_filters(np.zeros((3, 2)), 0.5)


def test_standing_follows_from_merge_to_merge():
    standing = merged(all_standing(6), [[1, 4], [2, 3]])
    assert standing.tolist() == [0, 1, 2, 2, 1, 5]
    assert existing(standing).tolist() == [True, True, True, False, False, True]
    standing = merged(standing, [[1, 2, 5]])
    assert standing.tolist() == [0, 1, 1, 1, 1, 1]
    assert existing(standing.astype(np.float32)[None]).sum() == 2
