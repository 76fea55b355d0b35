"""Plots that compare runs, in a real ParaView: picks are runs, time moves them, steps read once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from paraview_process import run_in_paraview

sys.path.insert(0, str(Path(__file__).parents[1] / "filters"))

from topology_samples import make_topology

pytestmark = pytest.mark.paraview

BODY = """
from paraview import servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy

reader = simple.OpenDataFile(arguments["path"])
reader.Layers = ["conv1", "conv2"]
tensors = simple.OutputPort(reader, 1)
groups = simple.RunGroups(Input=reader)
groups.UpdatePipeline(20)

def array(source, name, port=0):
    return vtk_to_numpy(servermanager.Fetch(source, idx=port).GetCellData().GetArray(name)).tolist()

def picked(source, **show):
    '''Cells that a rectangle over the whole view selects.'''
    view = simple.CreateRenderView()
    view.ViewSize = [600, 400]
    view.InteractionMode = "2D"
    shown = simple.Show(source, view)
    for name, value in show.items():
        setattr(shown, name, value)
    view.ViewTime = 20
    simple.ResetCamera(view)
    simple.Render(view)
    simple.SelectSurfaceCells(Rectangle=[0, 0, 600, 400], View=view)
    chosen = source.GetSelectionInput(0)
    nodes = [] if chosen is None else [node.IDs for node in chosen.Input]
    simple.ClearSelection()
    simple.Delete(view)
    return sorted({int(i) for ids in nodes for i in ids[1::2]})

plot = simple.EnsembleSimilarityPlot(Input=groups, Tensors=tensors)
plot.UpdatePipelineInformation()
result["layers"] = list(plot.GetProperty("LayerInfo"))
result["columns"] = list(plot.GetProperty("XParameterInfo"))
result["points"] = picked(plot)
result["layout"] = {}
for time in (20, 0, 10, 20):
    plot.UpdatePipeline(time)
    place = [array(plot, "x"), array(plot, "y")]
    assert result["layout"].setdefault(str(time), place) == place
plot.Method = "pca"
plot.UpdatePipeline(20)
result["pca"] = array(plot, "x")
result["colors"] = array(plot, "lab_color")

graph = simple.FilterCorrelationGraph(Input=plot, Tensors=tensors)
graph.Runs = "1,4"
result["curves"] = picked(graph, LineWidth=3)
graph.UpdatePipeline(20)
result["counts"] = array(graph, "high_correlations")
graph.Threshold = 0.3
graph.Count = "filters"
graph.UpdatePipeline(20)
result["other counts"] = array(graph, "high_correlations")
matrix = simple.RunSimilarity(Input=groups, Tensors=tensors)
matrix.Order = "input"
result["pairs"] = len(picked(matrix))
matrix.UpdatePipeline(20)
result["similarity"] = array(matrix, "similarity")
matrix.Measure = "cka"
matrix.UpdatePipeline(20)
result["cka"] = array(matrix, "similarity")

without = simple.EnsembleSimilarityPlot(Input=groups)
without.UpdatePipeline(20)
result["not connected"] = array(without, "x")

with messages() as caught:
    reader.Layers = []
    matrix.UpdatePipeline(10)
result["complaint"] = caught.text
reader.Layers = ["conv2"]
matrix.Measure = "paper"
matrix.UpdatePipeline(20)
result["repaired"] = array(matrix, "similarity")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_topology(tmp_path_factory.mktemp("similarity") / "small.pvens", n_runs=6)


@pytest.fixture(scope="module")
def found(made, tmp_path_factory):
    return run_in_paraview(BODY, tmp_path_factory.mktemp("scripts"), path=str(made.path))


def test_panels_list_layers_and_columns(found):
    assert found["layers"] == ["", "conv1", "conv2"]
    assert {"learning_rate", "momentum"} <= set(found["columns"])


def test_every_run_and_every_pair_can_be_picked(found):
    assert found["points"] == list(range(6))
    assert found["curves"] == [1, 4]
    assert found["pairs"] == 36


def test_runs_move_with_time(found):
    places = [np.array(found["layout"][str(time)]) for time in (0, 10, 20)]
    assert all(np.isfinite(place).all() for place in places)
    assert np.abs(places[0] - places[1]).max() > 1e-3
    assert np.abs(places[1] - places[2]).max() > 1e-3
    np.testing.assert_array_equal(found["not connected"], places[2][0])
    assert np.abs(np.array(found["pca"]) - places[2][0]).max() > 1e-3


def test_colours_are_direct(found):
    colors = np.array(found["colors"])
    assert colors.shape == (6, 3)
    assert len(np.unique(colors, axis=0)) == 6


def test_counts_are_those_of_the_correlations(made, found):
    matrices = np.abs(made.correlations(20, range(6)))
    matrices[:, np.arange(5), np.arange(5)] = 0
    np.testing.assert_array_equal(found["counts"], (matrices > 0.7).sum(axis=(1, 2)) / 2)
    expected = (matrices > 0.3).any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(found["other counts"], expected)


def test_similarities(made, found):
    similarity = np.array(found["similarity"]).reshape(6, 6)
    np.testing.assert_allclose(similarity, similarity.T, atol=1e-6)
    np.testing.assert_allclose(np.diagonal(similarity), 1, atol=1e-6)
    grams = made.grams(20, range(6)).reshape(6, -1).astype(float)
    np.testing.assert_allclose(np.reshape(found["cka"], (6, 6)), grams @ grams.T, atol=1e-5)
    np.testing.assert_allclose(found["repaired"], found["similarity"], atol=1e-6)


def test_an_unchecked_layer_is_explained(found):
    assert "under Layers of the Ensemble Reader" in found["complaint"]
