"""Run Similarity: the similarity of all pairs of runs in a layer at a step, as a matrix.

Each pair is a quad of the output: cell ``row * n + column``, rows from above. A picked cell tells
its two runs by ``row_run`` and ``column_run``; the field array ``matrix_cells`` gives for each row
and column the cell of the input, for views that select runs. Of more than ``MAX_ROWS`` runs, as
many as the field array ``matrix_block`` says share a row and column, and a quad is the mean of
their pairs: a view has no more pixels, and drawing all would take seconds.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

from pvensemble.errors import OptionError
from pvensemble.filters._options import at_step, check_choice, one_of
from pvensemble.filters._run_vectors import (
    MEASURE_TEXTS,
    Comparable,
    ComparisonFilter,
)
from pvensemble.filters.plot_curves import drawn_runs
from pvensemble.filters.plot_geometry import Sketch, cell_array_from_sizes, vtk_points
from pvensemble.filters.plot_matrix import block_means
from pvensemble.filters.plot_panels import draw_bottom_ticks, draw_left_ticks
from pvensemble.filters.plot_text import CAP_HEIGHT, text_width
from pvensemble.numerics.ticks import Tick, nice_ticks
from pvensemble.vtkdata.arrays import add_field, to_vtk
from pvensemble.vtkdata.runs import RunsData

INPUT, CLUSTERED = "input", "clustered"
ORDERS = (INPUT, CLUSTERED)
SIDE = 9.0
MAX_RUNS = 2000
"""A matrix of more runs has more cells than a screen has pixels, and takes long to cluster."""
MAX_ROWS = 500
"""Of more runs, several share a row."""
SIMILARITY, ROW_RUN, COLUMN_RUN = "similarity", "row_run", "column_run"
MATRIX_CELLS, MATRIX_BLOCK = "matrix_cells", "matrix_block"
_BEST_LEAF_ORDER = 300


class RunSimilarity(ComparisonFilter):
    """Runs, tensors -> quads of all pairs of runs, axes."""

    def __init__(self) -> None:
        super().__init__(n_outputs=2)
        self._order = CLUSTERED
        self._runs = ""

    def SetOrder(self, order: int | str) -> None:
        """``input`` or ``clustered``, or its position in ``ORDERS``."""
        self._set("order", one_of(ORDERS, order))

    def SetRuns(self, text: str) -> None:
        """Runs that are compared, ``0-4,9``; empty for all."""
        self._set("runs", text or "")

    def RequestData(self, request, inInfo, outInfo) -> int:
        self._check_options()
        blocks = self.blocks_input(request, inInfo, outInfo, runs := self.runs_input(inInfo))
        chosen = np.flatnonzero(drawn_runs(self._runs, runs.n_runs))
        if len(chosen) > MAX_RUNS:
            raise OptionError(
                f"{len(chosen):,} runs have {len(chosen) ** 2:,} pairs, too many to draw (at most "
                f"{MAX_RUNS:,} runs): name some in Runs, leave out sessions or groups in the "
                f"Ensemble Reader, or use the Ensemble Similarity Plot"
            )
        self.report(0.1, "Comparing runs")
        matrix = self._matrix(self.comparable_runs(blocks), chosen, runs.n_runs)
        self.report(0.6, "Matrix")
        if self._order == CLUSTERED:
            order = clustered(matrix)
            matrix, chosen = matrix[np.ix_(order, order)], chosen[order]
        width = max(math.ceil(len(chosen) / MAX_ROWS), 1)
        write_matrix(self.output(outInfo, 0), runs, block_similarity(matrix, width), chosen, width)
        steps = sorted({block.step for block in blocks})
        heading = at_step(blocks[0].layer, steps[-1]) if blocks else self._layer
        heading += f", means of {width} x {width} runs" if width > 1 else ""
        self._draw(runs.run_index[chosen], heading).write(self.output(outInfo, 1))
        return 1

    def _matrix(self, found: list[Comparable], chosen: np.ndarray, n_runs: int) -> np.ndarray:
        """Return the similarities (n, n) float32 of the chosen cells, NaN where there is none."""
        matrix = np.full((len(chosen), len(chosen)), np.nan, np.float32)
        place = np.full(n_runs, -1)
        place[chosen] = np.arange(len(chosen))
        for comparable in found:
            here = np.flatnonzero(place[comparable.cells] >= 0)
            at, some = place[comparable.cells[here]], comparable.only(here)
            of_some = self.all_pairs(some.vectors) if some.matrix is None else some.matrix
            matrix[np.ix_(at, at)] = of_some
        return matrix

    def _check_options(self) -> None:
        self.check_label_size()
        self._comparison.check()
        check_choice("Order", self._order, ORDERS)

    def _draw(self, numbers: np.ndarray, heading: str) -> Sketch:
        """Frame the matrix and label its rows and columns."""
        sketch, size = Sketch(), self._label_size / 100 * SIDE
        sketch.line([(0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE), (0, 0)])
        n = len(numbers)
        unit = SIDE / max(n, 1)
        columns = [Tick(k + 0.5, str(numbers[k]), k) for k in tick_places(numbers, unit, size)]
        rows = [Tick(n - t.position, t.label, t.value) for t in columns]
        beside = draw_left_ticks(sketch, rows, 0.0, 0.0, unit, size)
        below = draw_bottom_ticks(sketch, columns, 0.0, 0.0, unit, size)
        title = "run" if self._order == INPUT else "run (clustered)"
        y = -below - 0.6 * size
        sketch.text(title, SIDE / 2, y, size, align="center", valign="top")
        sketch.text(title, -beside - 0.7 * size, SIDE / 2, size, align="center", angle=90.0)
        text = f"{heading}: {MEASURE_TEXTS[self._comparison.measure]}"
        fitting = min(1.2 * size, 1.2 * size * SIDE / max(text_width(text, 1.2 * size), 1e-9))
        sketch.text(text, SIDE / 2, SIDE + 0.8 * size, fitting, align="center")
        return sketch


def clustered(matrix: np.ndarray) -> np.ndarray:
    """Return an order (n,) in which similar runs stand together (average linkage).

    Runs without a similarity to any other come last.
    """
    n = len(matrix)
    has = np.flatnonzero(~np.isnan(np.diagonal(matrix)))
    if len(has) < 3:
        return np.concatenate([has, np.setdiff1d(np.arange(n), has)])
    distance = 1.0 - matrix[np.ix_(has, has)].astype(np.float64)
    distance = np.nan_to_num((distance + distance.T) / 2, nan=2.0).clip(0.0)
    np.fill_diagonal(distance, 0.0)
    condensed = squareform(distance, checks=False)
    tree = hierarchy.linkage(condensed, "average")
    if len(has) <= _BEST_LEAF_ORDER:
        tree = hierarchy.optimal_leaf_ordering(tree, condensed)
    return np.concatenate([has[hierarchy.leaves_list(tree)], np.setdiff1d(np.arange(n), has)])


def block_similarity(matrix: np.ndarray, width: int) -> np.ndarray:
    """Return the means of blocks of ``width`` rows and columns, of those pairs that have a value.

    Parameters
    ----------
    matrix : (n, n) float32
    width : int

    Returns
    -------
    (ceil(n / width), ceil(n / width)) float32
        NaN where no pair of a block has a value.
    """
    has = ~np.isnan(matrix)
    if width == 1 or has.all():
        return block_means(matrix, width)
    share = block_means(has.astype(np.float32), width)
    mean = block_means(np.where(has, matrix, np.float32(0)), width)
    return np.where(share > 0, mean / np.where(share > 0, share, 1), np.float32(np.nan))


def write_matrix(
    output: vtkPolyData, runs: RunsData, matrix: np.ndarray, cells: np.ndarray, width: int = 1
) -> None:
    """Write a quad for each pair; neighbours share their corners.

    Parameters
    ----------
    output : vtkPolyData
    runs : RunsData
        The input.
    matrix : (ceil(n / width), ceil(n / width)) float32
        In the order in which it is drawn.
    cells : (n,) int64
        Cell of the input of each run, in that order.
    width : int
        How many runs share a row and column.
    """
    n = len(matrix)
    points, quads = grid(len(cells), width)
    output.SetPoints(points)
    output.SetPolys(quads)
    numbers = runs.run_index[cells[::width]].astype(np.int32)
    cell_data = output.GetCellData()
    cell_data.AddArray(to_vtk(matrix.ravel(), SIMILARITY))
    cell_data.AddArray(to_vtk(np.repeat(numbers, n), ROW_RUN))
    cell_data.AddArray(to_vtk(np.tile(numbers, n), COLUMN_RUN))
    cell_data.SetActiveScalars(SIMILARITY)
    add_field(output.GetFieldData(), MATRIX_CELLS, cells.astype(np.int64))
    add_field(output.GetFieldData(), MATRIX_BLOCK, np.array([width], np.int64))


@lru_cache(maxsize=4)
def grid(n_runs: int, width: int) -> tuple[vtkPoints, vtkCellArray]:
    """Return corners and quads of a matrix; they are shared by all steps, never changed."""
    n = math.ceil(n_runs / width)
    lines = SIDE * np.minimum(np.arange(n + 1) * width, n_runs) / max(n_runs, 1)
    points = np.zeros(((n + 1) ** 2, 3), np.float32)
    points[:, 0] = np.tile(lines, n + 1)
    points[:, 1] = np.repeat(SIDE - lines, n + 1)
    corner = (np.arange(n)[:, None] * (n + 1) + np.arange(n)).ravel()  # upper left
    ids = corner[:, None] + np.array([n + 1, n + 2, 1, 0])
    return vtk_points(points), cell_array_from_sizes(np.full(n * n, 4), ids.ravel())


def tick_places(numbers: np.ndarray, unit: float, size: float) -> np.ndarray:
    """Return the rows (n_ticks,) that are labelled with their run: at even distances, with room."""
    if len(numbers) == 0:
        return np.empty(0, np.int64)
    widest = max(text_width(str(number), size) for number in numbers[[np.argmax(numbers)]])
    room = max(widest + 0.6 * size, 1.5 * CAP_HEIGHT * size)
    fit = max(2, int(len(numbers) * unit / room))
    if fit >= len(numbers):
        return np.arange(len(numbers))
    places = nice_ticks(0, len(numbers) - 1, fit)
    return np.unique(places[places == np.round(places)].astype(np.int64))
