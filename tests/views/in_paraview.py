"""Runs in pvpython: opens a scene, does what a user does, and writes what came of it as JSON.

Arguments: ensemble, scene file, file for the answers.
"""

import json
import sys
from pathlib import Path

from paraview import servermanager, simple

from pvensemble.errors import SceneError
from pvensemble.numerics.groups import parse_groups
from pvensemble.views import attach, groups, link
from pvensemble.views.data import cells_of, display_of, fetch
from pvensemble.views.scenes import load_scene
from pvensemble.views.selection import combined, select_cells, selected_cells

answers = {}
scene = load_scene(sys.argv[2]).build(sys.argv[1], size=(1600, 1000))
sources = scene.sources
PLOTS = ("groups", "parallel_coordinates", "heat_map", "graph")


def everywhere():
    return {name: selected_cells(sources[name]).tolist() for name in PLOTS}


def drawn():
    offsets = cells_of(fetch(sources["graph"])).offsets
    return [k for k in range(len(offsets) - 1) if offsets[k + 1] > offsets[k]]


def gesture(view, events):
    """Send mouse events at pixels of a view."""
    interactor = scene.views[view].GetInteractor()
    for event, x, y, keys in events:
        interactor.SetEventInformation(int(x), int(y), "ctrl" in keys, "shift" in keys)
        interactor.InvokeEvent(event)


def pixel(view, x, y):
    renderer = scene.views[view].SMProxy.GetRenderer()
    renderer.SetWorldPoint(x, y, 0.0, 1.0)
    renderer.WorldToDisplay()
    return renderer.GetDisplayPoint()[:2]


answers["views"] = sorted(scene.views)
answers["sources"] = sorted(sources)
answers["orientation axes"] = [
    int(v.OrientationAxesVisibility) for v in scene.views.values() if hasattr(v, "InteractionMode")
]
answers["modes"] = [
    str(v.InteractionMode).strip("'") for v in scene.views.values() if hasattr(v, "InteractionMode")
]
answers["backgrounds"] = [
    list(v.Background) for v in scene.views.values() if hasattr(v, "InteractionMode")
]
answers["layouts"] = sorted(
    name for (name, _id) in servermanager.ProxyManager().GetProxiesInGroup("layouts")
)
answers["time"] = simple.GetAnimationScene().AnimationTime

# -- every source tells all others
answers["linked"] = {}
for k, name in enumerate(PLOTS):
    select_cells(sources[name], [k, 10 + k])
    answers["linked"][name] = [everywhere(), sources["graph"].Runs, drawn()]
select_cells(sources["heat_map"], [])
answers["cleared"] = [everywhere(), sources["graph"].Runs, len(drawn())]

# -- ParaView's own kinds of selection
simple.QuerySelect("P1 >= 0.5", "CELL", sources["groups"])
p1 = fetch(sources["groups"]).GetCellData().GetArray("P1")
answers["query"] = [
    everywhere(),
    [i for i in range(p1.GetNumberOfTuples()) if p1.GetValue(i) >= 0.5],
]
select_cells(sources["groups"], [])

# -- gestures
middle = cells_of(fetch(sources["heat_map"])).corners.reshape(-1, 4, 2).mean(axis=1)
at = pixel("heat_map", *middle[40])
down, up, move = "LeftButtonPressEvent", "LeftButtonReleaseEvent", "MouseMoveEvent"
gesture("heat_map", [(down, *at, ()), (up, *at, ())])
answers["click"] = everywhere()
other = pixel("heat_map", *middle[41])
gesture("heat_map", [(down, *other, ("ctrl",)), (up, *other, ("ctrl",))])
answers["ctrl click"] = everywhere()
gesture("heat_map", [(down, *at, ("shift",)), (up, *at, ("shift",))])
answers["shift click"] = everywhere()
camera = [scene.views["heat_map"].CameraParallelScale, *scene.views["heat_map"].CameraFocalPoint]
gesture("heat_map", [(down, *at, ()), (move, *other, ()), (up, *other, ())])
answers["drag"] = everywhere()
answers["camera moved"] = camera != [
    scene.views["heat_map"].CameraParallelScale,
    *scene.views["heat_map"].CameraFocalPoint,
]

# -- a dot of the loss curve; the highlight of a run that the density image stood for
select_cells(sources["heat_map"], [3, 60, 100])  # the graph draws just these
dots = cells_of(fetch(sources["graph"], 1))
at = pixel("loss_accuracy", *dots.corners[dots.offsets[60] + 300])
gesture("loss_accuracy", [(down, *at, ()), (up, *at, ())])
answers["loss dot"] = everywhere()
select_cells(sources["heat_map"], [])
parallel = sources["parallel_coordinates"]
sizes = []
for above in (3000, 10):
    parallel.DensityAbove = above
    select_cells(sources["heat_map"], [33])
    offsets = cells_of(fetch(parallel)).offsets
    sizes.append([parallel.Runs, int(offsets[34] - offsets[33])])
    select_cells(sources["heat_map"], [])
    sizes[-1].append(parallel.Runs)
answers["crowded"] = sizes
parallel.DensityAbove = 3000

# -- groups
select_cells(sources["graph"], [3, 4, 5, 9])
made = groups.group_from_selection(color="#9467bd")
answers["group"] = [made.name, made.color, made.expression]
data = fetch(sources["parallel_coordinates"]).GetCellData()
answers["group of run 4"] = data.GetArray("group").GetValue(4)
answers["color of run 4"] = list(data.GetArray("group_color").GetTuple(4))
answers["selected after grouping"] = everywhere()
select_cells(sources["graph"], [7])
groups.group_from_selection(name=made.name, color="#000000")
answers["replaced"] = [[g.name, g.expression] for g in parse_groups(sources["groups"].Groups)]
groups.remove_first_group()
answers["removed"] = [g.name for g in parse_groups(sources["groups"].Groups)]
try:
    groups.group_from_selection()
except SceneError as error:
    answers["nothing selected"] = str(error)

# -- combining
answers["combined"] = [
    combined([1, 2, 3], [3, 4], how).tolist() for how in ("replace", "add", "subtract", "toggle")
]

# -- a changed measure changes the colours; a metric at the present step keeps them
lut = simple.GetColorTransferFunction("cell_mean")


def color_range():
    simple.RenderAllViews()
    values = sources["heat_map"].CellData["cell_mean"].GetRange()
    return {"colors": [lut.RGBPoints[0], lut.RGBPoints[-4]], "values": list(values)}


answers["ranges"] = []
for step in (60, 10):
    sources["measures"].P1Step = sources["measures"].IntervalStart = step
    answers["ranges"].append(color_range())
sources["heat_map"].ColorBy = "validation_accuracy"
answers["ranges"].append(color_range())
sources["heat_map"].ColorBy = ""

# -- resizing keeps text at its size and the plot in sight
view = scene.views["parallel_coordinates"]
before = sources["parallel_coordinates"].LabelSize * view.ViewSize[1] / view.CameraParallelScale
view.ViewSize = [800, 700]
after = sources["parallel_coordinates"].LabelSize * view.ViewSize[1] / view.CameraParallelScale
answers["text"] = [before, after]

# -- a run has a cell in each map of all pairs
heat = sources["heat_map"]
n_runs = heat.Input.SMProxy.GetDataInformation(0).GetNumberOfCells()
select_cells(sources["groups"], [7, 20])
heat.Layout = "all pairs"
simple.RenderAllViews()
answers["new maps"] = [selected_cells(heat).tolist(), n_runs]
select_cells(sources["graph"], [5])
answers["all maps"] = selected_cells(heat).tolist()
select_cells(heat, [n_runs + 8, 2 * n_runs + 9])  # as ParaView's own tools do
answers["picked in other maps"] = [selected_cells(heat).tolist(), everywhere()]
middle = cells_of(fetch(heat)).corners.reshape(-1, 4, 2).mean(axis=1)
at = pixel("heat_map", *middle[2 * n_runs + 50])
gesture("heat_map", [(down, *at, ()), (up, *at, ())])
answers["click in the third map"] = [selected_cells(heat).tolist(), everywhere()]
at = pixel("heat_map", *middle[n_runs + 50])
gesture("heat_map", [(down, *at, ("shift",)), (up, *at, ("shift",))])
answers["taken away in the second map"] = [selected_cells(heat).tolist(), everywhere()]
heat.Layout = "one pair"
simple.RenderAllViews()

# -- attaching twice leaves one of everything; without links nothing follows
attach.attach()
attach.attach()
select_cells(sources["heat_map"], [2])
answers["attached again"] = [everywhere(), sources["graph"].Runs]
manager = servermanager.ProxyManager().SMProxyManager
answers["links"] = manager.GetNumberOfLinks()
link.unlink_all()
select_cells(sources["heat_map"], [50])
answers["unlinked"] = everywhere()
answers["nothing created by asking"] = display_of(
    sources["reader"], 0, scene.views["heat_map"]
) is None and len([r for r in scene.views["heat_map"].Representations if hasattr(r, "Input")])

Path(sys.argv[3]).write_text(json.dumps(answers))
