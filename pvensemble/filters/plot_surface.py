"""A loss surface as geometry: the relief, contour lines and trajectories upon it, the frame.

The longer side of the plane is ``SIDE`` plot units long, about the origin; distances along both
axes have one scale. Heights go from 0 to ``HEIGHT`` times a factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkFiltersCore import vtkContourFilter

from pvensemble.filters.plot_geometry import (
    DARK,
    GREY,
    RED,
    WHITE,
    cell_array,
    cell_array_from_sizes,
    vtk_points,
)
from pvensemble.filters.plot_space import RIGHT, TOWARDS, UP, SpaceSketch
from pvensemble.filters.plot_text import LINE_HEIGHT, text_width
from pvensemble.numerics.axis_scales import LOG
from pvensemble.numerics.curves import CurveScale
from pvensemble.numerics.relief import along, draped, relief_scale, value_at
from pvensemble.numerics.ticks import nice_ticks, number_labels
from pvensemble.store import LossSurface
from pvensemble.vtkdata.arrays import to_numpy, to_vtk
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import copy_fields

SIDE, HEIGHT = 10.0, 4.5
N_CONTOURS = 14
LIFT = 0.04
LOSS, LOG_LOSS, ACCURACY, LEVEL = "loss", "log_loss", "accuracy", "height"
STEP, DISTANCE, RECORDED = "step", "distance", "is_recorded"
_TICK = 0.3


@dataclass(frozen=True)
class Relief:
    """A surface and how it is drawn."""

    surface: LossSurface
    scale: CurveScale
    unit: float
    height: float

    @classmethod
    def of(cls, surface: LossSurface, *, log: bool, clip: float, height: float) -> Relief:
        """Return the relief with options of the filter."""
        extent = max(np.ptp(surface.x), np.ptp(surface.y))
        scale = relief_scale(surface.loss, log=log, clip=clip)
        return cls(surface, scale, SIDE / extent, HEIGHT * height)

    @property
    def half(self) -> np.ndarray:
        """Half of the sides, (2,), in plot units."""
        return 0.5 * self.unit * np.array([np.ptp(self.surface.x), np.ptp(self.surface.y)])

    def places(self, points: np.ndarray) -> np.ndarray:
        """Return points (n, 2) of the plane in plot units."""
        s = self.surface
        return (points - ((s.x[0] + s.x[-1]) / 2, (s.y[0] + s.y[-1]) / 2)) * self.unit

    def heights(self) -> np.ndarray:
        """Return the heights (n_y, n_x) in plot units, NaN where nothing was computed."""
        return self.scale.positions(self.surface.loss) * self.height

    def lines(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lay a line of the plane upon the surface; return places along it and points (n, 3)."""
        at, z = draped(self.surface.x, self.surface.y, self.heights(), points)
        flat = self.places(along(at, points)) if len(at) else np.empty((0, 2))
        return at, np.column_stack([flat, z + LIFT])


def write_relief(output: vtkPolyData, relief: Relief) -> None:
    """Write the surface as quads; those with a corner that was not computed are left out."""
    s, z = relief.surface, relief.heights()
    rows, columns = z.shape
    flat = relief.places(np.stack(np.meshgrid(s.x, s.y), axis=-1).reshape(-1, 2))
    points = np.column_stack([flat, np.nan_to_num(z).ravel()])
    ids = np.arange(rows * columns).reshape(rows, columns)
    quads = np.stack([ids[:-1, :-1], ids[:-1, 1:], ids[1:, 1:], ids[1:, :-1]], axis=-1)
    known = ~np.isnan(z)
    quads = quads[known[:-1, :-1] & known[:-1, 1:] & known[1:, 1:] & known[1:, :-1]]
    output.SetPoints(vtk_points(points))
    output.SetPolys(cell_array([quads.reshape(-1, 4)]))
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = np.log10(np.maximum(s.loss, 0))
    data = output.GetPointData()
    arrays = {LOSS: s.loss, LOG_LOSS: logarithm, ACCURACY: s.accuracy, LEVEL: z}
    for name, values in arrays.items():
        data.AddArray(to_vtk(values.ravel(), name))
    data.SetNormals(to_vtk(_normals(np.nan_to_num(z), relief), "Normals"))
    data.SetActiveScalars(LEVEL)


def _normals(z: np.ndarray, relief: Relief) -> np.ndarray:
    """Return unit normals (n_points, 3) float32."""
    s = relief.surface
    dy, dx = np.gradient(z, (s.y[1] - s.y[0]) * relief.unit, (s.x[1] - s.x[0]) * relief.unit)
    normals = np.stack([-dx, -dy, np.ones_like(z)], axis=-1).reshape(-1, 3)
    return (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)


def write_contours(output: vtkPolyData, surface: vtkPolyData, relief: Relief) -> None:
    """Write lines of equal loss, evenly spaced in height, a little above the surface."""
    contours = vtkContourFilter()
    contours.SetInputData(surface)
    contours.SetInputArrayToProcess(0, 0, 0, 0, LEVEL)
    contours.ComputeScalarsOff()
    contours.ComputeNormalsOff()
    contours.GenerateTrianglesOff()
    levels = relief.height * (np.arange(N_CONTOURS) + 0.5) / N_CONTOURS
    for k, level in enumerate(levels):
        contours.SetValue(k, level)
    contours.Update()
    found = contours.GetOutput()
    if found.GetNumberOfCells() == 0:
        return
    points = to_numpy(found.GetPoints().GetData()).astype(np.float64)
    lines = to_numpy(found.GetLines().GetConnectivityArray()).reshape(-1, 2)
    height = points[lines[:, 0], 2]
    losses = [value_at(relief.scale, h / relief.height) for h in height]
    output.SetPoints(vtk_points(points + 0.5 * LIFT * TOWARDS))
    output.SetLines(cell_array([lines.astype(np.int64)]))
    output.GetCellData().AddArray(to_vtk(np.array(losses), LOSS))


def write_paths(output: vtkPolyData, runs: RunsData, relief: Relief) -> int:
    """Write one polyline a run (cell i is run i), empty where the surface has no trajectory of it.

    Returns
    -------
    int
        Number of recorded networks that lie outside the surface.
    """
    s = relief.surface
    of_run = path_rows(runs, s)
    points, sizes, outside = [np.empty((0, 3))], [], 0
    values = {name: [np.empty(0)] for name in (STEP, LOSS, ACCURACY, DISTANCE)}
    whole = [np.empty(0)]
    for rows in of_run:
        at, line = relief.lines(np.column_stack([s.path_x, s.path_y])[rows])
        if len(at) < 2:
            at, line = at[:0], line[:0]
        columns = (s.path_step.astype(np.float64), s.path_loss, s.path_accuracy, s.path_distance)
        for name, column in zip(values, columns):
            values[name].append(along(at, column[rows]) if len(at) else np.empty(0))
        points.append(line)
        sizes.append(len(at))
        whole.append(at == np.round(at))
        outside += len(rows) - int(whole[-1].sum())
    output.SetPoints(vtk_points(np.concatenate(points)))
    output.SetLines(cell_array_from_sizes(np.array(sizes, np.int64)))
    output.GetCellData().ShallowCopy(runs.polydata.GetCellData())
    copy_fields(runs.polydata, output)
    for name, parts in values.items():
        output.GetPointData().AddArray(to_vtk(np.concatenate(parts), name))
    output.GetPointData().AddArray(to_vtk(np.concatenate(whole).astype(np.uint8), RECORDED))
    return outside


def path_rows(runs: RunsData, surface: LossSurface) -> list[np.ndarray]:
    """Return for each run of the input its rows among the points of the path."""
    place = {run_id: i for i, run_id in enumerate(surface.meta["runs"])}
    found = [place.get(str(run_id), -1) for run_id in runs.column("run_id")]
    return [np.flatnonzero(surface.path_run == i) for i in found]


# -- frame -----------------------------------------------------------------------------------------
def draw_frame(sketch: SpaceSketch, relief: Relief, titles: Sequence[str], size: float) -> None:
    """Draw the floor with ticks along both axes, and the scale of the heights.

    Parameters
    ----------
    titles : sequence of str
        Of x, y and height.
    """
    (a, b), top = relief.half, relief.height
    corners = np.array([[-a, -b, 0], [a, -b, 0], [a, b, 0], [-a, b, 0]])
    sketch.segment(corners[[0, 1, 2, 3, 0]], DARK)
    s = relief.surface
    for k, (values, title) in enumerate(zip((s.x, s.y), titles)):
        along_axis = np.eye(3)[k]
        out = np.array([0.0, -1.0, 0.0]) if k == 0 else np.array([1.0, 0.0, 0.0])
        start = corners[0] if k == 0 else corners[1]
        ticks = nice_ticks(float(values[0]), float(values[-1]), 6)
        labels = number_labels(ticks)
        for value, label in zip(ticks, labels):
            at = start + along_axis * (value - values[0]) * relief.unit
            sketch.segment([at, at + _TICK * size * out], DARK)
            align = "center" if k == 0 else "left"
            sketch.label(label, at + 1.1 * size * out, size, align=align, valign="top")
        away = 3.4 * size if k == 0 else 2.4 * size + max(text_width(t, size) for t in labels)
        middle = start + along_axis * relief.half[k] + away * out
        slope = np.degrees(np.arctan2(along_axis @ UP, along_axis @ RIGHT))
        sketch.label(title, middle, size, align="center", valign="top", angle=slope)
    _draw_scale(sketch, relief, corners[0], titles[2], size)
    for corner, color in ((corners[0], DARK), (corners[3], GREY)):
        sketch.segment([corner, corner + (0, 0, top)], color)


def _draw_scale(sketch: SpaceSketch, relief: Relief, foot, title: str, size: float) -> None:
    """Label the heights to the left of an edge."""
    widest = 0.0
    for tick in relief.scale.ticks(6):
        at = foot + np.array([0, 0, tick.position * relief.height])
        sketch.segment([at, at - _TICK * size * RIGHT], DARK)
        cut = tick.value >= relief.scale.hi * (1 - 1e-9) and relief.scale.n_cut
        text = f"≥ {tick.label}" if cut else tick.label
        widest = max(widest, text_width(text, size))
        sketch.label(text, at, size, (-2 * _TICK * size, 0), align="right", valign="middle")
    name = f"{title} (log)" if relief.scale.scale == LOG else title
    at = foot + np.array([0, 0, 0.5 * relief.height])
    sketch.label(name, at, size, (-widest - 1.5 * size, 0), align="center", angle=90.0)


def draw_heading(
    sketch: SpaceSketch, relief: Relief, lines: Sequence[str], size: float, step: float | None
) -> None:
    """Write lines above everything, and below them the step that is marked."""
    (a, b), top = relief.half, relief.height
    x, y, z = np.meshgrid((-a, a), (-b, b), (0, top))
    box = np.column_stack([x.ravel(), y.ravel(), z.ravel()])
    left, above = (box @ RIGHT).min() - 2.5 * size, (box @ UP).max() + 1.2 * size
    if step is not None:
        radius = 0.32 * size
        sketch.dot((left + radius) * RIGHT + (above + radius) * UP, radius, RED)
        text = f"step {number_labels([step], digits=12)[0]}"
        sketch.label(text, np.zeros(3), size, (left + 3.5 * radius, above), color=RED)
        above += LINE_HEIGHT * size
    sketch.label("\n".join(lines), np.zeros(3), size, (left, above))


def draw_runs(sketch: SpaceSketch, relief: Relief, labels: Sequence[str], size: float) -> None:
    """Mark the networks that the surface is around, with their labels."""
    s = relief.surface
    for label, x, y in zip(labels, s.run_x, s.run_y):
        _, points = relief.lines(np.array([[x, y]]))
        for at in points:
            sketch.dot(at, 0.34 * size, WHITE, lift=0.4)
            sketch.dot(at, 0.24 * size, lift=0.41)
            beside = (-0.7 * size, 0.5 * size)  # trajectories come from the right
            sketch.label(label, at, size, beside, align="right", box=True, lift=3.0)


def draw_present(sketch: SpaceSketch, relief: Relief, step: float, size: float) -> float | None:
    """Mark where the trajectories are at a step; return the recorded step, None for nowhere."""
    s, shown = relief.surface, []
    for i in np.unique(s.path_run):
        rows = np.flatnonzero((s.path_run == i) & (s.path_step <= step))[-1:]
        _, points = relief.lines(np.column_stack([s.path_x, s.path_y])[rows])
        for at in points:
            sketch.dot(at, 0.42 * size, WHITE, lift=0.5)
            sketch.dot(at, 0.32 * size, RED, lift=0.51)
            shown.append(float(s.path_step[rows[0]]))
    return max(shown, default=None)
