"""Panels with training steps to the right and a metric upwards: frame, grid, ticks, playhead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pvensemble.filters.plot_geometry import DARK, LIGHT, RED, Z_GRID, Sketch
from pvensemble.filters.plot_text import CAP_HEIGHT, text_width
from pvensemble.numerics.axis_scales import LOG
from pvensemble.numerics.curves import CurveScale
from pvensemble.numerics.ticks import Tick, log_ticks, nice_ticks, number_labels, thin

_TICK = 0.3
STEPS_TITLE = "training step"


@dataclass(frozen=True)
class Panel:
    """A panel from (0, bottom) to (width, top), steps ``first`` to ``last``.

    On a logarithmic axis of steps ``first`` is positive, and earlier steps stand where it does.
    """

    name: str
    width: float
    bottom: float
    top: float
    first: float
    last: float
    scale: CurveScale
    log_steps: bool = False

    def x(self, steps) -> np.ndarray:
        """Return steps as plot coordinates."""
        if self.log_steps:
            steps = np.maximum(np.asarray(steps, np.float64), self.first)
            return np.log(steps / self.first) / np.log(self.last / self.first) * self.width
        return (np.asarray(steps, np.float64) - self.first) / (self.last - self.first) * self.width

    def y(self, values) -> np.ndarray:
        """Return values as plot coordinates, clamped to the panel."""
        return self.bottom + self.scale.positions(values) * (self.top - self.bottom)


def draw_panel(sketch: Sketch, panel: Panel, size: float, *, with_steps: bool) -> None:
    """Draw a panel's frame, grid, ticks and titles.

    Parameters
    ----------
    sketch : Sketch
    panel : Panel
    size : float
        Font size in plot units.
    with_steps : bool
        Label the steps below it.
    """
    height = panel.top - panel.bottom
    corners = [(0.0, panel.bottom), (panel.width, panel.bottom)]
    corners += [(panel.width, panel.top), (0.0, panel.top), (0.0, panel.bottom)]
    sketch.line(corners)
    ticks = thin(panel.scale.ticks(max(3, int(height / (2.2 * size)))), 1.1 * size / height)
    for tick in ticks:
        y = panel.bottom + tick.position * height
        sketch.line([(0.0, y), (panel.width, y)], LIGHT, Z_GRID)
        sketch.line([(-_TICK * size, y), (0.0, y)])
        x = -2 * _TICK * size
        sketch.text(tick.label, x, y, size, align="right", valign="middle")
    for tick in _step_ticks(panel, size):
        x = tick.position * panel.width
        sketch.line([(x, panel.bottom), (x, panel.top)], LIGHT, Z_GRID)
        if with_steps:
            sketch.line([(x, panel.bottom - _TICK * size), (x, panel.bottom)])
            y = panel.bottom - 2 * _TICK * size
            sketch.text(tick.label, x, y, size, align="center", valign="top")
    widest = max((text_width(tick.label, size) for tick in ticks), default=0.0)
    x = -widest - (2 * _TICK + 0.8) * size
    y = 0.5 * (panel.bottom + panel.top)
    name = f"{panel.name} (log)" if panel.scale.scale == LOG else panel.name
    fitting = min(size, size * 0.98 * height / max(text_width(name, size), 1e-9))
    sketch.text(name, x, y, fitting, align="center", angle=90.0)
    if with_steps:
        y = panel.bottom - (2 * _TICK + CAP_HEIGHT + 0.7) * size
        title = f"{STEPS_TITLE} (log)" if panel.log_steps else STEPS_TITLE
        sketch.text(title, 0.5 * panel.width, y, size, align="center", valign="top")


def _step_ticks(panel: Panel, size: float) -> list[Tick]:
    """Return ticks at round steps that have room for their labels."""
    steps = (log_ticks if panel.log_steps else nice_ticks)(panel.first, panel.last, 9)
    steps = steps[steps == np.round(steps)]
    labels = number_labels(steps, digits=12)
    widest = max((text_width(label, size) for label in labels), default=0.0)
    place = panel.x(steps) / panel.width
    ticks = [Tick(float(p), t, float(s)) for p, t, s in zip(place, labels, steps)]
    return thin(ticks, (widest + size) / panel.width)


def draw_note(sketch: Sketch, panel: Panel, size: float, what: str = "run") -> None:
    """Say how many runs, or whatever has a curve, leave the panel at its top."""
    if panel.scale.n_cut == 0:
        return
    runs = f"1 {what} goes" if panel.scale.n_cut == 1 else f"{panel.scale.n_cut} {what}s go"
    largest = panel.scale.largest
    far = number_labels([largest], digits=2)[0] if np.isfinite(largest) else "infinity"
    text = f"{runs} above the scale, up to {far}"
    x, y = panel.width - 0.5 * size, panel.top - 0.6 * size
    sketch.text(text, x, y, 0.85 * size, align="right", valign="top", color=DARK, box=True)


def draw_playhead(sketch: Sketch, panels: Sequence[Panel], time: float, size: float) -> None:
    """Mark the current time in all panels, with the step above; nothing outside their steps."""
    if not panels[0].first <= time <= panels[0].last:
        return
    x = float(panels[0].x(time))
    for panel in panels:
        sketch.line([(x, panel.bottom), (x, panel.top)], RED)
    label = f"step {number_labels([time], digits=12)[0]}"
    y = panels[0].top + 0.5 * size
    half = 0.5 * text_width(label, size)
    at = float(np.clip(x, half, panels[0].width - half))
    sketch.text(label, at, y, size, align="center", color=RED)
