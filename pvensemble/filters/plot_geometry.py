"""Axes, ticks, grids and text of a plot, collected into one vtkPolyData of lines and polygons.

Each point has an RGB ``color`` (unsigned char, 3 components), the same within a cell: for colours
of cells the renderer would have to know which triangle comes from which cell. Shown with direct
colours (Map Scalars off) text is black and the boxes behind it white. Plots lie in the plane z = 0;
what must lie above or below differs by hundredths in z, so every camera that looks along z sees the
right order.
"""

from __future__ import annotations

import math

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtkIdTypeArray
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

from pvensemble.filters.plot_text import LINE_HEIGHT, glyphs, text_height, text_width
from pvensemble.vtkdata.arrays import to_vtk

COLOR = "color"
BLACK = (0, 0, 0)
WHITE = (255, 255, 255)
DARK = (70, 70, 70)
GREY = (150, 150, 150)
LIGHT = (222, 222, 222)
RED = (200, 30, 30)

Z_IMAGE, Z_GRID, Z_DATA, Z_GROUP = -0.04, -0.02, 0.0, 0.01
Z_AXIS, Z_BOX, Z_TEXT = 0.02, 0.03, 0.04
_ALIGN = {"left": 0.0, "center": -0.5, "right": -1.0}
_VALIGN = {"baseline": 0.0, "bottom": 0.0, "middle": -0.5, "top": -1.0}


class Sketch:
    """Collects lines, polygons and text; `write` puts them into a vtkPolyData."""

    def __init__(self) -> None:
        self._points: list[np.ndarray] = []
        self._n_points = 0
        # Cells of equal size are kept together, (n_cells, size): a text is one block.
        self._cells: dict[str, list[np.ndarray]] = {"lines": [], "polys": []}
        self._colors: list[tuple] = []

    def line(self, points, color=BLACK, z: float = Z_AXIS) -> None:
        """Add a polyline through points (n, 2)."""
        points = np.asarray(points, np.float64)
        self._add("lines", points, np.arange(len(points))[None], [color], z)

    def lines(self, points: np.ndarray, color=BLACK, z: float = Z_AXIS) -> None:
        """Add polylines through points (n, size, 2)."""
        n, size = points.shape[:2]
        cells = np.arange(n * size).reshape(n, size)
        self._add("lines", points.reshape(-1, 2), cells, [color], z)

    def polygon(self, points, color=BLACK, z: float = Z_BOX) -> None:
        """Add a filled convex polygon with corners (n, 2)."""
        points = np.asarray(points, np.float64)
        self._add("polys", points, np.arange(len(points))[None], [color], z)

    def polygons(self, points: np.ndarray, colors: np.ndarray, z: np.ndarray | float = Z_BOX):
        """Add filled convex polygons: corners (n, size, 2), colours (n, 3), z (n,) or one."""
        n, size = points.shape[:2]
        z = np.repeat(z, size) if np.ndim(z) else z
        cells = np.arange(n * size).reshape(n, size)
        self._add("polys", points.reshape(-1, 2), cells, colors.tolist(), z)

    def box(self, x0, y0, x1, y1, color=WHITE, z: float = Z_BOX) -> None:
        """Add a filled rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color, z)

    def text(
        self,
        text: str,
        x: float,
        y: float,
        size: float,
        *,
        align: str = "left",
        valign: str = "baseline",
        angle: float = 0.0,
        color=BLACK,
        box: bool = False,
    ) -> None:
        """Add text of one or several lines.

        Parameters
        ----------
        text : str
        x, y : float
            Anchor, in plot units.
        size : float
            Font size (em) in plot units.
        align : {"left", "center", "right"}
            Which part of each line stands at x.
        valign : {"baseline", "middle", "top"}
            Last baseline, middle or top of the capitals at y.
        angle : float
            Degrees, counter-clockwise about the anchor.
        color : (int, int, int)
        box : bool
            Put a white box behind the text.
        """
        height = text_height(text, size)
        base = _VALIGN[valign] * height
        lines = text.split("\n")
        if box:
            pad = 0.18 * size
            left = _ALIGN[align] * text_width(text, size)
            x0, x1 = left - pad, left + text_width(text, size) + pad
            y0, y1 = base - pad, base + height + pad
            corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
            self.polygon(_turned(corners, angle) + (x, y), WHITE, Z_BOX)
        for k, line in enumerate(lines):
            glyph = glyphs(line)
            if not len(glyph.triangles):
                continue
            offset = (
                _ALIGN[align] * glyph.width * size,
                base + (len(lines) - 1 - k) * LINE_HEIGHT * size,
            )
            points = _turned(glyph.points * size + offset, angle) + (x, y)
            self._add("polys", points, glyph.triangles, [color], Z_TEXT)

    def add(self, other: Sketch, x: float, y: float, *, upright: bool = False) -> None:
        """Add another sketch with its origin at (x, y, 0).

        What is added upright is seen from the front: its y is up.
        """
        for points in other._points:
            plane, above = points[:, :2], points[:, 2:]
            if upright:
                placed = np.hstack([plane[:, :1] + x, y - above, plane[:, 1:]])
            else:
                placed = np.hstack([plane + (x, y), above])
            self._points.append(placed.astype(np.float32))
        for kind in self._cells:
            self._cells[kind] += [cells + self._n_points for cells in other._cells[kind]]
        self._colors += other._colors
        self._n_points += other._n_points

    def _add(self, kind: str, points: np.ndarray, cells: np.ndarray, colors, z) -> None:
        """Add cells (n_cells, size) of points (n, 2), at one z or (n,)."""
        placed = np.empty((len(points), 3), np.float32)
        placed[:, :2] = points
        placed[:, 2] = z
        self._put(kind, placed, cells, colors)

    def _put(self, kind: str, points: np.ndarray, cells: np.ndarray, colors) -> None:
        """Add cells of points (n, 3); of k colours each is that of n / k points."""
        self._points.append(points.astype(np.float32, copy=False))
        self._cells[kind].append(cells + self._n_points)
        self._colors.append((colors, len(points) // max(len(colors), 1)))
        self._n_points += len(points)

    def write(self, output: vtkPolyData) -> None:
        """Put everything into a polydata: first the lines, then the polygons.

        The fields of the input, which VTK hands on, are left out: nothing reads them here, and
        ParaView looks at every array of every output after each update.
        """
        output.GetFieldData().Initialize()
        points = np.concatenate(self._points) if self._points else np.empty((0, 3))
        output.SetPoints(vtk_points(points))
        output.SetLines(cell_array(self._cells["lines"]))
        output.SetPolys(cell_array(self._cells["polys"]))
        colors = [color for some, _ in self._colors for color in some]
        counts = [n for some, n in self._colors for _ in some]
        colors = np.repeat(np.array(colors, np.uint8).reshape(-1, 3), counts, axis=0)
        output.GetPointData().AddArray(to_vtk(colors, COLOR))
        output.GetPointData().SetActiveScalars(COLOR)


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Return points (n, 2) turned about the origin by degrees, counter-clockwise."""
    if not angle:
        return points
    turn = math.radians(angle)
    cos, sin = math.cos(turn), math.sin(turn)
    return points @ np.array([[cos, sin], [-sin, cos]])


def vtk_points(points: np.ndarray) -> vtkPoints:
    """Return points (n, 3), single precision, as vtkPoints."""
    result = vtkPoints()
    result.SetData(to_vtk(np.ascontiguousarray(points, np.float32), "Points"))
    return result


def cell_array(blocks: list[np.ndarray]) -> vtkCellArray:
    """Return cells as a vtkCellArray: blocks (n_cells, size) of point ids, one after the other."""
    shapes = np.array([block.shape for block in blocks], np.int64).reshape(-1, 2)
    ids = [block.ravel() for block in blocks]
    ids = np.concatenate(ids) if ids else np.empty(0, np.int64)
    return cell_array_from_sizes(np.repeat(shapes[:, 1], shapes[:, 0]), ids)


def cell_array_from_sizes(sizes: np.ndarray, ids: np.ndarray | None = None) -> vtkCellArray:
    """Return cells of given sizes; their points are ``ids``, or consecutive.

    A size of 0 makes an empty cell: it keeps its number, is not drawn and cannot be picked.
    """
    sizes = np.asarray(sizes, np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    ids = np.arange(offsets[-1]) if ids is None else ids
    result = vtkCellArray()
    # Copied: vtkCellArray takes over the bare pointer and would outlive numpy's memory.
    result.SetData(
        numpy_to_vtkIdTypeArray(offsets, deep=True),
        numpy_to_vtkIdTypeArray(np.ascontiguousarray(ids, np.int64), deep=True),
    )
    return result


def hex_to_rgb(color: str) -> tuple[int, int, int]:
    """Return ``#rrggbb`` as three integers."""
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
