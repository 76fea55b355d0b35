"""Pick filters of a run in a correlation map or feature map; they are marked in all of them.

A cell of a correlation map stands for two filters, a cell of a feature map for one. The numbers of
filters say nothing about another run, so they are marked only where the run they were picked in is
shown, and come back when it is shown again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy

from pvensemble.schema import RUN_INDEX
from pvensemble.views import pick
from pvensemble.views.data import Latest, cells_of
from pvensemble.views.mouse import Gesture, LeftButton
from pvensemble.views.selection import combined, select_cells, selected_cells

OF_CELL = ("row", "column", "filter")
"""Cell arrays that hold numbers of filters: the first two of a correlation map, the last of a
feature map."""
IMAGE = "image"
"""Only feature maps have this cell array."""


class FilterMarks:
    """The filters that are picked, and their marks in all plots of filters.

    Parameters
    ----------
    plots : sequence of proxy
        Their first outputs have the cell arrays ``run_index`` and those of ``OF_CELL``.
    """

    def __init__(self, plots: Sequence[Any]) -> None:
        self.run = -1
        self.filters = np.empty(0, np.int64)
        self._latest = {plot: Latest(plot) for plot in plots}
        self._busy = False
        self._tags = []
        for plot in plots:
            for event, react in (
                ("SelectionChangedEvent", lambda *_event, p=plot: self._selected(p)),
                ("UpdateDataEvent", lambda *_event, p=plot: self._updated(p)),
            ):
                self._tags.append((plot, plot.SMProxy.AddObserver(event, react)))

    def remove(self) -> None:
        """Leave the plots as they are from now on."""
        for plot, tag in self._tags:
            plot.SMProxy.RemoveObserver(tag)

    def latest(self, plot: Any) -> Any:
        """Return the first output of a plot."""
        return self._latest[plot].get()

    def pick(self, plot: Any, cells: np.ndarray, how: str) -> None:
        """Pick the filters that cells of a plot stand for.

        Parameters
        ----------
        plot : proxy
        cells : (n,) int
            Where they are of several runs, the run of the first counts.
        how : {"replace", "add", "subtract", "toggle"}
            What to do with filters of the same run that are picked already.
        """
        run, filters = self._meaning(plot, cells)
        if run == self.run or run < 0:
            filters = combined(self.filters, filters, how)
        self.run, self.filters = (self.run if run < 0 else run), filters
        for each in self._latest:
            self._mark(each)

    def _meaning(self, plot: Any, cells: np.ndarray) -> tuple[int, np.ndarray]:
        """Return the run and the filters that cells stand for; (-1, none) for no cells."""
        cells = np.asarray(cells, np.int64)
        if len(cells) == 0:
            return -1, np.empty(0, np.int64)
        runs, columns = self._columns(plot)
        same = cells[runs[cells] == runs[cells[0]]]
        numbers = np.concatenate([column[same] for column in columns])
        return int(runs[cells[0]]), np.unique(numbers[numbers >= 0]).astype(np.int64)

    def _columns(self, plot: Any) -> tuple[np.ndarray, list[np.ndarray]]:
        data = self.latest(plot).GetCellData()
        arrays = [data.GetArray(name) for name in OF_CELL]
        return (
            vtk_to_numpy(data.GetArray(RUN_INDEX)),
            [vtk_to_numpy(array) for array in arrays if array is not None],
        )

    def _mark(self, plot: Any) -> None:
        cells = np.empty(0, np.int64)
        if len(self.filters) and self.latest(plot).GetNumberOfCells():
            runs, columns = self._columns(plot)
            hit = np.logical_or.reduce([np.isin(column, self.filters) for column in columns])
            cells = np.flatnonzero(hit & (runs == self.run))
            if len(cells) and self.latest(plot).GetCellData().HasArray(IMAGE):
                cells = self._borders(plot, cells)
        self._busy = True
        try:
            if not np.array_equal(cells, selected_cells(plot)):
                select_cells(plot, cells)
        finally:
            self._busy = False

    def _borders(self, plot: Any, cells: np.ndarray) -> np.ndarray:
        """Return those of the cells that are at the border of a feature map, to frame it."""
        data = self.latest(plot)
        names = (OF_CELL[-1], IMAGE)
        of_map = [vtk_to_numpy(data.GetCellData().GetArray(name))[cells] for name in names]
        _, owner = np.unique(np.column_stack(of_map), axis=0, return_inverse=True)
        owner = owner.reshape(-1)
        quads = cells_of(data)
        middle = quads.corners.reshape(-1, 4, 2)[cells].mean(axis=1)
        low = np.full((owner.max(initial=-1) + 1, 2), np.inf)
        high = np.full_like(low, -np.inf)
        np.minimum.at(low, owner, middle)
        np.maximum.at(high, owner, middle)
        near = 1e-3 * np.ptp(middle, axis=0)
        at_border = (middle <= low[owner] + near) | (middle >= high[owner] - near)
        return cells[at_border.any(axis=1)]

    def _selected(self, plot: Any) -> None:
        """ParaView's own tools have selected cells."""
        if not self._busy:
            self.filters = np.empty(0, np.int64)
            self.pick(plot, selected_cells(plot), "replace")

    def _updated(self, plot: Any) -> None:
        """The same filters are at other places, or those of another run are shown."""
        if not self._busy and len(self.filters):
            self._mark(plot)


class FilterBrush:
    """Picks filters with the left mouse button: a click, or a drag over several cells."""

    def __init__(self, view: Any, plot: Any, marks: FilterMarks, views: Sequence[Any]) -> None:
        self.plot, self.marks, self.views = plot, marks, tuple(views)
        self.button = LeftButton(view, self.apply)

    def apply(self, gesture: Gesture) -> None:
        """Pick what the gesture chose, and draw all views of filters."""
        rectangle = pick.box(*gesture.start, *gesture.end)
        cells = pick.areas_in_box(cells_of(self.marks.latest(self.plot)), rectangle)
        self.marks.pick(self.plot, cells, gesture.how)
        for view in self.views:
            view.SMProxy.StillRender()

    def remove(self) -> None:
        """Give the mouse back to ParaView."""
        self.button.remove()
