"""Which cells of a plot stand for which runs, where cell i is not simply run i."""

from __future__ import annotations

from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy

from pvensemble.schema import RUN_INDEX
from pvensemble.views.data import Latest

ROW_RUN, COLUMN_RUN = "row_run", "column_run"
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
    """A cell stands for two runs: a matrix of all pairs.

    Of few runs the whole rows and columns are marked, of more only where they meet: all else would
    be covered.
    """

    def __init__(self, plot: Any) -> None:
        super().__init__(plot)
        self._matrix, self._runs = Latest(plot), Latest(plot.Input)

    def runs(self, cells: np.ndarray) -> np.ndarray:
        """Return the runs whose rows or columns the cells are in.

        Whole rows and columns, as they are marked, stand for their own runs alone.
        """
        row, column, n_runs = self._ends()
        cells = np.asarray(cells, np.int64)
        chosen = np.zeros(len(row), bool)
        chosen[cells[cells < len(row)]] = True
        count = np.bincount(row[chosen], minlength=n_runs)
        full = np.flatnonzero((count == np.bincount(row, minlength=n_runs)) & (count > 0))
        if 0 < len(full) <= MAX_CROSSES and np.array_equal(self.cells(full), cells):
            return full
        return np.union1d(row[chosen], column[chosen])

    def cells(self, runs: np.ndarray) -> np.ndarray:
        row, column, _ = self._ends()
        in_row, in_column = np.isin(row, runs), np.isin(column, runs)
        is_few = len(runs) <= MAX_CROSSES
        return np.flatnonzero(in_row | in_column if is_few else in_row & in_column)

    def _ends(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Return row and column of each cell as cells of the runs, and the number of runs."""
        data = self._matrix.get().GetCellData()
        numbers = vtk_to_numpy(self._runs.get().GetCellData().GetArray(RUN_INDEX))
        order = np.argsort(numbers, kind="stable")
        ends = [
            order[np.searchsorted(numbers[order], vtk_to_numpy(data.GetArray(name)))]
            for name in (ROW_RUN, COLUMN_RUN)
        ]
        return ends[0], ends[1], len(numbers)
