"""Weight Images: tiles, statistics and histograms over the training, hard cases."""

from __future__ import annotations

import numpy as np
import pytest
from ensembles import LAYERS, make_ensemble, tensor
from plot_samples import make_runs
from tensor_samples import make_weights
from topology_samples import WatchedReader, plot_of

from pvensemble.errors import PipelineError
from pvensemble.filters import weight_images
from pvensemble.filters._base import run
from pvensemble.filters.weight_boxes import WeightBoxes
from pvensemble.filters.weight_images import WeightImages
from pvensemble.numerics.weight_statistics import STATISTICS
from pvensemble.vtkdata.arrays import to_numpy


def random_weights(n_runs, *shape, seed=0):
    return np.random.default_rng(seed).normal(size=(n_runs, *shape)).astype(np.float32)


def sample_runs(n_runs=3):
    return make_runs({"learning_rate": np.arange(1, n_runs + 1) / 8})


def one_group(weights, kind="weight"):
    return make_weights({f"g000/conv1.{kind}": (np.arange(len(weights)), weights)})


def outputs(algorithm):
    return [algorithm.GetOutputDataObject(port) for port in range(5)]


def draw(runs, tensors, **options):
    """Run the filter; return its outputs."""
    algorithm = WeightImages()
    algorithm.SetInputDataObject(0, runs)
    algorithm.SetInputDataObject(1, tensors)
    for name, value in options.items():
        getattr(algorithm, "Set" + name)(value)
    run(algorithm, port=1)
    return outputs(algorithm)


def arrays(data):
    cells = data.GetCellData()
    return {a.GetName(): to_numpy(a) for a in map(cells.GetArray, range(cells.GetNumberOfArrays()))}


def columns(table):
    rows = table.GetRowData()
    return {a.GetName(): to_numpy(a) for a in map(rows.GetArray, range(rows.GetNumberOfArrays()))}


def boxes(cells):
    """(n_cells, 4) x0, y0, x1, y1."""
    points = to_numpy(cells.GetPoints().GetData())[:, :2]
    corners = points[to_numpy(cells.GetPolys().GetConnectivityArray())].reshape(-1, 4, 2)
    return np.hstack([corners.min(axis=1), corners.max(axis=1)])


# -- tiles -----------------------------------------------------------------------------------------
def test_tiles_are_the_tops_of_the_boxes():
    weights = random_weights(2, 6, 2, 3, 3)
    tiles = draw(sample_runs(2), one_group(weights), Runs="1", ShowHistograms=0)[0]
    other = WeightBoxes()
    other.SetInputDataObject(0, sample_runs(2))
    other.SetInputDataObject(1, one_group(weights))
    other.SetRuns("1")
    a, b = arrays(tiles), arrays(run(other))
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    np.testing.assert_array_equal(a["weight"], weights[1].ravel())
    x, y = boxes(tiles)[:, 0], boxes(tiles)[:, 1]
    unit = boxes(tiles)[0, 2] - boxes(tiles)[0, 0]
    row, column = a["row"], a["column"]
    of_tile = (a["filter"] == 4) & (a["input"] == 1)
    np.testing.assert_allclose(np.diff(x[of_tile]), unit * np.diff(column[of_tile]), atol=1e-5)
    np.testing.assert_allclose(np.diff(y[of_tile]), -unit * np.diff(row[of_tile]), atol=1e-5)


def test_colours_of_each_filter_or_of_all():
    weights = random_weights(1, 4, 1, 3, 3)
    weights[0, 2] *= 10
    weights[0, 3] = 0
    a = arrays(draw(sample_runs(1), one_group(weights), Range="per filter")[0])
    for f, values in enumerate(weights[0]):
        largest = np.abs(values).max() or 1
        np.testing.assert_allclose(a["normalized"][a["filter"] == f], values.ravel() / largest,
                                   rtol=1e-6)  # fmt: skip
    a = arrays(draw(sample_runs(1), one_group(weights), Range="common")[0])
    limit = min(np.abs(weights).max(), 3 * np.sqrt((weights**2).mean()))
    np.testing.assert_allclose(a["normalized"], weights.ravel() / limit, rtol=1e-5)


def test_very_many_are_an_image(monkeypatch):
    weights = random_weights(1, 4, 1, 3, 3)
    monkeypatch.setattr(weight_images, "MAX_QUADS", 35)
    tiles, _, image, _, _ = draw(sample_runs(1), one_group(weights))
    assert tiles.GetNumberOfCells() == 0
    there = arrays(image)
    used = there["filter"] >= 0
    np.testing.assert_array_equal(np.sort(there["weight"][used]), np.sort(weights.ravel()))


# -- over the training -----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "grid.pvens"
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


def test_the_table_holds_every_recorded_step_of_each_shown_run(reader):
    plot = plot_of(WeightImages(), reader, Runs="1,2")
    for time in (100.0, 0.0):
        run(plot, time=time, port=4)
        table = columns(plot.GetOutputDataObject(4))
        assert list(table) == ["step", "run_index", *STATISTICS]
        assert table["run_index"].tolist() == [1, 1, 1, 2, 2, 2]
        assert table["step"].tolist() == [0, 50, 100] * 2
        for row, (step, k) in enumerate(zip(table["step"], table["run_index"])):
            values = of_run(step, k).astype(np.float64)
            assert table["mean"][row] == pytest.approx(values.mean())
            assert table["std"][row] == pytest.approx(values.std())
            assert table["q95"][row] == pytest.approx(np.quantile(values, 0.95))
            assert (table["min"][row], table["max"][row]) == (values.min(), values.max())


def test_a_column_of_bins_for_each_step(reader):
    plot = plot_of(WeightImages(), reader, Runs="1,2")
    run(plot, time=50.0, port=3)
    cells = plot.GetOutputDataObject(3)
    a, box = arrays(cells), boxes(cells)
    widths = np.unique(np.diff(np.unique(a["value"])).round(6))
    width = widths.min()
    for k in (1, 2):
        for step in (0, 50, 100):
            of = (a["run_index"] == k) & (a["step"] == step)
            values = of_run(step, k).ravel()
            assert a["count"][of].sum() == values.size
            for value, count, share in zip(a["value"][of], a["count"][of], a["log_share"][of]):
                inside = (values >= value - width / 2) & (values < value + width / 2)
                assert inside.sum() == count > 0
                assert share == pytest.approx(np.log10(count / values.size), abs=1e-5)
    # Steps from left to right without gaps, values upwards, runs apart.
    one = a["run_index"] == 1
    x0, x1 = (np.array([box[one & (a["step"] == s), k][0] for s in (0, 50, 100)]) for k in (0, 2))
    np.testing.assert_allclose(x1[:-1], x0[1:], atol=1e-5)
    assert (x1 > x0).all()
    y = box[one & (a["step"] == 50), 1]
    assert (np.diff(y) > 0).all()
    assert box[one, 1].min() > box[a["run_index"] == 2, 3].max()


def test_no_step_is_read_twice(reader, monkeypatch):
    plot = plot_of(WeightImages(), reader, Runs="2")
    run(plot, time=100)
    assert sorted(set(reader.reads())) == [0, 50, 100]
    run(plot, time=50)
    assert reader.reads() == [50]
    plot.SetRuns("1,3")
    run(plot, time=50)
    assert reader.reads() == []
    monkeypatch.setattr(weight_images, "MAX_WEIGHTS", 10)  # runs are looked at when they are shown
    plot.SetRuns("0")
    run(plot, time=50)
    assert set(reader.reads()) == {0, 50, 100}
    assert set(columns(plot.GetOutputDataObject(4))["run_index"]) == {0}
    plot.SetKind("gradient")
    run(plot, time=50)
    assert set(reader.reads()) == {0, 50, 100}
    gradient = of_run(0, 0, "gradient").astype(np.float64)
    assert columns(plot.GetOutputDataObject(4))["mean"][0] == pytest.approx(gradient.mean())


# -- hard cases ------------------------------------------------------------------------------------
def test_few_weights_have_wide_bins():
    weights = random_weights(1, 8, 1, 3, 3)
    cells = draw(sample_runs(1), one_group(weights))[3]
    values = arrays(cells)["value"]
    span = np.ptp(values) / np.diff(np.unique(values)).min()
    assert span + 1 <= 25


def test_runs_that_diverged_are_counted_and_do_not_flatten_the_others():
    weights = random_weights(4, 4, 1, 3, 3)
    weights[1, 0] = np.nan
    weights[2] *= 1e20
    weights[3] = np.inf
    _, _, _, cells, table = draw(sample_runs(4), one_group(weights), Runs="0-3")
    table = columns(table)
    assert table["not_finite"].tolist() == [0, 9, 0, 36]
    assert np.isnan(table["mean"][3])
    a, box = arrays(cells), boxes(cells)
    assert np.isfinite(box).all()
    first = a["run_index"] == 0
    assert len(np.unique(box[first, 1])) > 5
    assert a["count"][first].sum() == 36
    assert a["count"][a["run_index"] == 2].sum() == 36
    assert not (a["run_index"] == 3).any()


def test_zeros_and_groups_of_other_width_and_runs_without_tensors():
    tensors = make_weights(
        {"g000/conv1.weight": ([0], np.zeros((1, 4, 1, 3, 3))),
         "g001/conv1.weight": ([1], random_weights(1, 6, 1, 3, 3))}
    )  # fmt: skip
    draw(sample_runs(), tensors, Runs="0-2", Range="per filter")
    tiles, axes, _, _, table = draw(sample_runs(), tensors, Runs="0-2")
    assert [int((arrays(tiles)["run_index"] == k).sum()) for k in range(3)] == [36, 54, 0]
    assert columns(table)["zeros"].tolist() == [1, 0]
    assert axes.GetNumberOfCells() > 0


def test_no_runs_give_empty_outputs_with_their_arrays():
    tiles, axes, image, cells, table = draw(sample_runs(0), one_group(random_weights(1, 2, 1, 2)))
    assert [d.GetNumberOfCells() for d in (tiles, axes, image, cells)] == [0] * 4
    assert table.GetNumberOfRows() == 0
    assert "weight" in arrays(tiles)
    assert "log_share" in arrays(cells)
    assert list(columns(table))[:2] == ["step", "run_index"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"Layer": "conv3"}, "check layer 'conv3' under Layers"),
        ({"Kind": "gradient"}, "'gradient' under Kinds"),
        ({"Range": "comon"}, "Range: got 'comon'; did you mean 'common'"),
        ({"LabelSize": -1.0}, "Label Size must be a positive number"),
        ({"Runs": "9"}, "there is no run 9"),
    ],
)
@pytest.mark.expect_vtk_errors
def test_what_cannot_be_shown_is_said(options, words):
    with pytest.raises(PipelineError, match=words):
        draw(sample_runs(3), one_group(random_weights(3, 4, 1, 3, 3)), **options)
