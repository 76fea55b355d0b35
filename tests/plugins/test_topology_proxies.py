"""Filter Correlation and Activation Maps in a real ParaView: inputs, values, picking, time."""

from __future__ import annotations

import numpy as np
import pytest
from ensembles import LAYERS, make_ensemble, tensor
from paraview_process import run_in_paraview

from pvensemble import schema

pytestmark = pytest.mark.paraview

KINDS = (schema.CORRELATION, schema.ACTIVATION)

BODY = """
from paraview import servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy

def column(source, name, port=0):
    data = servermanager.Fetch(source, idx=port)
    return vtk_to_numpy(data.GetCellData().GetArray(name)).tolist()

def picked(source, place, **show):
    '''Cells that a click at a place of the plot selects.'''
    view = simple.CreateRenderView()
    view.ViewSize = [600, 600]
    view.InteractionMode = "2D"
    simple.Show(simple.OutputPort(source, 0), view)
    simple.Render(view)  # the first one looks at everything
    view.CameraPosition = [*place, 10.0]
    view.CameraFocalPoint = [*place, 0.0]
    view.CameraParallelProjection = 1
    view.CameraParallelScale = 2.0
    simple.Render(view)
    simple.SelectSurfaceCells(Rectangle=[299, 299, 300, 300], View=view)
    chosen = source.GetSelectionInput(0)
    nodes = [] if chosen is None else [node.IDs for node in chosen.Input]
    simple.ClearSelection()
    simple.Delete(view)
    return sorted({int(i) for ids in nodes for i in ids[1::2]})

reader = simple.OpenDataFile(arguments["path"])
with messages() as caught:
    found = simple.FilterCorrelation(Input=reader)
    found.Order = "original"
    found.Runs = "7"
    found.UpdatePipeline(50.0)
result["nothing checked"] = caught.text
reader.Layers = ["conv1", "conv2"]
measures = simple.PerformanceMeasures(Input=reader)
given = simple.FilterCorrelation(Input=measures, Tensors=simple.OutputPort(reader, 1))
given.Order = "original"
given.Runs = "7"
result["values"] = {}
for time in (50.0, 100.0, 0.0):
    for name, source in (("found", found), ("given", given)):
        source.UpdatePipeline(time)
        result["values"][f"{name} {time:g}"] = column(source, "correlation")
result["layers"] = {}
for name, source in (("found", found), ("given", given)):
    source.UpdatePipelineInformation()
    result["layers"][name] = list(source.GetProperty("LayerInfo"))
given.Layer = "conv1"
given.Magnitude = 0
given.UpdatePipeline(100.0)
result["conv1"] = column(given, "correlation")

given.Layer = ""
given.UpdatePipeline(100.0)

maps = simple.ActivationMaps(Input=measures)
maps.Order = "original"
maps.Runs = "4-6"
maps.Range = "common"
maps.UpdatePipeline(100.0)
result["maps"] = {n: column(maps, n) for n in ("activation", "filter", "image", "run_index")}
colors = servermanager.Fetch(maps, idx=1).GetPointData().GetArray("color")
result["colors"] = colors.GetNumberOfTuples()

hints = given.SMProxy.GetProperty("Tensors").GetHints()
result["asks for tensors"] = hints.FindNestedElementByName("Optional") is None

# Before anything is picked: ParaView 6.1 saves selections, and complains of one that was cleared.
simple.SaveState(arguments["state"])
unit = 9.0 / 6
row, col = 1, 4
result["picked"] = picked(given, ((col + 0.5) * unit, 9.0 - (row + 0.5) * unit))
result["row"], result["column"] = column(given, "row"), column(given, "column")
simple.ResetSession()
simple.LoadState(arguments["state"])
restored = simple.FindSource("FilterCorrelation2")
restored.UpdatePipeline(100.0)
result["restored"] = {
    "input": restored.Input.GetXMLName(), "tensors": restored.Tensors.Port,
    "correlation": column(restored, "correlation"),
    "range": str(simple.FindSource("ActivationMaps1").Range),
}
"""


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    path = tmp_path_factory.mktemp("topology") / "grid.pvens"
    return make_ensemble(path, n_lr=3, n_momentum=3, groups=2, kinds=KINDS)


@pytest.fixture(scope="module")
def found(truth, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    return run_in_paraview(BODY, folder, path=str(truth.path), state=str(folder / "state.pvsm"))


def expected(layer, kind, step, run):
    return tensor(LAYERS[layer], kind, step, np.array([run]))[0]


def test_a_layer_that_is_not_checked_is_named(found):
    message = found["nothing checked"]
    assert "ERROR: Filter Correlation: " in message
    assert "under Layers of the Ensemble Reader" in message
    assert "Traceback" not in message


def test_the_menu_asks_for_no_second_input(found):
    assert not found["asks for tensors"]


@pytest.mark.parametrize("step", [0, 50, 100])
@pytest.mark.parametrize("name", ["given", "found"])
def test_matrices_of_the_time_with_and_without_the_second_input(found, name, step):
    matrix = expected(1, schema.CORRELATION, step, 7)
    np.testing.assert_array_equal(np.float32(found["values"][f"{name} {step}"]), matrix.ravel())


def test_the_panel_lists_the_layers(found):
    assert found["layers"] == {"found": ["", "conv1", "conv2"], "given": ["", "conv1", "conv2"]}


def test_another_layer_can_be_chosen(found):
    matrix = expected(0, schema.CORRELATION, 100, 7)
    np.testing.assert_array_equal(np.float32(found["conv1"]), matrix.ravel())


def test_a_picked_cell_tells_both_filters(found):
    (cell,) = found["picked"]
    assert (found["row"][cell], found["column"][cell]) == (1, 4)


def test_maps_of_the_first_chosen_run(found):
    maps, got = expected(1, schema.ACTIVATION, 100, 4), found["maps"]
    np.testing.assert_array_equal(np.float32(got["activation"]), maps.ravel())
    assert set(got["run_index"]) == {4}
    assert got["filter"] == np.repeat(np.arange(6), 2 * 25).tolist()
    assert got["image"] == np.tile(np.repeat([0, 1], 25), 6).tolist()
    assert found["colors"] > 2 * 49 * 4


def test_both_inputs_survive_in_a_state_file(found):
    restored = found["restored"]
    assert (restored["input"], restored["tensors"]) == ("PerformanceMeasures", 1)
    matrix = expected(1, schema.CORRELATION, 100, 7)
    np.testing.assert_array_equal(np.float32(restored["correlation"]), matrix.ravel())
    assert restored["range"] == "'common'"
