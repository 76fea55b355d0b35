"""Paths in a square frame whose axes have one scale, coloured by step, with their present place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData

from pvensemble.filters.plot_geometry import (
    BLACK,
    DARK,
    LIGHT,
    RED,
    WHITE,
    Z_AXIS,
    Z_DATA,
    Z_GRID,
    Z_GROUP,
    Sketch,
    cell_array_from_sizes,
    vtk_points,
)
from pvensemble.filters.plot_glyphs import glyph_outline
from pvensemble.filters.plot_text import CAP_HEIGHT, text_width
from pvensemble.numerics.ticks import Tick, nice_ticks, number_labels, thin
from pvensemble.vtkdata.arrays import to_vtk
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import copy_fields
from pvensemble.vtkdata.time import snap_index

SIDE = 9.0
MARGIN = 0.05
STEP = "step"
MAX_LABELS = 40
_TICK = 0.3


@dataclass(frozen=True)
class DrawnPath:
    """A path in the plane: its cell, steps (n_steps,) and places (n_steps, 2)."""

    cell: int
    steps: np.ndarray
    places: np.ndarray

    def finite(self) -> DrawnPath:
        """Return the path without places that are not finite."""
        there = np.isfinite(self.places).all(axis=1)
        return DrawnPath(self.cell, self.steps[there], self.places[there])


@dataclass(frozen=True)
class Plane:
    """What is written around the paths: heading, titles of the axes, notes, label of each cell."""

    heading: str
    titles: tuple[str, str]
    notes: list[str]
    labels: dict[int, str]


@dataclass(frozen=True)
class Square:
    """The part of the plane that the frame shows: its middle and half its side."""

    middle: np.ndarray
    half: float

    @classmethod
    def around(cls, paths: list[DrawnPath]) -> Square:
        """Return the square around all paths, with a margin."""
        places = [path.finite().places for path in paths]
        places = np.concatenate([*places, np.empty((0, 2))])
        if len(places) == 0:
            return cls(np.zeros(2), 1.0)
        low, high = places.min(axis=0), places.max(axis=0)
        half = 0.5 * float((high - low).max()) / (1 - 2 * MARGIN)
        return cls(0.5 * (low + high), half if half > 0 else 1.0)

    def plot(self, places: np.ndarray) -> np.ndarray:
        """Return places (n, 2) as plot coordinates."""
        return SIDE / 2 * (1 + (np.asarray(places) - self.middle) / self.half)


def write_paths(output: vtkPolyData, runs: RunsData, paths: list[DrawnPath], n_cells: int) -> None:
    """Write one polyline a cell with point data ``step``; cells without a path are empty."""
    square = Square.around(paths)
    sizes = np.zeros(n_cells, np.int64)
    points, steps = [np.empty((0, 2))], [np.empty(0)]
    for path in sorted((path.finite() for path in paths), key=lambda path: path.cell):
        sizes[path.cell] = len(path.steps)
        points.append(square.plot(path.places))
        steps.append(path.steps.astype(np.float64))
    flat = np.concatenate(points)
    placed = np.full((len(flat), 3), Z_DATA, np.float32)
    placed[:, :2] = flat
    output.SetPoints(vtk_points(placed))
    output.SetLines(cell_array_from_sizes(sizes))
    output.GetPointData().AddArray(to_vtk(np.concatenate(steps), STEP))
    copy_fields(runs.polydata, output)


def draw_plane(
    paths: list[DrawnPath], plane: Plane, now: float | None, label_size: float
) -> Sketch:
    """Draw frame, ticks, titles, notes, labels, and where the paths begin and are at a time.

    Parameters
    ----------
    paths : list of DrawnPath
    plane : Plane
    now : float, optional
        Step that is marked.
    label_size : float
        Font size as a share of the frame's side.
    """
    sketch, size = Sketch(), label_size * SIDE
    square = Square.around(paths)
    paths = [path for path in (path.finite() for path in paths) if len(path.steps)]
    below = _draw_axes(sketch, square, plane.titles, size)
    sketch.text(plane.heading, SIDE / 2, SIDE + 1.9 * size, 1.2 * size, align="center")
    small, y = 0.85 * size, -below - 0.9 * size
    for note in plane.notes:
        text = _lines(note, SIDE, small)
        sketch.text(text, 0.0, y, small, valign="top", color=DARK)
        y -= (1.3 * (text.count("\n") + 1) + 0.2) * small
    _draw_starts(sketch, paths, square, size)
    if len(paths) <= MAX_LABELS:
        _draw_labels(sketch, paths, plane.labels, square, size)
    if now is not None:
        _draw_present(sketch, paths, square, now, size)
    return sketch


def _draw_axes(sketch: Sketch, square: Square, titles: tuple[str, str], size: float) -> float:
    """Draw the frame; return how far its labels reach down."""
    sketch.line([(0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE), (0, 0)])
    widest = 0.0
    for axis in range(2):
        low, high = square.middle[axis] - square.half, square.middle[axis] + square.half
        values = nice_ticks(low, high, 6)
        at = (values - low) / (high - low)
        labels = number_labels(values)
        ticks = [Tick(float(p), text, float(v)) for p, text, v in zip(at, labels, values)]
        room = 1.1 * size if axis else max(text_width(t, size) for t in labels) + size
        for tick in thin(ticks, room / SIDE):
            place = tick.position * SIDE
            ends = np.array([(place, 0.0), (place, SIDE)])
            mark = np.array([(place, -_TICK * size), (place, 0.0)])
            sketch.line(ends[:, ::-1] if axis else ends, LIGHT, Z_GRID)
            sketch.line(mark[:, ::-1] if axis else mark)
            if axis:
                x = -2 * _TICK * size
                sketch.text(tick.label, x, place, size, align="right", valign="middle")
                widest = max(widest, text_width(tick.label, size))
            else:
                y = -2 * _TICK * size
                sketch.text(tick.label, place, y, size, align="center", valign="top")
    below = (2 * _TICK + CAP_HEIGHT + 0.7) * size
    sketch.text(titles[0], SIDE / 2, -below, size, align="center", valign="top")
    x = -widest - (2 * _TICK + 0.8) * size
    sketch.text(titles[1], x, SIDE / 2, size, align="center", angle=90.0)
    return below + CAP_HEIGHT * size


def _lines(text: str, width: float, size: float) -> str:
    """Break a text at spaces so that its lines fit."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _draw_starts(sketch: Sketch, paths: list[DrawnPath], square: Square, size: float) -> None:
    """Draw a small ring where each path begins."""
    for path in paths:
        start = square.plot(path.places[:1])[0]
        sketch.polygon(start + 0.22 * size * glyph_outline(0), DARK, Z_GROUP)
        sketch.polygon(start + 0.14 * size * glyph_outline(0), WHITE, Z_GROUP + 0.002)


def _draw_labels(sketch, paths: list[DrawnPath], labels: dict, square: Square, size: float) -> None:
    """Write what each path is beside its end, away from where it comes from, where there is room.

    A label that would lie upon another one is left out.
    """
    small, taken = 0.85 * size, np.empty((0, 4))
    for path in paths:
        places = square.plot(path.places)
        x, y = places[-1]
        to_left = x < places[: max(len(places) - 1, 1), 0].mean()
        text, half = labels[path.cell], 0.5 * CAP_HEIGHT * small
        width = text_width(text, small)
        left = x - 0.4 * size - width if to_left else x + 0.4 * size
        box = np.array([left, y - half, left + width, y + half])
        apart = (box[:2] > taken[:, 2:] + 0.1 * size) | (taken[:, :2] > box[2:] + 0.1 * size)
        if apart.any(axis=1).all():
            taken = np.vstack([taken, box])
            sketch.text(text, left, y, small, valign="middle", color=BLACK)


def _draw_present(sketch, paths: list[DrawnPath], square: Square, now: float, size: float) -> None:
    """Mark where each path is at a step, and say which step it is."""
    disc = glyph_outline(0)
    for path in paths:
        place = square.plot(path.places)[snap_index(path.steps, now)]
        sketch.polygon(place + 0.34 * size * disc, WHITE, Z_AXIS)
        sketch.polygon(place + 0.26 * size * disc, RED, Z_AXIS + 0.004)
    label = f"step {number_labels([now], digits=12)[0]}"
    sketch.text(label, SIDE, SIDE + 0.5 * size, size, align="right", color=RED)
