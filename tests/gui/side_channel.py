"""A scene for tests: builds the scene of ``PVENSEMBLE_TEST_SCENE``, then answers questions.

It runs inside the ParaView window. A timer looks for ``question.json`` in the folder
``PVENSEMBLE_TEST_FOLDER`` and answers into ``answer.json``. It changes nothing by itself:
selections are made by the mouse.
"""

import json
import os
import traceback
from pathlib import Path

import numpy as np
from paraview import servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

from pvensemble.views import attach, link, pipeline
from pvensemble.views.cells import RepeatedCells
from pvensemble.views.data import cells_of, fetch
from pvensemble.views.layout import size_of
from pvensemble.views.scenes import Scene, load_scene
from pvensemble.views.selection import selected_cells

FOLDER = Path(os.environ["PVENSEMBLE_TEST_FOLDER"])
INTERVAL = 30  # milliseconds
_state = {}
_mouse = {"view": None, "at": None, "count": 0}


def build(path):
    if os.environ.get("PVENSEMBLE_TEST_STATE"):
        scene = reopened(os.environ["PVENSEMBLE_TEST_STATE"], path)
    elif path is None:
        scene = Scene({}, {"view": simple.GetActiveViewOrCreate("RenderView")})
    else:
        scene = load_scene(os.environ["PVENSEMBLE_TEST_SCENE"]).build(path)
    _state["scene"] = scene
    _watch_mouse(scene.views)
    views = scene.views
    interactor = views.get("parallel_coordinates", views.get("view")).GetInteractor()
    interactor.AddObserver("TimerEvent", lambda *_: _look())
    interactor.CreateRepeatingTimer(INTERVAL)
    _write("ready.json", {"version": str(simple.GetParaViewVersion())})
    return scene


def reopened(state, path):
    """What is there after a state file was loaded."""
    simple.LoadState(state, data_directory=str(Path(path).parent))
    kinds = {"groups": "RunGroups", "parallel_coordinates": "ParallelCoordinates"}
    kinds.update(heat_map="PerformanceHeatMap", graph="LossAccuracyGraph")
    sources = {name: pipeline.find(kind)[0] for name, kind in kinds.items()}
    named = {"parallel_coordinates": "parallel_coordinates", "heat_map": "heat_map"}
    named["loss_accuracy"] = "graph"
    views = {name: attach.views_of(sources[source])[0] for name, source in named.items()}
    return Scene(sources, views)


def open_scene(scene, path):
    """Build another scene beside the first; what has a name of the first gets that of the scene."""
    first, second = _state["scene"], load_scene(scene).build(path)
    for known, new in ((first.sources, second.sources), (first.views, second.views)):
        named = {
            name if name not in known else f"{Path(scene).stem} {name}": new[name] for name in new
        }
        known.update(named)
    _state["second"] = second
    _watch_mouse({n: v for n, v in first.views.items() if v in second.views.values()})
    return sorted(first.views)


def _watch_mouse(views):
    for name, view in views.items():
        interactor = view.GetInteractor() if hasattr(view, "GetInteractor") else None
        if interactor is not None:
            interactor.AddObserver("MouseMoveEvent", _moved(name), 100.0)


def _moved(name):
    def remember(interactor, _event):
        _mouse.update(view=name, at=list(interactor.GetEventPosition()), count=_mouse["count"] + 1)

    return remember


def _look():
    question = FOLDER / "question.json"
    if not question.exists():
        return
    asked = json.loads(question.read_text())
    question.unlink()
    try:
        answer = {"answer": ANSWERS[asked["what"]](**asked["options"])}
    except Exception:
        answer = {"error": traceback.format_exc()}
    _write("answer.json", {"number": asked["number"], **answer})


def _write(name, content):
    beside = FOLDER / (name + ".new")
    beside.write_text(json.dumps(content))
    beside.replace(FOLDER / name)


def _plots():
    sources = _state["scene"].sources
    return {n: sources[n] for n in ("groups", "parallel_coordinates", "heat_map", "graph")}


def selected():
    """Runs selected in each source, the graph's property, and the runs that the graph draws."""
    chosen = {name: selected_cells(source).tolist() for name, source in _plots().items()}
    heat = _state["scene"].sources["heat_map"]
    chosen["heat_map"] = RepeatedCells(heat).runs(chosen["heat_map"]).tolist()
    graph = _state["scene"].sources["graph"]
    sizes = np.diff(cells_of(fetch(graph, 0)).offsets)
    return {"chosen": chosen, "property": graph.Runs, "drawn": np.flatnonzero(sizes).tolist()}


def selected_everywhere():
    """Runs selected in each plot of runs and shown by each plot of one run, of all scenes."""
    sources = _state["scene"].sources
    runs = {n: s for n, s in sources.items() if s.SMProxy.GetXMLName() in attach.PLOTS}
    meanings = {n: attach.PLOTS[s.SMProxy.GetXMLName()].meaning(s) for n, s in runs.items()}
    chosen = {n: meanings[n].runs(selected_cells(s)).tolist() for n, s in runs.items()}
    shown = {
        name: sorted(set(vtk_to_numpy(fetch(s).GetCellData().GetArray("run_index")).tolist()))
        for name, s in sources.items()
        if s.SMProxy.GetXMLName() in (*attach.FILTER_PLOTS, *attach.OF_ONE_RUN)
    }
    return {"chosen": chosen, "shown": shown}


def cell_values(source, names):
    """Cell arrays of a source."""
    data = fetch(_state["scene"].sources[source]).GetCellData()
    return {name: vtk_to_numpy(data.GetArray(name)).tolist() for name in names}


def selected_in(source):
    """Cells selected in a source."""
    return selected_cells(_state["scene"].sources[source]).tolist()


def mouse():
    """Where the mouse was seen last: view, place in its pixels, and how often it moved."""
    return _mouse


def pixel(view, x, y):
    """Place of plot coordinates in a view, in its pixels from the lower left corner."""
    renderer = _state["scene"].views[view].SMProxy.GetRenderer()
    renderer.SetWorldPoint(x, y, 0.0, 1.0)
    renderer.WorldToDisplay()
    return list(renderer.GetDisplayPoint()[:2])


def axis(name):
    """Plot coordinates of an axis: x, height, and the position of each run on it."""
    data = fetch(_state["scene"].sources["parallel_coordinates"])
    field = data.GetFieldData()
    names = field.GetAbstractArray("axis_names")
    k = [names.GetValue(i) for i in range(names.GetNumberOfValues())].index(name)
    places = field.GetArray("axis_positions")
    return {
        "x": field.GetArray("axis_x").GetValue(k),
        "height": field.GetArray("axis_height").GetValue(0),
        "positions": [places.GetComponent(i, k) for i in range(places.GetNumberOfTuples())],
    }


def points(source):
    """Plot coordinates of the corners of each run's cell."""
    cells = cells_of(fetch(_state["scene"].sources[source], 0))
    return [c.tolist() for c in np.split(cells.corners, cells.offsets[1:-1])]


def color_count(view, color):
    """Number of pixels of nearly this colour in what a view shows now; nothing is drawn again."""
    picture = vtkWindowToImageFilter()
    picture.SetInput(_state["scene"].views[view].GetRenderWindow())
    picture.ShouldRerenderOff()
    picture.ReadFrontBufferOff()
    picture.Update()
    pixels = vtk_to_numpy(picture.GetOutput().GetPointData().GetScalars()).astype(int)
    return int((np.abs(pixels[:, :3] - color).max(axis=1) < 40).sum())


def show_tab(view):
    """Bring the tab with a view to the front."""
    simple.SetActiveView(_state["scene"].views[view])


def views():
    """Size of each view, in pixels."""
    plots = ("parallel_coordinates", "heat_map", "loss_accuracy")
    there = _state["scene"].views
    return {n: list(size_of(there[n])) for n in plots if n in there}


def set_property(source, name, value):
    """Change a property of a source and draw all views."""
    setattr(_state["scene"].sources[source], name, value)
    simple.RenderAllViews()


def extracts():
    """What is extracted from a training that is connected: numbers by name, run and volume."""
    return {
        name: _numbers(proxy.GetClientSideObject().GetOutputDataObject(0))
        for name, proxy in _registered("sources")
        if name.startswith("Extract: ")
    }


def pausing():
    """Whether a training that is connected is to wait."""
    links = [proxy for _, proxy in _registered("coprocessing")]
    return any(link.GetProperty("SimulationPaused").GetElement(0) for link in links)


def _registered(group):
    """Names and proxies of a group, of all servers."""
    found = []
    for connection in servermanager.Connections:
        proxies = servermanager.vtkSMProxyIterator()
        proxies.SetSessionProxyManager(connection.Session.GetSessionProxyManager())
        proxies.SetModeToOneGroup()
        proxies.Begin(group)
        while not proxies.IsAtEnd():
            found.append((proxies.GetKey(), proxies.GetProxy()))
            proxies.Next()
    return found


def _numbers(data):
    if data is None or not data.IsA("vtkMultiBlockDataSet"):
        cells = data and data.GetAttributes(1)
        array = cells and cells.GetArray("last_step")
        return vtk_to_numpy(array).tolist() if array else []
    found = {}
    for k in range(data.GetNumberOfBlocks()):
        image, name = data.GetBlock(k), data.GetMetaData(k).Get(data.NAME())
        fields = {n: vtk_to_numpy(image.GetFieldData().GetArray(n)) for n in ("step", "shape")}
        cells = vtk_to_numpy(image.GetCellData().GetArray(0))
        found[name] = {n: a.tolist() for n, a in fields.items()}
        found[name]["values"] = cells.tolist()
    return found


def unlink():
    """Sabotage: remove all selection links."""
    link.unlink_all()


def link_again():
    """Undo the sabotage."""
    attach.attach()


ANSWERS = {
    f.__name__: f
    for f in (
        *(selected, selected_everywhere, selected_in, cell_values, mouse, pixel, axis, points),
        *(color_count, set_property, show_tab, views, open_scene, unlink, link_again),
        *(extracts, pausing),
    )
}
