"""How many filters are highly correlated, for any threshold, at many steps of many runs.

Correlations are seen once and reduced to what the counts need, so that another threshold needs
neither the matrices nor the files again.

Memory: ``filters`` keeps the largest |r| of each filter, one float a filter. ``pairs`` keeps |r|
of all pairs as long as they fit in ``max_bytes``; matrices that come after that keep how many pairs
lie above 0, 1/200, 2/200, … (exact for these thresholds, 400 bytes a matrix). For another threshold
such matrices are asked for again, once, see :meth:`FilterCounts.missing`. 13,000 runs x 51 steps x
64 filters take 170 MB for ``filters`` and 265 MB beside ``max_bytes`` for ``pairs``.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from pvensemble.errors import NotRecordedError, OptionError, did_you_mean

COUNTS = ("pairs", "filters")
MAX_BYTES = 2**30
GRID = (np.arange(200) / 200).astype(np.float32)
"""Thresholds for which every count is known: 0, 0.005, … 0.995."""
_CHUNK = 2**20
"""Matrix entries that are reduced at once, so that temporaries stay in the cache."""


class FilterCounts:
    """Counts of filters whose correlation exceeds a threshold, over keys such as steps.

    Parameters
    ----------
    max_bytes : int
        Memory for the correlations of pairs, see above.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._entries: dict[Hashable, _Entry] = {}

    @property
    def keys(self) -> list:
        """Keys in the order in which they were first added."""
        return list(self._entries)

    @property
    def n_bytes(self) -> int:
        """Memory of all that is kept."""
        return sum(entry.n_bytes for entry in self._entries.values())

    def add(self, key: Hashable, stack: np.ndarray, threshold: float | None = None) -> None:
        """Take the correlations of all runs at a step, in place of earlier ones of this key.

        Parameters
        ----------
        key
            Such as a step.
        stack : numpy.ndarray
            (n_runs, n_filters, n_filters) correlations; what is not finite counts as 0.
        threshold : float, optional
            For which counts are wanted even if memory is short.
        """
        stack = np.asarray(stack)
        if stack.ndim != 3 or stack.shape[1] != stack.shape[2]:
            raise OptionError(
                f"correlations (n_runs, n_filters, n_filters) are needed, got {stack.shape}"
            )
        others = [e for k, e in self._entries.items() if k != key]
        if others and others[0].n_runs != len(stack):
            raise OptionError(
                f"{key}: got {len(stack)} runs where the other keys have {others[0].n_runs}"
            )
        n = stack.shape[1]
        room = self._max_bytes - sum(e.values.nbytes for e in others if e.values is not None)
        whole = 4 * len(stack) * (n * (n - 1) // 2) <= room
        known = self._entries[key].asked if key in self._entries else {}
        entry = _Entry(stack, whole, [*known, *([] if threshold is None else [threshold])])
        self._entries[key] = entry

    def missing(self, threshold: float, what: str = "pairs") -> list:
        """Return the keys to :meth:`add` again, with this threshold, before it can be counted.

        Always empty for ``filters``, for thresholds in ``GRID`` and while memory suffices.
        """
        _check(threshold, what)
        if what == "filters":
            return []
        return [key for key, entry in self._entries.items() if not entry.knows(threshold)]

    def count(self, threshold: float, what: str = "pairs") -> np.ndarray:
        """Return how many there are.

        Parameters
        ----------
        threshold : float
            In [0, 1]. Compared in float32, as correlations are stored: a correlation recorded as
            0.7 is not above 0.7.
        what : str
            ``pairs`` of different filters with |r| above the threshold, or ``filters`` that are in
            such a pair.

        Returns
        -------
        numpy.ndarray
            (n_keys, n_runs) int64, keys in the order of :attr:`keys`.

        Raises
        ------
        OptionError
            For an unknown ``what`` or a threshold outside [0, 1].
        NotRecordedError
            Some keys must be added again, see :meth:`missing`.
        """
        missing = self.missing(threshold, what)
        if missing:
            raise NotRecordedError(
                f"pairs above {threshold:g} are not known of {len(missing)} of "
                f"{len(self._entries)} steps: their correlations must be added again"
            )
        return self.known(threshold, what)

    def known(self, threshold: float, what: str = "pairs") -> np.ndarray:
        """Return the counts as far as they are known, -1 for keys that are :meth:`missing`."""
        if not self._entries:
            return np.zeros((0, 0), np.int64)
        missing = {*self.missing(threshold, what)}
        return np.stack(
            [
                np.full(entry.n_runs, -1) if key in missing else entry.count(threshold, what)
                for key, entry in self._entries.items()
            ]
        )


def _check(threshold: float, what: str) -> None:
    if what not in COUNTS:
        raise OptionError(f"unknown count {what!r}{did_you_mean(what, COUNTS)}")
    if not 0 <= threshold <= 1:
        raise OptionError(f"threshold must lie between 0 and 1, got {threshold:g}")


class _Entry:
    """What is kept of the matrices of all runs at one step.

    Attributes
    ----------
    largest : (n_runs, n_filters) float32
        Largest |r| of each filter and another one.
    values : (n_runs, n_pairs) float32 or None
        |r| of all pairs.
    above : (n_runs, len(GRID)) unsigned or None
        In place of ``values``: pairs above each of ``GRID``.
    asked : dict
        From thresholds to counts of pairs (n_runs,), in place of ``values``.
    """

    def __init__(self, stack: np.ndarray, whole: bool, thresholds: list[float]) -> None:
        n_runs, n = stack.shape[:2]
        self.n_runs = n_runs
        places = np.flatnonzero(np.triu(np.ones((n, n), bool), 1))
        self.largest = np.zeros((n_runs, n), np.float32)
        self.values = np.empty((n_runs, len(places)), np.float32) if whole else None
        self._counted: tuple = ()
        counter = np.min_scalar_type(len(places))
        self.above = None if whole else np.empty((n_runs, len(GRID)), counter)
        self.asked = {} if whole else {t: np.empty(n_runs, np.int64) for t in thresholds}
        step = max(1, _CHUNK // max(1, n * n))
        for first in range(0, n_runs, step):
            rows = slice(first, first + step)
            matrices = np.nan_to_num(np.abs(stack[rows], dtype=np.float32), nan=0.0, posinf=0.0)
            diagonal = np.arange(n)
            matrices[:, diagonal, diagonal] = 0
            if n:
                self.largest[rows] = matrices.max(axis=2)
            self._add_pairs(rows, matrices.reshape(len(matrices), -1)[:, places])

    def _add_pairs(self, rows: slice, values: np.ndarray) -> None:
        if self.values is not None:
            self.values[rows] = values
            return
        self.above[rows] = _above_grid(values)
        for threshold, counts in self.asked.items():
            counts[rows] = np.count_nonzero(values > np.float32(threshold), axis=1)

    @property
    def n_bytes(self) -> int:
        arrays = [self.largest, self.values, self.above, *self.asked.values()]
        return sum(a.nbytes for a in arrays if a is not None)

    def knows(self, threshold: float) -> bool:
        """Whether pairs above the threshold can be counted."""
        on_grid = np.float32(threshold) in GRID or threshold == 1
        return self.values is not None or on_grid or threshold in self.asked

    def count(self, threshold: float, what: str) -> np.ndarray:
        """Return the counts (n_runs,) int64."""
        if self._counted[:2] != (threshold, what):
            self._counted = threshold, what, self._count(threshold, what)
        return self._counted[2]

    def _count(self, threshold: float, what: str) -> np.ndarray:
        limit = np.float32(threshold)
        if what == "filters":
            return np.count_nonzero(self.largest > limit, axis=1)
        if self.values is not None:
            return np.count_nonzero(self.values > limit, axis=1)
        if threshold in self.asked:
            return self.asked[threshold]
        if threshold == 1:  # correlations are clipped there
            return np.zeros(self.n_runs, np.int64)
        return self.above[:, np.searchsorted(GRID, limit)].astype(np.int64)


def _above_grid(values: np.ndarray) -> np.ndarray:
    """Return how many of each row of values (n, n_pairs) lie above each of ``GRID``."""
    n, n_grid = len(values), len(GRID)
    # How many thresholds lie below a value: sure of all but the last, which is compared.
    sure = np.floor(np.minimum(values, 1) * n_grid - np.float32(0.01)).astype(np.int32) + 1
    below = sure + (np.append(GRID, np.float32(np.inf))[sure] < values)
    below += (n_grid + 1) * np.arange(n, dtype=np.int32)[:, None]
    counts = np.bincount(below.ravel(), minlength=n * (n_grid + 1)).reshape(n, n_grid + 1)
    return counts[:, :0:-1].cumsum(axis=1)[:, ::-1]
