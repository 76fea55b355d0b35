"""Draws runs as glyphs in a square frame, with the legend of their colours and shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData

from pvensemble import schema
from pvensemble.filters._run_vectors import MEASURE_TEXTS
from pvensemble.filters.plot_color_legend import (
    color_axis,
    draw_color_bar,
    draw_color_square,
    draw_glyph_key,
)
from pvensemble.filters.plot_geometry import (
    DARK,
    Z_DATA,
    Z_GROUP,
    Sketch,
    cell_array_from_sizes,
    hex_to_rgb,
    vtk_points,
)
from pvensemble.filters.plot_glyphs import MANY, glyph_polygons
from pvensemble.filters.plot_text import CAP_HEIGHT, text_width, wrapped
from pvensemble.numerics.embedding import Embedding
from pvensemble.numerics.lab_colors import lab_colors
from pvensemble.numerics.ticks import nice_ticks, number_labels
from pvensemble.vtkdata.arrays import to_vtk
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import copy_fields

SIDE = 9.0
MARGIN = 0.05
X, Y, LAB_COLOR = "x", "y", "lab_color"
ENLARGED = 1.8
SHRINK_FROM, SMALLEST = 300, 0.3
BORDER, THICK_BORDER, GROUP_BORDER = 0.10, 0.22, 0.4
METHOD_TEXTS = {
    "mds": "metric MDS",
    "classical": "classical MDS",
    "landmark": "landmark MDS",
    "tsne": "t-SNE",
    "umap": "UMAP",
    "pca": "PCA",
}
SHOWS_DISTANCES = ("mds", "classical", "landmark")
_RAIL = 1.35
_LEGEND = 0.3


@dataclass(frozen=True)
class Scatter:
    """Points of a plot.

    Attributes
    ----------
    embedding : Embedding
        Of all runs, NaN for those without a place.
    unit : float
        Plot units for a unit of the embedding.
    centers : numpy.ndarray
        (n_runs, 2) plot coordinates; those without a place stand below the frame.
    radius : numpy.ndarray
        (n_runs,) plot units.
    large : numpy.ndarray
        (n_runs,) bool: drawn larger.
    session : numpy.ndarray
        (n_runs,) int index into ``sessions``.
    sessions : list of str
    columns : tuple of str
        One or two columns that decide the colour, or none.
    colors : numpy.ndarray
        (n_runs, 3) uint8.
    """

    embedding: Embedding
    unit: float
    centers: np.ndarray
    radius: np.ndarray
    large: np.ndarray
    session: np.ndarray
    sessions: list[str]
    columns: tuple[str, ...]
    colors: np.ndarray

    @classmethod
    def of(
        cls,
        runs: RunsData,
        embedding: Embedding,
        square: tuple[np.ndarray, float],
        *,
        large: np.ndarray,
        point_size: float,
        columns: tuple[str, ...],
    ) -> Scatter:
        """Place the runs.

        Parameters
        ----------
        runs, embedding
        square : ((2,) array, float)
            Centre and half the side of what the frame shows, in units of the embedding.
        large : (n_runs,) bool
        point_size : float
            Diameter of a point as a share of the frame's side.
        columns : tuple of str
            That decide the colour.
        """
        shrunk = np.clip(np.sqrt(SHRINK_FROM / max(runs.n_runs, 1)), SMALLEST, 1.0)
        radius = np.full(runs.n_runs, 0.5 * point_size * SIDE * shrunk)
        radius[large] *= ENLARGED
        middle, half = square
        unit = (0.5 - MARGIN) * SIDE / half
        centers = SIDE / 2 + unit * (embedding.points - middle)
        has_no_place = np.flatnonzero(np.isnan(embedding.points).any(axis=1))
        centers[has_no_place] = rail_places(radius[has_no_place])
        session, sessions = _sessions(runs)
        colors = run_colors(runs, columns)
        return cls(embedding, unit, centers, radius, large, session, sessions, columns, colors)


def rail_places(radius: np.ndarray) -> np.ndarray:
    """Return places (n, 2) below the frame, from its right end to the left, as they have room."""
    n = len(radius)
    if n == 0:
        return np.empty((0, 2))
    step = min(2.4 * float(radius.max()), 0.75 * SIDE / n)
    return np.column_stack([SIDE - step * (n - 0.5 - np.arange(n)), np.full(n, -_RAIL)])


def run_colors(runs: RunsData, columns: tuple[str, ...]) -> np.ndarray:
    """Return the colours (n_runs, 3) uint8 of one or two columns; grey without any."""
    if not columns:
        nothing = np.full(runs.n_runs, np.nan)
        return lab_colors(nothing, nothing)
    x, y = (np.asarray(runs.codes(name), np.float64) for name in (columns[0], columns[-1]))
    return lab_colors(x, y)


def _sessions(runs: RunsData) -> tuple[np.ndarray, list[str]]:
    """Return the session of each run (n_runs,) and their names in the order of their runs."""
    if schema.SESSION not in runs.columns:
        return np.zeros(runs.n_runs, np.int64), []
    of_run = runs.columns[schema.SESSION]
    names = list(dict.fromkeys(of_run.tolist()))
    place = {name: k for k, name in enumerate(names)}
    return np.array([place[name] for name in of_run.tolist()], np.int64), names


def write_points(output: vtkPolyData, runs: RunsData, scatter: Scatter) -> None:
    """Write a glyph for each run with all its arrays, its place and its colour."""
    corners, sizes = glyph_polygons(scatter.centers, scatter.radius, scatter.session)
    points = np.empty((len(corners), 3), np.float32)
    points[:, :2] = corners
    points[:, 2] = np.repeat(depths(runs, scatter), sizes)
    output.SetPoints(vtk_points(points))
    output.SetPolys(cell_array_from_sizes(sizes))
    cell_data = output.GetCellData()
    cell_data.ShallowCopy(runs.polydata.GetCellData())
    for k, name in enumerate((X, Y)):
        cell_data.AddArray(to_vtk(np.ascontiguousarray(scatter.embedding.points[:, k]), name))
    cell_data.AddArray(to_vtk(scatter.colors, LAB_COLOR))
    copy_fields(runs.polydata, output)


def depths(runs: RunsData, scatter: Scatter) -> np.ndarray:
    """Return the z (n_runs,) of each glyph: runs in groups, then enlarged ones, lie in front."""
    group = np.zeros(runs.n_runs, bool) if runs.group is None else runs.group >= 0
    rank = np.empty(runs.n_runs)
    rank[np.lexsort((np.arange(runs.n_runs), group, scatter.large))] = np.arange(runs.n_runs)
    return Z_DATA + (Z_GROUP - Z_DATA) * (rank + 0.5) / max(runs.n_runs, 1)


def draw_scatter(
    runs: RunsData, scatter: Scatter, label_size: float, heading: str, method: str, measure: str
) -> Sketch:
    """Draw the frame, borders of the glyphs, text and legends; ``label_size`` is a share."""
    sketch, size = Sketch(), label_size * SIDE
    sketch.line([(0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE), (0, 0)])
    if runs.n_runs <= MANY:
        _draw_borders(sketch, runs, scatter)
    sketch.text(heading, SIDE / 2, SIDE + 0.8 * size, 1.2 * size, align="center")
    if method in SHOWS_DISTANCES and runs.n_runs > 1:
        _draw_ruler(sketch, scatter.unit, size)
    small = 0.85 * size
    lines = wrapped(caption(scatter.embedding, method, measure), SIDE, small)
    sketch.text(lines, 0.0, -0.5 * size, small, valign="top", color=DARK)
    n_missing = int(np.isnan(scatter.embedding.points).any(axis=1).sum())
    if n_missing:
        text = f"{n_missing} without a place"
        sketch.text(text, 0.0, -_RAIL, small, valign="middle", color=DARK)
    _draw_legends(sketch, runs, scatter, size)
    return sketch


def caption(embedding: Embedding, method: str, measure: str) -> str:
    """Return what the layout shows and how far it can be trusted."""
    parts = [f"{METHOD_TEXTS.get(method, method)} of 1 - {MEASURE_TEXTS[measure]}"]
    if np.isfinite(embedding.stress):
        parts.append(f"stress {embedding.stress:.2f}")
    if np.isfinite(embedding.negative_eigenvalues):
        parts.append(f"negative eigenvalues {100 * embedding.negative_eigenvalues:.0f} %")
    return "; ".join([", ".join(parts), *([embedding.note] if embedding.note else [])])


def _draw_borders(sketch: Sketch, runs: RunsData, scatter: Scatter) -> None:
    """Draw a slightly larger glyph behind each glyph: dark, or wide in the colour of its group."""
    width = np.where(scatter.large, THICK_BORDER / ENLARGED, BORDER)
    colors = np.tile(np.array(DARK, np.uint8), (runs.n_runs, 1))
    if runs.group is not None:
        is_grouped = runs.group >= 0
        width = np.where(is_grouped, GROUP_BORDER, width)
        palette = np.array([hex_to_rgb(color) for color in runs.group_colors], np.uint8)
        colors[is_grouped] = palette[runs.group[is_grouped]]
    radius = scatter.radius * (1 + width)
    corners, sizes = glyph_polygons(scatter.centers, radius, scatter.session)
    behind = 0.5 * (Z_GROUP - Z_DATA) / max(runs.n_runs, 1)
    z, first = depths(runs, scatter) - behind, np.cumsum(sizes) - sizes
    for size in np.unique(sizes):
        of_size = np.flatnonzero(sizes == size)
        places = first[of_size][:, None] + np.arange(size)
        sketch.polygons(corners[places], colors[of_size], z[of_size])


def _draw_ruler(sketch: Sketch, unit: float, size: float) -> None:
    """Draw a distance of round length in the lower left corner of the frame."""
    length = nice_ticks(0.0, 0.25 * SIDE / unit, 3)[-1]
    x0, y = 0.8 * size, 0.7 * size
    x1 = x0 + length * unit
    sketch.line([(x0, y), (x1, y)], DARK)
    for x in (x0, x1):
        sketch.line([(x, y - 0.2 * size), (x, y + 0.2 * size)], DARK)
    text = number_labels([length])[0]
    sketch.text(text, (x0 + x1) / 2, y + 0.35 * size, 0.8 * size, align="center", color=DARK)


def _draw_legends(sketch: Sketch, runs: RunsData, scatter: Scatter, size: float) -> None:
    """Draw what the colours and shapes mean, to the right of the frame."""
    side = _LEGEND * SIDE
    axes = [color_axis(name, runs.columns[name]) for name in scatter.columns]
    left, top = SIDE + 1.2 * size, SIDE
    if len(axes) == 2:
        beside = max(text_width(text, 0.85 * size) for text in (axes[1].low, axes[1].high))
        left += beside + CAP_HEIGHT * size + 0.9 * size
        draw_color_square(sketch, (left, top - side), side, *axes, size)
        top -= side + 4.2 * size
    elif axes:
        draw_color_bar(sketch, (left, top - 1.2 * size), side, axes[0], size)
        top -= 5.4 * size
    if len(scatter.sessions) > 1:
        draw_glyph_key(sketch, (left, top), scatter.sessions, size)
