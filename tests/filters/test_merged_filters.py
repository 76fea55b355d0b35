"""Filters that were merged away during training: left out of plots, and not called dead."""

from __future__ import annotations

import numpy as np
import pytest
from plot_samples import cell_colors, make_runs
from tensor_samples import make_activations, make_tensors, random_correlations
from vtkmodules.vtkCommonDataModel import vtkCompositeDataSet

from pvensemble import schema
from pvensemble.filters._base import run
from pvensemble.filters._tensors import Tensors
from pvensemble.filters.activation_maps import ActivationMaps
from pvensemble.filters.filter_correlation import FilterCorrelation
from pvensemble.filters.filter_correlation_graph import FilterCorrelationGraph
from pvensemble.filters.plot_geometry import RED
from pvensemble.filters.reader import EnsembleReader
from pvensemble.filters.run_similarity import RunSimilarity
from pvensemble.numerics.correlation import dead_filters, existing_filters
from pvensemble.numerics.ordering import cluster_order
from pvensemble.store import EnsembleWriter, LayerInfo, RunInfo
from pvensemble.vtkdata.arrays import add_field, image_from_stack, to_numpy

STANDING = np.array([[0, 1, 2, 3, 4, 5], [0, 1, 0, 3, 3, 5]])
"""Run 0 has all filters; in run 1, filter 2 was merged into 0 and 4 into 3. Filter 5 is dead."""
LEFT = [0, 1, 3, 5]


def correlations() -> np.ndarray:
    stack = random_correlations(2, 6, seed=3, dead=(5,))
    gone = STANDING[1] != np.arange(6)
    stack[1, gone], stack[1][:, gone] = 0, 0
    return stack


def maps() -> np.ndarray:
    values = np.random.default_rng(2).normal(size=(2, 6, 2, 3, 3)).astype(np.float32)
    values[:, 5] = 0.5
    values[1, STANDING[1] != np.arange(6)] = 0
    return values


def tensors(step: int = 100):
    """Return activations and correlations, and which filter stands for which at a step."""
    data = make_activations({"g000/conv1": (np.arange(2), maps(), correlations())})
    image = image_from_stack(STANDING[:, None].astype(np.float32), "filter_group")
    add_field(image.GetFieldData(), "run_index", np.arange(2))
    add_field(image.GetFieldData(), "step", np.array([step], np.int64))
    place = data.GetNumberOfBlocks()
    data.SetBlock(place, image)
    data.GetMetaData(place).Set(vtkCompositeDataSet.NAME(), "g000/conv1.filter_group")
    return data


def draw(algorithm, data, **options):
    algorithm.SetInputDataObject(0, make_runs({"learning_rate": np.array([0.1, 0.2])}))
    algorithm.SetInputDataObject(1, data)
    for name, value in options.items():
        getattr(algorithm, "Set" + name)(value)
    run(algorithm, port=1)
    cells = algorithm.GetOutputDataObject(0).GetCellData()
    names = [cells.GetArrayName(k) for k in range(cells.GetNumberOfArrays())]
    colors = cell_colors(algorithm.GetOutputDataObject(1))
    return {n: to_numpy(cells.GetArray(n)).copy() for n in names}, colors.copy()


def n_red(colors) -> int:
    return int((colors == RED).all(axis=1).sum())


@pytest.mark.parametrize("order", ["original", "clustered"])
def test_correlation_leaves_them_out(order):
    data = make_tensors({"g000/conv1.correlation": (np.arange(2), correlations())})
    found, colors = draw(FilterCorrelation(), data, Runs="1", Order=order)
    assert len(found["row"]) == 16
    assert sorted(set(found["row"].tolist())) == LEFT
    matrix = correlations()[1]
    np.testing.assert_array_equal(
        found["correlation"], np.abs(matrix[found["row"], found["column"]])
    )
    if order == "clustered":
        own = cluster_order(matrix[np.ix_(LEFT, LEFT)])
        rows = found["row"][found["column_position"] == 0]
        np.testing.assert_array_equal(rows, np.array(LEFT)[own.permutation])
    whole, of_whole = draw(FilterCorrelation(), data, Runs="0", Order=order)
    assert len(whole["row"]) == 36
    assert n_red(colors) == n_red(of_whole) > 0  # filter 5 alone is dead in both


@pytest.mark.parametrize("order", ["original", "clustered"])
def test_maps_leave_them_out(order):
    found, colors = draw(ActivationMaps(), tensors(), Runs="1", Order=order)
    assert sorted(set(found["filter"].tolist())) == LEFT
    first = found["activation"][(found["filter"] == 3) & (found["image"] == 1)]
    np.testing.assert_array_equal(np.sort(first), np.sort(maps()[1, 3, 1].ravel()))
    whole, of_whole = draw(ActivationMaps(), tensors(), Runs="0", Order=order)
    assert len(set(whole["filter"].tolist())) == 6
    assert n_red(colors) == n_red(of_whole) > 0


def test_maps_without_that_knowledge_show_all():
    """Of another step, or not read: then it is not known, and nothing is left out."""
    for data in (tensors(step=50), make_activations({"g000/conv1": (np.arange(2), maps(), None)})):
        found, _ = draw(ActivationMaps(), data, Runs="1", Order="original")
        assert len(set(found["filter"].tolist())) == 6


def test_blocks_tell_which_filters_are_there():
    read = Tensors(tensors())
    for kind in ("correlation", "activation"):
        (block,) = read.blocks("conv1", kind, np.arange(2))
        assert block.exists(0).all()
        assert np.flatnonzero(block.exists(1)).tolist() == LEFT


def test_failed_run_has_dead_filters_not_merged_ones():
    stack = correlations()
    stack[0] = 0
    assert existing_filters(stack)[0].all()
    assert dead_filters(stack)[0].all()
    assert np.flatnonzero(dead_filters(stack)[1]).tolist() == [5]


def test_an_ensemble_with_merged_filters_is_read_and_drawn(tmp_path):
    """Reader, matrix, graph and similarity, over steps between which filters disappear."""
    writer = EnsembleWriter.create(tmp_path / "e.pvens")
    kinds = (schema.CORRELATION, schema.FILTER_GROUP)
    runs = [RunInfo(name, {"learning_rate": rate}) for name, rate in (("a", 0.1), ("b", 0.2))]
    group = writer.create_group(runs, [LayerInfo("conv1", "Conv2d", (6, 1, 3, 3), kinds)])
    for step, standing in ((0, STANDING[[0, 0]]), (10, STANDING)):
        stack = random_correlations(2, 6, seed=3, dead=(5,)) if step == 0 else correlations()
        tensors = {("conv1", schema.CORRELATION): stack, ("conv1", schema.FILTER_GROUP): standing}
        metrics = {"accuracy": ([step], np.array([[0.5, 0.5]]))}
        group.commit(step, tensors, metrics)
    group.close()
    writer.finish()
    reader = EnsembleReader()
    reader.SetFileName(str(tmp_path / "e.pvens"))
    run(reader)
    assert reader.GetTensorNames() == ["conv1.correlation", "conv1.filter_group"]
    reader.GetLayers().EnableArray("conv1")
    for step, n in ((0.0, 36), (10.0, 16), (0.0, 36)):
        matrix = FilterCorrelation()
        matrix.SetInputConnection(0, reader.GetOutputPort(0))
        matrix.SetRuns("1")
        run(matrix, time=step, port=1)
        assert matrix.GetOutputDataObject(0).GetNumberOfCells() == n
        tensors = Tensors(reader.GetOutputDataObject(1))
        (block,) = tensors.blocks("conv1", schema.FILTER_GROUP, np.arange(2))
        np.testing.assert_array_equal(block.stack[1, 0], STANDING[int(step > 0)])
    reader.GetKinds().DisableArray("filter_group")  # it is there nevertheless, once
    run(reader, time=10.0, port=1)
    assert reader.GetOutputDataObject(1).GetNumberOfBlocks() == 2
    for algorithm in (FilterCorrelationGraph(), RunSimilarity()):
        algorithm.SetInputConnection(0, reader.GetOutputPort(0))
        run(algorithm, time=10.0)
        assert algorithm.GetOutputDataObject(0).GetNumberOfCells() > 0
