"""Plots of weights and gradients over the training, in a real ParaView."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from paraview_process import run_in_paraview

sys.path.insert(0, str(Path(__file__).parents[1] / "filters"))

from dynamics_samples import STEPS, jitter, make_dynamics, straight, walk

from pvensemble import schema
from pvensemble.numerics.norms import fit_power_law, quantity_of

pytestmark = pytest.mark.paraview

BODY = """
from paraview import servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy
from pvensemble.views import dynamics_charts
from pvensemble.views.layout import plot_view

reader = simple.OpenDataFile(arguments["path"])
reader.Layers, reader.Kinds = ["conv"], arguments["kinds"]
tensors = simple.OutputPort(reader, 1)

def fetched(source, time, port=0):
    source.UpdatePipeline(time)
    return servermanager.Fetch(source, idx=port)

def array(source, name, time=400, port=0):
    data = fetched(source, time, port).GetCellData().GetAbstractArray(name)
    if data.GetClassName() == "vtkStringArray":
        return [data.GetValue(i) for i in range(data.GetNumberOfValues())]
    return vtk_to_numpy(data).tolist()

def picked(source, show, ports):
    '''Cells that a rectangle over the whole view selects.'''
    view = plot_view("a view")
    view.ViewSize = [600, 400]
    view.ViewTime = 400
    show(source, view)
    simple.ResetCamera(view)
    simple.Render(view)
    simple.SelectSurfaceCells(Rectangle=[0, 0, 600, 400], View=view)
    chosen = [source.GetSelectionInput(port) for port in ports]
    nodes = [node.IDs for one in chosen if one is not None for node in one.Input]
    simple.ClearSelection()
    simple.Delete(view)
    return sorted({int(i) for ids in nodes for i in ids[1::2]})

reader.UpdatePipeline(400)
graph = simple.NormGraph(Input=reader)
graph.UpdatePipelineInformation()
result["parameters"] = list(graph.GetProperty("ParameterInfo"))
result["norm picked"] = picked(graph, dynamics_charts.show_norm_graph, (0, 1))
graph.Parameter, graph.Quantity = "conv.weight", "growth"
result["exponents"] = array(graph, "norm_exponent")
result["norms"] = {str(t): array(graph, "present_weight_norm", t) for t in (0, 200)}
graph.Layout, graph.Runs = "all layers", "1"
result["names"] = array(graph, "parameter")
with messages() as caught:
    graph.Parameter = "conv9"
    graph.UpdatePipeline(400)
result["complaint"] = caught.text

paths = simple.WeightTrajectory(Input=reader, Tensors=tensors)
paths.UpdatePipelineInformation()
result["layers"] = list(paths.GetProperty("LayerInfo"))
result["path picked"] = picked(paths, dynamics_charts.show_weight_trajectory, (0,))
result["motion"] = array(paths, "motion")
points = fetched(paths, 400).GetPointData().GetArray("step")
result["steps"] = vtk_to_numpy(points).tolist()
paths.Projection, paths.Runs = "hidden units", "2"
result["filters"] = array(paths, "filter")
diagnostics = simple.TrainingDiagnostics(Input=reader, Tensors=tensors)
diagnostics.StuckBelow = 1e9
result["diagnosis"] = array(diagnostics, "diagnosis")
without = simple.WeightTrajectory(Input=reader)
result["not connected"] = array(without, "motion")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    weights = [walk(1, 4), straight(2, 4), jitter(3, 4)]
    kinds = (schema.WEIGHT, schema.CORRELATION)
    path = tmp_path_factory.mktemp("dynamics") / "small.pvens"
    return make_dynamics(path, weights, kinds=kinds)


@pytest.fixture(scope="module")
def found(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    return run_in_paraview(BODY, folder, path=str(made.path), kinds=list(made.kinds))


def test_panels_list_what_there_is(found):
    assert found["parameters"] == ["", "conv.weight"]
    assert found["layers"] == ["", "conv"]


def test_every_run_can_be_picked(found):
    assert found["norm picked"] == [0, 1, 2]
    assert found["path picked"] == [0, 1, 2]


def test_norms_follow_the_time_and_properties(made, found):
    for place, step in ((0, 0), (20, 200)):
        norms = [np.linalg.norm(w[place]) for w in made.weights]
        np.testing.assert_allclose(found["norms"][str(step)], norms, rtol=1e-6)
    norms = np.array([np.linalg.norm(w.reshape(len(STEPS), -1), axis=1) for w in made.weights])
    expected = fit_power_law(np.array(STEPS), quantity_of(norms, "growth")).exponent
    np.testing.assert_allclose(found["exponents"], expected, rtol=1e-4)
    assert found["names"] == ["conv.weight"] * 3
    assert "no norms of 'conv9'; there are: conv.weight" in found["complaint"]


def test_paths(found):
    assert found["motion"] == ["random walk", "directed", "confined"] == found["not connected"]
    assert found["steps"] == STEPS * 3
    assert found["filters"] == [0, 1, 2, 3]


def test_diagnoses(found):
    assert found["diagnosis"] == ["stuck"] * 3
