"""Frames, ticks and titles of heat maps and of panels with two numeric axes."""

from __future__ import annotations

from dataclasses import replace

from pvensemble.filters.plot_axes import fit_labels
from pvensemble.filters.plot_geometry import Z_GRID, Sketch
from pvensemble.filters.plot_text import CAP_HEIGHT, text_width
from pvensemble.numerics.ticks import Tick, short_labels, thin

_TICK = 0.3
_SLANT = 45.0
_MATRIX_LABEL = 10
NO_RUN = (198, 219, 239)


def draw_map(sketch: Sketch, drawn, size: float, *, only: bool) -> None:
    """Frame a map and label its axes; of a matrix of maps only the outer ones are labelled."""
    x0, y0 = drawn.corner
    width = drawn.cell[0] * drawn.x.n_bins
    height = drawn.cell[1] * drawn.y.n_bins
    sketch.box(x0, y0, x0 + width, y0 + height, NO_RUN, Z_GRID)
    sketch.line(
        [(x0, y0), (x0 + width, y0), (x0 + width, y0 + height), (x0, y0 + height), (x0, y0)]
    )
    if only or y0 == 0:
        ticks = map_ticks(drawn.x, drawn.cell[0], size, only=only)
        draw_bottom_ticks(sketch, ticks, x0, y0, drawn.cell[0], size)
    if (only or x0 == 0) and drawn.y_name:
        ticks = map_ticks(drawn.y, drawn.cell[1], size, only=only)
        draw_left_ticks(sketch, ticks, x0, y0, drawn.cell[1], size)


def map_ticks(bins, unit: float, size: float, *, only: bool) -> list[Tick]:
    """Return a map's ticks; in a matrix short ones that keep clear of the neighbouring maps."""
    if only:
        return list(bins.ticks)
    margin = 0.5 * size / unit
    ticks = [t for t in bins.ticks if margin <= t.position <= bins.n_bins - margin]
    labels = short_labels([t.label for t in ticks], _MATRIX_LABEL)
    return [replace(t, label=label) for t, label in zip(ticks, labels)]


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
    kept = thin(ticks, 1.6 * size / unit) if is_slanted else ticks
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
    blank = Sketch()
    lowest = {m.x_name: m for m in sorted(maps, key=lambda m: -m.corner[1])}
    leftmost = {m.y_name: m for m in sorted(maps, key=lambda m: -m.corner[0]) if m.y_name}
    below = beside = 0.0
    for m in lowest.values():
        ticks = map_ticks(m.x, m.cell[0], size, only=only)
        below = max(below, draw_bottom_ticks(blank, ticks, 0.0, 0.0, m.cell[0], size))
    for m in leftmost.values():
        ticks = map_ticks(m.y, m.cell[1], size, only=only)
        beside = max(beside, draw_left_ticks(blank, ticks, 0.0, 0.0, m.cell[1], size))
    width = maps[0].cell[0] * maps[0].x.n_bins
    title_size, x_titles = fit_labels(list(lowest), width, size)
    for text, m in zip(x_titles, lowest.values()):
        x = m.corner[0] + 0.5 * width
        y = m.corner[1] - below - 0.6 * size
        sketch.text(text, x, y, title_size, align="center", valign="top")
    title_size, y_titles = fit_labels(list(leftmost), width, size)
    for text, m in zip(y_titles, leftmost.values()):
        x = m.corner[0] - beside - 0.7 * size
        y = m.corner[1] + 0.5 * m.cell[1] * m.y.n_bins
        sketch.text(text, x, y, title_size, align="center", angle=90.0)
    if measure:
        top = max(m.corner[1] + m.cell[1] * m.y.n_bins for m in maps)
        right = max(m.corner[0] + m.cell[0] * m.x.n_bins for m in maps)
        sketch.text(measure, 0.5 * right, top + 0.8 * size, 1.2 * size, align="center")
