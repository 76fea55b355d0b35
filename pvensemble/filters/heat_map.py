"""Performance heat map: runs as cells over a pair of hyper-parameters, or over all pairs.

Every run keeps its own quad, so it can be picked, linked and coloured; runs of one cell share it as
strips. ParaView colours the quads by any array (``cell_mean`` for the mean of each cell).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData

from pvensemble import schema
from pvensemble.errors import OptionError, did_you_mean
from pvensemble.filters._options import Labels, check_column, one_of
from pvensemble.filters.plot_geometry import (
    Z_DATA,
    Z_GROUP,
    Sketch,
    cell_array_from_sizes,
    hex_to_rgb,
    vtk_points,
)
from pvensemble.filters.plot_panels import draw_map, draw_pair_titles
from pvensemble.numerics.axis_scales import is_text, make_axis
from pvensemble.numerics.binning import Bins, CellShares, bin_axis, share_cells
from pvensemble.vtkdata.arrays import add_field, to_vtk
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import copy_fields, repeat_columns

ONE_PAIR, ALL_PAIRS = "one pair", "all pairs"
LAYOUTS = (ONE_PAIR, ALL_PAIRS)
SIDE = 9.0
GAP = 0.05
CELL_MEAN, CELL_COUNT, PAIR = "cell_mean", "cell_count", "pair"
N_PAIRS, PAIR_X, PAIR_Y = "n_pairs", "pair_x", "pair_y"
MAX_PAIRS = 66
MATRIX_TEXT = 0.16
MAX_DOT = 0.025  # of a map's side
_DISC = 24


@dataclass(frozen=True)
class Map:
    """One map: its axes' names and bins, its lower left corner and the size of its cells."""

    x_name: str
    y_name: str
    x: Bins
    y: Bins
    shares: CellShares
    corner: tuple[float, float]
    cell: tuple[float, float]


class PerformanceHeatMap(Labels):
    """Runs -> quads (cell i is run i; with all pairs, cell pair * n_runs + i), axes, group dots."""

    def __init__(self) -> None:
        super().__init__(n_outputs=3)
        self._x_axis = ""
        self._y_axis = ""
        self._color_by = ""
        self._layout = ONE_PAIR
        self._bins = 0

    def SetXAxis(self, name: str) -> None:
        """Hyper-parameter to the right; empty for the first that varies."""
        self._set("x_axis", name or "")

    def SetYAxis(self, name: str) -> None:
        """Hyper-parameter upwards; empty for the next that varies."""
        self._set("y_axis", name or "")

    def SetColorBy(self, name: str) -> None:
        """Column whose mean is taken over each cell; empty for ``combined``, else the first."""
        self._set("color_by", name or "")

    def SetLayout(self, layout: int | str) -> None:
        """``one pair`` or ``all pairs``, or its position in ``LAYOUTS``."""
        self._set("layout", one_of(LAYOUTS, layout))

    def SetBins(self, n_bins: int) -> None:
        """Bins of an axis whose values do not lie on a grid; 0 chooses by the number of runs."""
        self._set("bins", int(n_bins))

    def RequestData(self, request, inInfo, outInfo) -> int:
        runs = self.runs_input(inInfo)
        measure = self._measure(runs)
        maps = self._maps(runs, runs.column(measure) if measure else None)
        self.report(0.4, "Cells")
        write_cells(self.output(outInfo, 0), runs, maps)
        self.report(0.7, "Axes")
        axes, sketch = self.output(outInfo, 1), Sketch()
        size = self._label_size / 100 * SIDE
        if len(maps) > 1:
            size = min(size, MATRIX_TEXT * maps[0].cell[0] * maps[0].x.n_bins)
        for drawn in maps:
            draw_map(sketch, drawn, size, only=self._layout == ONE_PAIR)
        draw_pair_titles(sketch, maps, measure, size)
        write_dots(self.output(outInfo, 2), runs, maps, sketch)
        sketch.write(axes)
        return 1

    def _measure(self, runs: RunsData) -> str:
        """Return the column to average, "" when the runs have no measure."""
        name = self._color_by
        if not name:
            has_default = schema.COMBINED in runs.columns
            return schema.COMBINED if has_default else "".join(runs.measures[:1])
        check_column("Color By", name, runs)
        if is_text(runs.columns[name]):
            raise OptionError(f"Color By: column {name!r} holds text and has no mean")
        return name

    def _maps(self, runs: RunsData, values: np.ndarray | None) -> list[Map]:
        """Place the runs on every map."""
        if self._layout not in LAYOUTS:
            raise OptionError(f"Layout: got {self._layout!r}{did_you_mean(self._layout, LAYOUTS)}")
        self.check_label_size()
        if self._bins < 0:
            raise OptionError(f"Bins must be 0 (automatic) or positive, got {self._bins}")
        values = np.full(runs.n_runs, np.nan) if values is None else values
        pairs = self._pairs(runs)
        names = list(dict.fromkeys(name for pair in pairs for name in pair if name))
        bins = {name: self._bin(runs, name, alone=len(names) == 1) for name in names}
        single = Bins(np.zeros(runs.n_runs, np.int64), 1, [], True)
        n = len(names) - 1 if self._layout == ALL_PAIRS and len(names) > 2 else 1
        side = SIDE / (n + GAP * (n - 1))
        maps = []
        for x_name, y_name in pairs:
            x, y = bins[x_name], bins.get(y_name, single)
            column = names.index(x_name) if n > 1 else 0
            row = n - names.index(y_name) if n > 1 else 0
            corner = (column * side * (1 + GAP), row * side * (1 + GAP))
            height = side if y_name else side / 6
            cell = (side / max(x.n_bins, 1), height / max(y.n_bins, 1))
            shares = share_cells(x.index, y.index, values)
            maps.append(Map(x_name, y_name, x, y, shares, corner, cell))
        return maps

    def _bin(self, runs: RunsData, name: str, *, alone: bool) -> Bins:
        values = runs.columns[name]
        axis = make_axis(name, values, declared=runs.scales.get(name))
        return bin_axis(axis, values, n_bins=self._bins, alone=alone)

    def _pairs(self, runs: RunsData) -> list[tuple[str, str]]:
        """Return the (x, y) names of every map; y is "" for a strip."""
        for option, name in (("X Axis", self._x_axis), ("Y Axis", self._y_axis)):
            check_column(option, name, runs)
        known = [name for name in runs.hyper_parameters if name in runs.columns]
        varying = [name for name in known if len(np.unique(runs.columns[name])) > 1] or known
        if self._layout == ALL_PAIRS and len(varying) > 1:
            pairs = list(combinations(varying, 2))
            if len(pairs) > MAX_PAIRS:
                raise OptionError(
                    f"{len(varying)} hyper-parameters vary: {len(pairs)} maps are too many to read "
                    f"(at most {MAX_PAIRS}); choose Layout 'one pair'"
                )
            return pairs
        free = [n for n in varying if n not in (self._x_axis, self._y_axis)]
        x = self._x_axis or (free.pop(0) if free else "")
        y = self._y_axis or (free.pop(0) if free else "")
        if not x and not y:
            raise OptionError(
                "the runs have no hyper-parameters; name two columns in X Axis and Y Axis"
                f"{did_you_mean('', runs.columns)}"
            )
        if x == y:
            raise OptionError(f"X Axis and Y Axis are both {x!r}; choose two different columns")
        return [(x, y)] if x else [(y, "")]


def strips(drawn: Map) -> np.ndarray:
    """Return the quad of every run of a map: (n_runs, 4) of x0, y0, x1, y1."""
    width = drawn.cell[0] / drawn.shares.count
    x0 = drawn.corner[0] + drawn.x.index * drawn.cell[0] + drawn.shares.rank * width
    y0 = drawn.corner[1] + drawn.y.index * drawn.cell[1]
    return np.column_stack([x0, y0, x0 + width, y0 + drawn.cell[1]])


def write_cells(output: vtkPolyData, runs: RunsData, maps: list[Map]) -> None:
    """Write a quad for each run and map, with all arrays of the runs."""
    boxes = np.concatenate([strips(drawn) for drawn in maps])
    points = np.full((len(boxes), 4, 3), Z_DATA, np.float32)
    points[:, :, 0] = boxes[:, [0, 2, 2, 0]]
    points[:, :, 1] = boxes[:, [1, 1, 3, 3]]
    output.SetPoints(vtk_points(points.reshape(-1, 3)))
    output.SetPolys(cell_array_from_sizes(np.full(len(boxes), 4)))
    repeat_columns(runs.polydata.GetCellData(), output.GetCellData(), runs.n_runs, len(maps))
    cell_data = output.GetCellData()
    mean = np.concatenate([drawn.shares.mean for drawn in maps])
    count = np.concatenate([drawn.shares.count for drawn in maps]).astype(np.int64)
    cell_data.AddArray(to_vtk(mean, CELL_MEAN))
    cell_data.AddArray(to_vtk(count, CELL_COUNT))
    cell_data.AddArray(to_vtk(np.repeat(np.arange(len(maps)), runs.n_runs), PAIR))
    copy_fields(runs.polydata, output)
    field = output.GetFieldData()
    add_field(field, N_PAIRS, np.array([len(maps)]))
    add_field(field, PAIR_X, [drawn.x_name for drawn in maps])
    add_field(field, PAIR_Y, [drawn.y_name for drawn in maps])


def dot_places(drawn: Map, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spread the dots of each cell over it in rows.

    Returns
    -------
    centers : (n_members, 2)
    radius : (n_members,)
    """
    x, y = drawn.x.index[members], drawn.y.index[members]
    among = share_cells(x, y, np.zeros(len(members))) if len(members) else drawn.shares
    rank, count = among.rank[: len(members)], among.count[: len(members)]
    width, height = drawn.cell
    n_columns = np.clip(np.ceil(np.sqrt(count * width / height)), 1, np.maximum(count, 1))
    n_rows = np.ceil(count / n_columns)
    column, row = rank % n_columns, rank // n_columns
    center_x = drawn.corner[0] + (x + (column + 0.5) / n_columns) * width
    center_y = drawn.corner[1] + (y + (row + 0.5) / n_rows) * height
    radius = np.minimum(
        0.3 * np.minimum(width / n_columns, height / n_rows), MAX_DOT * width * drawn.x.n_bins
    )
    return np.column_stack([center_x, center_y]), radius


def write_dots(output: vtkPolyData, runs: RunsData, maps: list[Map], sketch: Sketch) -> None:
    """Write one disc for each run in a group and each map; outline them in the sketch.

    Dots of one cell are spread over the cell; on a cell of one run the dot stands in its middle.
    """
    group = runs.group
    members = np.empty(0, np.int64) if group is None else np.flatnonzero(group >= 0)
    angle = np.linspace(0, 2 * np.pi, _DISC, endpoint=False)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    discs = []
    for drawn in maps:
        centers, radius = dot_places(drawn, members)
        discs.append(centers[:, None, :] + radius[:, None, None] * circle[None])
    corners = np.concatenate(discs)
    points = np.full((len(corners), _DISC, 3), Z_GROUP, np.float32)
    points[:, :, :2] = corners
    output.SetPoints(vtk_points(points.reshape(-1, 3)))
    output.SetPolys(cell_array_from_sizes(np.full(len(corners), _DISC)))
    colors = np.array([hex_to_rgb(c) for c in runs.group_colors], np.uint8).reshape(-1, 3)
    chosen = np.tile(members, len(maps))
    cell_data = output.GetCellData()
    cell_data.AddArray(to_vtk(runs.run_index[chosen].astype(np.int64), schema.RUN_INDEX))
    of_run = group[chosen] if group is not None else chosen
    cell_data.AddArray(to_vtk(of_run.astype(np.int32), schema.GROUP))
    cell_data.AddArray(to_vtk(colors[of_run], schema.GROUP_COLOR))
    for ring in corners:
        sketch.line(np.vstack([ring, ring[:1]]))
