"""Which cells of a matrix of pairs of runs stand for which runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_CROSSES = 8
"""Up to so many marked rows are marked whole, with their columns."""


@dataclass(frozen=True)
class Pairs:
    """A matrix of pairs, cell ``row * n_rows + column``.

    Of few rows the whole rows and columns are marked, of more only where they meet: all else would
    be covered.

    Attributes
    ----------
    order : numpy.ndarray
        (n_runs,) int64 the runs as they are drawn.
    width : int
        How many runs share a row and column.
    """

    order: np.ndarray
    width: int = 1

    @property
    def n_rows(self) -> int:
        """Number of rows, and of columns."""
        return -(-len(self.order) // self.width)

    def runs(self, cells: np.ndarray) -> np.ndarray:
        """Return the runs whose rows and columns cells are in, ascending.

        Whole rows and columns, as they are marked, stand for their own runs alone.
        """
        n, cells = max(self.n_rows, 1), np.asarray(cells, np.int64)
        row, column = cells // n, cells % n
        crossed = np.flatnonzero(np.bincount(row, minlength=self.n_rows) == self.n_rows)
        is_marked = 0 < len(crossed) <= MAX_CROSSES
        if is_marked and np.array_equal(self._marked(crossed), np.unique(cells)):
            return self._of_rows(crossed)
        return self._of_rows(np.union1d(row, column))

    def cells(self, runs: np.ndarray) -> np.ndarray:
        """Return the cells that are marked for runs, ascending."""
        return self._marked(np.unique(np.flatnonzero(np.isin(self.order, runs)) // self.width))

    def _of_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return the runs of some rows, ascending."""
        return np.sort(self.order[np.isin(np.arange(len(self.order)) // self.width, rows)])

    def _marked(self, rows: np.ndarray) -> np.ndarray:
        """Return the cells that are marked for some rows."""
        every = np.arange(self.n_rows) if len(rows) <= MAX_CROSSES else rows
        across = rows[:, None] * self.n_rows + every
        return np.union1d(across, every[:, None] * self.n_rows + rows)
