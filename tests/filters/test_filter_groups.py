"""Filter Groups: colours over the training, filters that disappear, predictions, hard cases."""

from __future__ import annotations

import numpy as np
import pytest
from plot_samples import make_runs
from reducing_samples import N_FILTERS, STANDING, kernels, make_reducing
from tensor_samples import make_tensors, make_weights
from topology_samples import WatchedReader, plot_of

from pvensemble.errors import PipelineError
from pvensemble.filters import filter_groups, weight_images
from pvensemble.filters._base import run
from pvensemble.filters.filter_groups import FilterGroups
from pvensemble.filters.plot_matrix_panels import Caption
from pvensemble.numerics.group_colors import (
    BROKEN,
    PALETTE,
    SINGLE,
    faded,
    group_colors,
    kernel_colors,
)
from pvensemble.vtkdata.arrays import to_numpy


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_reducing(tmp_path_factory.mktemp("groups") / "reducing.pvens")


@pytest.fixture
def reader(path):
    reader = WatchedReader()
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    reader.GetLayers().EnableArray("conv1")
    return reader


@pytest.fixture
def said(monkeypatch):
    """Collect the notes below the titles."""
    notes = []
    draw = Caption.draw

    def noting(caption, *arguments):
        notes.append(caption.notes)
        draw(caption, *arguments)

    monkeypatch.setattr(Caption, "draw", noting)
    return notes


def arrays(data):
    cells = data.GetCellData()
    return {a.GetName(): to_numpy(a) for a in map(cells.GetArray, range(cells.GetNumberOfArrays()))}


def lower_left(cells):
    points = to_numpy(cells.GetPoints().GetData())[:, :2]
    return points[to_numpy(cells.GetPolys().GetConnectivityArray())].reshape(-1, 4, 2).min(axis=1)


def of_filter(a, f, name):
    return a[name][a["filter"] == f]


def by_filter(a, name):
    """What an array says of each filter, which is the same for all its weights."""
    found = {}
    for f in np.unique(a["filter"]).tolist():
        (found[f],) = set(of_filter(a, f, name).tolist())
    return found


# -- merging runs ----------------------------------------------------------------------------------
def test_filters_disappear_and_groups_keep_their_colours(reader):
    plot = plot_of(FilterGroups(), reader)
    last = group_colors(np.array(STANDING[20]))
    for time in (20.0, 0.0, 10.0):
        a = arrays(run(plot, time=time))
        standing = np.array(STANDING[int(time)])
        there = np.flatnonzero(standing == np.arange(N_FILTERS)).tolist()
        assert by_filter(a, "filter_group") == {f: STANDING[20][f] for f in there}
        assert by_filter(a, "stands_for") == {f: int((standing == f).sum()) for f in there}
        assert (a["merged"] == 0).all()
        for f in there:
            weights = kernels(0, int(time))[f]
            np.testing.assert_array_equal(of_filter(a, f, "weight"), weights.ravel())
            expected = kernel_colors(weights[None], last[f][None])
            np.testing.assert_array_equal(of_filter(a, f, "color"), expected.reshape(-1, 3))


def test_the_rest_closes_up_or_keeps_its_place_beside_faded_ones(reader):
    plot = plot_of(FilterGroups(), reader)
    whole = run(plot, time=0)
    before, places = arrays(whole), lower_left(whole)
    cells = run(plot, time=20)
    a, now = arrays(cells), lower_left(cells)
    for position, f in enumerate((0, 1, 4)):
        np.testing.assert_allclose(
            now[a["filter"] == f], places[before["filter"] == position], atol=1e-5
        )
    plot.SetKeepPlaces(1)
    cells = run(plot, time=20)
    a = arrays(cells)
    np.testing.assert_allclose(lower_left(cells), places, atol=1e-5)
    assert by_filter(a, "merged") == {0: 0, 1: 0, 2: 1, 3: 1, 4: 0, 5: 1}
    assert by_filter(a, "stands_for") == {0: 3, 1: 2, 2: 0, 3: 0, 4: 1, 5: 0}
    colors = group_colors(np.array(STANDING[20]))
    assert (of_filter(a, 5, "color") == faded(colors[0])).all()


def test_filters_left_and_accuracy_are_said(reader, said):
    plot = plot_of(FilterGroups(), reader)
    run(plot, time=10)
    assert said[-1] == [
        "conv1, step 10", "5 of 6 filters", "validation accuracy 80.00 %", "2 groups in the end",
    ]  # fmt: skip
    run(plot, time=20)
    assert said[-1][1:3] == ["3 of 6 filters", "validation accuracy 91.25 %"]


def test_the_last_step_is_read_once(reader):
    plot = plot_of(FilterGroups(), reader)
    run(plot, time=0)
    assert set(reader.reads()) == {0, 20}
    run(plot, time=10)
    assert reader.reads() == [10]
    plot.SetThreshold(0.5)
    plot.SetKeepPlaces(1)
    run(plot, time=10)
    assert reader.reads() == []


# -- other runs ------------------------------------------------------------------------------------
def test_groups_of_other_runs_are_predicted_from_the_last_correlations(reader, said):
    """At the last step filters correlate by 0.9 within clusters of 2, 1, 3; at others by less."""
    plot = plot_of(FilterGroups(), reader, Runs="1", Threshold=0.85)
    for time in (0.0, 20.0):
        a = arrays(run(plot, time=time))
        assert by_filter(a, "filter_group") == {0: 0, 1: 0, 2: 2, 3: 3, 4: 3, 5: 3}
        assert by_filter(a, "stands_for") == dict.fromkeys(range(6), 1)
    assert said[-1][1] == "6 filters"
    assert said[-1][-1] == "nothing merged, 2 groups with r >= 0.85"
    plot.SetThreshold(0.95)
    assert by_filter(arrays(run(plot, time=0)), "filter_group") == {f: f for f in range(6)}


def test_runs_of_several_groups_side_by_side(reader):
    a = arrays(run(plot_of(FilterGroups(), reader, Runs="0-2", Threshold=0.85), time=20))
    assert [int((a["run_index"] == k).sum()) for k in range(3)] == [27, 54, 36]
    two = {name: values[a["run_index"] == 2] for name, values in a.items()}
    assert by_filter(two, "filter_group") == {0: 0, 1: 0, 2: 2, 3: 2}


def draw(tensors, n_runs=2, **options):
    algorithm = FilterGroups()
    algorithm.SetInputDataObject(0, make_runs({"learning_rate": np.arange(1.0, n_runs + 1)}))
    algorithm.SetInputDataObject(1, tensors)
    for name, value in options.items():
        getattr(algorithm, "Set" + name)(value)
    run(algorithm, port=1)
    return algorithm.GetOutputDataObject(0), algorithm.GetOutputDataObject(1)


def random_weights(n_runs, *shape):
    return np.random.default_rng(0).normal(size=(n_runs, *shape)).astype(np.float32)


def test_without_correlations_nothing_is_grouped(said):
    cells, _ = draw(make_weights({"g000/conv1.weight": ([0, 1], random_weights(2, 4, 2, 3, 3))}))
    assert by_filter(arrays(cells), "filter_group") == {f: f for f in range(4)}
    assert said[-1][-1] == "nothing merged, no correlations for groups"


def test_a_diverged_run_and_one_without_tensors():
    weights = random_weights(1, 4, 1, 3, 3)
    weights[0, 1] = np.nan
    cells, axes = draw(make_weights({"g000/conv1.weight": ([0], weights)}), Runs="0,1")
    a = arrays(cells)
    assert (of_filter(a, 1, "color") == BROKEN).all()
    assert set(a["run_index"]) == {0}
    assert axes.GetNumberOfCells() > 0


def test_a_recorded_group_that_is_no_filter_stands_for_itself():
    data = make_weights({"g000/conv1.weight": ([0], random_weights(1, 3, 1, 2, 2))})
    more = make_tensors({"g000/conv1.filter_group": ([0], np.array([[[np.nan, -1, 9]]]))})
    data.SetBlock(1, more.GetBlock(0))
    data.GetMetaData(1).Copy(more.GetMetaData(0))
    assert by_filter(arrays(draw(data)[0]), "filter_group") == {0: 0, 1: 1, 2: 2}


def test_large_kernels_are_summed_up_over_their_inputs(monkeypatch):
    monkeypatch.setattr(filter_groups, "MAX_QUADS", 100)
    weights = random_weights(1, 4, 10, 3, 3)
    a = arrays(draw(make_weights({"g000/conv1.weight": ([0], weights)}))[0])
    expected = np.sqrt((weights[0] ** 2).mean(axis=1))
    np.testing.assert_allclose(a["weight"], expected.ravel(), rtol=1e-5)
    assert weight_images.MAX_QUADS > 1000


def test_no_runs_give_empty_outputs_with_their_arrays():
    tensors = make_weights({"g000/conv1.weight": ([0], random_weights(1, 4, 1, 3, 3))})
    cells, axes = draw(tensors, n_runs=0)
    assert (cells.GetNumberOfCells(), axes.GetNumberOfCells()) == (0, 0)
    assert {"color", "filter_group", "weight"} <= set(arrays(cells))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"Layer": "conv3"}, "check layer 'conv3' under Layers"),
        ({"Threshold": 0.0}, "Threshold must lie above 0"),
        ({"Threshold": float("nan")}, "Threshold must lie above 0"),
        ({"Runs": "9"}, "there is no run 9"),
    ],
)
@pytest.mark.expect_vtk_errors
def test_what_cannot_be_shown_is_said(options, words):
    tensors = make_weights({"g000/conv1.weight": ([0], random_weights(1, 4, 1, 3, 3))})
    with pytest.raises(PipelineError, match=words):
        draw(tensors, **options)


# -- colours ---------------------------------------------------------------------------------------
def test_groups_have_different_colours_and_single_filters_none():
    colors = group_colors(np.array([0, 1, 0, 3, 1, 5]))
    assert colors[0].tolist() == colors[2].tolist() == list(PALETTE[0])
    assert colors[1].tolist() == colors[4].tolist() == list(PALETTE[1])
    assert colors[3].tolist() == colors[5].tolist() == list(SINGLE)
    many = group_colors(np.repeat(np.arange(40), 2))
    assert len({tuple(c) for c in many.tolist()}) == 40


def test_kernels_go_from_pale_to_dark():
    values = np.array([[-2.0, 0.0, 1.0, 2.0], [0.0, 0.0, 0.0, np.nan]])
    rgb = kernel_colors(values, np.array([PALETTE[1], PALETTE[2]], np.uint8)).astype(int)
    assert (np.diff(rgb[0].sum(axis=1)) < 0).all()
    assert rgb[0, 0].min() > 200
    assert rgb[1, 3].tolist() == list(BROKEN)
    assert rgb[1, 0].tolist() == rgb[1, 2].tolist()
