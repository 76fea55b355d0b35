"""One curve a run over the training steps: what graphs over time share.

Cell i of the output is run i; a run that is not drawn becomes an empty cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData

from pvensemble.filters.plot_geometry import (
    WHITE,
    Z_AXIS,
    Z_DATA,
    Z_GROUP,
    Sketch,
    cell_array_from_sizes,
    hex_to_rgb,
    vtk_points,
)
from pvensemble.filters.plot_glyphs import glyph_outline
from pvensemble.filters.plot_time_panels import Panel
from pvensemble.numerics.runs import parse_runs
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import copy_fields, repeat_columns

WIDTH, HEIGHT = 16.0, 9.0


@dataclass(frozen=True)
class Curves:
    """A metric: steps (n_steps,), values (n_runs, n_steps), drawn (n_runs,) bool."""

    name: str
    steps: np.ndarray
    values: np.ndarray
    drawn: np.ndarray


def drawn_runs(text: str, n_runs: int) -> np.ndarray:
    """Return a mask (n_runs,) of the runs that a text like ``0-4,9`` names; empty: all."""
    if not text.strip():
        return np.ones(n_runs, bool)
    drawn = np.zeros(n_runs, bool)
    drawn[parse_runs(text, n_runs)] = True
    return drawn


def curve_places(curves: Curves, panel: Panel | None) -> list[np.ndarray]:
    """Return for each run the corners (n, 2) of its curve, none for runs that are not drawn.

    Without a panel none is drawn.
    """
    if panel is None:
        return [np.empty((0, 2))] * len(curves.values)
    usable = ~np.isnan(curves.values) & curves.drawn[:, None]
    x, y = np.broadcast_arrays(panel.x(curves.steps), panel.y(curves.values))
    corners = np.column_stack([x[usable], y[usable]])
    return np.split(corners, np.cumsum(usable.sum(axis=1)))[:-1]


def draw_group_ends(
    sketch: Sketch, runs: RunsData, curves: Curves, panel: Panel, size: float
) -> None:
    """Mark the end of the drawn curves of runs in groups with a dot in the colour of the group.

    Parameters
    ----------
    sketch : Sketch
    runs : RunsData
    curves : Curves
    panel : Panel
    size : float
        Font size in plot units.
    """
    if runs.group is None:
        return
    places = curve_places(curves, panel)
    marked = [k for k in np.flatnonzero(runs.group >= 0).tolist() if len(places[k])]
    ends = np.array([places[k][-1] for k in marked]).reshape(-1, 1, 2)
    palette = np.array([hex_to_rgb(color) for color in runs.group_colors], np.uint8).reshape(-1, 3)
    disc = 0.28 * size * glyph_outline(0)
    sketch.polygons(ends + 1.35 * disc, np.full((len(ends), 3), WHITE), Z_GROUP)
    sketch.polygons(ends + disc, palette[runs.group[marked]], Z_AXIS)


def write_curves(output: vtkPolyData, runs: RunsData, places: list[np.ndarray]) -> np.ndarray:
    """Write points and all arrays of the runs; return the number of points of each cell.

    With several places a run, cell k * n_runs + i is run i.
    """
    n_times = len(places) // max(runs.n_runs, 1)
    sizes = np.array([len(place) for place in places], np.int64)
    points = np.zeros((int(sizes.sum()), 3), np.float32)
    if len(points):
        points[:, :2] = np.concatenate(places)
        if runs.group is not None:
            z = np.where(runs.group >= 0, Z_GROUP, Z_DATA)
            points[:, 2] = np.repeat(np.tile(z, n_times), sizes)
    output.SetPoints(vtk_points(points))
    repeat_columns(runs.polydata.GetCellData(), output.GetCellData(), runs.n_runs, n_times)
    copy_fields(runs.polydata, output)
    return sizes


def write_lines(
    output: vtkPolyData, runs: RunsData, curves: Curves | None, panel: Panel | None
) -> None:
    """Write one polyline a run; a run with a single value becomes a short level dash."""
    empty = np.empty((0, 2))
    places = [empty] * runs.n_runs if curves is None else curve_places(curves, panel)
    half = np.array([0.003 * WIDTH, 0.0])
    places = [np.vstack([p - half, p + half]) if len(p) == 1 else p for p in places]
    output.SetLines(cell_array_from_sizes(write_curves(output, runs, places)))
