"""Which filters of a layer are so alike that one can stand for all, and the numbers they keep.

Unlike the clusters that filters are sorted by, the correlation is signed: filters of opposite sign
do not do the same. Complete linkage makes every pair of a group as alike as was asked for.

What stands for what is an array *standing*: for each filter that a layer had in the beginning the
number of the filter that stands for it, its own as long as it is there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.cluster import hierarchy

from pvensemble.errors import OptionError
from pvensemble.numerics.canonical_form import canonical_orders


def similar_filters(correlation: np.ndarray, threshold: float) -> list[np.ndarray]:
    """Return the groups of filters of which every pair correlates by at least a threshold.

    Permuting the filters permutes their numbers in the groups and changes nothing else, also with
    ties. A dead filter, which correlates 0 with all others, is in no group.

    Parameters
    ----------
    correlation : numpy.ndarray
        (n_filters, n_filters) in [-1, 1]; what is not finite counts as 0.
    threshold : float
        In (0, 1]. Compared in the type of the correlations: 0.9 in float32 reaches 0.9.

    Returns
    -------
    list of numpy.ndarray
        Groups of at least two filters, ascending; by their first filters.

    Raises
    ------
    OptionError
        For a threshold outside (0, 1], or a matrix that is not square.
    """
    matrix = np.asarray(correlation)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise OptionError(f"correlations (n_filters, n_filters) are needed, got {matrix.shape}")
    if not 0 < threshold <= 1:
        raise OptionError(f"threshold must lie above 0 and at most at 1, got {threshold:g}")
    if matrix.dtype not in (np.float32, np.float64):
        matrix = matrix.astype(np.float64)
    if len(matrix) < 2:
        return []
    matrix = np.clip(np.nan_to_num(matrix, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)
    order = canonical_orders(matrix[None])[0]
    row, column = np.triu_indices(len(matrix), 1)
    sorted_ = matrix[np.ix_(order, order)].astype(np.float64)
    # Both halves, so that a matrix that is symmetric but for rounding has one distance a pair.
    alike = np.minimum(sorted_[row, column], sorted_[column, row])
    tree = hierarchy.linkage(1.0 - alike, "complete")
    cut = 1.0 - float(matrix.dtype.type(threshold))
    label = hierarchy.fcluster(tree, cut, "distance")
    groups = [np.sort(order[label == c]) for c in np.unique(label)]
    return sorted((g for g in groups if len(g) > 1), key=lambda g: int(g[0]))


def smallest_correlation(correlation: np.ndarray, group: Sequence[int]) -> float:
    """Return the smallest correlation of two filters of a group."""
    within = np.asarray(correlation)[np.ix_(group, group)]
    return float(within[np.triu_indices(len(group), 1)].min())


def all_standing(n_filters: int) -> np.ndarray:
    """Return *standing* of a layer of which every filter is there, (n_filters,) int64."""
    return np.arange(n_filters)


def existing(standing: np.ndarray) -> np.ndarray:
    """Tell which filters are there.

    Parameters
    ----------
    standing : numpy.ndarray
        (…, n_filters) whole numbers of any type.

    Returns
    -------
    numpy.ndarray
        (…, n_filters) bool.
    """
    standing = np.asarray(standing)
    return standing == np.arange(standing.shape[-1])


def merged(standing: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Return *standing* after groups of filters that are there were merged, (n_filters,) int64.

    The first filter of each group stands for it, and for all that the others stood for.
    """
    root = all_standing(len(standing))
    for group in groups:
        root[list(group)] = min(group)
    return root[standing]
