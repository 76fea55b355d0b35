"""Run similarity: values by the numerics, who stands where, groups, orders, limits, errors."""

from __future__ import annotations

import numpy as np
import pytest
from plot_samples import cell_points, make_runs
from tensor_samples import make_tensors, random_correlations
from topology_samples import make_topology, plot_of, reader_of

from pvensemble.errors import NotRecordedError, OptionError, PipelineError
from pvensemble.filters import run_similarity
from pvensemble.filters._base import run
from pvensemble.filters.run_similarity import SIDE, RunSimilarity, clustered
from pvensemble.numerics.similarity import (
    cka_vectors,
    matched_similarity,
    run_vectors,
    similarity,
)
from pvensemble.vtkdata.arrays import to_numpy


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_topology(tmp_path_factory.mktemp("similarity") / "runs.pvens", n_runs=6, dead=(4,))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    path = tmp_path_factory.mktemp("similarity") / "mixed.pvens"
    return make_topology(path, n_runs=7, widths=(5, 8))


def matrix_of(output, n):
    return to_numpy(output.GetCellData().GetArray("similarity")).reshape(n, n)


def runs_of(output, n):
    """Numbers of the runs of the rows and of the columns."""
    rows = to_numpy(output.GetCellData().GetArray("row_run")).reshape(n, n)
    columns = to_numpy(output.GetCellData().GetArray("column_run")).reshape(n, n)
    assert (rows == rows[:, :1]).all()
    assert (columns == columns[:1]).all()
    return rows[:, 0], columns[0]


def in_order_of_runs(output, n):
    rows, columns = runs_of(output, n)
    np.testing.assert_array_equal(rows, columns)
    back = np.argsort(rows)
    return matrix_of(output, n)[np.ix_(back, back)]


@pytest.mark.parametrize("order", ["input", "clustered"])
@pytest.mark.parametrize("upper", [False, True])
def test_similarities_of_the_paper(made, order, upper):
    plot = plot_of(RunSimilarity(), reader_of(made), Order=order, UpperTriangle=upper)
    output = run(plot, time=10)
    vectors = run_vectors(made.correlations(10, range(6)), 0.7, "average", upper=upper)
    assert output.GetNumberOfCells() == 36
    np.testing.assert_allclose(in_order_of_runs(output, 6), similarity(vectors), atol=1e-6)
    if order == "input":
        np.testing.assert_array_equal(runs_of(output, 6)[0], range(6))


def test_threshold_and_linkage_reach_the_order(made):
    reader = reader_of(made)
    for threshold, linkage in ((0.2, "single"), (0.9, "complete")):
        plot = plot_of(RunSimilarity(), reader, Threshold=threshold, Linkage=linkage)
        vectors = run_vectors(made.correlations(20, range(6)), threshold, linkage)
        matrix = in_order_of_runs(run(plot, time=20), 6)
        np.testing.assert_allclose(matrix, similarity(vectors), atol=1e-6)


def test_matched(made):
    plot = plot_of(RunSimilarity(), reader_of(made), Measure="matched")
    matrix = in_order_of_runs(run(plot, time=20), 6)
    expected = matched_similarity(made.correlations(20, range(6)))
    np.testing.assert_allclose(matrix, expected, atol=1e-6)


def test_cka_compares_runs_of_any_width(mixed):
    plot = plot_of(RunSimilarity(), reader_of(mixed), Measure="cka", Layer="conv1")
    matrix = in_order_of_runs(run(plot, time=20), 7)
    expected = similarity(cka_vectors(mixed.grams(20, range(7), "conv1")))
    assert not np.isnan(matrix).any()
    np.testing.assert_allclose(matrix, expected, atol=1e-6)


@pytest.mark.parametrize("measure", ["paper", "matched"])
def test_runs_of_different_width_have_no_similarity(mixed, measure):
    plot = plot_of(RunSimilarity(), reader_of(mixed), Measure=measure)
    matrix = in_order_of_runs(run(plot, time=20), 7)
    width = np.arange(7) % 2
    np.testing.assert_array_equal(np.isnan(matrix), width[:, None] != width)
    even = np.arange(0, 7, 2)
    vectors = mixed.correlations(20, even)
    expected = (
        similarity(run_vectors(vectors)) if measure == "paper" else matched_similarity(vectors)
    )
    np.testing.assert_allclose(matrix[np.ix_(even, even)], expected, atol=1e-6)


def test_rows_run_downwards_and_cells_know_their_runs(made):
    output = run(plot_of(RunSimilarity(), reader_of(made), Order="input"), time=20)
    unit = SIDE / 6
    for row, column in ((0, 0), (0, 5), (2, 3), (5, 0)):
        corners = cell_points(output, row * 6 + column)
        low, high = corners.min(axis=0), corners.max(axis=0)
        np.testing.assert_allclose(low, [column * unit, SIDE - (row + 1) * unit], atol=1e-5)
        np.testing.assert_allclose(high, [(column + 1) * unit, SIDE - row * unit], atol=1e-5)
    cells = to_numpy(output.GetFieldData().GetArray("matrix_cells"))
    np.testing.assert_array_equal(cells, range(6))


def test_runs_can_be_chosen_and_keep_their_numbers(tmp_path):
    made = make_topology(tmp_path / "sessions.pvens", n_runs=8, sessions=2)
    reader = reader_of(made)
    reader.GetSessions().DisableArray("coarse")
    output = run(plot_of(RunSimilarity(), reader, Runs="1-3", Order="input"), time=20)
    np.testing.assert_array_equal(runs_of(output, 3)[0], [5, 6, 7])
    np.testing.assert_array_equal(
        to_numpy(output.GetFieldData().GetArray("matrix_cells")), [1, 2, 3]
    )
    expected = similarity(run_vectors(made.correlations(20, [5, 6, 7])))
    np.testing.assert_allclose(matrix_of(output, 3), expected, atol=1e-6)


def test_clustering_brings_similar_runs_together():
    label = np.array([0, 1, 2] * 5)
    matrix = np.where(label[:, None] == label, 0.9, 0.1).astype(np.float32)
    np.fill_diagonal(matrix, 1)
    order = clustered(matrix)
    assert sorted(order) == list(range(15))
    assert (np.diff(label[order]) != 0).sum() == 2
    matrix[3] = matrix[:, 3] = np.nan
    assert clustered(matrix)[-1] == 3
    assert sorted(clustered(matrix)) == list(range(15))


def test_runs_without_data_are_empty_rows():
    stack = random_correlations(3, 4)
    plot = RunSimilarity()
    plot.SetInputDataObject(0, make_runs({"a": np.arange(4.0)}))
    plot.SetInputDataObject(1, make_tensors({"g000/c.correlation": ([0, 2, 3], stack)}))
    plot.SetOrder("input")
    matrix = matrix_of(run(plot), 4)
    assert np.isnan(matrix[1]).all()
    assert np.isnan(matrix[:, 1]).all()
    here = np.ix_([0, 2, 3], [0, 2, 3])
    np.testing.assert_allclose(matrix[here], similarity(run_vectors(stack)), atol=1e-6)


@pytest.mark.parametrize("measure", ["paper", "matched", "cka"])
def test_tensors_of_more_runs_in_another_order(measure):
    slices = np.array([9, 2, 0, 1, 7])
    stack, grams = random_correlations(5, 4), random_correlations(5, 16).reshape(5, 1, 256)
    tensors = {"g000/c.correlation": (slices, stack), "g000/c.gram": (slices, grams)}
    plot = RunSimilarity()
    plot.SetInputDataObject(0, make_runs({"a": np.arange(3.0)}))
    plot.SetInputDataObject(1, make_tensors(tensors))
    plot.SetOrder("input")
    plot.SetMeasure(measure)
    mine = [2, 3, 1]  # slices of the runs 0, 1, 2
    expected = {
        "paper": lambda: similarity(run_vectors(stack[mine])),
        "matched": lambda: matched_similarity(stack[mine]),
        "cka": lambda: similarity(cka_vectors(grams[mine].reshape(3, 1, 16, 16))),
    }[measure]()
    np.testing.assert_allclose(matrix_of(run(plot), 3), expected, atol=1e-6)


@pytest.mark.parametrize("order", ["input", "clustered"])
@pytest.mark.parametrize("n_runs", [1, 2])
def test_few_runs(tmp_path, n_runs, order):
    made = make_topology(tmp_path / "few.pvens", n_runs=n_runs, steps=(5,))
    plot = plot_of(RunSimilarity(), reader_of(made), Order=order)
    output = run(plot, time=5)
    assert output.GetNumberOfCells() == n_runs**2
    np.testing.assert_allclose(np.diagonal(matrix_of(output, n_runs)), 1, atol=1e-6)
    assert np.isfinite(plot.GetOutputDataObject(1).GetBounds()).all()


def test_all_diverged_but_one(tmp_path):
    made = make_topology(tmp_path / "dead.pvens", dead=range(1, 6))
    for measure in ("paper", "matched"):
        matrix = in_order_of_runs(
            run(plot_of(RunSimilarity(), reader_of(made), Measure=measure), time=20), 6
        )
        assert np.isfinite(matrix).all()
        np.testing.assert_allclose(matrix[1:, 1:], 1, atol=1e-6)


def test_every_label_has_room(made):
    """The numbers beside the matrix are thinned as they get more."""
    numbers = np.arange(121)
    for size in (0.1, 0.32):
        places = run_similarity.tick_places(numbers, SIDE / 121, size)
        assert 4 <= len(places) < 121
        assert np.diff(places).min() * SIDE / 121 > size
    np.testing.assert_array_equal(run_similarity.tick_places(np.arange(5), SIDE / 5, 0.3), range(5))


def test_another_measure_reads_nothing(made):
    reader = reader_of(made)
    plot = plot_of(RunSimilarity(), reader)
    run(plot, time=20)
    reader.reads()
    for measure in ("matched", "cka", "paper"):
        run(plot_of(plot, reader, Measure=measure), time=20)
    assert reader.reads() == []


WRONG = [
    ({"Layer": "conv3"}, "check layer 'conv3'", NotRecordedError),
    ({"Measure": "papper"}, "did you mean 'paper'", OptionError),
    ({"Linkage": "ward"}, "Linkage: got 'ward'", OptionError),
    ({"Threshold": -0.1}, "Threshold must lie between 0 and 1", OptionError),
    ({"Order": "random"}, "Order: got 'random'", OptionError),
    ({"LabelSize": 0.0}, "Label Size must be", OptionError),
    ({"Runs": "0-6"}, "there is no run 6", None),
]


@pytest.mark.parametrize(("options", "message", "kind"), WRONG)
@pytest.mark.expect_vtk_errors
def test_wrong_options_are_named(made, options, message, kind):
    with pytest.raises(PipelineError, match=message) as caught:
        run(plot_of(RunSimilarity(), reader_of(made), **options), time=20)
    assert kind is None or isinstance(caught.value.__cause__, kind)


@pytest.mark.parametrize("order", ["input", "clustered"])
def test_of_many_runs_several_share_a_row(made, monkeypatch, order):
    plot = plot_of(RunSimilarity(), reader_of(made), Order=order, Runs="0-4")
    full = matrix_of(run(plot, time=20), 5)
    monkeypatch.setattr(run_similarity, "MAX_ROWS", 3)
    output = run(plot, time=20)
    assert output.GetNumberOfCells() == 9
    blocks = [slice(0, 2), slice(2, 4), slice(4, 5)]
    means = [[full[a, b].mean() for b in blocks] for a in blocks]
    np.testing.assert_allclose(matrix_of(output, 3), means, atol=1e-6)
    field = output.GetFieldData()
    assert to_numpy(field.GetArray("matrix_block")).tolist() == [2]
    cells = to_numpy(field.GetArray("matrix_cells"))
    assert sorted(cells) == list(range(5))
    np.testing.assert_array_equal(runs_of(output, 3)[0], cells[::2])
    last = cell_points(output, 8)
    np.testing.assert_allclose(last.min(axis=0), [0.8 * SIDE, 0.0], atol=1e-5)
    np.testing.assert_allclose(last.max(axis=0), [SIDE, 0.2 * SIDE], atol=1e-5)


def test_blocks_leave_out_pairs_without_a_value():
    matrix = np.array([[1, 0.5, np.nan], [0.5, 1, np.nan], [np.nan] * 3], np.float32)
    found = run_similarity.block_similarity(matrix, 2)
    np.testing.assert_allclose(found, [[0.75, np.nan], [np.nan, np.nan]])
    matrix[1] = matrix[:, 1] = np.nan
    np.testing.assert_allclose(run_similarity.block_similarity(matrix, 2)[0, 0], 1.0)


@pytest.mark.expect_vtk_errors
def test_too_many_runs_are_refused_with_a_way_out(made, monkeypatch):
    monkeypatch.setattr(run_similarity, "MAX_RUNS", 5)
    reader = reader_of(made)
    with pytest.raises(PipelineError, match="6 runs have 36 pairs.*Ensemble Similarity Plot"):
        run(plot_of(RunSimilarity(), reader), time=20)
    assert run(plot_of(RunSimilarity(), reader, Runs="0-4"), time=20).GetNumberOfCells() == 25


@pytest.mark.expect_vtk_errors
def test_absent_gram_matrices_are_explained(made):
    reader = reader_of(made)
    reader.GetKinds().DisableArray("gram")
    with pytest.raises(PipelineError, match="without its gram: check 'gram' under Kinds"):
        run(plot_of(RunSimilarity(), reader, Measure="cka", Layer="conv1"), time=20)
    with pytest.raises(PipelineError, match="no gram of a layer"):
        run(plot_of(RunSimilarity(), reader, Measure="cka"), time=20)
