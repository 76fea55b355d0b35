"""Square matrices as quads, with labels, outlines of clusters and a dendrogram beside them.

Row 0 is at the top, as matrices are written. Filters are numbered as in the layer; where they stand
is their position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pvensemble.filters.plot_geometry import DARK, LIGHT, RED, Z_DATA, Sketch
from pvensemble.filters.plot_text import CAP_HEIGHT, text_width
from pvensemble.numerics.ordering import ClusterOrder
from pvensemble.numerics.ticks import Tick, thin

_TICK = 0.3
OUTLINE = (255, 127, 14)
MAX_CROSSING = 128
"""Filters above which a dendrogram shows merges within clusters only."""
TREE_GAP, TREE_WIDTH = 0.025, 0.2
"""Of the side of the matrix: between it and the dendrogram, and width of the dendrogram."""


@dataclass(frozen=True)
class Square:
    """Where a matrix of n rows is drawn: lower left corner and side, in plot units."""

    x: float
    y: float
    side: float
    n: int

    @property
    def cell(self) -> float:
        """Side of one cell."""
        return self.side / max(self.n, 1)

    @property
    def top(self) -> float:
        return self.y + self.side

    @property
    def right(self) -> float:
        return self.x + self.side

    def lines(self) -> tuple[np.ndarray, np.ndarray]:
        """Return x of the columns' borders and y of the rows', (n + 1,), the first row's first."""
        at = np.linspace(0.0, self.side, self.n + 1)
        return self.x + at, self.top - at


def grid_quads(square: Square, first_point: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells of a matrix as quads that share their corners.

    Parameters
    ----------
    square : Square
    first_point : int
        Number of its first point.

    Returns
    -------
    points : ((n + 1)^2, 2)
    quads : (n * n, 4) int64
        Row after row from the top.
    """
    x, y = square.lines()
    points = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1).reshape(-1, 2)
    corner = np.arange(square.n)[:, None] * (square.n + 1) + np.arange(square.n)[None, :]
    below = square.n + 1
    quads = corner.reshape(-1, 1) + np.array([below, below + 1, 1, 0])
    return points, quads + first_point


def block_means(matrix: np.ndarray, width: int) -> np.ndarray:
    """Return the means of blocks of ``width`` rows and columns; the last ones may be smaller.

    Parameters
    ----------
    matrix : (n, n) array
    width : int

    Returns
    -------
    (ceil(n / width), ceil(n / width)) float32
    """
    if width == 1:
        return matrix
    starts = np.arange(0, len(matrix), width)
    sizes = np.diff(np.append(starts, len(matrix)))
    sums = np.add.reduceat(np.add.reduceat(matrix, starts, axis=0), starts, axis=1)
    return (sums / (sizes[:, None] * sizes[None, :])).astype(np.float32)


def draw_frame(sketch: Sketch, square: Square, color=DARK) -> None:
    """Draw the border of a matrix."""
    draw_box(sketch, square.x, square.y, square.right, square.top, color)


def draw_box(sketch: Sketch, x0, y0, x1, y1, color) -> None:
    """Draw the outline of a rectangle."""
    sketch.line([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], color)


def draw_clusters(sketch: Sketch, square: Square, cluster: np.ndarray) -> None:
    """Outline the clusters of two and more filters along the diagonal.

    Parameters
    ----------
    sketch : Sketch
    square : Square
        Of the whole matrix, whatever is drawn in it.
    cluster : (n_filters,) int
        Label at each position; members stand together.
    """
    unit = square.side / max(len(cluster), 1)
    starts = np.flatnonzero(np.diff(cluster, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(cluster)]):
        if end - start > 1:
            x0, x1 = square.x + start * unit, square.x + end * unit
            draw_box(sketch, x0, square.top - end * unit, x1, square.top - start * unit, OUTLINE)


def label_ticks(labels: Sequence[str], unit: float, size: float) -> tuple[float, list[Tick]]:
    """Return the font size and those labels that have room along an axis.

    Parameters
    ----------
    labels : sequence of str
        One for each position.
    unit : float
        Distance of two positions.
    size : float
        Font size wished; labels get down to 0.6 of it before every k-th only is shown.
    """
    small = min(size, max(0.6 * size, unit / 1.05))
    ticks = [Tick((i + 0.5) * unit, label, float(i)) for i, label in enumerate(labels)]
    return small, thin(ticks, 1.0 * small)


def draw_row_labels(sketch, square: Square, labels, marked, size: float) -> float:
    """Label the rows at the left; return the room that the labels take.

    Parameters
    ----------
    sketch : Sketch
    square : Square
    labels : sequence of str
        One for each position.
    marked : (n,) bool
        Positions that are red and always ticked: dead filters.
    size : float
    """
    unit = square.side / max(len(labels), 1)
    small, ticks = label_ticks(labels, unit, size)
    _draw_ticks(sketch, ticks, marked, (square.x, square.top), (0, -1), (-_TICK * small, 0))
    for tick in ticks:
        y, color = square.top - tick.position, RED if marked[int(tick.value)] else DARK
        x = square.x - 2 * _TICK * small
        sketch.text(tick.label, x, y, small, align="right", valign="middle", color=color)
    _draw_marks(sketch, square, marked, unit, small, is_row=True)
    return max((text_width(t.label, small) for t in ticks), default=0.0) + 2 * _TICK * small


def draw_column_labels(sketch, square: Square, labels, marked, size: float) -> float:
    """Label the columns below, upright where they are close; return the room they take."""
    unit = square.side / max(len(labels), 1)
    widest = max((text_width(label, size) for label in labels), default=0.0)
    is_flat = widest <= 0.8 * unit
    small, ticks = label_ticks(labels, unit, size)
    small, ticks = (small, ticks) if not is_flat else (size, ticks)
    _draw_ticks(sketch, ticks, marked, (square.x, square.y), (1, 0), (0, -_TICK * small))
    for tick in ticks:
        x, color = square.x + tick.position, RED if marked[int(tick.value)] else DARK
        y = square.y - 2 * _TICK * small
        if is_flat:
            sketch.text(tick.label, x, y, small, align="center", valign="top", color=color)
        else:
            at = x + 0.5 * CAP_HEIGHT * small
            sketch.text(tick.label, at, y, small, align="right", angle=90.0, color=color)
    _draw_marks(sketch, square, marked, unit, small, is_row=False)
    room = CAP_HEIGHT * small if is_flat else text_width(max(labels, key=len, default=""), small)
    return room + 2 * _TICK * small


def _draw_ticks(sketch, ticks: list[Tick], marked, corner, along, out) -> None:
    """Draw the marks of ticks along an axis from a corner: red where marked, else dark."""
    is_red = np.array([marked[int(tick.value)] for tick in ticks], bool)
    place = np.array([tick.position for tick in ticks])
    on_axis = np.add(corner, place[:, None] * along)
    marks = np.stack([on_axis + out, on_axis], axis=1)
    for color, chosen in ((DARK, ~is_red), (RED, is_red)):
        sketch.lines(marks[chosen], color)


def _draw_marks(sketch, square: Square, marked, unit: float, size: float, *, is_row: bool) -> None:
    """Draw a red bar along the edge for each run of marked positions."""
    edges = np.diff(np.concatenate([[0], np.asarray(marked, np.int8), [0]]))
    width = 0.35 * _TICK * size
    for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)):
        a, b = start * unit, end * unit
        if is_row:
            sketch.box(square.x - width, square.top - b, square.x, square.top - a, RED)
        else:
            sketch.box(square.x + a, square.y - width, square.x + b, square.y, RED)


def draw_dendrogram(
    sketch: Sketch, square: Square, order: ClusterOrder, threshold: float, size: float
) -> None:
    """Draw the dendrogram at the right of a matrix, its leaves at the rows.

    Merges of clusters are pale; of more than ``MAX_CROSSING`` filters they are left out.

    Parameters
    ----------
    sketch : Sketch
    square : Square
    order : ClusterOrder
        Of the rows; heights are 1 - |r|.
    threshold : float
        |r| at which clusters are cut.
    size : float
        Font size.
    """
    x0, width = square.right + TREE_GAP * square.side, TREE_WIDTH * square.side
    unit = square.side / (len(order.linkage) + 1)
    shapes = tree_lines(order.linkage) * (width, -unit) + (x0, square.top - 0.5 * unit)
    if len(shapes) < MAX_CROSSING:
        # They cross: clusters stand by their size.
        sketch.lines(shapes[order.n_joined :], LIGHT, Z_DATA)
    sketch.lines(shapes[: order.n_joined], DARK)
    at = x0 + (1 - threshold) * width
    sketch.line([(at, square.y - _TICK * size), (at, square.top)], RED)
    y = square.y - _TICK * size
    sketch.line([(x0, y), (x0 + width, y)], DARK)
    _draw_tree_axis(sketch, x0, width, y, threshold, size)


def _draw_tree_axis(sketch, x0: float, width: float, y: float, threshold: float, size) -> None:
    """Label the axis of a dendrogram with |r|: 1 at the leaves, 0 at the end."""
    small = 0.8 * size
    taken = []
    for value, color in ((threshold, RED), (1.0, DARK), (0.0, DARK)):
        text, at = f"{value:.3g}", x0 + (1 - value) * width
        half = 0.5 * text_width(text, small) + 0.15 * small
        if all(abs(at - place) > half + other for place, other in taken):
            taken.append((at, half))
            sketch.line([(at, y - _TICK * small), (at, y)], color)
            low = y - 2 * _TICK * small
            sketch.text(text, at, low, small, align="center", valign="top", color=color)
    low = y - (2 * _TICK + CAP_HEIGHT + 0.5) * small
    sketch.text("|r|", x0 + 0.5 * width, low, small, align="center", valign="top", color=DARK)


def tree_lines(linkage: np.ndarray) -> np.ndarray:
    """Return the bracket of every merge.

    Parameters
    ----------
    linkage : (n - 1, 4)
        As SciPy's.

    Returns
    -------
    (n - 1, 4, 2)
        Corners (height, position): first child, its bracket, the second's, second child. Positions
        count leaves, 0 the first; a merge stands midway between its children.
    """
    n = len(linkage) + 1
    height = np.concatenate([np.zeros(n), np.clip(linkage[:, 2], 0.0, 1.0)])
    place = np.concatenate([np.arange(n, dtype=np.float64), np.zeros(n - 1)])
    first, second = linkage[:, 0].astype(np.int64), linkage[:, 1].astype(np.int64)
    for k, (a, b) in enumerate(zip(first.tolist(), second.tolist())):
        place[n + k] = 0.5 * (place[a] + place[b])
    top = height[n:]
    corners = np.array([[height[first], top, top, height[second]],
                        [place[first], place[first], place[second], place[second]]])  # fmt: skip
    return corners.T
