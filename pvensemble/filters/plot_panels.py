"""Frames, ticks and titles of heat maps and of panels with two numeric axes."""

from __future__ import annotations

from dataclasses import replace

from pvensemble.filters.plot_axes import fit_labels
from pvensemble.filters.plot_geometry import Sketch
from pvensemble.filters.plot_text import CAP_HEIGHT, text_width
from pvensemble.numerics.ticks import thin

_TICK = 0.3
_SLANT = 45.0
_COMPACT = 0.75


def draw_map(sketch: Sketch, drawn, size: float, *, only: bool) -> None:
    """Frame a map and label its axes; of a matrix of maps only the outer ones are labelled."""
    x0, y0 = drawn.corner
    width = drawn.cell[0] * drawn.x.n_bins
    height = drawn.cell[1] * drawn.y.n_bins
    sketch.line(
        [(x0, y0), (x0 + width, y0), (x0 + width, y0 + height), (x0, y0 + height), (x0, y0)]
    )
    small = size if only else _COMPACT * size
    if only or y0 == 0:
        draw_bottom_ticks(sketch, drawn.x.ticks, x0, y0, drawn.cell[0], small)
    if (only or x0 == 0) and drawn.y_name:
        draw_left_ticks(sketch, drawn.y.ticks, x0, y0, drawn.cell[1], small)


def draw_left_ticks(sketch, ticks, x: float, y: float, unit: float, size: float) -> float:
    """Label an axis that goes up from (x, y); return the width of the labels."""
    label_size, labels = fit_labels([t.label for t in ticks], 9 * size, size)
    ticks = [replace(t, label=label) for t, label in zip(ticks, labels)]
    lines = max((label.count("\n") for label in labels), default=0)
    kept = thin(ticks, (CAP_HEIGHT + 1.2 * lines + 0.3) * label_size / unit)
    for tick in kept:
        at = y + tick.position * unit
        sketch.line([(x - _TICK * size, at), (x, at)])
        sketch.text(
            tick.label, x - 2 * _TICK * size, at, label_size, align="right", valign="middle"
        )
    return max((text_width(t.label, label_size) for t in kept), default=0.0) + 2 * _TICK * size


def draw_bottom_ticks(sketch, ticks, x: float, y: float, unit: float, size: float) -> float:
    """Label an axis that goes right from (x, y), slanted when needed; return the labels' height."""
    widest = max((text_width(t.label, size) for t in ticks), default=0.0)
    gaps = [b.position - a.position for a, b in zip(ticks, ticks[1:])]
    is_slanted = bool(gaps) and widest > 0.9 * min(gaps) * unit
    kept = thin(ticks, 1.25 * size / unit) if is_slanted else ticks
    for tick in kept:
        at = x + tick.position * unit
        sketch.line([(at, y - _TICK * size), (at, y)])
        if is_slanted:
            sketch.text(
                tick.label,
                at + 0.25 * size,
                y - 2 * _TICK * size,
                size,
                align="right",
                valign="top",
                angle=_SLANT,
            )
        else:
            sketch.text(tick.label, at, y - 2 * _TICK * size, size, align="center", valign="top")
    room = (0.71 * widest + 0.8 * size) if is_slanted else CAP_HEIGHT * size
    return room + 2 * _TICK * size


def draw_pair_titles(sketch: Sketch, maps, measure: str, size: float) -> None:
    """Write the axes' names outside all tick labels, and the measure's name above."""
    only = len(maps) == 1
    small = size if only else _COMPACT * size
    for name in dict.fromkeys(m.x_name for m in maps):
        drawn = min((m for m in maps if m.x_name == name), key=lambda m: m.corner[1])
        room = _bottom_room(drawn, small)
        x = drawn.corner[0] + 0.5 * drawn.cell[0] * drawn.x.n_bins
        y = drawn.corner[1] - room - 0.6 * size
        sketch.text(name, x, y, size, align="center", valign="top")
    for name in dict.fromkeys(m.y_name for m in maps if m.y_name):
        drawn = min((m for m in maps if m.y_name == name), key=lambda m: m.corner[0])
        room = _left_room(drawn, small)
        x = drawn.corner[0] - room - 0.7 * size
        y = drawn.corner[1] + 0.5 * drawn.cell[1] * drawn.y.n_bins
        sketch.text(name, x, y, size, align="center", angle=90.0)
    if measure:
        top = max(m.corner[1] + m.cell[1] * m.y.n_bins for m in maps)
        right = max(m.corner[0] + m.cell[0] * m.x.n_bins for m in maps)
        sketch.text(measure, 0.5 * right, top + 0.8 * size, 1.2 * size, align="center")


def _bottom_room(drawn, size: float) -> float:
    """Return the height that the labels below a map take."""
    return draw_bottom_ticks(Sketch(), drawn.x.ticks, 0.0, 0.0, drawn.cell[0], size)


def _left_room(drawn, size: float) -> float:
    """Return the width that the labels left of a map take."""
    return draw_left_ticks(Sketch(), drawn.y.ticks, 0.0, 0.0, drawn.cell[1], size)
