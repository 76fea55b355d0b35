"""Filter correlation: the correlation matrix of one layer's filters, of one run or of several.

Every run is a panel of its own with its own order of filters: by hierarchical clustering, clusters
by decreasing size (as Run Similarity compares them), or as the layer numbers them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData

from pvensemble import schema
from pvensemble.filters._options import CLUSTERED, OrderedFilter, ordered
from pvensemble.filters._tensors import Block
from pvensemble.filters.plot_geometry import Z_DATA, Sketch, cell_array_from_sizes, vtk_points
from pvensemble.filters.plot_matrix import Square, block_means, grid_quads
from pvensemble.filters.plot_matrix_panels import (
    Caption,
    draw_heading,
    draw_panel,
    heading,
    place_panels,
    run_title,
    summary,
)
from pvensemble.numerics.correlation import dead_filters
from pvensemble.numerics.ordering import ClusterOrder
from pvensemble.numerics.runs import parse_runs
from pvensemble.vtkdata.arrays import to_vtk
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import copy_fields

MAX_PANELS = 16
MAX_CELLS = 512 * 512
"""Cells of all panels together; more are averaged in blocks."""
ROW, COLUMN = "row", "column"
ROW_POSITION, COLUMN_POSITION = "row_position", "column_position"
CLUSTER = "cluster"


@dataclass(frozen=True)
class Panel:
    """The correlations of one run.

    Attributes
    ----------
    cell : int
        Number of its cell in the input.
    run_index : int
    block : Block or None
        None when there are no tensors of the run.
    matrix : numpy.ndarray
        (n, n) signed correlation in the layer's order, of filters that were merged away as well.
    order : ClusterOrder or None
    is_clustered : bool
        Whether it is shown in that order.
    shown : numpy.ndarray
        (n_filters,) int64 filter at each position: those that are there.
    dead : numpy.ndarray
        (n,) bool, in the layer's order.
    """

    cell: int
    run_index: int
    block: Block | None
    matrix: np.ndarray
    order: ClusterOrder | None
    is_clustered: bool
    shown: np.ndarray
    dead: np.ndarray

    @property
    def n_filters(self) -> int:
        return len(self.shown)

    def clusters(self) -> np.ndarray:
        """(n_filters,) cluster of the filter at each position."""
        label = np.empty(len(self.matrix), np.int64)
        label[self.order.permutation] = self.order.cluster
        return label[self.shown]

    def n_pairs_above(self, threshold: float) -> int:
        """Return the number of pairs of filters with |r| above a threshold."""
        above = np.abs(self.matrix) > threshold
        return int((above.sum() - np.diagonal(above).sum()) // 2)


class FilterCorrelation(OrderedFilter):
    """Runs, tensors -> quads (a panel a run), axes with labels and dendrograms."""

    kind = schema.CORRELATION

    def __init__(self) -> None:
        super().__init__(n_outputs=2)
        self._magnitude = True
        self._show_dendrogram = True

    def SetMagnitude(self, on: int) -> None:
        """Show |r| instead of r."""
        self._set("magnitude", bool(on))

    def SetShowDendrogram(self, on: int) -> None:
        """Draw the dendrogram beside a matrix in clustered order."""
        self._set("show_dendrogram", bool(on))

    def RequestData(self, request, inInfo, outInfo) -> int:
        runs = self.runs_input(inInfo)
        self._check()
        panels, n_left_out = self._panels(request, inInfo, outInfo, runs)
        widths, is_short = block_widths(panels), len(panels) > 1
        captions = [
            Caption(
                run_title(runs, panel.cell, is_short=is_short),
                summary(panel, self._threshold, width, is_short=is_short),
            )
            for panel, width in zip(panels, widths)
        ]
        has_trees = self._show_dendrogram and self._order == CLUSTERED
        layout = place_panels(captions, self._label_size, has_trees=has_trees)
        self.report(0.5, "Cells")
        write_cells(self.output(outInfo, 0), runs, panels, layout.squares, widths, self._magnitude)
        self.report(0.7, "Axes")
        sketch = Sketch()
        for panel, square, caption in zip(panels, layout.squares, captions):
            draw_panel(sketch, panel, square, layout, self._threshold)
            caption.draw(sketch, square.x, square.top, layout.width, layout.size)
        if is_short:
            draw_heading(sketch, layout, heading(panels, self._threshold, n_left_out))
        sketch.write(self.output(outInfo, 1))
        return 1

    def _panels(self, request, inInfo, outInfo, runs: RunsData) -> tuple[list[Panel], int]:
        """Return the panels to draw, and how many chosen runs are left out."""
        if runs.n_runs == 0:
            return [], 0
        blocks = self.blocks_input(request, inInfo, outInfo, runs)
        where = {int(c): (b, int(r)) for b in blocks for c, r in zip(b.cells, b.rows)}
        chosen = parse_runs(self._runs, runs.n_runs).tolist() or sorted(where)[:1]
        panels = []
        for position, cell in enumerate(chosen[:MAX_PANELS]):
            if self.aborted():
                break
            self.report(0.5 * position / len(chosen), "Clustering filters")
            panels.append(self._panel(runs, cell, *where.get(cell, (None, 0))))
        return panels, len(chosen) - len(panels)

    def _panel(self, runs: RunsData, cell: int, block: Block | None, row: int) -> Panel:
        """Order the filters of one run."""
        run_index = int(runs.run_index[cell])
        if block is None:
            none = np.empty(0, np.int64)
            matrix = np.empty((0, 0), np.float32)
            return Panel(cell, run_index, None, matrix, None, False, none, none.astype(bool))
        matrix = block.slice(row)
        order = ordered(block, row, self._threshold, self._linkage)
        is_clustered = self._order == CLUSTERED
        shown = order.permutation if is_clustered else np.sort(order.permutation)
        dead = dead_filters(matrix)
        return Panel(cell, run_index, block, matrix, order, is_clustered, shown, dead)


# -- cells ---------------------------------------------------------------------------------------
def block_widths(panels: list[Panel]) -> list[int]:
    """Return for each panel how many filters share a row, so that there are not too many cells."""
    most = math.isqrt(MAX_CELLS // max(len(panels), 1))
    return [max(math.ceil(panel.n_filters / most), 1) for panel in panels]


def write_cells(
    output: vtkPolyData,
    runs: RunsData,
    panels: list[Panel],
    squares: list[Square],
    widths: list[int],
    magnitude: bool,
) -> None:
    """Write a quad for each row and column of each panel."""
    points, quads, arrays, n_points = [], [], [], 0
    for panel, square, width in zip(panels, squares, widths):
        n = math.ceil(panel.n_filters / width)
        corners, cells = grid_quads(Square(square.x, square.y, square.side, n), n_points)
        points.append(corners)
        quads.append(cells)
        arrays.append(panel_arrays(panel, width, magnitude))
        n_points += len(corners)
    flat = np.zeros((n_points, 3), np.float32)
    flat[:, 2] = Z_DATA
    if n_points:
        flat[:, :2] = np.concatenate(points)
    quads = np.concatenate(quads) if quads else np.empty((0, 4), np.int64)
    output.SetPoints(vtk_points(flat))
    output.SetPolys(cell_array_from_sizes(np.full(len(quads), 4), quads.reshape(-1)))
    cell_data = output.GetCellData()
    for name, dtype in ARRAYS.items():
        parts = [panel[name] for panel in arrays]
        values = np.concatenate(parts) if parts else np.empty(0)
        cell_data.AddArray(to_vtk(values.astype(dtype), name))
    cell_data.SetActiveScalars(schema.CORRELATION)
    copy_fields(runs.polydata, output)


ARRAYS = {
    schema.CORRELATION: np.float32,
    schema.RUN_INDEX: np.int64,
    ROW: np.int32,
    COLUMN: np.int32,
    ROW_POSITION: np.int32,
    COLUMN_POSITION: np.int32,
    CLUSTER: np.int32,
}


def panel_arrays(panel: Panel, width: int, magnitude: bool) -> dict[str, np.ndarray]:
    """Return the cell arrays of a panel, row after row.

    Where several filters share a row, it has the number and position of the first one, and the
    correlation is the mean.
    """
    n = math.ceil(panel.n_filters / width)
    values = panel.matrix[np.ix_(panel.shown, panel.shown)]
    values = block_means(np.abs(values) if magnitude else values, width)
    position = np.arange(n) * width
    number = panel.shown[position]
    label = panel.clusters()[position] if n else position
    same = label[:, None] == label[None, :]
    return {
        schema.CORRELATION: values.reshape(-1),
        schema.RUN_INDEX: np.full(n * n, panel.run_index),
        ROW: np.repeat(number, n),
        COLUMN: np.tile(number, n),
        ROW_POSITION: np.repeat(position, n),
        COLUMN_POSITION: np.tile(position, n),
        CLUSTER: np.where(same, label[:, None], -1).reshape(-1),
    }
