"""Draws the axes of parallel coordinates: lines, ticks, titles and the rail of missing values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pvensemble.filters.plot_geometry import BLACK, DARK, Sketch
from pvensemble.filters.plot_text import CAP_HEIGHT, LINE_HEIGHT, text_width, wrapped
from pvensemble.numerics.axes import RAIL, axis_ticks
from pvensemble.numerics.axes_layout import AxesLayout
from pvensemble.numerics.axis_scales import Axis
from pvensemble.numerics.ticks import Tick, short_labels, thin

_TICK = 0.3
_MIN_SCALE = 0.7
_MAX_LINES = 3
_TITLE_ANGLE = 38.0
_LONG_TITLE = 11.0


def draw_axes(sketch: Sketch, layout: AxesLayout, size: float) -> None:
    """Draw all axes of a layout.

    Parameters
    ----------
    sketch : Sketch
    layout : AxesLayout
    size : float
        Font size in plot units.
    """
    x = layout.x
    spacing = float(x[1] - x[0]) if len(x) > 1 else 1e9
    missing = [axis.n_missing > 0 for axis in layout.axes]
    if any(missing):
        _draw_rail(sketch, layout, missing, size)
    for axis, at in zip(layout.axes, x):
        sketch.line([(at, 0.0), (at, layout.height)])
        ticks, label_size = fitted_ticks(axis, layout.height, spacing - _TICK * size, size)
        for tick in ticks:
            y = tick.position * layout.height
            sketch.line([(at - _TICK * size, y), (at + _TICK * size, y)])
            sketch.text(
                tick.label,
                at - 2.0 * _TICK * size,
                y,
                label_size,
                align="right",
                valign="middle",
                box=True,
            )
    _draw_titles(sketch, layout, spacing, size)


def fitted_ticks(
    axis: Axis, length: float, max_width: float, size: float
) -> tuple[list[Tick], float]:
    """Return ticks whose labels neither overlap nor are wider than the room beside the axis.

    Wide labels are broken into lines, then set smaller, and only then cut in their middle.

    Parameters
    ----------
    axis : Axis
    length : float
        Length of the axis in plot units.
    max_width : float
        Room for a label in plot units.
    size : float
        Font size in plot units.

    Returns
    -------
    ticks : list of Tick
    label_size : float
        Font size to use for all of them.
    """
    ticks = axis_ticks(axis, n=max(2, min(8, int(length / (3.0 * size)))))
    labels = [tick.label for tick in ticks]
    label_size, labels = fit_labels(labels, 0.92 * max_width, size)
    ticks = [replace(tick, label=label) for tick, label in zip(ticks, labels)]
    lines = max((label.count("\n") + 1 for label in labels), default=1)
    gap = (CAP_HEIGHT + LINE_HEIGHT * (lines - 1) + 0.35) * label_size / length
    return thin(ticks, gap), label_size


def fit_labels(labels: Sequence[str], max_width: float, size: float) -> tuple[float, list[str]]:
    """Return a font size and labels (perhaps of several lines) that are at most so wide."""

    def widest(candidates, at):
        return max((text_width(label, at) for label in candidates), default=0.0)

    if widest(labels, size) <= max_width:
        return size, list(labels)
    for scale in (1.0, 0.85, _MIN_SCALE):
        broken = [wrapped(label, max_width, scale * size) for label in labels]
        n_lines = max(label.count("\n") + 1 for label in broken)
        if widest(broken, scale * size) <= max_width and n_lines <= _MAX_LINES:
            return scale * size, broken
    small = _MIN_SCALE * size
    for length in range(max(len(label) for label in labels), 2, -1):
        cut = short_labels(labels, length)
        broken = [wrapped(label, max_width, small) for label in cut]
        n_lines = max(label.count("\n") + 1 for label in broken)
        if max(map(len, cut)) > length:
            return small, broken  # as short as the labels can be and still differ
        if widest(broken, small) <= max_width and n_lines <= _MAX_LINES:
            return small, broken
    return small, short_labels(labels, 3)


def _draw_rail(sketch: Sketch, layout: AxesLayout, missing: list[bool], size: float) -> None:
    """Draw the rail below the axes that have runs without a value."""
    y = RAIL * layout.height
    small = 0.8 * size
    sketch.text("no value", layout.x[0] - 1.2 * size, y, small, align="right", valign="middle")
    for axis, at, is_missing in zip(layout.axes, layout.x, missing):
        if is_missing:
            sketch.line([(at - 0.8 * size, y), (at + 0.8 * size, y)], DARK)
            text = str(axis.n_missing)
            sketch.text(text, at, y - 0.5 * size, small, align="center", valign="top", color=DARK)


def _draw_titles(sketch: Sketch, layout: AxesLayout, spacing: float, size: float) -> None:
    """Write the full names above the axes: on one or two lines if they fit, else slanted."""
    y = layout.height + 0.7 * size
    names = [title(axis) for axis in layout.axes]
    broken = [wrapped(name, 0.94 * spacing, size) for name in names]
    fits = all(text_width(b, size) <= 0.94 * spacing and b.count("\n") <= 1 for b in broken)
    for name, text, at in zip(names, broken, layout.x):
        if fits:
            sketch.text(text, at, y, size, align="center", color=BLACK)
        else:
            # Two slanted lines need 2.4 em across the slant.
            has_room = spacing * math.sin(math.radians(_TITLE_ANGLE)) > 2.3 * size
            if has_room and text_width(name, size) > _LONG_TITLE * size:
                name = wrapped(name, 0.6 * text_width(name, size), size)
            sketch.text(name, at, y, size, angle=_TITLE_ANGLE, color=BLACK)


def title(axis: Axis) -> str:
    """Return an axis' title: its name, and what is unusual about its scale."""
    notes = [axis.scale] if axis.scale in ("log", "percentile") else []
    notes += ["flipped"] if axis.flipped else []
    return f"{axis.name} ({', '.join(notes)})" if notes else axis.name
