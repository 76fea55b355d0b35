"""Channels as conduit nodes: what goes into a mesh comes out of it."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
from catalyst2_cases import STAND_IN, forget, require
from ensembles import make_ensemble
from vtkmodules.vtkCommonDataModel import vtkMultiBlockDataSet, vtkPolyData
from vtkmodules.vtkCommonExecutionModel import vtkTrivialProducer

from pvensemble.filters._base import run
from pvensemble.filters.filter_correlation_graph import FilterCorrelationGraph
from pvensemble.filters.measures import PerformanceMeasures
from pvensemble.filters.reader import EnsembleReader
from pvensemble.vtkdata.arrays import add_field, image_from_stack, stack_from_image, to_numpy
from pvensemble.vtkdata.blueprint import as_runs, as_tensors, runs_to_mesh, tensors_to_meshes
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import runs_to_polydata
from pvensemble.vtkdata.time import data_time, set_data_time

TABLE = {
    "run_index": np.arange(3),
    "run_id": np.array(["x", "y\n,", "Größe"]),
    "model/width": np.array([0.1, 0.2, np.nan]),
    "nesterov": np.array([True, False, True]),
    "position": np.arange(6.0).reshape(3, 2),
}
CURVE = SimpleNamespace(steps=np.array([0, 10]), values=np.arange(6.0).reshape(3, 2))
HYPER = [SimpleNamespace(name="model/width", scale="log")]


@pytest.fixture(params=["stand-in", "real"])
def conduit(request, monkeypatch):
    """The module ``catalyst_conduit``."""
    forget()
    require(request.param)
    if request.param == "stand-in":
        monkeypatch.syspath_prepend(str(STAND_IN))
    importlib.import_module("catalyst_conduit.blueprint.mesh")
    yield importlib.import_module("catalyst_conduit")
    forget()


@pytest.fixture
def meshes(monkeypatch):
    """What makes data sets of nodes of the stand-in, as ParaView does."""
    forget()
    monkeypatch.syspath_prepend(str(STAND_IN))
    module = importlib.import_module("vtk_meshes")
    yield SimpleNamespace(
        Node=importlib.import_module("catalyst_conduit").Node,
        partitioned=module.partitioned,
        collection=module.collection,
    )
    forget()


def runs_of(n: int) -> vtkPolyData:
    table = {name: values[:n] for name, values in TABLE.items()}
    curve = SimpleNamespace(steps=CURVE.steps, values=CURVE.values[:n])
    return runs_to_polydata(table, {"loss/train": curve}, HYPER, name="mine")


def tensors() -> vtkMultiBlockDataSet:
    data = vtkMultiBlockDataSet()
    for position, name in enumerate(("g000/conv1.weight", "", "g001/conv1.correlation")):
        if not name:
            data.SetBlock(position, None)
            continue
        stack = np.random.default_rng(position).normal(size=(4, 2, 3)).astype(np.float32)
        image = image_from_stack(stack, name.rpartition(".")[2])
        add_field(image.GetFieldData(), "run_index", np.arange(4) + position)
        add_field(image.GetFieldData(), "words", ["a", "b"])
        data.SetBlock(position, image)
        data.GetMetaData(position).Set(data.NAME(), name)
    return data


def contents(attributes) -> list[tuple]:
    """Return name, type and values of all arrays, in order."""
    arrays = (attributes.GetAbstractArray(i) for i in range(attributes.GetNumberOfArrays()))
    return [(a.GetName(), to_numpy(a).dtype.str, to_numpy(a)) for a in arrays]


def same(one, other) -> None:
    for get in ("GetCellData", "GetFieldData"):
        found, expected = (contents(getattr(data, get)()) for data in (one, other))
        assert [array[:2] for array in found] == [array[:2] for array in expected]
        for array, wished in zip(found, expected):
            np.testing.assert_array_equal(array[2], wished[2], err_msg=array[0])


@pytest.mark.parametrize("n", [3, 1])
def test_runs_come_back_as_they_were(meshes, n):
    runs, node = runs_of(n), meshes.Node()
    runs_to_mesh(runs, node)
    data = meshes.partitioned(node)
    set_data_time(data, 20)
    back = as_runs(data)
    same(back, runs)
    assert [back.GetPoint(i) for i in range(n)] == [runs.GetPoint(i) for i in range(n)]
    assert [back.GetCellType(i) for i in range(n)] == [runs.GetCellType(i) for i in range(n)]
    assert RunsData(back).columns["run_id"].tolist() == TABLE["run_id"][:n].tolist()
    np.testing.assert_array_equal(RunsData(back).curve("loss/train")[1], CURVE.values[:n])
    assert data_time(back) == 20


def test_a_process_without_runs_has_an_empty_mesh(conduit, meshes):
    node = conduit.Node()
    runs_to_mesh(vtkPolyData(), node)
    assert conduit.blueprint.mesh.verify(node, conduit.Node())
    here = meshes.Node()
    runs_to_mesh(vtkPolyData(), here)
    assert as_runs(meshes.partitioned(here)).GetNumberOfCells() == 0


def test_tensors_come_back_as_they_were(meshes):
    data, node = tensors(), meshes.Node()
    tensors_to_meshes(data, node)
    back = as_tensors(meshes.collection(node))
    assert back.GetNumberOfBlocks() == 2
    for position, original in ((0, 0), (1, 2)):
        image, expected = back.GetBlock(position), data.GetBlock(original)
        same(image, expected)
        assert image.GetDimensions() == expected.GetDimensions()
        name = back.GetMetaData(position).Get(back.NAME())
        assert name == data.GetMetaData(original).Get(data.NAME())
        kind = name.rpartition(".")[2]
        assert image.GetCellData().GetScalars().GetName() == kind
        np.testing.assert_array_equal(*(stack_from_image(i, kind) for i in (image, expected)))


def test_nodes_are_meshes_and_share_the_memory_of_numbers(conduit):
    runs, data = runs_of(3), tensors()
    mesh, volumes = conduit.Node(), conduit.Node()
    runs_to_mesh(runs, mesh)
    tensors_to_meshes(data, volumes)
    for node in (mesh, *(child.node() for child in volumes.children())):
        info = conduit.Node()
        assert conduit.blueprint.mesh.verify(node, info), info
    widths = to_numpy(runs.GetCellData().GetArray("model/width"))
    weights = to_numpy(data.GetBlock(0).GetCellData().GetArray("weight"))
    widths[1] = weights[5] = 77
    fields = {child.name(): child.node() for child in mesh["fields"].children()}
    assert fields["model/width"]["values"][1] == 77
    assert fields["position"]["values/c1"].tolist() == TABLE["position"][:, 1].tolist()
    assert volumes["volume0/fields/weight/values"][5] == 77


def test_filters_take_meshes_as_they_take_what_a_reader_gives(tmp_path, meshes):
    reader = EnsembleReader()
    reader.SetFileName(str(make_ensemble(tmp_path / "e.pvens", n_lr=3, n_momentum=2).path))
    reader.UpdateInformation()
    reader.GetLayers().EnableAllArrays()
    run(reader)
    shown, nodes = (vtkPolyData(), vtkMultiBlockDataSet()), (meshes.Node(), meshes.Node())
    for port, data in enumerate(shown):  # the reader's own data change when it is asked again
        data.ShallowCopy(reader.GetOutputDataObject(port))
    runs_to_mesh(shown[0], nodes[0])
    tensors_to_meshes(shown[1], nodes[1])
    channels = [vtkTrivialProducer(), vtkTrivialProducer()]
    channels[0].SetOutput(meshes.partitioned(nodes[0]))
    channels[1].SetOutput(meshes.collection(nodes[1]))
    for kind in (PerformanceMeasures, FilterCorrelationGraph):
        found = []
        for sources in ([(reader, 0), (reader, 1)], [(c, 0) for c in channels]):
            algorithm = kind()
            for port in range(algorithm.GetNumberOfInputPorts()):
                source, output = sources[port]
                algorithm.SetInputConnection(port, source.GetOutputPort(output))
            run(algorithm)
            found.append(algorithm.GetOutputDataObject(0))
            assert "learning_rate" in algorithm.GetColumnNames()
        assert found[0].GetNumberOfCells() > 0
        same(*found)
    assert len(algorithm.GetLayerNames()) > 1


def test_other_data_pass():
    for data in (vtkPolyData(), vtkMultiBlockDataSet(), None):
        assert as_runs(data) is data
        assert as_tensors(data) is data
