"""Loss-accuracy graph: accuracy (solid, above) and loss (dashed, below) over the training steps.

A dashed line is a row of dots: the loss of a run is one poly-vertex cell, so cell i stays run i and
can be picked and coloured like every other view of runs.
"""

from __future__ import annotations

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData

from pvensemble.errors import OptionError, did_you_mean
from pvensemble.filters._options import FollowsTime, Labels
from pvensemble.filters.plot_curves import (
    HEIGHT,
    WIDTH,
    Curves,
    curve_places,
    drawn_runs,
    write_curves,
    write_lines,
)
from pvensemble.filters.plot_geometry import Sketch, cell_array_from_sizes
from pvensemble.filters.plot_time_panels import Panel, draw_note, draw_panel, draw_playhead
from pvensemble.numerics.curves import curve_scale, dashes
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.time import requested_time

_SPLIT, _BETWEEN = 0.52, 0.06
SPACING, DASH, GAP = 0.015, 0.13, 0.09
MAX_DOTS = 3_000_000


class LossAccuracyGraph(FollowsTime, Labels):
    """Runs -> accuracy polylines, loss as dashed poly-vertices, axes with the playhead."""

    def __init__(self) -> None:
        super().__init__(n_outputs=3)
        self._accuracy_metric = ""
        self._loss_metric = ""
        self._runs = ""
        self._log_loss = False
        self._show_playhead = True

    def SetAccuracyMetric(self, name: str) -> None:
        """Metric of the upper panel; empty for the ensemble's accuracy."""
        self._set("accuracy_metric", name or "")

    def SetLossMetric(self, name: str) -> None:
        """Metric of the lower panel; empty for the ensemble's loss."""
        self._set("loss_metric", name or "")

    def SetRuns(self, text: str) -> None:
        """Runs that are drawn, ``0-4,9``; empty for all."""
        self._set("runs", text or "")

    def SetLogLoss(self, log: bool) -> None:
        """Draw the loss on a logarithmic scale."""
        self._set("log_loss", bool(log))

    def SetShowPlayhead(self, show: bool) -> None:
        """Mark the current time."""
        self._set("show_playhead", bool(show))

    def RequestInformation(self, _request, _inInfo, outInfo) -> int:
        if self.stays():
            self.leave_time(outInfo, 0, 1)
        return 1

    def RequestData(self, request, inInfo, outInfo) -> int:
        runs = self.runs_input(inInfo)
        self.check_label_size()
        drawn = drawn_runs(self._runs, runs.n_runs)
        accuracy = self._curves(runs, self._accuracy_metric or runs.accuracy_metric, drawn)
        loss = self._curves(runs, self._loss_metric or runs.loss_metric, drawn)
        if accuracy is None and loss is None:
            raise OptionError("the runs have no metric over the steps: there is nothing to draw")
        upper, lower = panels(accuracy, loss, log_loss=self._log_loss)
        self.report(0.3, "Curves")
        solid, dashed = self.output(outInfo, 0), self.output(outInfo, 1)
        write_lines(solid, runs, accuracy, upper)
        write_dashes(dashed, runs, loss, lower)
        if self.stays():
            self.drop_present(solid, runs)
            self.drop_present(dashed, runs)
        self.report(0.8, "Axes")
        sketch = Sketch()
        self._draw(sketch, upper, lower, requested_time(request, outInfo))
        sketch.write(self.output(outInfo, 2))
        return 1

    def _curves(self, runs: RunsData, name: str | None, drawn: np.ndarray) -> Curves | None:
        """Return a metric's curves, None when the ensemble has no such metric by default."""
        if not name:
            return None
        if name not in runs.metric_names:
            raise OptionError(f"there is no metric {name!r}{did_you_mean(name, runs.metric_names)}")
        steps, values = runs.curve(name)
        return Curves(name, steps, values, drawn)

    def _draw(self, sketch: Sketch, upper: Panel, lower: Panel, time: float | None) -> None:
        """Draw frames, ticks, titles, notes and the playhead."""
        size = self._label_size / 100 * HEIGHT
        shown = [panel for panel in (upper, lower) if panel is not None]
        for panel in shown:
            draw_panel(sketch, panel, size, with_steps=panel is shown[-1])
            draw_note(sketch, panel, size)
        if self._show_playhead and time is not None:
            draw_playhead(sketch, shown, time, size)


def panels(
    accuracy: Curves | None, loss: Curves | None, *, log_loss: bool
) -> tuple[Panel | None, Panel | None]:
    """Return the upper and the lower panel; both share the steps' axis."""
    ends = [c.steps[[0, -1]] for c in (accuracy, loss) if c is not None and len(c.steps)]
    first = float(min((e[0] for e in ends), default=0))
    last = float(max((e[1] for e in ends), default=1))
    last = last if last > first else first + 1.0
    split = HEIGHT * _SPLIT
    low = (0.0, split - HEIGHT * _BETWEEN) if accuracy is not None else (0.0, HEIGHT)
    high = (split, HEIGHT) if loss is not None else (0.0, HEIGHT)
    upper = lower = None
    if accuracy is not None:
        values = accuracy.values[accuracy.drawn]
        is_share = not np.any(values[np.isfinite(values)] > 1)
        scale = curve_scale(values, upper=1.0 if is_share else None)
        upper = Panel(accuracy.name, WIDTH, *high, first, last, scale)
    if loss is not None:
        scale = curve_scale(loss.values[loss.drawn], log=log_loss)
        lower = Panel(loss.name, WIDTH, *low, first, last, scale)
    return upper, lower


def write_dashes(
    output: vtkPolyData, runs: RunsData, curves: Curves | None, panel: Panel | None
) -> None:
    """Write one poly-vertex a run: dots in dashes along its curve."""
    if curves is None:
        places = [np.empty((0, 2))] * runs.n_runs
    else:
        spacing = SPACING * max(1.0, curves.drawn.sum() * (WIDTH / SPACING) / MAX_DOTS)
        places = [
            dashes(p[:, 0], p[:, 1], spacing=spacing, dash=DASH, gap=GAP)
            for p in curve_places(curves, panel)
        ]
    output.SetVerts(cell_array_from_sizes(write_curves(output, runs, places)))
