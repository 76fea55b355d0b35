"""Which runs are at a place of a plot: plain geometry on its cells, independent of pixels.

ParaView picks what is in front at a pixel; of runs that lie upon each other it would find one. Here
all are found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cells:
    """Cells in a plane; cell i is run i, and may be empty.

    Attributes
    ----------
    points : numpy.ndarray
        (n_points, 2) plot coordinates.
    connectivity : numpy.ndarray
        (sum of sizes,) int64 point ids, cell after cell.
    offsets : numpy.ndarray
        (n_cells + 1,) int64 where each cell starts in ``connectivity``.
    """

    points: np.ndarray
    connectivity: np.ndarray
    offsets: np.ndarray

    @property
    def corners(self) -> np.ndarray:
        """(sum of sizes, 2) plot coordinates, cell after cell."""
        return self.points[self.connectivity]

    @property
    def owner(self) -> np.ndarray:
        """(sum of sizes,) the cell that each corner belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def segments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Starts (n, 2), ends (n, 2) and cells (n,) of all line segments."""
        corners, owner = self.corners, self.owner
        joined = owner[1:] == owner[:-1]
        return corners[:-1][joined], corners[1:][joined], owner[1:][joined]


def box(x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
    """Return a rectangle as (left, bottom, right, top)."""
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def lines_in_box(cells: Cells, rectangle: tuple[float, float, float, float]) -> np.ndarray:
    """Return the polylines that pass through a rectangle.

    Parameters
    ----------
    cells : Cells
    rectangle : (left, bottom, right, top)

    Returns
    -------
    (n,) int64
        Cell numbers, ascending.
    """
    left, bottom, right, top = rectangle
    start, end, owner = cells.segments()
    enter, leave = np.zeros(len(start)), np.ones(len(start))
    inside = np.ones(len(start), bool)
    for axis, (lo, hi) in enumerate(((left, right), (bottom, top))):
        origin, step = start[:, axis], end[:, axis] - start[:, axis]
        level = step == 0
        inside &= ~level | ((origin >= lo) & (origin <= hi))
        safe = np.where(level, 1.0, step)
        with np.errstate(over="ignore"):  # a tiny step reaches the border at infinity
            a, b = (lo - origin) / safe, (hi - origin) / safe
        enter = np.where(level, enter, np.maximum(enter, np.minimum(a, b)))
        leave = np.where(level, leave, np.minimum(leave, np.maximum(a, b)))
    return np.unique(owner[inside & (enter <= leave)]).astype(np.int64)


def nearest_line(cells: Cells, x: float, y: float, reach: float) -> np.ndarray:
    """Return the polylines nearest to a place: one, or several that lie upon each other there.

    Parameters
    ----------
    cells : Cells
    x, y : float
        Plot coordinates.
    reach : float
        Largest distance that counts as a hit.

    Returns
    -------
    (n,) int64
        Cell numbers, ascending; empty when nothing is in reach.
    """
    start, end, owner = cells.segments()
    if len(start) == 0:
        return np.empty(0, np.int64)
    step, place = end - start, np.array([x, y])
    length2 = np.maximum((step**2).sum(axis=1), 1e-300)
    t = np.clip(((place - start) * step).sum(axis=1) / length2, 0, 1)
    distance = np.hypot(*(start + t[:, None] * step - place).T)
    return _nearest(distance, owner, reach)


def nearest_point(cells: Cells, x: float, y: float, reach: float) -> np.ndarray:
    """Return the cells that have the point nearest to a place; see :func:`nearest_line`."""
    distance = np.hypot(*(cells.corners - np.array([x, y])).T)
    return _nearest(distance, cells.owner, reach)


def _nearest(distance: np.ndarray, owner: np.ndarray, reach: float) -> np.ndarray:
    """Owners at the smallest distance (to a hundredth of the reach), if that is in reach."""
    if len(distance) == 0 or distance.min() > reach:
        return np.empty(0, np.int64)
    return np.unique(owner[distance <= distance.min() + 0.01 * reach]).astype(np.int64)


def points_in_box(cells: Cells, rectangle: tuple[float, float, float, float]) -> np.ndarray:
    """Return the cells that have a point in a rectangle."""
    left, bottom, right, top = rectangle
    x, y = cells.corners.T
    inside = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
    return np.unique(cells.owner[inside]).astype(np.int64)


def areas_in_box(cells: Cells, rectangle: tuple[float, float, float, float]) -> np.ndarray:
    """Return the cells (upright rectangles) that a rectangle, or a place, touches inside.

    Cells that only share a border with it do not count, so that a click on one cell takes one.
    """
    left, bottom, right, top = rectangle
    sizes = np.diff(cells.offsets)
    full = np.flatnonzero(sizes > 0)
    if len(full) == 0:
        return np.empty(0, np.int64)
    starts = cells.offsets[:-1][full]
    corners = cells.corners
    low = np.minimum.reduceat(corners, starts, axis=0)
    high = np.maximum.reduceat(corners, starts, axis=0)
    hit = np.ones(len(full), bool)
    for axis, (start, end) in enumerate(((left, right), (bottom, top))):
        if start == end:  # on a border: the cell above or to the right
            hit &= (low[:, axis] <= start) & (start < high[:, axis])
        else:
            hit &= (low[:, axis] < end) & (high[:, axis] > start)
    return full[hit].astype(np.int64)


def glyphs_in_box(cells: Cells, x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """Return the glyphs (small convex polygons) that the rectangle of a drag touches.

    A click, which has no size, takes the glyph with the nearest middle of those that it hits; of
    several at the same place all.
    """
    hit = areas_in_box(cells, box(x0, y0, x1, y1))
    if (x0, y0) != (x1, y1) or len(hit) < 2:
        return hit
    starts = cells.offsets[:-1][hit]
    sizes = cells.offsets[1:][hit] - starts
    corners = cells.corners
    middles = np.array([corners[a : a + n].mean(axis=0) for a, n in zip(starts, sizes)])
    distance = np.hypot(*(middles - (x0, y0)).T)
    extent = np.ptp(corners[starts[0] : starts[0] + sizes[0]])
    return hit[distance <= distance.min() + 1e-3 * extent]


def near_axis(axis_x: np.ndarray, x: float, reach: float) -> int | None:
    """Return the axis at a plot coordinate, or None when none is in reach."""
    if len(axis_x) == 0:
        return None
    nearest = int(np.argmin(np.abs(np.asarray(axis_x) - x)))
    return nearest if abs(axis_x[nearest] - x) <= reach else None
