"""Runs in pvpython: the scene ``weights`` beside ``topology``; what came of it as JSON.

Arguments: folder with ensembles, file of each scene, file for the answers.
"""

import gc
import json
import sys
from pathlib import Path

from paraview import simple
from vtkmodules.util.numpy_support import vtk_to_numpy

from pvensemble.errors import SceneError
from pvensemble.numerics.runs import parse_runs
from pvensemble.views import attach, pipeline
from pvensemble.views.data import fetch
from pvensemble.views.link import unlink_all
from pvensemble.views.scenes import load_scene
from pvensemble.views.selection import select_cells, selected_cells
from pvensemble.views.tensors import text_of

folder, topology_file, weights_file, answer_file = map(Path, sys.argv[1:])
answers = {}
topology = load_scene(topology_file).build(str(folder / "grid.pvens"), size=(600, 400))
weights = load_scene(weights_file).build(str(folder / "grid.pvens"), size=(600, 400))
sources = weights.sources
LINKED = {
    "groups": sources["groups"],
    "norms": sources["norm_graph"],
    "trajectory": sources["trajectory"],
    "diagnostics": sources["diagnostics"],
    "parallel": sources["parallel_coordinates"],
    "loss": sources["graph"],
    "similarity": topology.sources["similarity_plot"],
}
OF_ONE_RUN = ("weight_boxes", "weight_images", "filter_groups", "correlation")
MAPS = [topology.sources[name] for name in ("correlation_first", "correlation_last")]


def shown(source):
    """Runs that a plot of one run shows."""
    return sorted(set(vtk_to_numpy(fetch(source).GetCellData().GetArray("run_index")).tolist()))


def everything():
    """What is selected where, and which runs are shown by which plots."""
    kinds = {name: attach.PLOTS.get(s.SMProxy.GetXMLName()) for name, s in LINKED.items()}
    runs = {
        tuple((kinds[n].meaning(s) if kinds[n] else attach.OwnCells(s)).runs(selected_cells(s)))
        for n, s in LINKED.items()
    }
    return {
        "selected": [list(chosen) for chosen in runs],
        "shown": sorted({tuple(shown(sources[name])) for name in OF_ONE_RUN}),
        "maps": [shown(plot) for plot in MAPS],
        "drawn": parse_runs(str(sources["norm_graph"].Runs), 25).tolist(),
    }


answers["views"] = sorted(weights.views)
answers["readers of runs"] = len(pipeline.readers())
answers["before"] = everything()
answers["linked"] = {}
for k, (name, source) in enumerate(LINKED.items()):
    select_cells(source, [k, 10 + k])
    answers["linked"][name] = everything()
select_cells(sources["groups"], [])
answers["cleared"] = everything()

# -- a layer without correlations is shown by the plots of weights alone
sources["weight_boxes"].Layer = "fc"
simple.RenderAllViews()
names = ("weight_images", "trajectory", "diagnostics", "correlation", "filter_groups")
answers["other layer"] = {name: text_of(sources[name], "Layer") for name in names}


def reset(*scenes):
    """Begin anew; no links and views may be left then, or ParaView 5.11 crashes sooner or later."""
    attach.detach()
    unlink_all()
    for scene in scenes:
        for held in (scene.sources, scene.views, scene.layouts, scene.keep):
            held.clear()
    gc.collect()
    simple.ResetSession()


# -- other ensembles
answers["others"] = {}
LINKED.clear()
MAPS.clear()
source = None
reset(topology, weights)
for name in ("one", "two", "groups", "diverged", "no weights"):
    try:
        scene = load_scene(weights_file).build(str(folder / f"{name}.pvens"), size=(600, 400))
        select_cells(scene.sources["groups"], [0])
        answers["others"][name] = [shown(scene.sources[k]) for k in OF_ONE_RUN]
        reset(scene)
    except SceneError as error:
        answers["others"][name] = str(error)
        reset()

# -- the state file, made with an ensemble of other layers
attach.attach_to_loaded_states()
simple.LoadState(str(weights_file.with_suffix(".pvsm")), data_directory=str(folder / "state"))
boxes = pipeline.find(attach.BOXES)[0]
select_cells(pipeline.find(attach.TRAJECTORY)[0], [3])
simple.RenderAllViews()
answers["reopened"] = [text_of(boxes, "Layer"), shown(boxes)]
answer_file.write_text(json.dumps(answers, default=int))
