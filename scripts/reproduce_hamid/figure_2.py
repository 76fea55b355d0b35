"""Scene of the paper's figure 2: similarity plot, correlations of two runs, counts over time.

Rendered by ``pvensemble render --scene``; what the paper fixed comes as JSON in ``HAMID_FIGURE``:
``layer``, ``step``, ``threshold``, ``red`` and ``cyan`` (runs).
"""

import json
import os
from pathlib import Path

from paraview import simple as pv

import pvensemble
from pvensemble.views import attach, layout
from pvensemble.views.scenes import load_scene

FOLDER = Path(pvensemble.__file__).resolve().parent.parent / "state_files"
NO_GROUPS = "# none"
PLOTS = ("similarity_plot", "correlation_first", "correlation_last", "correlation_graph")


def build(path, size):
    """Build the scene ``topology`` and set it as the paper did."""
    figure = json.loads(os.environ["HAMID_FIGURE"])
    topology = load_scene(FOLDER / "topology.py")
    scene = topology.build(path, size=size, groups=NO_GROUPS, layer=figure["layer"])
    plots = scene.sources
    plots["similarity_plot"].AlignOverTime = 0  # one step, as the statistics see it
    for name in PLOTS:
        plots[name].Threshold = figure["threshold"]
    pv.GetAnimationScene().AnimationTime = figure["step"]
    arrange(scene, size)
    # What follows the selection is attached by now, and would choose runs of its own.
    plots["similarity_plot"].Runs = f"{figure['red']},{figure['cyan']}"
    plots["correlation_first"].Runs = str(figure["red"])
    plots["correlation_last"].Runs = str(figure["cyan"])
    pv.RenderAllViews()
    return scene


def arrange(scene, size):
    """Leave the four views of the paper's figure."""
    views = {name: scene.views[name] for name in PLOTS}
    tab = layout.new_layout("Figure 2")
    above, below = layout.split(tab, layout.TOP, "vertical", 0.5)
    similarity, graph = layout.split(tab, above, "horizontal", 0.45)
    red, cyan = layout.split(tab, below, "horizontal", 0.48)
    for name, cell in zip(PLOTS, (similarity, red, cyan, graph)):
        layout.place(tab, cell, views[name])
    layout.set_size(tab, views[PLOTS[0]], size)
    scene.layouts, scene.views = {"figure_2": tab}, views
    pv.RenderAllViews()  # the views take their new sizes
    scene.keep = attach.attach()
    pv.RenderAllViews()
