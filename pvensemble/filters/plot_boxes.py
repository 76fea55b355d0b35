"""The weights of panels as boxes, as flat quads, or as one image: three drawings of one layout.

A box is a single triangle strip, so that cell i is weight i: it is picked as a whole, and its
arrays are stored once. All three have the same arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData

from pvensemble import schema
from pvensemble.filters._weights import WeightPanel
from pvensemble.filters.plot_geometry import (
    DARK,
    GREY,
    Z_DATA,
    Z_GRID,
    Z_IMAGE,
    Sketch,
    cell_array_from_sizes,
    vtk_points,
)
from pvensemble.filters.plot_matrix_panels import Caption, Layout
from pvensemble.filters.plot_panels import NO_RUN
from pvensemble.filters.plot_text import text_width
from pvensemble.numerics.ticks import nice_ticks, number_labels
from pvensemble.vtkdata.arrays import to_vtk

NORMALIZED, FILTER, INPUT, ROW, COLUMN = "normalized", "filter", "input", "row", "column"
_SIDE = 0.92  # of a unit cell: side of a box
_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
_STRIP = np.array([4, 5, 7, 6, 2, 5, 1, 4, 0, 7, 3, 2, 0, 1])
"""All six sides of a box as one strip; points 0 to 3 lie below, 4 to 7 above them."""
_TICK = 0.3


@dataclass(frozen=True)
class TileMap:
    """Where the panels stand: the upper left corner of each, and the side of a unit cell."""

    corners: list[tuple[float, float]]
    unit: float

    def places(self, k: int, panel: WeightPanel) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y (n,) of the lower left corner of the weights of panel k."""
        row, column = panel.grid.cells(np.arange(len(panel.shown)))
        x, y = self.corners[k]
        return x + self.unit * column.ravel(), y - self.unit * (row.ravel() + 1)


def tile_map(panels: Sequence[WeightPanel], layout: Layout) -> TileMap:
    """Place panels in their squares, all with unit cells of one size, on one grid of such cells."""
    largest = max((max(panel.grid.shape) for panel in panels if len(panel.values)), default=1)
    unit = min((square.side for square in layout.squares), default=1.0) / largest
    corners = [
        (round(square.x / unit) * unit, round(square.top / unit) * unit)
        for square in layout.squares
    ]
    return TileMap(corners, unit)


def cell_arrays(
    panels: Sequence[WeightPanel], kind: str, normalized: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the arrays of all weights, panel after panel, block after block.

    Parameters
    ----------
    panels : sequence of WeightPanel
    kind : str
        Name of the array of the weights.
    normalized : sequence of array
        What each filter's weights of a panel are divided by: (n_filters,) or a number.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for panel, scale in zip(panels, normalized):
        values = panel.values[panel.shown]
        scale = np.broadcast_to(scale, len(panel.values))[panel.shown][:, None, None, None]
        _, inputs, row, column = np.indices(values.shape, np.int32, sparse=True)
        of_each = {
            kind: values,
            NORMALIZED: values / scale,
            schema.RUN_INDEX: np.full((1, 1, 1, 1), panel.run_index, np.int64),
            FILTER: panel.shown[:, None, None, None].astype(np.int32),
            INPUT: inputs,
            ROW: row,
            COLUMN: column,
        }
        for name, array in of_each.items():
            parts.setdefault(name, []).append(np.broadcast_to(array, values.shape).ravel())
    names = (kind, NORMALIZED, schema.RUN_INDEX, FILTER, INPUT, ROW, COLUMN)
    return {name: np.concatenate(parts.get(name, [np.empty(0, np.float32)])) for name in names}


def add_arrays(output, arrays: dict[str, np.ndarray]) -> None:
    """Add arrays to the cells."""
    for name, values in arrays.items():
        dtype = np.float32 if values.dtype.kind == "f" else values.dtype
        output.GetCellData().AddArray(to_vtk(values.astype(dtype, copy=False), name))
    output.GetCellData().SetActiveScalars(NORMALIZED)


def all_places(panels: Sequence[WeightPanel], tiles: TileMap) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y (n,) of the lower left corners of the weights of all panels."""
    parts = [tiles.places(k, panel) for k, panel in enumerate(panels)] or [(np.empty(0),) * 2]
    x, y = (np.concatenate(each).astype(np.float32) for each in zip(*parts))
    return x, y


def write_boxes(output: vtkPolyData, x: np.ndarray, y: np.ndarray, z: np.ndarray, unit: float):
    """Write a box for each place (n,): from 0 to z, which is down where z is negative."""
    heights = np.nan_to_num(z, nan=0.0)
    points = np.empty((len(x), 2, 4, 3), np.float32)
    points[..., 0] = x[:, None, None] + _SIDE * unit * _CORNERS[:, 0]
    points[..., 1] = y[:, None, None] + _SIDE * unit * _CORNERS[:, 1]
    points[:, 0, :, 2] = np.minimum(heights, 0)[:, None]
    points[:, 1, :, 2] = np.maximum(heights, 0)[:, None]
    output.SetPoints(vtk_points(points.reshape(-1, 3)))
    ids = 8 * np.arange(len(x))[:, None] + _STRIP
    output.SetStrips(cell_array_from_sizes(np.full(len(x), len(_STRIP)), ids.ravel()))


def write_quads(output: vtkPolyData, x: np.ndarray, y: np.ndarray, unit: float) -> None:
    """Write a flat quad for each place (n,)."""
    points = np.full((len(x), 4, 3), Z_DATA, np.float32)
    points[..., 0] = x[:, None] + unit * _CORNERS[:, 0]
    points[..., 1] = y[:, None] + unit * _CORNERS[:, 1]
    output.SetPoints(vtk_points(points.reshape(-1, 3)))
    output.SetPolys(cell_array_from_sizes(np.full(len(x), 4)))


def write_image(output: vtkImageData, x, y, unit: float, arrays: dict[str, np.ndarray]) -> None:
    """Write an image whose cells lie where the quads would; between them filter is -1.

    There ``normalized`` is NaN, to be drawn transparent, and the weight 0.
    """
    if len(x) == 0:
        return
    x0, y0 = float(x.min()), float(y.min())
    column, row = (np.rint((a - b) / unit).astype(np.int64) for a, b in ((x, x0), (y, y0)))
    width, height = int(column.max()) + 1, int(row.max()) + 1
    output.SetOrigin(x0, y0, Z_IMAGE)
    output.SetSpacing(unit, unit, 1.0)
    output.SetDimensions(width + 1, height + 1, 1)
    place = row * width + column
    whole = {}
    for name, values in arrays.items():
        empty = np.nan if name == NORMALIZED else 0 if values.dtype.kind == "f" else -1
        whole[name] = np.full(width * height, empty, values.dtype)
        whole[name][place] = values
    add_arrays(output, whole)


# -- around the boxes ------------------------------------------------------------------------------
def draw_numbers(
    sketch: Sketch,
    panel: WeightPanel,
    k: int,
    tiles: TileMap,
    size: float,
    labels: Sequence[str] | None = None,
    drop: float = 0.0,
) -> None:
    """Number the filters below their blocks, where there is room, or write other labels there.

    ``drop`` unit cells are left free.
    """
    grid, (x0, y0) = panel.grid, tiles.corners[k]
    if not grid.is_labelled or len(panel.shown) == 0:
        return
    (height, width), (below, beside) = grid.block, grid.gaps
    room = (width + 0.6 * beside) * tiles.unit
    labels = [str(f) for f in panel.shown.tolist()] if labels is None else labels
    widest = max(text_width(label, 1.0) for label in labels)
    small = min(size, (0.95 * below - drop) * tiles.unit, room / widest)
    rows, columns = grid.corners(np.arange(len(panel.shown)))
    for label, row, column in zip(labels, rows, columns):
        x = x0 + tiles.unit * (column + 0.5 * width)
        y = y0 - tiles.unit * (row + height + drop) - 0.1 * small
        sketch.text(label, x, y, small, align="center", valign="top", color=DARK)


def draw_panels(
    sketch: Sketch,
    panels: list[WeightPanel],
    captions: list[Caption],
    layout: Layout,
    tiles: TileMap,
    *,
    over: float = 0.0,
    labels: Sequence[Sequence[str]] | None = None,
    drop: float = 0.0,
) -> None:
    """Draw the captions of panels, and below each block (see ``draw_numbers``) its label."""
    for k, (panel, caption, square) in enumerate(zip(panels, captions, layout.squares)):
        caption.draw(sketch, square.x, square.top + over * square.side, layout.width, layout.size)
        if panel.block is not None:
            draw_numbers(sketch, panel, k, tiles, layout.size, labels[k] if labels else None, drop)
            continue
        sketch.box(square.x, square.y, square.right, square.top, NO_RUN, Z_GRID)
        middle = square.x + 0.5 * square.side, square.y + 0.5 * square.side
        small = min(
            layout.size, layout.size * square.side / text_width("not recorded", layout.size)
        )
        sketch.text("not recorded", *middle, small, align="center", valign="middle", color=DARK)


def draw_height_axis(
    sketch: Sketch, corner: tuple[float, float], limit: float, height: float, size: float
) -> None:
    """Draw an upright axis of heights from -limit to limit.

    Parameters
    ----------
    sketch : Sketch
    corner : (float, float)
        Where it crosses the plane.
    limit : float
        Value at its ends.
    height : float
        Of the value ``limit``, in plot units.
    size : float
        Font size in plot units.
    """
    axis = Sketch()
    axis.line([(0.0, -height), (0.0, height)], GREY)
    ticks = [value for value in nice_ticks(-limit, limit, 5) if abs(value) <= limit * (1 + 1e-9)]
    small = min(0.85 * size, 1.2 * height / max(len(ticks), 1))
    for value, label in zip(ticks, number_labels(ticks, digits=3)):
        at = value / limit * height
        axis.line([(-_TICK * small, at), (0.0, at)], GREY)
        x = -2 * _TICK * small
        axis.text(label, x, at, small, align="right", valign="middle", color=DARK)
    sketch.add(axis, *corner, upright=True)
