"""Activation maps: what each filter of a layer answers to some images, over the training.

Rows are filters in the order of Filter Correlation, columns the first images of the probe batch,
which stand above them. With one column of filters each row is as high as a row of the matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData

from pvensemble import schema
from pvensemble.errors import MissingArrayError, NotRecordedError, OptionError
from pvensemble.filters._options import (
    CLUSTERED,
    OrderedFilter,
    at_step,
    check_choice,
    one_of,
    ordered,
)
from pvensemble.filters._tensors import Block, Tensors
from pvensemble.filters.filter_correlation import MAX_CELLS
from pvensemble.filters.plot_geometry import Z_DATA, Sketch, cell_array_from_sizes, vtk_points
from pvensemble.filters.plot_maps import (
    MapGrid,
    block_means,
    draw_brackets,
    draw_images,
    draw_labels,
    pixel_grids,
    place_maps,
)
from pvensemble.filters.plot_matrix_panels import SIDE, Caption, of_filters, run_title
from pvensemble.numerics.runs import parse_runs
from pvensemble.vtkdata.arrays import to_vtk
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import copy_fields

PER_FILTER, COMMON = "per filter", "common"
RANGES = (PER_FILTER, COMMON)
NORMALIZED, FILTER, IMAGE, ROW_POSITION = "normalized", "filter", "image", "row_position"


@dataclass(frozen=True)
class Maps:
    """The maps of one run.

    Attributes
    ----------
    cell : int
        Of the run in the input.
    block : Block
    values : numpy.ndarray
        (n_filters, n_images, h, w) in the layer's order.
    shown : numpy.ndarray
        (n,) int64 filter at each position: those that were not merged away.
    cluster : numpy.ndarray or None
        (n,) cluster at each position; None in the layer's order.
    """

    cell: int
    block: Block
    values: np.ndarray
    shown: np.ndarray
    cluster: np.ndarray | None

    @property
    def dead(self) -> np.ndarray:
        """(n_filters,) bool: the same answer everywhere, or none that is finite."""
        flat = self.values.reshape(len(self.values), -1)
        return ~(np.isfinite(flat).all(axis=1) & (np.ptp(flat, axis=1) > 0))

    def scales(self, ranges: str) -> np.ndarray:
        """Return the largest |activation| (n_filters,) of each filter, or of all; at least tiny."""
        largest = np.abs(self.values.reshape(len(self.values), -1))
        largest = np.max(np.where(np.isfinite(largest), largest, 0), axis=1, initial=0.0)
        if ranges == COMMON:
            largest = np.full(len(largest), largest.max(initial=0.0))
        return np.where(largest > 0, largest, 1.0)


class ActivationMaps(OrderedFilter):
    """Runs, tensors -> pixels of the first run's maps as quads, axes with the images."""

    kind = schema.ACTIVATION

    def __init__(self) -> None:
        super().__init__(n_outputs=2)
        self._range = PER_FILTER
        self._columns = 0

    def SetRange(self, ranges: int | str) -> None:
        """``per filter`` or ``common``, or its position in ``RANGES``."""
        self._set("range", one_of(RANGES, ranges))

    def SetColumns(self, n_columns: int) -> None:
        """Columns of filters; 0 for about a square."""
        self._set("columns", int(n_columns))

    def RequestData(self, request, inInfo, outInfo) -> int:
        runs = self.runs_input(inInfo)
        self._check()
        sketch, output = Sketch(), self.output(outInfo, 0)
        if runs.n_runs:
            tensors = self.tensors_input(request, inInfo, outInfo)
            maps = self._maps(tensors, runs)
            _, n_images, h, w = maps.values.shape
            aspect = w / h if 0.2 <= w / h <= 5 else 1.0
            grid = place_maps(len(maps.shown), n_images, self._columns, self._label_size, aspect)
            self.report(0.3, "Maps")
            width = write_maps(output, runs, maps, grid, self._range)
            self.report(0.7, "Axes")
            self._draw(sketch, runs, maps, grid, tensors.probe_images(maps.block.group), width)
        else:
            write_nothing(output)
        copy_fields(runs.polydata, output)
        sketch.write(self.output(outInfo, 1))
        return 1

    def _check(self) -> None:
        super()._check()
        check_choice("Range", self._range, RANGES)
        if self._columns < 0:
            raise OptionError(f"Columns must be 0 (automatic) or positive, got {self._columns}")

    def _maps(self, tensors: Tensors, runs: RunsData) -> Maps:
        """Return the maps of the first chosen run."""
        blocks = tensors.blocks(self._layer, self.kind, runs.run_index)
        where = {int(c): (b, int(r)) for b in blocks for c, r in zip(b.cells, b.rows)}
        cell = next(iter(parse_runs(self._runs, runs.n_runs).tolist() or sorted(where)), None)
        if cell not in where:
            which = "these runs" if cell is None else f"run {int(runs.run_index[cell])}"
            raise NotRecordedError(f"there are no activations of {which} in the tensors")
        block, row = where[cell]
        if len(block.shape) < 2:
            raise MissingArrayError(
                f"block {block.group}/{block.layer}.{block.kind} does not say its shape (field "
                f"array 'shape'); use the second output of Ensemble Reader"
            )
        n_filters, n_images = block.shape[:2]
        y, x = block.size
        values = block.slice(row).reshape(n_filters, y // n_filters, n_images, x // n_images)
        shown, cluster = np.flatnonzero(block.exists(row)), None
        if self._order == CLUSTERED:
            shown, cluster = self._clustered(tensors, runs, block, cell)
        return Maps(cell, block, values.swapaxes(1, 2), shown, cluster)

    def _clustered(self, tensors: Tensors, runs: RunsData, block: Block, cell: int) -> tuple:
        """Return the filters and their clusters in the order of Filter Correlation."""
        if block.layer not in tensors.layers(schema.CORRELATION):
            raise NotRecordedError(
                f"Order 'clustered' needs the correlation of {block.layer}: check "
                f"{schema.CORRELATION!r} under Kinds of the Ensemble Reader, or choose Order "
                f"'original'"
            )
        for other in tensors.blocks(block.layer, schema.CORRELATION, runs.run_index):
            if other.group == block.group:
                row = int(other.rows[np.flatnonzero(other.cells == cell)[0]])
                order = ordered(other, row, self._threshold, self._linkage)
                return order.permutation, order.cluster
        raise NotRecordedError(
            f"the correlation of {block.layer} was not recorded for group {block.group}: choose "
            f"Order 'original'"
        )

    def _draw(self, sketch, runs, maps: Maps, grid: MapGrid, images, width: int) -> None:
        """Draw images, numbers, brackets of clusters and the title."""
        top = SIDE
        if images is not None:
            draw_images(sketch, grid, images)
            top += 1.15 * grid.row
        dead = maps.dead[maps.shown]
        draw_labels(sketch, grid, maps.shown, dead)
        if maps.cluster is not None:
            draw_brackets(sketch, grid, maps.cluster)
        n_filters, n_images, h, w = maps.values.shape
        layer, step = maps.block.layer, maps.block.step
        notes = [
            f"{at_step(layer, step)}, {of_filters(len(maps.shown), n_filters)}",
            f"{n_images} image{'s' * (n_images != 1)}",
            f"maps of {h} x {w}",
        ]
        if self._range == COMMON:
            notes.append(f"range ±{maps.scales(COMMON).max(initial=0):.3g}")
        else:
            notes.append("range per filter")
        notes += [f"{dead.sum()} dead"] if dead.any() else []
        notes += [f"means of {width} x {width} pixels"] if width > 1 else []
        caption = Caption(run_title(runs, maps.cell), notes)
        caption.draw(sketch, 0.0, top, max(grid.right, 0.9 * SIDE), grid.size)


def write_maps(output: vtkPolyData, runs: RunsData, maps: Maps, grid: MapGrid, ranges: str) -> int:
    """Write a quad for each pixel of each map; return how many pixels share one quad's side."""
    n_images, h, w = maps.values.shape[1:]
    width = max(1, math.ceil(math.sqrt(maps.values.size / MAX_CELLS)))
    normalized = maps.values / maps.scales(ranges)[:, None, None, None]
    values, normalized = (block_means(v, width)[maps.shown] for v in (maps.values, normalized))
    h, w = values.shape[2:]
    position, image = (a.ravel() for a in np.indices((len(maps.shown), n_images)))
    points, quads = pixel_grids(grid.boxes(position, image), h, w)
    flat = np.full((len(points), 3), Z_DATA, np.float32)
    flat[:, :2] = points
    output.SetPoints(vtk_points(flat))
    output.SetPolys(cell_array_from_sizes(np.full(len(quads), 4), quads.reshape(-1)))
    run_index = int(runs.run_index[maps.cell])
    arrays = {
        schema.ACTIVATION: values.reshape(-1),
        NORMALIZED: normalized.reshape(-1),
        FILTER: np.repeat(maps.shown[position], h * w),
        IMAGE: np.repeat(image, h * w),
        ROW_POSITION: np.repeat(position, h * w),
        schema.RUN_INDEX: np.full(len(quads), run_index),
    }
    add_arrays(output, arrays)
    return width


def write_nothing(output: vtkPolyData) -> None:
    """Write the arrays without cells."""
    output.SetPoints(vtk_points(np.empty((0, 3))))
    output.SetPolys(cell_array_from_sizes(np.empty(0, np.int64)))
    add_arrays(output, dict.fromkeys(ARRAYS, np.empty(0)))


ARRAYS = {
    schema.ACTIVATION: np.float32,
    NORMALIZED: np.float32,
    FILTER: np.int32,
    IMAGE: np.int32,
    ROW_POSITION: np.int32,
    schema.RUN_INDEX: np.int64,
}


def add_arrays(output: vtkPolyData, arrays: dict[str, np.ndarray]) -> None:
    """Add the cell arrays."""
    cell_data = output.GetCellData()
    for name, dtype in ARRAYS.items():
        cell_data.AddArray(to_vtk(arrays[name].astype(dtype), name))
    cell_data.SetActiveScalars(NORMALIZED)
