"""Histograms of a layer's weights over the training: a column for each recorded step.

Bins without weights have no cell, so that a single weight far outside can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData, vtkTable

from pvensemble import schema
from pvensemble.filters.plot_geometry import Z_DATA, Sketch, cell_array_from_sizes, vtk_points
from pvensemble.filters.plot_time_panels import Panel, draw_panel, draw_playhead
from pvensemble.numerics.axis_scales import LINEAR
from pvensemble.numerics.curves import CurveScale
from pvensemble.numerics.weight_statistics import (
    BINS,
    STATISTICS,
    Histogram,
    common_limits,
    exponent_of,
    extents_of_statistics,
)
from pvensemble.vtkdata.arrays import to_vtk

STEP, VALUE, COUNT, LOG_SHARE = "step", "value", "count", "log_share"
_FEWEST = 24  # bins; of many weights there are twice the root of their number
MAX_COLUMNS = 1024
"""Of all histograms together; of more steps every k-th is drawn."""
DRAWN = {"q05": (31, 119, 180), "median": (214, 39, 40), "q95": (31, 119, 180)}
"""Statistics that are drawn as lines."""


@dataclass(frozen=True)
class Summary:
    """What is kept of a run's weights at a recorded step: statistics (STATISTICS) and histogram."""

    step: int
    statistics: np.ndarray
    histogram: Histogram


@dataclass(frozen=True)
class Series:
    """A run's summaries, ascending by step."""

    run_index: int
    summaries: list[Summary]

    @property
    def steps(self) -> np.ndarray:
        """(n_steps,) int64."""
        return np.array([s.step for s in self.summaries], np.int64)

    def statistic(self, name: str) -> np.ndarray:
        """Return one of STATISTICS, (n_steps,)."""
        return np.array([s.statistics[STATISTICS.index(name)] for s in self.summaries])


@dataclass(frozen=True)
class Scales:
    """What all histograms have in common: the steps, the bins and the values that are shown."""

    first: float
    last: float
    exponent: int
    low: float
    high: float


def common_scales(all_series: Sequence[Series]) -> Scales:
    """Return scales for histograms of several runs; steps far outside the others do not count.

    Few weights have wide bins.
    """
    rows = [s.statistics for series in all_series for s in series.summaries]
    known = extents_of_statistics(np.array(rows)) if rows else np.empty((0, 2))
    exponent = exponent_of(common_limits(known)[0])
    steps = [step for series in all_series for step in series.steps.tolist()] or [0]
    histograms = [s.histogram for series in all_series for s in series.summaries]
    usual = [h for h in histograms if h.exponent <= exponent]
    most = max(_FEWEST, 2 * max((int(h.counts.sum()) for h in usual), default=0) ** 0.5)
    low, high = _used(usual, exponent)
    while high - low > most:
        exponent += 1
        low, high = _used(usual, exponent)
    width = 2.0**exponent
    return Scales(min(steps), max(*steps, min(steps) + 1), exponent, low * width, high * width)


def _used(histograms: Sequence[Histogram], exponent: int) -> tuple[int, int]:
    """Return the numbers of the lowest bin that holds weights and of the one above the highest."""
    total = sum((h.coarsened(exponent) for h in histograms), np.zeros(BINS, np.int64))
    used = np.flatnonzero(total) - BINS // 2
    return (int(used[0]), int(used[-1]) + 1) if len(used) else (-1, 1)


def panel_at(scales: Scales, name: str, width: float, bottom: float, top: float) -> Panel:
    """Return a panel that a histogram fills, with half a step's room at both ends."""
    scale = CurveScale(LINEAR, scales.low, scales.high)
    return Panel(name, width, bottom, top, scales.first, scales.last, scale)


def columns_of(steps: np.ndarray, scales: Scales) -> np.ndarray:
    """Return the borders (n, 2) of the columns of steps: midway to their neighbours."""
    middle = 0.5 * (steps[1:] + steps[:-1])
    left = np.concatenate([[scales.first], middle])
    right = np.concatenate([middle, [scales.last]])
    return np.stack([left, right], axis=1) if len(steps) else np.empty((0, 2))


def write_histograms(
    output: vtkPolyData,
    all_series: Sequence[Series],
    panels: Sequence[Panel],
    corners: Sequence[tuple[float, float]],
    scales: Scales,
) -> None:
    """Write a quad for each bin that holds weights, of each recorded step of each run.

    Parameters
    ----------
    output : vtkPolyData
    all_series : sequence of Series
    panels : sequence of Panel
        Where each is drawn, seen from its corner.
    corners : sequence of (float, float)
    scales : Scales
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (*ARRAYS, "box")}
    total = sum(len(series.summaries) for series in all_series)
    every = max(1, -(-total // MAX_COLUMNS))
    width = 2.0**scales.exponent
    for series, panel, (x0, y0) in zip(all_series, panels, corners):
        chosen = series.summaries[::every]
        steps = np.array([s.step for s in chosen], np.float64)
        for summary, border in zip(chosen, columns_of(steps, scales)):
            counts = summary.histogram.coarsened(scales.exponent)
            bins = np.flatnonzero(counts)
            value = (bins - BINS // 2) * width
            x, n = panel.x(border) + x0, len(bins)
            y = panel.y(value) + y0, panel.y(value + width) + y0
            parts["box"].append(np.stack([np.full(n, x[0]), y[0], np.full(n, x[1]), y[1]], axis=1))
            parts[COUNT].append(counts[bins])
            parts[LOG_SHARE].append(np.log10(counts[bins] / counts.sum()))
            parts[STEP].append(np.full(n, summary.step))
            parts[VALUE].append(value + width / 2)
            parts[schema.RUN_INDEX].append(np.full(n, series.run_index))
    box = np.concatenate(parts["box"]) if parts["box"] else np.empty((0, 4))
    points = np.full((len(box), 4, 3), Z_DATA, np.float32)
    points[..., :2] = box[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    output.SetPoints(vtk_points(points.reshape(-1, 3)))
    output.SetPolys(cell_array_from_sizes(np.full(len(box), 4)))
    for name, dtype in ARRAYS.items():
        values = np.concatenate(parts[name]) if parts[name] else np.empty(0)
        output.GetCellData().AddArray(to_vtk(values.astype(dtype), name))
    output.GetCellData().SetActiveScalars(LOG_SHARE)


ARRAYS = {
    LOG_SHARE: np.float32,
    COUNT: np.int64,
    STEP: np.int64,
    VALUE: np.float32,
    schema.RUN_INDEX: np.int64,
}


def draw_histogram(
    sketch: Sketch, series: Series, panel: Panel, corner: tuple, now: float | None, size: float
) -> None:
    """Draw frame, ticks, lines of some quantiles and the playhead of a histogram."""
    own = Sketch()
    draw_panel(own, panel, size, with_steps=True)
    usable = np.isfinite(series.statistic("median"))
    for name, color in DRAWN.items():
        if usable.sum() > 1:
            x, y = panel.x(series.steps[usable]), panel.y(series.statistic(name)[usable])
            own.line(np.stack([x, y], axis=1), color)
    if now is not None:
        draw_playhead(own, [panel], now, size)
    sketch.add(own, *corner)


def write_statistics(output: vtkTable, all_series: Sequence[Series]) -> None:
    """Write a row for each run and recorded step: step, run_index and the STATISTICS."""
    steps = [series.steps for series in all_series]
    runs = [np.full(len(series.summaries), series.run_index) for series in all_series]
    rows = [s.statistics for series in all_series for s in series.summaries]
    table = np.array(rows).reshape(-1, len(STATISTICS))
    columns = {
        STEP: np.concatenate([*steps, np.empty(0, np.int64)]).astype(np.int64),
        schema.RUN_INDEX: np.concatenate([*runs, np.empty(0, np.int64)]).astype(np.int64),
        **dict(zip(STATISTICS, np.ascontiguousarray(table.T))),
    }
    for name, values in columns.items():
        output.AddColumn(to_vtk(values, name))
