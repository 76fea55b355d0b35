"""Access to the Tensors input: matching to runs, choice of layer, errors, cache, found reader."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from ensembles import LAYERS, make_ensemble, tensor
from plot_samples import make_runs
from tensor_samples import make_tensors, random_correlations

from pvensemble.errors import MissingArrayError, NotRecordedError, PipelineError
from pvensemble.filters import _cache
from pvensemble.filters._base import run
from pvensemble.filters._cache import cached
from pvensemble.filters._tensor_filter import TensorFilter
from pvensemble.filters._tensors import Tensors
from pvensemble.filters.measures import PerformanceMeasures
from pvensemble.filters.reader import EnsembleReader
from pvensemble.vtkdata.arrays import to_vtk


def sample():
    """Two groups of different width, runs interleaved; conv2 of the second was not recorded."""
    one, two = random_correlations(3, 4), random_correlations(2, 6, seed=1)
    return make_tensors(
        {
            "g000/conv1.correlation": ([0, 2, 4], one),
            "g000/conv2.correlation": ([0, 2, 4], one * 2),
            "g000/conv2.weight": ([0, 2, 4], one * 3),
            "g001/conv1.correlation": ([1, 3], two),
            "g001/block.0.conv.weight": ([1, 3], two),
        }
    )


def test_slices_are_matched_to_the_cells_by_run_index():
    blocks = Tensors(sample()).blocks("conv1", "correlation", np.array([4, 1, 9, 0, 3]))
    assert [b.group for b in blocks] == ["g000", "g001"]
    np.testing.assert_array_equal(blocks[0].cells, [0, 3])
    np.testing.assert_array_equal(blocks[0].rows, [2, 0])
    np.testing.assert_array_equal(blocks[1].cells, [1, 4])
    np.testing.assert_array_equal(blocks[0].chosen(), random_correlations(3, 4)[[2, 0]])
    assert [b.n_filters for b in blocks] == [4, 6]
    assert blocks[0].step == 100


def test_slices_in_any_order_are_found():
    stack = random_correlations(3, 4)
    data = make_tensors({"g000/conv1.correlation": ([7, 2, 5], stack)})
    (block,) = Tensors(data).blocks("", "correlation", np.array([2, 5, 7]))
    np.testing.assert_array_equal(block.chosen(), stack[[1, 2, 0]])


def test_all_runs_of_a_group_are_a_view():
    (block,) = Tensors(sample()).blocks("conv2", "correlation", np.arange(5))
    assert np.shares_memory(block.chosen(), block.stack)
    assert block.chosen().shape == (3, 4, 4)


def test_groups_without_a_run_of_the_input_are_left_out():
    blocks = Tensors(sample()).blocks("conv1", "correlation", np.array([1, 3]))
    assert [b.group for b in blocks] == ["g001"]
    assert Tensors(sample()).blocks("conv1", "correlation", np.empty(0, np.int64)) == []


def test_layers_of_a_kind_in_order_and_the_last_by_default():
    tensors = Tensors(sample())
    assert tensors.layers("correlation") == ["conv1", "conv2"]
    assert tensors.layers("weight") == ["conv2", "block.0.conv"]
    assert tensors.layer("", "correlation") == "conv2"
    assert tensors.layer("", "weight") == "block.0.conv"
    assert tensors.kinds == ["correlation", "weight"]


@pytest.mark.parametrize(
    ("layer", "kind", "words"),
    [
        ("conv3", "correlation", ["check layer 'conv3' under Layers", "conv2"]),
        ("", "gram", ["check a layer under Layers", "'gram' under Kinds"]),
        ("conv1", "weight", ["without its weight", "'weight' under Kinds", "record.kinds"]),
    ],
)
def test_what_is_missing_is_said_with_what_to_check(layer, kind, words):
    with pytest.raises(NotRecordedError) as caught:
        Tensors(sample()).blocks(layer, kind, np.arange(5))
    for word in words:
        assert word in str(caught.value)


def test_a_block_without_run_numbers_is_refused():
    data = sample()
    data.GetBlock(0).GetFieldData().RemoveArray("run_index")
    with pytest.raises(MissingArrayError, match="field array 'run_index'"):
        Tensors(data).blocks("conv1", "correlation", np.arange(5))


def test_results_are_kept_as_long_as_the_array_lives():
    array = to_vtk(np.zeros(3), "a")
    count = []

    def compute():
        count.append(1)
        return len(count)

    assert [cached(array, "x", compute), cached(array, "x", compute)] == [1, 1]
    assert cached(array, "y", compute) == 2
    array.Modified()
    assert cached(array, "x", compute) == 3
    other = to_vtk(np.zeros(3), "a")
    assert cached(other, "x", compute) == 4
    kept = len(_cache._kept)
    del array, other
    gc.collect()
    assert len(_cache._kept) == kept - 2


# -- in a pipeline --------------------------------------------------------------------------------
class Probe(TensorFilter):
    """Keeps what it got."""

    def RequestData(self, request, inInfo, outInfo) -> int:
        self.got = self.blocks_input(request, inInfo, outInfo, self.runs_input(inInfo))
        return 1


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return make_ensemble(tmp_path_factory.mktemp("tensors") / "grid.pvens", groups=2)


def pipeline(truth, *, connect, layers=("conv2",)):
    reader, measures, probe = EnsembleReader(), PerformanceMeasures(), Probe()
    reader.SetFileName(str(truth.path))
    reader.UpdateInformation()
    for layer in layers:
        reader.GetLayers().EnableArray(layer)
    measures.SetInputConnection(reader.GetOutputPort(0))
    probe.SetInputConnection(0, measures.GetOutputPort(0))
    if connect:
        probe.SetInputConnection(1, reader.GetOutputPort(1))
    return reader, probe


@pytest.mark.parametrize("connect", [True, False])
def test_tensors_at_the_time_connected_or_found(truth, connect):
    reader, probe = pipeline(truth, connect=connect)
    for asked, step in ((50, 50), (0, 0), (70, 50), (100, 100)):
        run(probe, time=asked)
        assert [b.step for b in probe.got] == [step, step]
        for block, indices in zip(probe.got, truth.groups):
            expected = tensor(LAYERS[1], "correlation", step, indices)
            np.testing.assert_array_equal(block.chosen(), expected)
            np.testing.assert_array_equal(block.cells, indices)
    assert probe.GetLayerNames() == ["", "conv2"]
    run(reader, time=0, port=1)  # somebody else asks for another step
    run(probe, time=100)
    assert probe.got[0].step == 100


@pytest.mark.parametrize("connect", [True, False])
def test_the_reader_runs_once_a_step_for_all_filters(truth, connect, monkeypatch):
    steps = []
    read = EnsembleReader.RequestData

    def counted(reader, *arguments):
        steps.append(1)
        return read(reader, *arguments)

    monkeypatch.setattr(EnsembleReader, "RequestData", counted)
    reader, first = pipeline(truth, connect=connect)
    second = Probe()
    second.SetInputConnection(0, first.GetInputConnection(0, 0))
    if connect:
        second.SetInputConnection(1, reader.GetOutputPort(1))
    for step in (0, 50, 100):
        run(first, time=step)
        run(second, time=step)
        assert first.got[0].volume.array is second.got[0].volume.array
    assert len(steps) == 3


@pytest.mark.parametrize("connect", [True, False])
@pytest.mark.expect_vtk_errors
def test_a_layer_checked_later_arrives(truth, connect):
    reader, probe = pipeline(truth, connect=connect, layers=("conv1",))
    probe.SetLayer("conv2")
    with pytest.raises(PipelineError, match="check layer 'conv2' under Layers"):
        run(probe, time=50)
    reader.GetLayers().EnableArray("conv2")
    run(probe, time=50)
    assert probe.got[0].layer == "conv2"


@pytest.mark.expect_vtk_errors
def test_runs_alone_are_not_enough():
    probe = Probe()
    probe.SetInputDataObject(0, make_runs({"a": np.arange(3.0)}))
    with pytest.raises(PipelineError, match="second output of Ensemble Reader"):
        run(probe)
