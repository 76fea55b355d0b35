"""What a click or drag selects in each kind of plot.

Parallel Coordinates: a drag along an axis selects exactly the runs between the two values; a click
the line there; any other drag the lines through its rectangle. Heat maps and matrices: the cells
touched. Graphs: the curves touched. Similarity plot: the points touched, of a click the one whose
middle is nearest. Ctrl adds to the selection, Shift takes away, both together toggle; a click on
nothing clears it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pvensemble.numerics.axes import brush_positions
from pvensemble.views import pick
from pvensemble.views.cells import OwnCells
from pvensemble.views.data import AXIS_HEIGHT, AXIS_POSITIONS, AXIS_X, Latest, cells_of, field
from pvensemble.views.mouse import Gesture, LeftButton
from pvensemble.views.selection import combined, select_cells, selected_cells

AXIS_REACH = 2.0
"""A drag that starts within so many times the reach of an axis, and goes along it, brushes it."""


class Brush:
    """Selects runs in a view with the left mouse button.

    Parameters
    ----------
    view : proxy
        Render view that shows the plot.
    plot : proxy
        The plot's filter; the selection is made on its first output.
    meaning : OwnCells, optional
        Which of its cells stand for which runs; cell i for run i when omitted.
    """

    def __init__(self, view: Any, plot: Any, meaning: OwnCells | None = None) -> None:
        self.plot = plot
        self.meaning = meaning or OwnCells(plot)
        self.cells = Latest(plot)
        self.button = LeftButton(view, self.apply, self.outline)

    def apply(self, gesture: Gesture) -> None:
        """Select what the gesture chose."""
        old = self.meaning.runs(selected_cells(self.plot))
        new = self.meaning.runs(self.cells_at(gesture))
        select_cells(self.plot, self.meaning.cells(combined(old, new, gesture.how)))
        # Observers drew the views before this one's own highlight was in place.
        self.button.view.SMProxy.StillRender()

    def outline(self, gesture: Gesture) -> tuple[float, float, float, float]:
        """Return the rectangle to draw while dragging."""
        return (*gesture.start, *gesture.end)

    def cells_at(self, gesture: Gesture) -> np.ndarray:
        """Return the cells that a gesture chooses, ascending."""
        raise NotImplementedError

    def remove(self) -> None:
        """Give the mouse back to ParaView."""
        self.button.remove()


class LineBrush(Brush):
    """Polylines: the nearest one, or all through a rectangle."""

    def cells_at(self, gesture: Gesture) -> np.ndarray:
        cells = cells_of(self.cells.get())
        if gesture.is_click:
            return pick.nearest_line(cells, *gesture.start, max(gesture.reach))
        return pick.lines_in_box(cells, pick.box(*gesture.start, *gesture.end))


class AxisBrush(LineBrush):
    """Parallel coordinates: along an axis the runs between two values, else as lines."""

    def cells_at(self, gesture: Gesture) -> np.ndarray:
        axis = self._axis(gesture)
        if axis is None:
            return super().cells_at(gesture)
        data = self.cells.get()
        place = field(data, AXIS_POSITIONS)
        place = place.reshape(-1, len(field(data, AXIS_X)))[:, axis]
        height = float(field(data, AXIS_HEIGHT)[0])
        low, high = sorted((gesture.start[1] / height, gesture.end[1] / height))
        return np.asarray(brush_positions(place, low, high), np.int64)

    def outline(self, gesture: Gesture) -> tuple[float, float, float, float]:
        axis = self._axis(gesture)
        if axis is None:
            return super().outline(gesture)
        x, half = float(field(self.cells.get(), AXIS_X)[axis]), gesture.reach[0]
        return (x - half, gesture.start[1], x + half, gesture.end[1])

    def _axis(self, gesture: Gesture) -> int | None:
        """Number of the axis that a drag brushes, or None."""
        across = abs(gesture.end[0] - gesture.start[0])
        along = abs(gesture.end[1] - gesture.start[1])
        if gesture.is_click or across > along:
            return None
        axes = field(self.cells.get(), AXIS_X)
        return pick.near_axis(axes, gesture.start[0], AXIS_REACH * gesture.reach[0])


class CellBrush(Brush):
    """Heat map: the cell clicked on, or all that a rectangle touches."""

    def cells_at(self, gesture: Gesture) -> np.ndarray:
        rectangle = pick.box(*gesture.start, *gesture.end)
        return pick.areas_in_box(cells_of(self.cells.get()), rectangle)


class PointBrush(Brush):
    """Similarity plot: the nearest point of those clicked on, or all that a rectangle touches."""

    def cells_at(self, gesture: Gesture) -> np.ndarray:
        return pick.glyphs_in_box(cells_of(self.cells.get()), *gesture.start, *gesture.end)


class CurveBrush(LineBrush):
    """Graph over time: accuracy lines (output 0) and loss dots (output 1)."""

    def __init__(self, view: Any, plot: Any, meaning: OwnCells | None = None) -> None:
        self.dots = Latest(plot, 1)
        super().__init__(view, plot, meaning)

    def cells_at(self, gesture: Gesture) -> np.ndarray:
        lines = super().cells_at(gesture)
        dots = cells_of(self.dots.get())
        if not gesture.is_click:
            box = pick.box(*gesture.start, *gesture.end)
            return np.union1d(lines, pick.points_in_box(dots, box))
        if len(lines):
            return lines
        return pick.nearest_point(dots, *gesture.start, max(gesture.reach))
