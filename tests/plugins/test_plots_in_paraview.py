"""The plots in a real ParaView: cells can be picked and are the runs, hidden ones cannot."""

from __future__ import annotations

import numpy as np
import pytest
from paraview_process import run_in_paraview

pytestmark = pytest.mark.paraview

BODY = """
from paraview import servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy

reader = simple.OpenDataFile(arguments["path"])
measures = simple.PerformanceMeasures(Input=reader)
groups = simple.RunGroups(Input=measures)
groups.Groups = "good = #1f77b4 : top 3 P1"

def picked(source, port=0, **show):
    '''Indices of the cells that a rectangle over the whole view selects.'''
    view = simple.CreateRenderView()
    view.ViewSize = [600, 400]
    view.InteractionMode = "2D"
    shown = simple.Show(simple.OutputPort(source, port), view)
    for name, value in show.items():
        setattr(shown, name, value)
    simple.ResetCamera(view)
    simple.Render(view)
    simple.SelectSurfaceCells(Rectangle=[0, 0, 600, 400], View=view)
    chosen = source.GetSelectionInput(port)
    nodes = [] if chosen is None else [node.IDs for node in chosen.Input]
    simple.ClearSelection()
    simple.Delete(view)
    return sorted({int(i) for ids in nodes for i in ids[1::2]})

lines = simple.ParallelCoordinates(Input=groups)
lines.Runs = "0-4,24"
result["lines"] = picked(lines, LineWidth=2)
heat = simple.PerformanceHeatMap(Input=groups)
heat.UpdatePipelineInformation()
result["columns"] = list(heat.GetProperty("XAxisInfo"))
result["cells"] = picked(heat)
dots = servermanager.Fetch(heat, idx=2)
result["dots"] = sorted(int(i) for i in vtk_to_numpy(dots.GetCellData().GetArray("run_index")))
p1 = vtk_to_numpy(servermanager.Fetch(groups).GetCellData().GetArray("group"))
result["good"] = [int(i) for i in (p1 >= 0).nonzero()[0]]
graph = simple.LossAccuracyGraph(Input=groups)
graph.Runs = "7,9"
result["accuracy"] = picked(graph, LineWidth=2)
result["loss"] = picked(graph, 1, PointSize=3)

def playhead(time):
    graph.UpdatePipeline(time)
    axes = servermanager.Fetch(graph, idx=2)
    colors = vtk_to_numpy(axes.GetPointData().GetArray("color"))
    lines = [axes.GetCell(k).GetPointIds().GetId(0) for k in range(axes.GetNumberOfLines())]
    return [axes.GetPoint(i)[0] for i in lines if tuple(colors[i]) == (200, 30, 30)]

times = list(reader.TimestepValues)
result["times"] = times
result["playheads"] = [playhead(t) for t in times]

with messages() as caught:
    lines.Axes = "learning_rat"
    lines.UpdatePipeline()
result["complaint"] = caught.text
lines.Axes = ""
lines.UpdatePipeline()
result["repaired"] = lines.GetDataInformation().GetNumberOfCells()
heat.Layout = "all pairs"
heat.UpdatePipeline()
result["all pairs"] = heat.GetDataInformation().GetNumberOfCells()
"""


@pytest.fixture(scope="module")
def found(truth, tmp_path_factory):
    return run_in_paraview(BODY, tmp_path_factory.mktemp("plots"), path=str(truth.path))


def test_only_drawn_runs_are_picked_under_their_own_number(found):
    assert found["lines"] == [0, 1, 2, 3, 4, 24]
    assert found["accuracy"] == [7, 9]
    assert found["loss"] == [7, 9]


def test_every_run_of_the_heat_map_can_be_picked(found):
    assert found["cells"] == list(range(25))


def test_runs_in_groups_have_dots(found):
    assert len(found["good"]) == 3
    assert found["dots"] == found["good"]


def test_the_playhead_follows_the_time(found):
    heads = [head for head in found["playheads"] if head]
    assert len(heads) >= 2
    x = np.array([head[0] for head in heads])
    assert np.all(np.diff(x) > 0)
    assert all(len(head) == 2 for head in heads)


def test_a_wrong_option_is_explained_and_can_be_repaired(found):
    assert "did you mean 'learning_rate'" in found["complaint"]
    assert found["repaired"] == 25


def test_all_pairs_repeats_the_runs(found):
    assert found["all pairs"] % 25 == 0
    assert found["all pairs"] > 25


def test_panels_list_the_columns(found):
    assert "learning_rate" in found["columns"]
    assert found["columns"][0] == ""
