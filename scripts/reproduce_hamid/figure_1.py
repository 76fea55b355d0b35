"""Scene of the paper's figure 1: parallel coordinates, heat map, curves of the chosen runs.

Rendered by ``pvensemble render --scene``; what the paper fixed comes as JSON in ``HAMID_FIGURE``:
``p1_step``, ``interval``, ``clamps`` (P1, P2, P3), ``high`` and ``low`` (runs).
"""

import json
import os
from pathlib import Path

from paraview import simple as pv

import pvensemble
from pvensemble.schema import COMBINED
from pvensemble.views import attach, charts
from pvensemble.views.scenes import load_scene

FOLDER = Path(pvensemble.__file__).resolve().parent.parent / "state_files"
LOW, HIGH = "#d62728", "#2ca02c"
"""Colours of the runs with low and high P1; the paper's text says green for high."""


def build(path, size):
    """Build the scene ``performance`` and set it as the paper did."""
    figure = json.loads(os.environ["HAMID_FIGURE"])
    groups = f"low = {LOW} : runs {figure['low']}\nhigh = {HIGH} : runs {figure['high']}"
    scene = load_scene(FOLDER / "performance.py").build(path, size=size, groups=groups)
    measures = scene.sources["measures"]
    judge(measures, figure)
    show_ranges(scene.sources["parallel_coordinates"], figure["clamps"])
    # The map shows the mean of P1 and P2, clamped; the axes show the measures as they are.
    clamped = pv.PerformanceMeasures(registrationName="Clamped", Input=scene.sources["reader"])
    judge(clamped, figure)
    for name, ends in figure["clamps"].items():
        setattr(clamped, f"UseClamp{name}", 1)
        setattr(clamped, f"Clamp{name}", ends)
    clamped.UseP3 = 0
    scene.sources["heat_map"].Input = pv.RunGroups(
        registrationName="Clamped Groups", Input=clamped, Groups=groups
    )
    scene.keep = attach.attach()  # fits the changed axes into the view
    scene.sources["graph"].Runs = f"{figure['low']},{figure['high']}"
    charts.color_heat_map(scene.sources["heat_map"], scene.views["heat_map"], COMBINED)
    pv.RenderAllViews()
    del scene.layouts["runs"]
    for name in ("native_parallel_coordinates", "spreadsheet"):
        del scene.views[name]
    return scene


def judge(measures, figure):
    """Set the step of P1 and the interval of P2 and P3."""
    measures.P1Step = figure["p1_step"]
    measures.IntervalStart, measures.IntervalEnd = figure["interval"]


def show_ranges(plot, clamps):
    """Give the axes of the measures the ranges of the paper, stable runs at the top."""
    plot.Axes = "learning_rate; momentum; P1; P2; P3_deviation"
    columns = {"P1": "P1", "P2": "P2", "P3": "P3_deviation"}
    plot.Ranges = "; ".join(f"{columns[n]}={a},{b}" for n, (a, b) in clamps.items())
    plot.Flip = "P3_deviation"
