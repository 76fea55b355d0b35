"""Which cells of a plot stand for which runs, where cell i is not simply run i."""

from __future__ import annotations

from typing import Any

import numpy as np

from pvensemble.views.data import Latest, field, information
from pvensemble.views.pairs import Pairs

MATRIX_CELLS, MATRIX_BLOCK = "matrix_cells", "matrix_block"
"""Field arrays of Run Similarity: the runs as they are drawn, and how many share a row."""


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
        return information(source).GetNumberOfCells()


class PairCells(OwnCells):
    """A cell stands for two runs, or for two blocks of runs, see :class:`pairs.Pairs`."""

    def __init__(self, plot: Any) -> None:
        super().__init__(plot)
        self._latest = Latest(plot)

    def runs(self, cells: np.ndarray) -> np.ndarray:
        return self._pairs().runs(cells)

    def cells(self, runs: np.ndarray) -> np.ndarray:
        return self._pairs().cells(runs)

    def _pairs(self) -> Pairs:
        data = self._latest.get()
        order, width = field(data, MATRIX_CELLS), field(data, MATRIX_BLOCK)
        order = np.empty(0, np.int64) if order is None else order
        return Pairs(order, 1 if width is None else int(width[0]))
