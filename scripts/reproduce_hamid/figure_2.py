"""Scene of the paper's figure 2: similarity plot, correlations of two runs, counts over time.

Rendered by ``pvensemble render --scene``; what the paper fixed comes as JSON in ``HAMID_FIGURE``:
``layer``, ``step``, ``threshold``, ``red`` and ``cyan`` (runs).
"""

import json
import os
from pathlib import Path

from paraview import simple as pv

import pvensemble
from pvensemble.views import attach
from pvensemble.views.scenes import load_scene

FOLDER = Path(pvensemble.__file__).resolve().parent.parent / "state_files"


def build(path, size):
    """Build the scene ``topology`` and set it as the paper did."""
    figure = json.loads(os.environ["HAMID_FIGURE"])
    topology = load_scene(FOLDER / "topology.py")
    scene = topology.build(path, size=size, groups="", layer=figure["layer"])
    plots = scene.sources
    plots["similarity_plot"].Runs = f"{figure['red']},{figure['cyan']}"
    plots["correlation_first"].Runs = str(figure["red"])
    plots["correlation_last"].Runs = str(figure["cyan"])
    for plot in ("similarity_plot", "correlation_first", "correlation_last", "correlation_graph"):
        plots[plot].Threshold = figure["threshold"]
    pv.GetAnimationScene().AnimationTime = figure["step"]
    scene.keep = attach.attach()
    pv.RenderAllViews()
    for name in set(scene.layouts) - {"topology"}:
        del scene.layouts[name]
    for name in ("run_similarity", "activation_maps", "spreadsheet"):
        scene.views.pop(name, None)
    return scene
