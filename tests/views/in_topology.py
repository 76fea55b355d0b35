"""Runs in pvpython: the scene ``topology`` beside ``performance``; what came of it as JSON.

Arguments: folder with ensembles, file of each scene, file for the answers.
"""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
from paraview import servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy

from pvensemble.errors import SceneError
from pvensemble.numerics.runs import parse_runs
from pvensemble.views import attach, pipeline
from pvensemble.views.data import cells_of, display_of, fetch
from pvensemble.views.scenes import load_scene
from pvensemble.views.selection import select_cells, selected_cells
from pvensemble.views.tensors import text_of

folder, performance_file, topology_file, answer_file = map(Path, sys.argv[1:])
answers = {}
performance = load_scene(performance_file).build(str(folder / "grid.pvens"), size=(600, 400))
topology = load_scene(topology_file).build(str(folder / "grid.pvens"), size=(600, 400))
sources = topology.sources
LINKED = {
    "groups": sources["groups"],
    "parallel": sources["parallel_coordinates"],
    "similarity": sources["similarity_plot"],
    "graph": sources["correlation_graph"],
    "performance parallel": performance.sources["parallel_coordinates"],
    "heat map": performance.sources["heat_map"],
    "loss": performance.sources["graph"],
}
STAY = [("parallel_coordinates", 1), ("parallel_coordinates", 2)]
MAPS = [sources["correlation_first"], sources["correlation_last"]]


def everywhere():
    return [list(runs) for runs in {tuple(selected_cells(s)) for s in LINKED.values()}]


def array(source, name):
    return vtk_to_numpy(fetch(source).GetCellData().GetArray(name))


def shown(source):
    """Runs that a plot of filters shows."""
    return sorted(set(array(source, "run_index").tolist()))


def maps():
    return [shown(plot) for plot in MAPS]


def gesture(view, start, end, *keys):
    """Press the left button at a place of a plot, and release it at another."""
    interactor = topology.views[view].GetInteractor()
    renderer = topology.views[view].SMProxy.GetRenderer()
    for event, place in (
        ("LeftButtonPressEvent", start),
        ("MouseMoveEvent", end),
        ("LeftButtonReleaseEvent", end),
    ):
        renderer.SetWorldPoint(*place, 0.0, 1.0)
        renderer.WorldToDisplay()
        x, y = renderer.GetDisplayPoint()[:2]
        interactor.SetEventInformation(round(x), round(y), "ctrl" in keys, "shift" in keys)
        interactor.InvokeEvent(event)


def middle(source, cell):
    cells = cells_of(fetch(source))
    return cells.corners[cells.offsets[cell] : cells.offsets[cell + 1]].mean(axis=0)


answers["views"] = sorted(topology.views)
answers["layouts"] = sorted(
    name for name, _ in servermanager.ProxyManager().GetProxiesInGroup("layouts")
)
answers["shared"] = [
    topology.sources[name].SMProxy == performance.sources[name].SMProxy
    for name in ("reader", "measures", "groups")
]
answers["readers"] = [[list(r.Layers), list(r.Kinds)] for r in pipeline.find("EnsembleReader")]
answers["readers of runs"] = len(pipeline.readers())
answers["layer"] = [text_of(sources["similarity_plot"], "Layer"), shown(sources["activation_maps"])]
answers["before"] = maps()

# -- linked both ways, with everything in the other scene
answers["linked"] = {}
for k, (name, source) in enumerate(LINKED.items()):
    select_cells(source, [k, 10 + k])
    answers["linked"][name] = [everywhere(), maps(), str(sources["correlation_graph"].Runs)]
select_cells(sources["groups"], [])
answers["cleared"] = [everywhere(), maps(), str(sources["correlation_graph"].Runs)]

# -- picks one after the other, with the mouse
plot = sources["similarity_plot"]
middles = np.array([middle(plot, run) for run in range(25)])
apart = np.hypot(*(middles[:, None] - middles).T) + 1e9 * np.eye(25)
a, b, c = np.argsort(-apart.min(axis=0))[:3]  # no other point covers these
answers["a, b, c"] = [a, b, c]
answers["picks"] = []
for run, keys in ((a, ()), (b, ("ctrl",)), (c, ("ctrl",)), (a, ("shift",))):
    at = middle(plot, run)
    gesture("similarity_plot", at, at, *keys)
    seen = shown(sources["activation_maps"])
    answers["picks"].append([everywhere(), maps(), seen, len(parse_runs(plot.Runs, 25))])
x, y = cells_of(fetch(plot)).corners.min(axis=0) - 0.01
right, top = cells_of(fetch(plot)).corners.max(axis=0) + 0.01
gesture("similarity_plot", (x, y), (right, top))
answers["drag over all"] = everywhere()

# -- a cell of the matrix of runs
matrix = sources["run_similarity"]
rows, columns = array(matrix, "row_run"), array(matrix, "column_run")
cell = int(np.flatnonzero((rows == 4) & (columns == 9))[0])
at = middle(matrix, cell)
gesture("run_similarity", at, at)
answers["pair"] = [everywhere(), maps()]
marked = selected_cells(matrix)
answers["pair is marked"] = bool(np.isin(rows[marked], (4, 9)).sum() >= 2 * 25)
gesture("run_similarity", middle(matrix, 0), middle(matrix, 0), "ctrl")
answers["and another cell"] = [everywhere(), sorted({4, 9, int(rows[0]), int(columns[0])})]

# -- filters: the same two in every plot of the same run, also where clusters order them otherwise
select_cells(sources["groups"], [6])
maps_of_6 = MAPS[0]
row, column = array(maps_of_6, "row"), array(maps_of_6, "column")
cell = int(np.flatnonzero((row == 2) & (column == 5))[0])
at = middle(maps_of_6, cell)
gesture("correlation_first", at, at)


def marked_filters():
    marks = selected_cells(MAPS[0])
    row, column = array(MAPS[0], "row"), array(MAPS[0], "column")
    expected = np.flatnonzero(np.isin(row, (2, 5)) | np.isin(column, (2, 5)))
    maps = sources["activation_maps"]
    of_map = sorted(set(array(maps, "filter")[selected_cells(maps)].tolist()))
    return [marks.tolist() == expected.tolist(), of_map, len(selected_cells(MAPS[1]))]


answers["filters"] = marked_filters()
clock, updated = simple.GetAnimationScene(), set()
for source, port in (("correlation_first", 1), ("parallel_coordinates", 0), *STAY):
    display = display_of(sources[source], port, topology.views[source])
    note = partial(lambda name, *_event: updated.add(name), f"{source} {port}")
    display.SMProxy.GetClientSideObject().AddObserver("UpdateDataEvent", note)
before = array(MAPS[0], "row").tolist()
clock.AnimationTime = 50
simple.RenderAllViews()
answers["updated later"] = sorted(updated)
answers["filters later"] = [marked_filters(), array(MAPS[0], "row").tolist() != before]
clock.AnimationTime = 200
select_cells(sources["groups"], [8])
simple.RenderAllViews()
answers["another run"] = len(selected_cells(MAPS[0]))
select_cells(sources["groups"], [6])
simple.RenderAllViews()
answers["filters are back"] = marked_filters()

# -- all plots of layers at once
sources["correlation_graph"].Layer = "conv1"
simple.RenderAllViews()
of_layer = ("similarity_plot", "correlation_first", "run_similarity", "activation_maps")
answers["other layer"] = [text_of(sources[name], "Layer") for name in of_layer]
answers["checked"] = [[list(r.Layers), list(r.Kinds)] for r in pipeline.find("EnsembleReader")]
answers["filters of the other layer"] = len(set(array(MAPS[0], "row").tolist()))
sources["run_similarity"].Measure = "cka"
simple.RenderAllViews()
answers["cka"] = [
    sorted(pipeline.find("EnsembleReader")[0].Kinds),
    bool(np.isfinite(array(matrix, "similarity")).any()),
]
attach.attach()
attach.attach()
manager = servermanager.ProxyManager().SMProxyManager
answers["links"] = manager.GetNumberOfLinks()
select_cells(LINKED["heat map"], [2])
answers["attached again"] = [everywhere(), maps()]

# -- other ensembles
answers["others"] = {}
for name in ("one", "two", "groups", "diverged", "table"):
    attach.detach()
    simple.ResetSession()
    try:
        scene = load_scene(topology_file).build(str(folder / f"{name}.pvens"), size=(600, 400))
        select_cells(scene.sources["groups"], [0])
        picked = [shown(scene.sources[k]) for k in ("correlation_first", "correlation_last")]
        points = cells_of(fetch(scene.sources["similarity_plot"]))
        answers["others"][name] = [picked, int((np.diff(points.offsets) > 0).sum())]
    except SceneError as error:
        answers["others"][name] = str(error)

# -- the state file, made with an ensemble of other layers
attach.detach()
simple.ResetSession()
attach.attach_to_loaded_states()
simple.LoadState(str(topology_file.with_suffix(".pvsm")), data_directory=str(folder / "state"))
plots = {kind: pipeline.find(kind) for kind in (attach.SIMILARITY_PLOT, *attach.FILTER_PLOTS)}
select_cells(plots[attach.SIMILARITY_PLOT][0], [3])
simple.RenderAllViews()
answers["reopened"] = [
    text_of(plots[attach.SIMILARITY_PLOT][0], "Layer"),
    [shown(plot) for plot in plots[attach.CORRELATIONS] + plots[attach.ACTIVATIONS]],
    selected_cells(pipeline.find("ParallelCoordinates")[0]).tolist(),
    [list(reader.Layers) for reader in pipeline.find("EnsembleReader")],
    manager.GetNumberOfLinks(),
]
answer_file.write_text(json.dumps(answers, default=int))
