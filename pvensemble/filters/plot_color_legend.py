"""Legend of a plot of runs: the two-dimensional colour map, and the glyphs of the sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pvensemble.filters.plot_axes import fit_labels
from pvensemble.filters.plot_geometry import BLACK, DARK, GREY, Sketch
from pvensemble.filters.plot_glyphs import glyph_outline
from pvensemble.filters.plot_text import CAP_HEIGHT, text_width
from pvensemble.numerics.axis_scales import is_text
from pvensemble.numerics.lab_colors import lab_legend
from pvensemble.numerics.ticks import number_labels, short_labels

_CELLS = 16
_MAX_NAME = 24


@dataclass(frozen=True)
class ColorAxis:
    """A column that decides the colour: its name and the values at both ends, as text."""

    name: str
    low: str
    high: str


def color_axis(name: str, values: np.ndarray) -> ColorAxis:
    """Return the axis of a column (n_runs,) of numbers or texts."""
    if is_text(values):
        ends = sorted(set(values.tolist())) or [""]
        low, high = short_labels([ends[0], ends[-1]], 10)
    else:
        finite = np.asarray(values, np.float64)
        finite = finite[np.isfinite(finite)]
        if len(finite) == 0:
            return ColorAxis(name, "", "")
        low, high = number_labels([finite.min(), finite.max()], digits=3)
    return ColorAxis(name, low, high)


def draw_color_square(
    sketch: Sketch, corner: tuple, side: float, x: ColorAxis, y: ColorAxis, size: float
) -> None:
    """Draw the colours of two columns as a square with names and the values at its ends.

    Parameters
    ----------
    sketch : Sketch
    corner : (float, float)
        Lower left corner of the square, in plot units.
    side : float
    x, y : ColorAxis
        To the right and upwards.
    size : float
        Font size in plot units.
    """
    _draw_cells(sketch, corner, side, side, lab_legend(_CELLS))
    x0, y0 = corner
    gap = 0.45 * size
    _draw_ends(sketch, x, (x0, y0 - gap), side, size)
    small = 0.85 * size
    for text, at, valign in ((y.low, y0, "bottom"), (y.high, y0 + side, "top")):
        sketch.text(text, x0 - gap, at, small, align="right", valign=valign)
    widest = max(text_width(y.low, small), text_width(y.high, small))
    name_size, (name,) = fit_labels([y.name], side, size)
    at = x0 - widest - 2 * gap
    sketch.text(name, at, y0 + side / 2, name_size, align="center", angle=90.0)


def draw_color_bar(sketch: Sketch, corner: tuple, side: float, x: ColorAxis, size: float) -> None:
    """Draw the colours of one column as a bar; see ``draw_color_square``."""
    square = lab_legend(_CELLS)
    diagonal = square[np.arange(_CELLS), np.arange(_CELLS)]
    _draw_cells(sketch, corner, side, 1.2 * size, diagonal[None])
    _draw_ends(sketch, x, (corner[0], corner[1] - 0.45 * size), side, size)


def _draw_ends(sketch: Sketch, x: ColorAxis, corner: tuple, side: float, size: float) -> None:
    """Write the values at the ends of an axis to the right, and below them its name."""
    x0, y0 = corner
    small = 0.85 * size
    sketch.text(x.low, x0, y0, small, valign="top")
    sketch.text(x.high, x0 + side, y0, small, align="right", valign="top")
    name_size, (name,) = fit_labels([x.name], 1.2 * side, size)
    y1 = y0 - CAP_HEIGHT * small - 0.55 * size
    sketch.text(name, x0 + side / 2, y1, name_size, align="center", valign="top")


def _draw_cells(
    sketch: Sketch, corner: tuple, width: float, height: float, colors: np.ndarray
) -> None:
    """Draw colours (n_rows, n_columns, 3), the first row below, and a frame."""
    x = corner[0] + width * np.linspace(0, 1, colors.shape[1] + 1)
    y = corner[1] + height * np.linspace(0, 1, colors.shape[0] + 1)
    left, low = np.meshgrid(x[:-1], y[:-1])
    right, high = np.meshgrid(x[1:], y[1:])
    corners = np.stack([left, low, right, low, right, high, left, high], axis=-1)
    sketch.polygons(corners.reshape(-1, 4, 2), colors.reshape(-1, 3))
    ends = [(x[0], y[0]), (x[-1], y[0]), (x[-1], y[-1]), (x[0], y[-1]), (x[0], y[0])]
    sketch.line(ends, DARK)


def draw_glyph_key(
    sketch: Sketch, corner: tuple, names: Sequence[str], size: float, *, title: str = "session"
) -> float:
    """List what each glyph stands for, downwards from a corner; return the height used."""
    x, y = corner
    sketch.text(title, x, y, size, valign="top", color=BLACK)
    line = 1.5 * size
    shown = short_labels(list(names), _MAX_NAME)
    for k, name in enumerate(shown):
        middle = y - (k + 1) * line - 0.4 * size
        outline = glyph_outline(k) * 0.4 * size
        sketch.polygon(outline + (x + 0.5 * size, middle), GREY)
        sketch.line(np.vstack([outline, outline[:1]]) + (x + 0.5 * size, middle), DARK)
        sketch.text(name, x + 1.5 * size, middle, size, valign="middle")
    return (len(shown) + 1) * line
