"""An order of the filters of a correlation matrix that does not depend on the order they came in.

Filters whose values differ are put in order by what is invariant: a 64-bit hash of the values in
their row, as a set. Measured correlations hardly ever need more. Filters that this leaves equal
(dead filters, exact duplicates, values that repeat) are told apart as graphs are: colours are
refined by the colours of the others (Weisfeiler and Lehman), filters that can be exchanged one for
one are merged, and what is then left is tried out, keeping the least matrix, where filters that a
symmetry found on the way exchanges are tried once (McKay 1981, "Practical graph isomorphism").

The result is canonical unless that last search takes more than ``MAX_VISITS``, which needs a large
matrix of few different values that is built to be regular; the best order found is then taken.
"""

from __future__ import annotations

import hashlib

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MAX_VISITS = 300_000_000
"""Matrix entries that a search looks at before it takes the best order it has: some seconds."""
_CHUNK = 2**20
"""Matrix entries that are hashed at once, so that temporaries stay in the cache."""


def canonical_orders(stack: np.ndarray) -> np.ndarray:
    """Return orders in which matrices that differ by a permutation become identical.

    Parameters
    ----------
    stack : numpy.ndarray
        (n_runs, n_filters, n_filters) finite.

    Returns
    -------
    numpy.ndarray
        (n_runs, n_filters) int64: ``stack[r][order[r]][:, order[r]]`` is the canonical matrix.
    """
    n_runs, n = stack.shape[:2]
    orders = np.empty((n_runs, n), np.int64)
    step = max(1, _CHUNK // max(1, n * n))
    for first in range(0, n_runs, step):
        part = stack[first : first + step]
        colours = _hashes(part).sum(axis=2)
        orders[first : first + step] = np.argsort(colours, axis=1)
        ranked = np.sort(colours, axis=1)
        for run in np.flatnonzero((ranked[:, 1:] == ranked[:, :-1]).any(axis=1)):
            orders[first + run] = _order_with_ties(part[run])
    return orders


def _mixed(values: np.ndarray) -> np.ndarray:
    """Scramble uint64 numbers in place, one to one (the finalizer of splitmix64)."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def _hashes(matrix: np.ndarray) -> np.ndarray:
    """Return a uint64 hash of each value; -0 and 0 are one value."""
    values = np.ascontiguousarray(matrix + 0.0)
    bits = values.view(np.uint32 if values.dtype == np.float32 else np.uint64)
    return _mixed(bits.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15))


def _order_with_ties(matrix: np.ndarray) -> np.ndarray:
    """Return the canonical order of one matrix (n, n)."""
    # What a pair of filters is, seen from the first: both entries, should they differ.
    labels = _hashes(matrix)
    labels = _mixed(labels + _mixed(labels.T.copy()))
    colours = _mixed(labels.diagonal().copy())
    members = [[i] for i in range(len(labels))]
    while True:
        colours = _refined(labels, colours)
        merged = _merge_twins(labels, colours, members)
        if merged is None:
            break
        labels, colours, members = merged
    order = _Search(labels).order(colours)
    return np.array([i for place in order for i in members[place]], np.int64)


def _refined(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Tell filters of one colour apart by the colours and labels of all others, until it ends."""
    n_before = 0
    n = len(np.unique(colours))
    while n_before < n < len(colours):
        seen = _mixed(labels + _mixed(colours + np.uint64(1)))
        colours = _mixed(_mixed(seen).sum(axis=1) + colours)
        n_before, n = n, len(np.unique(colours))
    return colours


# -- filters that can be exchanged -----------------------------------------------------------------


def _merge_twins(
    labels: np.ndarray, colours: np.ndarray, members: list[list[int]]
) -> tuple[np.ndarray, np.ndarray, list[list[int]]] | None:
    """Replace filters that can be exchanged with each other, all else staying, by one of them.

    Returns
    -------
    tuple or None
        Labels, colours and members without the others; None when there are no such filters.
    """
    twins = _twins(labels, colours)
    if not twins:
        return None
    colours, members = colours.copy(), list(members)
    drop = np.zeros(len(colours), bool)
    for twin in twins:
        first = twin[0]
        drop[twin[1:]] = True
        members[first] = [i for place in twin for i in members[place]]
        inner = labels[first, twin[1:2]] + np.uint64(len(twin))
        colours[twin[:1]] = _mixed(colours[twin[:1]] ^ _mixed(inner))
    keep = np.flatnonzero(~drop)
    return labels[np.ix_(keep, keep)], colours[keep], [members[i] for i in keep]


def _twins(labels: np.ndarray, colours: np.ndarray) -> list[np.ndarray]:
    """Return the sets of exchangeable filters, each with at least two ascending numbers.

    Filters i and j are exchangeable when their rows are the same, but that the label between them
    stands at j in the one and at i in the other. So the hash of a row, with its places, plus the
    hash of that label at its own place is the same for both.
    """
    _, colour = np.unique(colours, return_inverse=True)
    alike = np.flatnonzero(np.bincount(colour)[colour] > 1)
    if not len(alike):
        return []
    n = len(labels)
    places = _mixed(np.arange(1, n + 1, dtype=np.uint64))
    rows = labels[alike]
    hashes = _mixed(rows + places)
    hashes[np.arange(len(alike)), alike] = 0
    total = hashes.sum(axis=1)
    same = colour[alike][:, None] == colour[alike]
    np.fill_diagonal(same, False)
    found = []
    for label in np.unique(rows[:, alike][same]):
        key = total + _mixed(places[alike] + label)
        _, which, count = np.unique(
            np.stack([colour[alike].astype(np.uint64), key]),
            axis=1,
            return_inverse=True,
            return_counts=True,
        )
        which = which.ravel()
        found += [alike[which == w] for w in np.flatnonzero(count > 1)]
    return found


# -- what neither values nor exchanges decide ------------------------------------------------------


class _Search:
    """Tries which of several equal filters comes first, for the order with the least matrix.

    Parameters
    ----------
    labels : (n, n) uint64
    """

    def __init__(self, labels: np.ndarray) -> None:
        self._labels = labels
        self._visits_left = MAX_VISITS
        self._leaves: dict[bytes, tuple[np.ndarray, tuple[int, ...]]] = {}
        self._symmetries: list[np.ndarray] = []

    def order(self, colours: np.ndarray) -> np.ndarray:
        """Return the best order of filters whose refined colours are given."""
        self._visit(colours, ())
        return self._leaves[min(self._leaves)][0]

    def _visit(self, colours: np.ndarray, path: tuple[int, ...]) -> int:
        """Search with the filters of ``path`` set apart.

        Returns the depth at which the search goes on: less than that of this place when all
        that could still come here is equal to something that was seen.
        """
        self._visits_left -= colours.size**2
        cell = _smallest_cell(colours)
        if cell is None:
            return self._leaf(np.argsort(colours), path)
        tried: list[int] = []
        for filter_ in cell:
            if tried and (self._visits_left < 0 or self._exchanged(filter_, tried, path)):
                continue
            tried.append(filter_)
            apart = colours.copy()
            apart[[filter_]] = _mixed(apart[[filter_]] + np.uint64(1))
            depth = self._visit(_refined(self._labels, apart), (*path, filter_))
            if depth < len(path):
                return depth
        return len(path)

    def _leaf(self, order: np.ndarray, path: tuple[int, ...]) -> int:
        """Take an order; one that gives a known matrix is a symmetry."""
        matrix = np.ascontiguousarray(self._labels[np.ix_(order, order)])
        key = hashlib.blake2b(matrix, digest_size=16).digest()
        if key not in self._leaves:
            self._leaves[key] = order, path
            return len(path)
        known, known_path = self._leaves[key]
        symmetry = np.empty_like(order)
        symmetry[known] = order
        self._symmetries.append(symmetry)
        return next((i for i, (a, b) in enumerate(zip(path, known_path)) if a != b), len(path))

    def _exchanged(self, filter_: int, tried: list[int], path: tuple[int, ...]) -> bool:
        """Tell whether a symmetry that moves none of ``path`` takes the filter to a tried one."""
        fixed = list(path)
        usable = [s for s in self._symmetries if (s[fixed] == fixed).all()]
        if not usable:
            return False
        n = len(self._labels)
        ends = np.tile(np.arange(n), len(usable)), np.concatenate(usable)
        graph = coo_array((np.ones(len(ends[0]), bool), ends), shape=(n, n))
        orbit = connected_components(graph, directed=False)[1]
        return bool((orbit[tried] == orbit[filter_]).any())


def _smallest_cell(colours: np.ndarray) -> np.ndarray | None:
    """Return the filters of the rarest colour that several have; None when all differ."""
    values, counts = np.unique(colours, return_counts=True)
    shared = np.flatnonzero(counts > 1)
    if not len(shared):
        return None
    return np.flatnonzero(colours == values[shared[np.argmin(counts[shared])]])
