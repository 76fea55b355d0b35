"""Weight Boxes: places, heights, differences, image, scales over the training, hard cases."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ensembles import LAYERS, make_ensemble, tensor
from plot_samples import make_runs
from reducing_samples import kernels, make_reducing
from tensor_samples import make_weights
from topology_samples import WatchedReader, plot_of

from pvensemble.errors import PipelineError
from pvensemble.filters import weight_boxes
from pvensemble.filters._base import run
from pvensemble.filters.plot_tiles import tile_grid
from pvensemble.filters.weight_boxes import WeightBoxes
from pvensemble.vtkdata.arrays import to_numpy


def random_weights(n_runs, *shape, seed=0):
    return np.random.default_rng(seed).normal(size=(n_runs, *shape)).astype(np.float32)


def sample_runs(n_runs=3):
    return make_runs({"learning_rate": np.arange(1, n_runs + 1) / 8})


def one_group(weights, kind="weight"):
    return make_weights({f"g000/conv1.{kind}": (np.arange(len(weights)), weights)})


def draw(runs, tensors, **options):
    """Run the filter; return its outputs."""
    algorithm = WeightBoxes()
    algorithm.SetInputDataObject(0, runs)
    algorithm.SetInputDataObject(1, tensors)
    for name, value in options.items():
        getattr(algorithm, "Set" + name)(value)
    run(algorithm, port=1)
    return [algorithm.GetOutputDataObject(port) for port in range(3)]


def arrays(data):
    cells = data.GetCellData()
    return {a.GetName(): to_numpy(a) for a in map(cells.GetArray, range(cells.GetNumberOfArrays()))}


def field(data, name):
    return float(to_numpy(data.GetFieldData().GetArray(name))[0])


def corners(boxes):
    """(n_boxes, 2, 3) lowest and highest corner of each box."""
    points = to_numpy(boxes.GetPoints().GetData())
    of_box = points[to_numpy(boxes.GetStrips().GetConnectivityArray())].reshape(-1, 14, 3)
    return np.stack([of_box.min(axis=1), of_box.max(axis=1)], axis=1)


# -- values ----------------------------------------------------------------------------------------
def test_every_weight_is_a_box_from_the_plane_to_its_value():
    weights = random_weights(3, 6, 2, 3, 4)
    boxes, _, _ = draw(sample_runs(), one_group(weights), Runs="1", HeightScale=0.5)
    a, box = arrays(boxes), corners(boxes)
    assert len(box) == boxes.GetNumberOfCells() == 6 * 2 * 3 * 4
    expected = weights[1][a["filter"], a["input"], a["row"], a["column"]]
    np.testing.assert_array_equal(a["weight"], expected)
    assert len(set(zip(a["filter"], a["input"], a["row"], a["column"]))) == len(box)
    assert (a["run_index"] == 1).all()
    np.testing.assert_allclose(box[:, 0, 2], 0.5 * np.minimum(expected, 0), atol=1e-6)
    np.testing.assert_allclose(box[:, 1, 2], 0.5 * np.maximum(expected, 0), atol=1e-6)
    limit = min(np.abs(weights[1]).max(), 3 * np.sqrt((weights[1] ** 2).mean()))
    np.testing.assert_allclose(a["normalized"], expected / limit, rtol=1e-5)
    assert field(boxes, "color_limit") == pytest.approx(limit)


def test_kernels_are_rows_and_columns_in_tiles_in_blocks():
    boxes, _, _ = draw(sample_runs(1), one_group(random_weights(1, 9, 4, 3, 3)))
    a, box = arrays(boxes), corners(boxes)
    x, y = box[:, 0, 0], box[:, 0, 1]

    def place(filter, input, row, column):
        (k,) = np.flatnonzero(
            (a["filter"] == filter) & (a["input"] == input)
            & (a["row"] == row) & (a["column"] == column)
        )  # fmt: skip
        return x[k], y[k]

    unit = place(0, 0, 0, 1)[0] - place(0, 0, 0, 0)[0]
    near = {"atol": 1e-4 * unit}
    np.testing.assert_allclose(np.subtract(place(5, 3, 2, 1), place(5, 3, 0, 0)), [unit, -2 * unit],
                               **near)  # fmt: skip
    # Tiles 0 1 / 2 3 with a gap of one cell, blocks 0 1 2 / 3 4 5 / 6 7 8 further apart.
    np.testing.assert_allclose(np.subtract(place(0, 3, 0, 0), place(0, 0, 0, 0)),
                               [4 * unit, -4 * unit], **near)  # fmt: skip
    gap = place(1, 0, 0, 0)[0] - place(0, 1, 0, 2)[0] - unit
    assert gap > 1.5 * unit
    np.testing.assert_allclose(place(4, 0, 0, 0)[0], place(1, 0, 0, 0)[0], **near)
    assert place(3, 0, 0, 0)[1] < place(0, 2, 2, 0)[1] - 1.5 * unit
    assert ((box[:, 1] - box[:, 0])[:, :2] < unit).all()


@pytest.mark.parametrize(
    ("shape", "as_kernel"),
    [((5, 9), (5, 9, 1, 1)), ((4, 3, 5), (4, 3, 1, 5)), ((7,), (7, 1, 1, 1)),
     ((2, 3, 2, 2, 4), (2, 3, 4, 4))],
)  # fmt: skip
def test_layers_of_any_kind(shape, as_kernel):
    weights = random_weights(1, *shape)
    a = arrays(draw(sample_runs(1), one_group(weights))[0])
    place = a["filter"], a["input"], a["row"], a["column"]
    np.testing.assert_array_equal(a["weight"], weights[0].reshape(as_kernel)[place])
    assert len(set(zip(*place))) == weights[0].size


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1, 1), (16, 1, 3, 3), (32, 16, 3, 3), (10, 1024, 1, 1), (3, 2, 1, 7), (120, 3, 5, 5)],
)
def test_places_are_different_and_about_square(shape):
    grid = tile_grid(*shape)
    row, column = grid.cells(np.arange(shape[0]))
    assert len(set(zip(row.ravel(), column.ravel()))) == np.prod(shape)
    assert row.max() < grid.shape[0]
    assert column.max() == grid.shape[1] - 1
    assert 0.2 < grid.shape[1] / grid.shape[0] < 5


def test_a_unit_that_sees_an_image_shows_that_image():
    row, column = tile_grid(3, 28 * 28, 1, 1).cells(np.array([0]))
    assert row.ravel().tolist() == np.repeat(np.arange(28), 28).tolist()
    assert column.ravel().tolist() == np.tile(np.arange(28), 28).tolist()


def test_boxes_are_closed_with_all_sides_outwards():
    """Every edge belongs to two triangles, and the volume is that of the weights."""
    weights = random_weights(1, 3, 1, 2, 2)
    boxes, _, _ = draw(sample_runs(1), one_group(weights), HeightScale=1.0)
    points = to_numpy(boxes.GetPoints().GetData()).astype(np.float64)
    strip = to_numpy(boxes.GetStrips().GetConnectivityArray()).reshape(-1, 14)
    triangles = np.concatenate([strip[:, [k, k + 1 + k % 2, k + 2 - k % 2]] for k in range(12)])
    edges = Counter(frozenset(e) for t in triangles.tolist() for e in zip(t, t[1:] + t[:1]))
    assert set(edges.values()) == {2}
    corner = points[triangles]
    volume = np.linalg.det(corner).sum() / 6
    box = corners(boxes)
    size = box[:, 1] - box[:, 0]
    expected = (size[:, 0] * size[:, 1] * np.abs(weights.ravel())).sum()
    assert volume == pytest.approx(expected, rel=1e-4)


def test_the_difference_of_two_runs():
    weights = random_weights(4, 5, 1, 3, 3)
    boxes, axes, _ = draw(sample_runs(4), one_group(weights), Runs="1,3", Difference=1)
    a = arrays(boxes)
    expected = (weights[1] - weights[3])[a["filter"], a["input"], a["row"], a["column"]]
    np.testing.assert_array_equal(a["weight"], expected)
    rms = np.sqrt(((weights[1] - weights[3]) ** 2).mean())
    assert field(boxes, "color_limit") == pytest.approx(
        min(3 * rms, np.abs(weights[1] - weights[3]).max()), rel=1e-5
    )


def test_runs_side_by_side_share_their_scale_and_do_not_overlap():
    weights = random_weights(3, 4, 1, 3, 3)
    weights[2] *= 3
    tensors = make_weights(
        {"g000/conv1.weight": ([0, 2], weights[[0, 2]]),
         "g001/conv1.weight": ([1], random_weights(1, 9, 1, 3, 3, seed=1))}
    )  # fmt: skip
    boxes, _, _ = draw(sample_runs(), tensors, Runs="0-2")
    a, box = arrays(boxes), corners(boxes)
    assert [int((a["run_index"] == k).sum()) for k in range(3)] == [36, 81, 36]
    height = box[:, 1, 2] - box[:, 0, 2]
    ratio = height / np.abs(a["weight"])
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)
    side = box[:, 1, 0] - box[:, 0, 0]
    np.testing.assert_allclose(side, side[0], rtol=1e-4)
    span = [(box[a["run_index"] == k, 0, 0].min(), box[a["run_index"] == k, 1, 0].max())
            for k in range(2)]  # fmt: skip
    assert span[0][1] < span[1][0]


def test_gradients_have_their_name():
    gradients = random_weights(2, 4, 1, 2, 2)
    a = arrays(draw(sample_runs(2), one_group(gradients, "gradient"), Kind="gradient", Runs="1")[0])
    np.testing.assert_array_equal(a["gradient"], gradients[1].ravel())
    assert "weight" not in a


# -- level of detail -------------------------------------------------------------------------------
def test_the_image_shows_the_same_weights_at_the_same_places():
    weights = random_weights(2, 6, 2, 3, 3)
    tensors = one_group(weights)
    boxes, _, none = draw(sample_runs(2), tensors, Runs="0,1", Detail="boxes")
    empty, _, image = draw(sample_runs(2), tensors, Runs="0,1", Detail="image")
    assert none.GetNumberOfCells() == 0
    assert empty.GetNumberOfCells() == 0
    a, there = arrays(boxes), arrays(image)
    assert set(there) == set(a)
    used = there["filter"] >= 0
    assert used.sum() == len(a["weight"])
    names = ("run_index", "filter", "input", "row", "column")
    key = dict(zip(zip(*(a[n].tolist() for n in names)), a["weight"].tolist()))
    found = dict(zip(zip(*(there[n][used].tolist() for n in names)),
                     there["weight"][used].tolist()))  # fmt: skip
    assert found == key
    assert (there["weight"][~used] == 0).all()
    assert np.isnan(there["normalized"][~used]).all()
    assert np.isfinite(there["normalized"][used]).all()
    # Columns to the right, rows downwards.
    width = image.GetDimensions()[0] - 1
    place = np.arange(len(used))
    one = used & (there["run_index"] == 0) & (there["filter"] == 0) & (there["input"] == 0)
    x, y = place[one] % width, place[one] // width
    np.testing.assert_array_equal(x - x.min(), there["column"][one])
    np.testing.assert_array_equal(y.max() - y, there["row"][one])


def test_an_image_is_chosen_beyond_a_size(monkeypatch):
    tensors = one_group(random_weights(1, 4, 1, 3, 3))
    monkeypatch.setattr(weight_boxes, "MAX_BOXES", 36)
    boxes, _, image = draw(sample_runs(1), tensors)
    assert (boxes.GetNumberOfCells(), image.GetNumberOfCells()) == (36, 0)
    monkeypatch.setattr(weight_boxes, "MAX_BOXES", 35)
    boxes, _, image = draw(sample_runs(1), tensors)
    assert boxes.GetNumberOfCells() == 0
    assert image.GetNumberOfCells() >= 36


# -- over the training -----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    path = tmp_path_factory.mktemp("boxes") / "grid.pvens"
    return make_ensemble(path, n_lr=2, n_momentum=2, groups=2)


@pytest.fixture
def reader(truth):
    reader = WatchedReader()
    reader.SetFileName(str(truth.path))
    reader.UpdateInformation()
    for name in ("conv1", "conv2"):
        reader.GetLayers().EnableArray(name)
    return reader


def of_run(step, k, kind="weight"):
    return tensor(LAYERS[1], kind, step, np.array([k]))[0]


def test_the_scale_is_that_of_all_steps(reader):
    plot = plot_of(WeightBoxes(), reader, Runs="2")
    largest = max(np.abs(of_run(step, 2)).max() for step in (0, 50, 100))
    for time in (100.0, 0.0, 50.0):
        boxes = run(plot, time=time)
        a, box = arrays(boxes), corners(boxes)
        np.testing.assert_array_equal(a["weight"], of_run(time, 2).ravel())
        assert field(boxes, "height_limit") == pytest.approx(largest)
        height = (box[:, 1, 2] - box[:, 0, 2])[-1]
        assert height / abs(a["weight"][-1]) == pytest.approx(
            field(boxes, "height_scale"), rel=1e-3
        )


def test_steps_are_read_once_for_all_runs_and_times(reader):
    plot = plot_of(WeightBoxes(), reader, Runs="2")
    run(plot, time=100)
    assert sorted(set(reader.reads())) == [0, 50, 100]
    run(plot, time=50)
    assert reader.reads() == [50]
    for runs in ("1", "0-3"):
        plot.SetRuns(runs)
        run(plot, time=50)
    assert reader.reads() == []
    plot.SetRuns("0,1")
    plot.SetDifference(1)
    run(plot, time=50)
    assert set(reader.reads()) == {0, 50, 100}
    difference = arrays(run(plot, time=100))["weight"]
    np.testing.assert_array_equal(difference, (of_run(100, 0) - of_run(100, 1)).ravel())


def test_a_difference_has_the_scale_of_all_its_steps(tmp_path):
    """Of run 0 filters are merged away, so the difference to run 1 is largest in the end."""
    reader = WatchedReader()
    reader.SetFileName(str(make_reducing(tmp_path / "reducing.pvens")))
    reader.UpdateInformation()
    reader.GetLayers().EnableArray("conv1")
    plot = plot_of(WeightBoxes(), reader, Runs="0,1", Difference=1)
    largest = [np.abs(kernels(0, step) - kernels(1, step)).max() for step in (0, 10, 20)]
    assert largest[2] > largest[0]
    for time in (0.0, 20.0):
        assert field(run(plot, time=time), "height_limit") == pytest.approx(largest[2])


# -- hard cases ------------------------------------------------------------------------------------
def test_a_run_that_diverged_does_not_flatten_the_others():
    weights = random_weights(3, 4, 1, 3, 3)
    weights[1, 0] = np.nan
    weights[2] *= 1e20
    boxes, _, _ = draw(sample_runs(), one_group(weights), Runs="0-2")
    a, box = arrays(boxes), corners(boxes)
    assert np.isfinite(box).all()
    assert np.isnan(a["weight"]).sum() == 9
    largest = np.abs(weights[:2][np.isfinite(weights[:2])]).max()
    assert field(boxes, "height_limit") == pytest.approx(largest)
    height = box[:, 1, 2] - box[:, 0, 2]
    assert height[a["run_index"] == 0].max() > 0.5 * height.max()


def test_nothing_but_nan_or_zeros_is_drawn_flat():
    weights = np.stack([np.full((2, 1, 2, 2), np.nan), np.zeros((2, 1, 2, 2))])
    for runs in ("0", "1", "0,1"):
        box = corners(draw(sample_runs(2), one_group(weights), Runs=runs)[0])
        assert (box[..., 2] == 0).all()


def test_a_run_without_tensors_is_an_empty_panel():
    tensors = make_weights({"g000/conv1.weight": ([0, 2], random_weights(2, 4, 1, 3, 3))})
    boxes, axes, _ = draw(sample_runs(), tensors, Runs="1,2")
    assert set(arrays(boxes)["run_index"]) == {2}
    _, alone, _ = draw(sample_runs(), tensors, Runs="1")
    assert alone.GetNumberOfPolys() > 0


def test_no_runs_give_nothing():
    boxes, axes, image = draw(sample_runs(0), one_group(random_weights(1, 2, 1, 2, 2)))
    assert (boxes.GetNumberOfCells(), axes.GetNumberOfCells(), image.GetNumberOfCells()) == (0,) * 3
    assert "weight" in arrays(boxes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"Layer": "conv3"}, "check layer 'conv3' under Layers"),
        ({"Kind": "gradient"}, "'gradient' under Kinds"),
        ({"Kind": "weights"}, "Kind: got 'weights'; did you mean 'weight'"),
        ({"Detail": "boxs"}, "Detail: got 'boxs'; did you mean 'boxes'"),
        ({"HeightScale": -1.0}, "Height Scale must be 0"),
        ({"LabelSize": 0.0}, "Label Size must be a positive number"),
        ({"Runs": "9"}, "there is no run 9"),
        ({"Difference": 1}, "Difference needs two runs under Runs, like '3,7'; got ''"),
        ({"Difference": 1, "Runs": "0,1"}, r"\(4, 1, 3, 3\) in run 0 and \(6, 1, 3, 3\) in run 1"),
        ({"Difference": 1, "Runs": "0,2"}, "Difference: there are no tensors of run 2"),
    ],
)
@pytest.mark.expect_vtk_errors
def test_what_cannot_be_shown_is_said(options, words):
    tensors = make_weights(
        {"g000/conv1.weight": ([0], random_weights(1, 4, 1, 3, 3)),
         "g001/conv1.weight": ([1], random_weights(1, 6, 1, 3, 3))}
    )  # fmt: skip
    with pytest.raises(PipelineError, match=words):
        draw(sample_runs(3), tensors, **options)


@pytest.mark.expect_vtk_errors
def test_tensors_of_no_run_of_the_input_are_said():
    tensors = make_weights({"g000/conv1.weight": ([7], random_weights(1, 4, 1, 3, 3))})
    with pytest.raises(PipelineError, match="no weights of these runs"):
        draw(sample_runs(3), tensors)


@pytest.mark.expect_vtk_errors
def test_a_block_without_its_shape_is_refused():
    tensors = one_group(random_weights(1, 4, 1, 3, 3))
    tensors.GetBlock(0).GetFieldData().RemoveArray("shape")
    with pytest.raises(PipelineError, match="does not say its shape"):
        draw(sample_runs(1), tensors)
