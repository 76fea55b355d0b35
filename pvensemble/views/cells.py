"""Which cells of a plot stand for which runs, where cell i is not simply run i."""

from __future__ import annotations

from typing import Any

import numpy as np

from pvensemble.views.data import Latest, field

MATRIX_CELLS = "matrix_cells"
"""Field array of Run Similarity: the run of each row and column."""
MAX_CROSSES = 8
"""Up to so many selected runs have their whole rows and columns marked in a matrix of runs."""


class OwnCells:
    """Cell i is run i."""

    def __init__(self, plot: Any) -> None:
        self.plot = plot

    def runs(self, cells: np.ndarray) -> np.ndarray:
        """Return the runs that cells stand for, ascending."""
        return np.unique(cells)

    def cells(self, runs: np.ndarray) -> np.ndarray:
        """Return all cells that stand for runs, ascending."""
        return np.unique(runs)


class RepeatedCells(OwnCells):
    """Every run has a cell in each of several maps: cell ``map * n_runs + run``."""

    def runs(self, cells: np.ndarray) -> np.ndarray:
        n_runs = self._n_cells(self.plot.Input)
        return np.unique(np.asarray(cells, np.int64) % max(n_runs, 1))

    def cells(self, runs: np.ndarray) -> np.ndarray:
        n_runs = self._n_cells(self.plot.Input)
        n_maps = self._n_cells(self.plot) // max(n_runs, 1)
        starts = n_runs * np.arange(n_maps, dtype=np.int64)
        return (starts[:, None] + np.asarray(runs, np.int64)).ravel()

    @staticmethod
    def _n_cells(source: Any) -> int:
        return source.SMProxy.GetDataInformation(0).GetNumberOfCells()


class PairCells(OwnCells):
    """A cell stands for two runs: a matrix of pairs, cell ``row * n + column``.

    Of few runs the whole rows and columns are marked, of more only where they meet: all else would
    be covered.
    """

    def __init__(self, plot: Any) -> None:
        super().__init__(plot)
        self._latest = Latest(plot)

    def runs(self, cells: np.ndarray) -> np.ndarray:
        """Return the runs whose rows and columns the cells are in.

        Whole rows and columns, as they are marked, stand for their own runs alone.
        """
        order, cells = self._order(), np.asarray(cells, np.int64)
        n = max(len(order), 1)
        row, column = cells // n, cells % n
        crossed = np.flatnonzero(np.bincount(row, minlength=len(order)) == len(order))
        if 0 < len(crossed) <= MAX_CROSSES and np.array_equal(self._at(crossed), np.unique(cells)):
            return np.sort(order[crossed])
        return np.unique(order[np.union1d(row, column)])

    def cells(self, runs: np.ndarray) -> np.ndarray:
        return self._at(np.flatnonzero(np.isin(self._order(), runs)))

    def _at(self, places: np.ndarray) -> np.ndarray:
        """Return the cells that are marked for rows and columns at some places."""
        n = len(self._order())
        every = np.arange(n) if len(places) <= MAX_CROSSES else places
        across = places[:, None] * n + every
        return np.union1d(across, every[:, None] * n + places)

    def _order(self) -> np.ndarray:
        """(n,) the run of each row and column."""
        cells = field(self._latest.get(), MATRIX_CELLS)
        return np.empty(0, np.int64) if cells is None else cells
