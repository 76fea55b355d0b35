"""Order of the filters of a layer: by clusters of similar filters, the largest cluster first.

The distance of two filters is ``1 - |r|``. The order depends on the correlations alone, never on
the numbers of the filters: permuting the filters gives the identical reordered matrix, also with
ties, exact duplicates and dead filters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.cluster import hierarchy

from pvensemble.errors import OptionError, did_you_mean
from pvensemble.numerics.canonical_form import canonical_orders

LINKAGES = ("average", "complete", "single")
"""Distance of two clusters: mean, largest or smallest distance of their filters."""
_CHUNK = 2**20
"""Matrix entries that are reordered at once, so that temporaries stay in the cache."""


@dataclass(frozen=True)
class ClusterOrder:
    """An order of filters.

    Attributes
    ----------
    permutation : numpy.ndarray
        (n_filters,) int64: the filter at each place of the new order.
    cluster : numpy.ndarray
        (n_filters,) int64: cluster of the filter at each place, 0, 1, … by decreasing size.
    linkage : numpy.ndarray
        (n_filters - 1, 4) float64 as of `scipy.cluster.hierarchy.linkage`, with the places as
        leaves. The first ``n_filters - n_clusters`` rows are the merges within clusters: each
        joins two neighbouring ranges of places, the left one first, so that lines drawn of them
        never cross. Merges of clusters come after them and may cross, because size decides the
        order of clusters.
    n_clusters : int
    """

    permutation: np.ndarray
    cluster: np.ndarray
    linkage: np.ndarray
    n_clusters: int

    @property
    def n_joined(self) -> int:
        """Number of rows of ``linkage`` that are merges within clusters."""
        return len(self.permutation) - self.n_clusters

    @property
    def redundant(self) -> list[np.ndarray]:
        """Filters of each cluster that has more than one, ascending: one could stand for all."""
        ends = np.flatnonzero(np.diff(self.cluster)) + 1
        return [np.sort(part) for part in np.split(self.permutation, ends) if len(part) > 1]


def cluster_order(
    correlation: np.ndarray, threshold: float = 0.7, linkage: str = "average"
) -> ClusterOrder:
    """Return the order of the filters of one run.

    Clusters are cut at the distance ``1 - threshold`` and sorted by size. In a cluster, the larger
    of two parts that were merged comes first. Clusters and parts of equal size are sorted by the
    sum of their filters' correlations (magnitudes) with all filters, which puts dead filters last
    and, unlike an arbitrary order, hardly changes when the correlations hardly change.

    Parameters
    ----------
    correlation : numpy.ndarray
        (n_filters, n_filters) in [-1, 1].
    threshold : float
        Correlation from which on filters are joined in a cluster, in [0, 1].
    linkage : str
        One of ``LINKAGES``.

    Raises
    ------
    OptionError
        For an unknown linkage, a threshold outside [0, 1], or a matrix that is not square.
    """
    stack = checked_stack(np.asarray(correlation)[None], threshold, linkage)
    ((canonical, tree, order),) = _ordered(stack, threshold, linkage)
    place = np.empty_like(order.leaves)
    place[order.leaves] = np.arange(len(place))
    cluster = np.repeat(np.arange(len(order.sizes)), order.sizes)
    return ClusterOrder(
        canonical[order.leaves], cluster, _with_leaves(tree, place), len(order.sizes)
    )


def reordered(stack: np.ndarray, threshold: float = 0.7, linkage: str = "average") -> np.ndarray:
    """Return the magnitudes of all runs' correlations, each in the order of its own clusters.

    Parameters
    ----------
    stack : numpy.ndarray
        (n_runs, n_filters, n_filters) in [-1, 1].
    threshold, linkage
        As for :func:`cluster_order`.

    Returns
    -------
    numpy.ndarray
        (n_runs, n_filters, n_filters) float32.
    """
    stack = checked_stack(stack, threshold, linkage)
    n = stack.shape[1]
    result = np.empty(stack.shape, np.float32)
    for run, (canonical, _, order) in enumerate(_ordered(stack, threshold, linkage)):
        rows = canonical[order.leaves]
        result[run] = stack[run].take(rows[:, None] * n + rows)
    np.abs(result, out=result)
    return result


def checked_stack(stack: np.ndarray, threshold: float, linkage: str) -> np.ndarray:
    """Return correlations (n_runs, n_filters, n_filters) as finite floats.

    What is not finite becomes 0, as the correlations of a dead filter are.

    Raises
    ------
    OptionError
        As `cluster_order` does.
    """
    if linkage not in LINKAGES:
        raise OptionError(f"unknown linkage {linkage!r}{did_you_mean(linkage, LINKAGES)}")
    if not 0 <= threshold <= 1:
        raise OptionError(f"threshold must lie between 0 and 1, got {threshold:g}")
    stack = np.asarray(stack)
    if stack.ndim != 3 or stack.shape[1] != stack.shape[2]:
        raise OptionError(
            f"correlations (…, n_filters, n_filters) are needed, got {stack.shape[1:]} for a run"
        )
    if stack.dtype not in (np.float32, np.float64):
        stack = stack.astype(np.float64)
    if not np.isfinite(stack).all():
        stack = np.nan_to_num(stack, nan=0.0, posinf=0.0, neginf=0.0)
    return np.ascontiguousarray(stack)


@dataclass(frozen=True)
class _Leaves:
    """Leaves of a tree (n,) in their order, and the sizes of the clusters they belong to."""

    leaves: np.ndarray
    sizes: list[int]


def _ordered(
    stack: np.ndarray, threshold: float, linkage: str
) -> Iterator[tuple[np.ndarray, np.ndarray, _Leaves]]:
    """Yield for each run the canonical order, the tree and the order of the leaves in it."""
    n = stack.shape[1]
    # As exact as the correlations are: 0.7 in float32 is not above a threshold of 0.7.
    cut = 1.0 - float(stack.dtype.type(threshold))
    row, column = np.triu_indices(n, 1)
    step = max(1, _CHUNK // max(1, n * n))
    for first in range(0, len(stack), step):
        part = stack[first : first + step]
        canonical = canonical_orders(part)
        magnitude = np.clip(np.abs(part), 0, 1)
        # Integers, because their sum is the same in any order.
        strength = (magnitude * 2.0**32).astype(np.int64).sum(axis=2)
        flat = magnitude.reshape(len(part), -1)
        i, j = canonical[:, row], canonical[:, column]
        distances = np.take_along_axis(flat, i * n + j, 1).astype(np.float64)
        distances += np.take_along_axis(flat, j * n + i, 1)
        distances *= -0.5
        distances += 1.0
        for order, of_run, sums in zip(canonical, distances, strength):
            tree = hierarchy.linkage(of_run, linkage) if n > 1 else np.empty((0, 4))
            yield order, tree, _leaves(tree, sums[order].tolist(), cut)


def _leaves(tree: np.ndarray, strength: list[int], cut: float) -> _Leaves:
    """Put the leaves of a tree in order, clusters below ``cut`` by decreasing size.

    Parameters
    ----------
    tree : (n - 1, 4)
    strength : list of int
        (n,): of parts of equal size the one with the larger sum comes first.
    """
    n = len(strength)
    parts: list[list[int] | None] = [[i] for i in range(n)]
    strength = list(strength)
    n_joined = int(np.searchsorted(tree[:, 2], cut, side="right"))
    for a, b in tree[:n_joined, :2].astype(np.int64).tolist():
        first, second = parts[a], parts[b]
        if (len(second), strength[b]) > (len(first), strength[a]):
            first, second = second, first
        parts.append(first + second)
        strength.append(strength[a] + strength[b])
        parts[a] = parts[b] = None
    clusters = sorted(
        (c for c, part in enumerate(parts) if part is not None),
        key=lambda c: (-len(parts[c]), -strength[c], c),
    )
    leaves = [leaf for c in clusters for leaf in parts[c]]
    return _Leaves(np.array(leaves, np.int64), [len(parts[c]) for c in clusters])


def _with_leaves(tree: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return a tree whose leaves have other numbers, the child that lies left named first."""
    n = len(place)
    tree = tree.copy()
    left = np.concatenate([place, np.zeros(len(tree), np.int64)])
    for k, children in enumerate(tree[:, :2].astype(np.int64)):
        a, b = sorted(children, key=lambda c: left[c])
        left[n + k] = left[a]
        tree[k, :2] = [place[c] if c < n else c for c in (a, b)]
    return tree
