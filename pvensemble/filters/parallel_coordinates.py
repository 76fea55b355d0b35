"""Parallel coordinates as geometry: one polyline a run, axes with ticks, a density image.

ParaView's own view draws each row in its own call (1.5 s a frame at 13,000 rows), has one colour,
no logarithmic and no categorical axis, and drops runs with NaN. Here the lines are the cells of one
polydata, so colour maps, picking and linked selection are ParaView's own.
"""

from __future__ import annotations

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline

from pvensemble.errors import OptionError
from pvensemble.filters._options import FollowsTime
from pvensemble.filters.plot_axes import draw_axes
from pvensemble.filters.plot_fields import write_axes
from pvensemble.filters.plot_geometry import (
    Z_DATA,
    Z_GROUP,
    Z_IMAGE,
    Sketch,
    cell_array_from_sizes,
    vtk_points,
)
from pvensemble.numerics.axes import RAIL
from pvensemble.numerics.axes_layout import AxesLayout, axes_layout
from pvensemble.numerics.density import line_density, log_density, sparsest_runs
from pvensemble.numerics.plot_options import parse_names, parse_pairs, parse_ranges
from pvensemble.numerics.runs import parse_runs
from pvensemble.vtkdata.arrays import add_fields, to_vtk
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import copy_fields

DEFAULT_WIDTH, DEFAULT_HEIGHT = 16.0, 9.0
MAX_OUTLIERS = 500
IMAGE_COLUMNS, IMAGE_ROWS = 1024, 512
COUNT, DENSITY = "count", "density"


class ParallelCoordinates(FollowsTime):
    """Runs -> lines (cell i is run i), axes, density image.

    Ports: 0 lines, 1 axes (lines and text with array ``color``), 2 density image. Both polydata say
    where the axes stand in their field data, see `plot_fields.read_axes`.
    """

    def __init__(self) -> None:
        super().__init__(n_outputs=3, output_type=("vtkPolyData", "vtkPolyData", "vtkImageData"))
        self._axes = ""
        self._scales = ""
        self._flip = ""
        self._ranges = ""
        self._hide_constant_axes = True
        self._width = DEFAULT_WIDTH
        self._height = DEFAULT_HEIGHT
        self._label_size = 3.6
        self._density_above = 3000
        self._runs = ""
        self._placed: tuple | None = None

    def SetAxes(self, text: str) -> None:
        """Names of the columns to show, in order; empty for hyper-parameters, then measures."""
        self._set("axes", text or "")

    def SetScales(self, text: str) -> None:
        """Overrides ``name=log; name=percentile; name=categorical; name=linear``."""
        self._set("scales", text or "")

    def SetFlip(self, text: str) -> None:
        """Names of the axes with high values at the bottom."""
        self._set("flip", text or "")

    def SetRanges(self, text: str) -> None:
        """Displayed ranges ``name=low, high; …``; values outside are drawn at the ends."""
        self._set("ranges", text or "")

    def SetHideConstantAxes(self, hide: bool) -> None:
        """Leave out axes on which all runs have the same value (only when Axes is empty)."""
        self._set("hide_constant_axes", bool(hide))

    def SetWidth(self, width: float) -> None:
        """Distance from the first to the last axis, in plot units."""
        self._set("width", float(width))

    def SetHeight(self, height: float) -> None:
        """Length of the axes, in plot units."""
        self._set("height", float(height))

    def SetLabelSize(self, size: float) -> None:
        """Font size in percent of the height."""
        self._set("label_size", float(size))

    def SetDensityAbove(self, n_runs: int) -> None:
        """Show a density image instead of all lines above this many runs."""
        self._set("density_above", int(n_runs))

    def SetRuns(self, text: str) -> None:
        """Runs that are drawn as lines, ``0-4,9``; empty for all."""
        self._set("runs", text or "")

    def RequestInformation(self, _request, _inInfo, outInfo) -> int:
        if not self._shows_the_present():
            # Hyper-parameters and measures do not depend on time, nor do axes and density then.
            self.leave_time(outInfo, *((1, 2) if self._follow_time else (0, 1, 2)))
        # Without an extent nothing is drawn of an image.
        extent = (0, IMAGE_COLUMNS - 1, 0, IMAGE_ROWS - 1, 0, 0)
        key = vtkStreamingDemandDrivenPipeline.WHOLE_EXTENT()
        outInfo.GetInformationObject(2).Set(key, extent, 6)
        return 1

    def RequestData(self, request, inInfo, outInfo) -> int:
        runs = self.runs_input(inInfo)
        layout, axes = self._place(runs)
        self.report(0.2, "Lines")
        is_dense = runs.n_runs > self._density_above
        lines = self.output(outInfo, 0)
        write_lines(lines, runs, layout, self._drawn(runs, layout, is_dense))
        if not (self._follow_time or self._shows_the_present()):
            self.drop_present(lines, runs)
        add_fields(lines, axes)
        self.report(0.5, "Axes")
        self.output(outInfo, 1).ShallowCopy(axes)
        self.report(0.7, "Density")
        image = self.output(outInfo, 2)
        image.GetFieldData().Initialize()  # as in Sketch.write
        if is_dense and len(layout.axes) > 1:
            write_density(image, layout)
        return 1

    def _shows_the_present(self) -> bool:
        """Whether an axis may stand for a column that depends on the step."""
        return self.measures_follow_time() or bool(self._axes.strip())

    def _place(self, runs: RunsData) -> tuple[AxesLayout, vtkPolyData]:
        """Place and draw the axes, or return those of before: most columns stay with time."""
        names = () if self._axes.strip() else (*runs.hyper_parameters, *runs.measures)
        options = (self._axes, self._scales, self._flip, self._ranges, self._hide_constant_axes)
        size = (self._width, self._height, self._label_size)
        state = options, size, names, runs.scales, runs.column_arrays(names)
        if self._placed is None or state != self._placed[0]:
            layout = self._layout(runs)
            drawn, sketch = vtkPolyData(), Sketch()
            draw_axes(sketch, layout, self._label_size / 100 * self._height)
            sketch.write(drawn)
            write_axes(drawn, layout)
            self._placed = state, layout, drawn
        return self._placed[1:]

    def _layout(self, runs: RunsData) -> AxesLayout:
        """Place the axes."""
        for name in ("width", "height", "label_size"):
            value = getattr(self, "_" + name)
            if not (np.isfinite(value) and value > 0):
                raise OptionError(f"{name} must be a positive number, got {value}")
        return axes_layout(
            runs.columns,
            runs.hyper_parameters,
            runs.measures,
            declared_scales=runs.scales,
            names=parse_names(self._axes, runs.columns),
            scales=parse_pairs(self._scales, "Scales"),
            ranges=parse_ranges(self._ranges),
            flipped=parse_names(self._flip, runs.columns),
            hide_constant=self._hide_constant_axes,
            width=self._width,
            height=self._height,
        )

    def _drawn(self, runs: RunsData, layout: AxesLayout, is_dense: bool) -> np.ndarray:
        """Return a mask (n_runs,) of the runs drawn as lines."""
        drawn = np.zeros(runs.n_runs, bool)
        chosen = parse_runs(self._runs, runs.n_runs) if self._runs.strip() else None
        if chosen is not None:
            drawn[np.asarray(chosen, np.int64)] = True
        if not is_dense:
            return drawn if chosen is not None else np.ones(runs.n_runs, bool)
        if runs.group is not None:
            drawn |= runs.group >= 0
        n_outliers = min(MAX_OUTLIERS, max(1, runs.n_runs // 100))
        drawn[sparsest_runs(layout.positions, n_outliers)] = True
        return drawn


def write_lines(output: vtkPolyData, runs: RunsData, layout: AxesLayout, drawn: np.ndarray) -> None:
    """Write one polyline a run with all arrays of the runs; runs not drawn are empty cells."""
    n_axes = len(layout.axes)
    n_points = max(n_axes, 2)
    x = layout.x
    y = layout.positions[drawn] * layout.height
    if n_axes == 1:
        # One axis: a short level dash at the run's value.
        half = 0.02 * layout.height
        x, y = np.array([x[0] - half, x[0] + half]), np.repeat(y, 2, axis=1)
    points = np.zeros((len(y), n_points, 3), np.float32)
    points[:, :, 0] = x
    points[:, :, 1] = y
    if runs.group is not None:
        # Coloured runs lie on top of the others.
        points[:, :, 2] = np.where(runs.group[drawn] >= 0, Z_GROUP, Z_DATA)[:, None]
    output.SetPoints(vtk_points(points.reshape(-1, 3)))
    output.SetLines(cell_array_from_sizes(np.where(drawn, n_points, 0)))
    output.GetCellData().ShallowCopy(runs.polydata.GetCellData())
    copy_fields(runs.polydata, output)


def write_density(output: vtkImageData, layout: AxesLayout) -> None:
    """Write the image of line counts behind the axes: point arrays ``density`` and ``count``."""
    lo = 1.6 * RAIL if any(axis.n_missing for axis in layout.axes) else 0.0
    counts = line_density(layout.positions, IMAGE_COLUMNS, IMAGE_ROWS, lo, 1.0)
    width, height = float(layout.x[-1] - layout.x[0]), (1.0 - lo) * layout.height
    spacing = (width / (IMAGE_COLUMNS - 1), height / IMAGE_ROWS)
    output.SetDimensions(IMAGE_COLUMNS, IMAGE_ROWS, 1)
    output.SetSpacing(spacing[0], spacing[1], 1.0)
    output.SetOrigin(float(layout.x[0]), lo * layout.height + spacing[1] / 2, Z_IMAGE)
    point_data = output.GetPointData()
    point_data.AddArray(to_vtk(log_density(counts).astype(np.float32).ravel(), DENSITY))
    point_data.AddArray(to_vtk(counts.astype(np.float32).ravel(), COUNT))
    point_data.SetActiveScalars(DENSITY)
