"""Which filter of one run plays the part of which filter of another, by their correlations alone.

To find the permutation of filters under which two matrices of correlations agree best is a
quadratic assignment problem, which is NP-hard. Here a Hungarian matching of the filters' sorted
rows is improved by exchanging filters until no exchange of two helps.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

_LEAST_GAIN = 1e-6
_MAX_ROUNDS = 1000


def match_filters(matrix: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how well a run agrees with others after their filters are matched with its own.

    Parameters
    ----------
    matrix : numpy.ndarray
        (n_filters, n_filters) symmetric, with one value on the diagonal.
    others : numpy.ndarray
        (n_runs, n_filters, n_filters) likewise.

    Returns
    -------
    numpy.ndarray
        (n_runs,): sum of the products of ``matrix`` and the permuted matrix of the other run; at
        least that without a permutation.
    """
    profile, profiles = np.sort(matrix, axis=1), np.sort(others, axis=2)
    # Each profile is used exactly once: their norms do not matter.
    scores = np.matmul(profile, profiles.transpose(0, 2, 1))
    columns = [linear_sum_assignment(score, maximize=True)[1] for score in scores]
    matched = _permuted(others, np.stack(columns))
    value = _products(matrix, others)
    better = _products(matrix, matched) > value
    current = np.where(better[:, None, None], matched, others)
    return _exchange(matrix, current)


def _exchange(matrix: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Exchange filters of each run (n, F, F) until no exchange of two helps; return the sums (n,).

    In a round, all pairs of filters that are each other's best exchange are exchanged at once;
    when that does not help together, only the best pair is in the next round.
    """
    best = _products(matrix, current)
    going = np.arange(len(current))
    one_pair = np.zeros(len(current), bool)
    for _ in range(_MAX_ROUNDS):
        if not len(going):
            break
        partner, last = _partners(matrix, current[going], one_pair[going])
        moved = _permuted(current[going], partner)
        value = _products(matrix, moved)
        better = value > best[going] + _LEAST_GAIN
        improved = going[better]
        current[improved], best[improved] = moved[better], value[better]
        one_pair[going] = ~better
        going = going[better | ~last]
    return best


def _partners(
    matrix: np.ndarray, current: np.ndarray, one_pair: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return with which filter each is exchanged, (n, F), itself for none.

    Also whether that is at most the best pair, (n,).
    """
    n_runs, n = current.shape[:2]
    places, runs = np.arange(n), np.arange(n_runs)
    gain = _gains(matrix, current)
    choice = gain.argmax(axis=2)
    largest = gain.max(axis=2)
    mutual = (np.take_along_axis(choice, choice, axis=1) == places) & (largest > _LEAST_GAIN)
    first = largest.argmax(axis=1)
    pair = (places == first[:, None]) | (places == choice[runs, first][:, None])
    mutual &= pair | ~one_pair[:, None]
    return np.where(mutual, choice, places), mutual.sum(axis=1) <= 2


def _gains(matrix: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Return half of what exchanging two filters would add, (n, F, F), for each two."""
    products = np.matmul(matrix, current)
    own = np.diagonal(products, axis1=1, axis2=2)
    gain = products + products.transpose(0, 2, 1)
    gain -= own[:, :, None]
    gain -= own[:, None, :]
    # The entry between the two stays where it is.
    gain -= 2 * (matrix[0, 0] - matrix) * (current - current[:, :1, :1])
    return gain


def _products(matrix: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the sum of products with each of others (n, F, F)."""
    return np.einsum("ij,nij->n", matrix, others)


def _permuted(stack: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return matrices (n, F, F) with rows and columns in another order (n, F)."""
    n_runs, n = columns.shape
    rows = np.arange(n_runs)[:, None] * n + columns
    return stack.reshape(-1).take(rows[:, :, None] * n + columns[:, None, :])
