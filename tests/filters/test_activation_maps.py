"""Activation Maps: pixels at positions, order as Filter Correlation, images, ranges, hard cases."""

from __future__ import annotations

import numpy as np
import pytest
from plot_samples import cell_colors, cell_points, make_runs
from tensor_samples import make_activations, random_correlations

from pvensemble.errors import PipelineError
from pvensemble.filters import activation_maps
from pvensemble.filters._base import run
from pvensemble.filters.activation_maps import ActivationMaps
from pvensemble.filters.filter_correlation import FilterCorrelation
from pvensemble.filters.plot_geometry import RED
from pvensemble.filters.plot_maps import block_means, image_colors, place_maps
from pvensemble.filters.plot_matrix_panels import SIDE
from pvensemble.vtkdata.arrays import to_numpy

IMAGES = np.random.default_rng(1).random((1, 3, 7, 7)).astype(np.float32)


def random_maps(n_runs, n_filters, n_images=3, h=4, w=5, seed=0):
    maps = np.random.default_rng(seed).normal(size=(n_runs, n_filters, n_images, h, w))
    return maps.astype(np.float32)


def sample_runs(n_runs=3):
    return make_runs({"learning_rate": np.arange(1, n_runs + 1) / 8})


def draw(runs, tensors, **options):
    """Run the filter; return its outputs."""
    algorithm = ActivationMaps()
    algorithm.SetInputDataObject(0, runs)
    algorithm.SetInputDataObject(1, tensors)
    for name, value in options.items():
        getattr(algorithm, "Set" + name)(value)
    run(algorithm, port=1)
    return algorithm.GetOutputDataObject(0), algorithm.GetOutputDataObject(1)


def arrays(cells):
    data = cells.GetCellData()
    names = [data.GetArrayName(k) for k in range(data.GetNumberOfArrays())]
    return {name: to_numpy(data.GetArray(name)) for name in names}


def boxes(cells):
    """(n_cells, 4) x0, y0, x1, y1."""
    points = to_numpy(cells.GetPoints().GetData())[:, :2]
    corners = points[to_numpy(cells.GetPolys().GetConnectivityArray())].reshape(-1, 4, 2)
    return np.hstack([corners.min(axis=1), corners.max(axis=1)])


def one_group(maps, correlations=None, images=IMAGES):
    return make_activations({"g000/conv1": (np.arange(len(maps)), maps, correlations)}, images)


# -- values --------------------------------------------------------------------------------------
@pytest.mark.parametrize("n_columns", [0, 1, 2])
def test_every_pixel_stands_at_its_place(n_columns):
    maps = random_maps(3, 6)
    cells, _ = draw(sample_runs(), one_group(maps), Runs="1", Order="original", Columns=n_columns)
    a, box = arrays(cells), boxes(cells)
    assert cells.GetNumberOfCells() == 6 * 3 * 4 * 5
    assert (a["run_index"] == 1).all()
    for f in range(6):
        for i in range(3):
            of_map = np.flatnonzero((a["filter"] == f) & (a["image"] == i))
            x = np.unique(box[of_map, 0].round(4), return_inverse=True)[1].reshape(-1)
            y = np.unique(-box[of_map, 3].round(4), return_inverse=True)[1].reshape(-1)
            picture = np.full((4, 5), np.nan)
            picture[y, x] = a["activation"][of_map]
            np.testing.assert_array_equal(picture, maps[1, f, i])


def test_maps_do_not_overlap_and_stand_in_rows_of_filters_and_columns_of_images():
    cells, _ = draw(sample_runs(), one_group(random_maps(3, 6)), Order="original", Columns=2)
    a, box = arrays(cells), boxes(cells)
    low = {}
    for f in range(6):
        for i in range(3):
            of_map = (a["filter"] == f) & (a["image"] == i)
            low[f, i] = np.hstack([box[of_map, :2].min(axis=0), box[of_map, 2:].max(axis=0)])
    for f in range(6):
        np.testing.assert_allclose(low[f, 0][[1, 3]], low[f, 2][[1, 3]], atol=1e-5)
        assert low[f, 0][2] < low[f, 1][0] < low[f, 1][2] < low[f, 2][0]
    assert low[0, 0][1] > low[1, 0][3] > low[2, 0][3]  # downwards
    np.testing.assert_allclose(low[3, 0][1], low[0, 0][1], atol=1e-5)  # the next column
    assert low[3, 0][0] > low[0, 2][2]


def test_rows_are_those_of_the_filter_correlation():
    maps, stack = random_maps(2, 8), random_correlations(2, 8, n_samples=4)
    tensors = one_group(maps, stack)
    cells, _ = draw(sample_runs(2), tensors, Runs="1", Columns=1, Threshold=0.6)
    matrix = FilterCorrelation()
    matrix.SetInputDataObject(0, sample_runs(2))
    matrix.SetInputDataObject(1, tensors)
    matrix.SetRuns("1")
    matrix.SetThreshold(0.6)
    squares = arrays(run(matrix))
    a, box = arrays(cells), boxes(cells)
    place = dict(zip(squares["row"], squares["row_position"]))
    assert [place[f] for f in a["filter"]] == a["row_position"].tolist()
    assert sorted(place) == list(range(8))
    assert place != {k: k for k in range(8)}
    for f in range(8):
        np.testing.assert_array_equal(a["activation"][a["filter"] == f], maps[1, f].ravel())
    unit = SIDE / 8
    top = SIDE - a["row_position"] * unit
    assert ((box[:, 3] < top) & (box[:, 1] > top - unit)).all()


def test_normalized_to_each_filter_or_to_all():
    maps = random_maps(1, 4)
    maps[0, 2] *= 10
    a = arrays(draw(sample_runs(1), one_group(maps), Order="original")[0])
    for f in range(4):
        of = a["filter"] == f
        largest = np.abs(maps[0, f]).max()
        np.testing.assert_allclose(a["normalized"][of], a["activation"][of] / largest, rtol=1e-6)
        assert np.abs(a["normalized"][of]).max() == 1
    a = arrays(draw(sample_runs(1), one_group(maps), Order="original", Range="common")[0])
    expected = a["activation"] / np.abs(maps).max()
    np.testing.assert_allclose(a["normalized"], expected, rtol=1e-6)


def test_images_stand_above_in_grey_or_in_their_colours():
    _, axes = draw(sample_runs(1), one_group(random_maps(1, 4)), Order="original", Columns=1)
    _, bare = draw(sample_runs(1), one_group(random_maps(1, 4), images=None), Order="original",
                   Columns=1)  # fmt: skip
    assert axes.GetNumberOfPolys() - bare.GetNumberOfPolys() == 3 * 49
    colors = cell_colors(axes)
    levels = np.round(255 * (IMAGES[0] - IMAGES.min()) / np.ptp(IMAGES)).astype(np.uint8)
    grey = colors[axes.GetNumberOfLines() :][: 3 * 49]
    np.testing.assert_array_equal(grey, np.repeat(levels.reshape(-1, 1), 3, axis=1))
    first = cell_points(axes, axes.GetNumberOfLines())
    assert first[:, 1].min() > SIDE
    rgb = np.random.default_rng(0).random((3, 2, 4, 4))
    np.testing.assert_array_equal(
        image_colors(rgb)[1, 2, 3],
        np.round(255 * (rgb[:, 1, 2, 3] - rgb.min()) / np.ptp(rgb)).astype(np.uint8),
    )


def test_runs_of_another_group_and_width():
    tensors = make_activations(
        {
            "g000/conv1": ([0, 2], random_maps(2, 4), random_correlations(2, 4)),
            "g001/conv1": ([1], random_maps(1, 9, seed=5), random_correlations(1, 9)),
        },
        IMAGES,
    )
    a = arrays(draw(sample_runs(), tensors, Runs="1-2")[0])
    assert sorted(set(a["filter"])) == list(range(9))
    assert set(a["run_index"]) == {1}
    a = arrays(draw(sample_runs(), tensors, Runs="2")[0])
    assert sorted(set(a["filter"])) == list(range(4))
    maps = random_maps(2, 4)[1]
    of_map = (a["filter"] == 3) & (a["image"] == 2)
    np.testing.assert_array_equal(a["activation"][of_map], maps[3, 2].ravel())


def test_outputs_without_rows_or_without_positions():
    line = random_maps(1, 3, h=1, w=6)[:, :, :, 0]  # of a Conv1d: (n_filters, n_images, length)
    a = arrays(draw(sample_runs(1), one_group(line, images=None), Order="original")[0])
    np.testing.assert_array_equal(a["activation"], line.ravel())
    flat = random_maps(1, 3)[:, :, :, 0, 0]  # of a Linear: (n_filters, n_images)
    a = arrays(draw(sample_runs(1), one_group(flat, images=None), Order="original")[0])
    np.testing.assert_array_equal(a["activation"], flat.ravel())
    volume = np.random.default_rng(0).normal(size=(1, 2, 3, 2, 4, 5)).astype(np.float32)
    a = arrays(draw(sample_runs(1), one_group(volume, images=None), Order="original")[0])
    np.testing.assert_array_equal(a["activation"], volume.ravel())  # slices below each other


# -- many and odd values --------------------------------------------------------------------------
def test_many_pixels_are_averaged(monkeypatch):
    monkeypatch.setattr(activation_maps, "MAX_CELLS", 2 * 3 * 6)
    maps = random_maps(1, 2)
    a = arrays(draw(sample_runs(1), one_group(maps), Order="original")[0])
    assert len(a["activation"]) == 2 * 3 * 2 * 3
    first = a["activation"][:6].reshape(2, 3)
    np.testing.assert_allclose(first[0, 0], maps[0, 0, 0, :2, :2].mean(), rtol=1e-5)
    np.testing.assert_allclose(first[1, 2], maps[0, 0, 0, 2:, 4:].mean(), rtol=1e-5)
    assert block_means(maps, 1) is maps


def test_dead_and_diverged_filters_are_marked_and_do_no_harm():
    maps = random_maps(1, 4)
    maps[0, 1] = 0.5  # the same everywhere
    maps[0, 3, 0, 0, 0] = np.nan
    maps[0, 3, 1, 0, 0] = np.inf
    cells, axes = draw(sample_runs(1), one_group(maps), Order="original", Columns=1)
    a = arrays(cells)
    finite = np.isfinite(a["activation"])
    assert (~finite).sum() == 2
    assert (np.abs(a["normalized"][finite]) <= 1).all()
    colors = cell_colors(axes)[axes.GetNumberOfLines() :]
    red = np.flatnonzero((colors == RED).all(axis=1)) + axes.GetNumberOfLines()
    rows = {int(4 * (1 - cell_points(axes, int(k))[:, 1].mean() / SIDE)) for k in red}
    assert rows == {1, 3}
    gone = np.full((1, 4, 3, 4, 5), np.nan, np.float32)
    cells, axes = draw(sample_runs(1), one_group(gone, np.eye(4, dtype=np.float32)[None]))
    assert np.isnan(arrays(cells)["activation"]).all()
    assert np.isfinite(axes.GetBounds()).all()


def test_no_runs_give_no_cells():
    cells, axes = draw(make_runs({"a": np.empty(0)}), make_activations({}))
    assert cells.GetNumberOfCells() == axes.GetNumberOfCells() == 0
    assert set(activation_maps.ARRAYS) <= set(arrays(cells))


def test_columns_make_about_a_square():
    for n_filters, n_images in ((20, 4), (50, 4), (512, 4), (1, 1), (64, 16)):
        grid = place_maps(n_filters, n_images, 0, 3.6)
        assert 0.4 < grid.right / SIDE < 2.5 or n_filters < grid.n_images
        assert grid.n_rows * grid.n_columns >= n_filters


WRONG = [
    ({"Range": "all"}, "Range: got 'all'"),
    ({"Order": "cluster"}, "did you mean 'clustered'"),
    ({"Columns": -1}, "Columns must be 0"),
    ({"Threshold": -0.1}, "Threshold must lie between 0 and 1"),
    ({"LabelSize": 0.0}, "Label Size must be"),
    ({"Layer": "conv2"}, "check layer 'conv2' under Layers"),
    ({}, "check 'correlation' under Kinds of the Ensemble Reader, or choose Order 'original'"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
@pytest.mark.expect_vtk_errors
def test_wrong_options_are_named(options, message):
    with pytest.raises(PipelineError, match=message):
        draw(sample_runs(), one_group(random_maps(3, 4)), **options)


@pytest.mark.expect_vtk_errors
def test_runs_without_activations_are_named():
    tensors = make_activations({"g000/conv1": ([0], random_maps(1, 4), None)}, IMAGES)
    with pytest.raises(PipelineError, match="no activations of run 2"):
        draw(sample_runs(), tensors, Runs="2", Order="original")


@pytest.mark.expect_vtk_errors
def test_activations_without_a_shape_are_refused():
    tensors = one_group(random_maps(1, 4))
    for i in range(tensors.GetNumberOfBlocks()):
        tensors.GetBlock(i).GetFieldData().RemoveArray("shape")
    with pytest.raises(PipelineError, match="does not say its shape"):
        draw(sample_runs(1), tensors, Order="original")
