"""Norm Graph: L2 norms of weights (solid, above) and gradients (dashed, below) over the steps.

One parameter of many runs, or the weights of all layers of few, as in figure 3 of the TensorViz
poster. Upon the weights' norms lies a fitted power law.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pvensemble import schema
from pvensemble.errors import OptionError
from pvensemble.filters._options import Labels, TwoColumnColors, check_choice, one_of
from pvensemble.filters._parameter_norms import (
    TOGETHER,
    LastFit,
    chosen_parameter,
    norm_curves,
    parameter_names,
    weights_of,
)
from pvensemble.filters.loss_accuracy_graph import write_dashes
from pvensemble.filters.plot_curves import (
    HEIGHT,
    WIDTH,
    Curves,
    draw_group_ends,
    drawn_runs,
    write_lines,
)
from pvensemble.filters.plot_geometry import Sketch, hex_to_rgb
from pvensemble.filters.plot_norms import LineLabel, draw_fits, draw_line_labels, drawable, panels
from pvensemble.filters.plot_scatter import run_colors
from pvensemble.filters.plot_time_panels import draw_note, draw_panel, draw_playhead
from pvensemble.numerics.groups import PALETTE
from pvensemble.numerics.measures import value_at
from pvensemble.numerics.norms import NORM, QUANTITIES, PowerLaw, quantity_of
from pvensemble.vtkdata.arrays import strings_to_vtk, to_vtk
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.time import requested_time

ONE_PARAMETER, ALL_LAYERS = LAYOUTS = ("one parameter", "all layers")
LINE_COLOR, PARAMETER = "line_color", "parameter"
EXPONENT, EXPONENT_LOW, EXPONENT_HIGH = "norm_exponent", "norm_exponent_low", "norm_exponent_high"
FACTOR = "norm_factor"
PRESENT_WEIGHT, PRESENT_GRADIENT = "present_weight_norm", "present_gradient_norm"
MAX_LINES = 60
"""So many lines can be told apart where each has a label."""


class NormGraph(TwoColumnColors, Labels):
    """Runs -> norms of weights, of gradients (cell i is run i), axes with the playhead."""

    def __init__(self) -> None:
        super().__init__(n_outputs=3)
        self._layout = ONE_PARAMETER
        self._parameter = ""
        self._quantity = NORM
        self._runs = ""
        self._log_steps = True
        self._log_norms = True
        self._show_fit = True
        self._fit_start = 0
        self._fit_end = -1
        self._show_playhead = True
        self._fit = LastFit()

    def SetLayout(self, layout: int | str) -> None:
        """``one parameter`` of many runs, ``all layers`` of few, or its position in ``LAYOUTS``."""
        self._set("layout", one_of(LAYOUTS, layout))

    def SetParameter(self, name: str) -> None:
        """Parameter, or layer, whose norms are drawn; empty for all parameters together."""
        self._set("parameter", name or "")

    def GetParameterNames(self) -> list[str]:
        """Parameters with norms, for the list in the panel."""
        runs = self.current_runs()
        return ["", *(parameter_names(runs) if runs else [])]

    def SetQuantity(self, quantity: int | str) -> None:
        """What is drawn of the weights, of ``norms.QUANTITIES``, or its position there."""
        self._set("quantity", one_of(QUANTITIES, quantity))

    def SetRuns(self, text: str) -> None:
        """Runs that are drawn, ``0-4,9``; empty for all, or for the first with all layers."""
        self._set("runs", text or "")

    def SetLogSteps(self, log: bool) -> None:
        """Draw the steps on a logarithmic axis, from the first one after 0."""
        self._set("log_steps", bool(log))

    def SetLogNorms(self, log: bool) -> None:
        """Draw the norms on logarithmic scales."""
        self._set("log_norms", bool(log))

    def SetShowFit(self, show: bool) -> None:
        """Draw the fitted power laws."""
        self._set("show_fit", bool(show))

    def SetFitStart(self, step: int) -> None:
        """First step of the fit; step 0 has no logarithm and is left out."""
        self._set("fit_start", int(step))

    def SetFitEnd(self, step: int) -> None:
        """Last step of the fit; negative for the last recorded one."""
        self._set("fit_end", int(step))

    def SetShowPlayhead(self, show: bool) -> None:
        """Mark the current time."""
        self._set("show_playhead", bool(show))

    # -- pipeline --------------------------------------------------------------------------------
    def RequestData(self, request, inInfo, outInfo) -> int:
        runs = self.runs_input(inInfo)
        self._check_options()
        now = requested_time(request, outInfo)
        names = self._parameters(runs)
        drawn = self._drawn(runs, names)
        weights = self._curves(runs, schema.WEIGHT_NORM, names, drawn)
        gradients = self._curves(runs, schema.GRADIENT_NORM, names, drawn)
        shown = replace(weights, values=quantity_of(weights.values, self._quantity))
        self.report(0.3, "Fits")
        fit = self._fit(shown.steps, shown.values, self._interval())
        logs = {"log_steps": self._log_steps, "log_norms": self._log_norms}
        shown, visible = drawable(shown, **logs), drawable(gradients, **logs)
        upper, lower = panels(shown, visible, self._quantity, **logs)
        self.report(0.5, "Curves")
        above, below = self.output(outInfo, 0), self.output(outInfo, 1)
        write_lines(above, runs, shown, upper)
        write_dashes(below, runs, visible, lower)
        colors = self._colors(runs, names)
        for output, curves, name in (
            (above, weights, PRESENT_WEIGHT),
            (below, gradients, PRESENT_GRADIENT),
        ):
            cells = output.GetCellData()
            cells.AddArray(to_vtk(value_at(curves.steps, curves.values, now), name))
            cells.AddArray(to_vtk(colors, LINE_COLOR))
            cells.AddArray(strings_to_vtk(np.repeat(_titles(names), runs.n_runs), PARAMETER))
            _add_fit(cells, fit)
        self.report(0.8, "Axes")
        sketch = Sketch()
        self._draw(sketch, runs, names, (shown, visible), (upper, lower), fit, colors, now)
        sketch.write(self.output(outInfo, 2))
        return 1

    def _check_options(self) -> None:
        self.check_label_size()
        check_choice("Layout", self._layout, LAYOUTS)
        check_choice("Quantity", self._quantity, QUANTITIES)

    def _interval(self) -> tuple[float, float]:
        end = np.inf if self._fit_end < 0 else float(self._fit_end)
        if self._fit_start > end:
            raise OptionError(
                f"Fit Start, {self._fit_start}, is after Fit End, {end:g} (-1: the last step)"
            )
        return float(self._fit_start), end

    def _parameters(self, runs: RunsData) -> list[str]:
        """Return what is drawn of each run, "" for all parameters together."""
        name = chosen_parameter(runs, self._parameter)
        return weights_of(runs) if self._layout == ALL_LAYERS and not name else [name]

    def _drawn(self, runs: RunsData, names: list[str]) -> np.ndarray:
        """Return a mask (n_runs,) of the runs that are drawn."""
        drawn = drawn_runs(self._runs, runs.n_runs)
        if self._layout == ALL_LAYERS:
            if not self._runs.strip():
                drawn[1:] = False
            if drawn.sum() * len(names) > MAX_LINES:
                raise OptionError(
                    f"Layout {ALL_LAYERS!r} draws {len(names)} lines a run, which are too many to "
                    f"tell apart for {drawn.sum()} runs (at most {MAX_LINES} lines); choose fewer "
                    f"in Runs, or Layout {ONE_PARAMETER!r}"
                )
        return drawn

    def _curves(self, runs: RunsData, kind: str, names: list[str], drawn: np.ndarray) -> Curves:
        """Return the curves of a kind, (n_names * n_runs, n_steps); cell k * n_runs + i is run i.

        Of several parameters only those of the drawn runs hold values.
        """
        found = [norm_curves(runs, kind, name) for name in names]
        steps = np.unique(np.concatenate([steps for steps, _ in found]))
        values = np.full((len(names), runs.n_runs, len(steps)), np.nan)
        kept = drawn if len(names) > 1 else np.ones(runs.n_runs, bool)
        for part, (some, norms) in zip(values, found):
            part[np.ix_(kept, np.searchsorted(steps, some))] = norms[kept]
        title = _titles(names)[0] if len(names) == 1 else "weights"
        flat = values.reshape(len(names) * runs.n_runs, len(steps))
        return Curves(title, steps, flat, np.tile(drawn, len(names)))

    def _colors(self, runs: RunsData, names: list[str]) -> np.ndarray:
        """Return the colour of each cell: by hyper-parameters, or one a layer."""
        if self._layout == ONE_PARAMETER:
            return run_colors(runs, self.color_columns(runs))
        palette = np.array([hex_to_rgb(color) for color in PALETTE], np.uint8)
        return np.repeat(palette[np.arange(len(names)) % len(palette)], runs.n_runs, axis=0)

    def _draw(self, sketch, runs, names, curves, shown_panels, fit, colors, now) -> None:
        """Draw frames, ticks, titles, fits, labels and the playhead."""
        size = self._label_size / 100 * HEIGHT
        there = [panel for panel in shown_panels if panel is not None]
        heading = _heading(runs, names, curves[0].drawn)
        sketch.text(heading, WIDTH / 2, HEIGHT + 1.9 * size, 1.2 * size, align="center")
        for panel in there:
            draw_panel(sketch, panel, size, with_steps=panel is there[-1])
            draw_note(sketch, panel, size, "run" if len(names) == 1 else "line")
        if self._show_fit and shown_panels[0] is not None:
            draw_fits(sketch, curves[0], shown_panels[0], fit, size, note=len(names) == 1)
        if self._layout == ALL_LAYERS:
            self._draw_labels(sketch, runs, names, curves, shown_panels, fit, colors, size)
        else:
            for one, panel in zip(curves, shown_panels):
                if panel is not None:
                    draw_group_ends(sketch, runs, one, panel, size)
        if self._show_playhead and now is not None and there:
            draw_playhead(sketch, there, now, size)

    def _draw_labels(self, sketch, runs, names, curves, shown_panels, fit, colors, size) -> None:
        """Write the name of the layer at the end of each line, above with the exponent."""
        with_runs = int(curves[0].drawn.sum()) > len(names)
        for one, panel, exponents in zip(curves, shown_panels, (fit, None)):
            if panel is None:
                continue
            labels = []
            for cell in np.flatnonzero(one.drawn):
                text = _titles(names)[cell // runs.n_runs]
                text += f", run {runs.run_index[cell % runs.n_runs]}" if with_runs else ""
                labels.append(LineLabel(int(cell), text, tuple(int(c) for c in colors[cell])))
            draw_line_labels(sketch, one, panel, labels, exponents, size)


def _titles(names: list[str]) -> list[str]:
    """Return what parameters are called in titles."""
    return [name or TOGETHER for name in names]


def _heading(runs: RunsData, names: list[str], drawn: np.ndarray) -> str:
    """Return the title: the parameter, or of all layers the run."""
    shown = np.unique(np.flatnonzero(drawn) % max(runs.n_runs, 1))
    if len(names) == 1:
        return _titles(names)[0]
    return f"all layers of run {runs.run_index[shown[0]]}" if len(shown) == 1 else "all layers"


def _add_fit(cells, fit: PowerLaw) -> None:
    """Add the fits as columns."""
    columns = {
        EXPONENT: fit.exponent,
        EXPONENT_LOW: fit.low,
        EXPONENT_HIGH: fit.high,
        FACTOR: fit.factor,
    }
    for name, values in columns.items():
        cells.AddArray(to_vtk(np.ascontiguousarray(values), name))
