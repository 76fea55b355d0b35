"""Filter Correlation: values at positions, order, panels, labels, aggregation, hard cases."""

from __future__ import annotations

import numpy as np
import pytest
from plot_samples import cell_colors, cell_points, make_runs
from tensor_samples import block_correlation, make_tensors, random_correlations

from pvensemble.errors import PipelineError
from pvensemble.filters import _options, filter_correlation
from pvensemble.filters._base import run
from pvensemble.filters.filter_correlation import FilterCorrelation
from pvensemble.filters.plot_geometry import RED
from pvensemble.filters.plot_matrix import OUTLINE, block_means, label_ticks, tree_lines
from pvensemble.filters.plot_matrix_panels import SIDE, Caption, joined, place_panels, run_title
from pvensemble.numerics.ordering import cluster_order
from pvensemble.vtkdata.arrays import to_numpy
from pvensemble.vtkdata.runs import RunsData

NAME = "g000/conv1.correlation"


def sample_runs(n_runs=4, run_index=None):
    runs = make_runs({"learning_rate": np.arange(1, n_runs + 1) / 8})
    if run_index is not None:
        to_numpy(runs.GetCellData().GetArray("run_index"))[:] = run_index
    return runs


def correlate(runs, tensors, *, time=None, **options):
    """Run the filter; return its algorithm and outputs."""
    algorithm = FilterCorrelation()
    algorithm.SetInputDataObject(0, runs)
    algorithm.SetInputDataObject(1, tensors)
    for name, value in options.items():
        getattr(algorithm, "Set" + name)(value)
    run(algorithm, time=time, port=1)
    return algorithm.GetOutputDataObject(0), algorithm.GetOutputDataObject(1)


def arrays(cells):
    data = cells.GetCellData()
    names = [data.GetArrayName(k) for k in range(data.GetNumberOfArrays())]
    return {name: to_numpy(data.GetArray(name)) for name in names}


def squares_of(cells):
    """(n, n) correlations by position of the only panel."""
    a = arrays(cells)
    n = a["row_position"].max() + 1
    matrix = np.full((n, n), np.nan)
    matrix[a["row_position"], a["column_position"]] = a["correlation"]
    return matrix


def colored_lines(axes, color):
    colors = cell_colors(axes)[: axes.GetNumberOfLines()]
    return [cell_points(axes, int(k)) for k in np.flatnonzero((colors == color).all(axis=1))]


# -- values ---------------------------------------------------------------------------------------
def test_original_order_shows_the_stored_matrix_row_0_at_the_top():
    stack = random_correlations(4, 5)
    cells, _ = correlate(sample_runs(), make_tensors({NAME: (np.arange(4), stack)}),
                         Runs="2", Order="original")  # fmt: skip
    a = arrays(cells)
    assert cells.GetNumberOfCells() == 25
    np.testing.assert_array_equal(a["row"], np.repeat(np.arange(5), 5))
    np.testing.assert_array_equal(a["column"], np.tile(np.arange(5), 5))
    np.testing.assert_array_equal(a["correlation"], np.abs(stack[2]).ravel())
    np.testing.assert_array_equal(a["run_index"], 2)
    unit = SIDE / 5
    for cell in (0, 7, 24):
        points = cell_points(cells, cell)
        x0, y1 = a["column"][cell] * unit, SIDE - a["row"][cell] * unit
        np.testing.assert_allclose(points.min(axis=0), [x0, y1 - unit], atol=1e-5)
        np.testing.assert_allclose(points.max(axis=0), [x0 + unit, y1], atol=1e-5)


def test_signed_values_on_demand():
    stack = random_correlations(1, 6)
    tensors = make_tensors({NAME: ([0], stack)})
    cells, _ = correlate(sample_runs(1), tensors, Order=1, Magnitude=0)
    np.testing.assert_array_equal(squares_of(cells), stack[0])
    assert (stack[0] < 0).any()


@pytest.mark.parametrize("linkage", ["average", "complete", "single"])
def test_clustered_order_is_that_of_the_numerics(linkage):
    stack = random_correlations(2, 12, n_samples=4)
    tensors = make_tensors({NAME: ([0, 1], stack)})
    cells, _ = correlate(sample_runs(2), tensors, Runs="1", Threshold=0.6, Linkage=linkage)
    order = cluster_order(stack[1], 0.6, linkage)
    shown = np.abs(stack[1])[np.ix_(order.permutation, order.permutation)]
    np.testing.assert_array_equal(squares_of(cells), shown)
    a = arrays(cells)
    np.testing.assert_array_equal(a["row"], order.permutation[a["row_position"]])
    np.testing.assert_array_equal(a["column"], order.permutation[a["column_position"]])
    same = order.cluster[a["row_position"]] == order.cluster[a["column_position"]]
    expected = np.where(same, order.cluster[a["row_position"]], -1)
    np.testing.assert_array_equal(a["cluster"], expected)
    original, _ = correlate(sample_runs(2), tensors, Runs="1", Threshold=0.6, Linkage=linkage,
                            Order="original")  # fmt: skip
    b = arrays(original)
    label = dict(zip(zip(a["row"], a["column"]), a["cluster"]))
    assert [label[k] for k in zip(b["row"], b["column"])] == b["cluster"].tolist()


def test_planted_clusters_are_outlined_and_stand_by_size():
    sizes = [2, 5, 3, 1, 1]
    shuffle = np.random.default_rng(3).permutation(12)
    matrix = block_correlation(sizes)[np.ix_(shuffle, shuffle)]
    tensors = make_tensors({NAME: ([0], matrix[None])})
    cells, axes = correlate(sample_runs(1), tensors)
    a = arrays(cells)
    counts = np.bincount(a["cluster"][a["row"] == a["column"]])
    np.testing.assert_array_equal(counts, [5, 3, 2, 1, 1])
    np.testing.assert_allclose(squares_of(cells), block_correlation([5, 3, 2, 1, 1]))
    boxes = colored_lines(axes, OUTLINE)
    unit = SIDE / 12
    got = [(b[:, 0].min(), b[:, 0].max(), b[:, 1].min()) for b in boxes]
    want = [(s * unit, e * unit, SIDE - e * unit) for s, e in ((0, 5), (5, 8), (8, 10))]
    np.testing.assert_allclose(got, want, atol=1e-5)
    _, axes = correlate(sample_runs(1), tensors, Order="original")
    assert colored_lines(axes, OUTLINE) == []


def test_runs_are_found_by_run_index_not_by_position():
    stack = random_correlations(3, 4)
    tensors = make_tensors({NAME: ([10, 20, 30], stack)})
    runs = sample_runs(3, run_index=[30, 99, 10])
    cells, _ = correlate(runs, tensors, Runs="2", Order="original")
    np.testing.assert_array_equal(squares_of(cells), np.abs(stack[0]))
    np.testing.assert_array_equal(arrays(cells)["run_index"], 10)
    cells, _ = correlate(runs, tensors, Order="original")
    np.testing.assert_array_equal(squares_of(cells), np.abs(stack[2]))


# -- several runs ---------------------------------------------------------------------------------
def test_panels_of_groups_of_different_width_do_not_overlap():
    tensors = make_tensors(
        {
            "g000/conv1.correlation": ([0, 2], random_correlations(2, 4)),
            "g001/conv1.correlation": ([1], random_correlations(1, 7, seed=1)),
        }
    )
    cells, axes = correlate(sample_runs(), tensors, Runs="0-3")  # nothing of run 3
    a = arrays(cells)
    np.testing.assert_array_equal(np.bincount(a["run_index"]), [16, 49, 16])
    points = to_numpy(cells.GetPoints().GetData())
    boxes = []
    for index in range(3):
        ids = [cells.GetCell(int(k)).GetPointId(j)
               for k in np.flatnonzero(a["run_index"] == index) for j in range(4)]  # fmt: skip
        boxes.append((points[ids].min(axis=0), points[ids].max(axis=0)))
    for i in range(3):
        for j in range(i):
            (low, high), (other_low, other_high) = boxes[i], boxes[j]
            apart = (high < other_low - 1e-6) | (low > other_high + 1e-6)
            assert apart[:2].any()
    assert np.isfinite(axes.GetBounds()).all()


def test_no_more_than_sixteen_panels():
    tensors = make_tensors({NAME: (np.arange(20), random_correlations(20, 3))})
    cells, _ = correlate(sample_runs(20), tensors, Runs="0-19")
    np.testing.assert_array_equal(np.unique(arrays(cells)["run_index"]), np.arange(16))


# -- drawing --------------------------------------------------------------------------------------
def test_dendrogram_stands_beside_with_its_threshold():
    matrix = block_correlation([2, 2], within=0.9, between=0.2)
    tensors = make_tensors({NAME: ([0], matrix[None])})
    _, with_tree = correlate(sample_runs(1), tensors, Threshold=0.7)
    _, without = correlate(sample_runs(1), tensors, Threshold=0.7, ShowDendrogram=0)
    assert without.GetBounds()[1] <= SIDE + 1e-5 < with_tree.GetBounds()[1]
    left, width = 1.025 * SIDE, 0.2 * SIDE
    lines = [line for line in colored_lines(with_tree, RED) if np.ptp(line[:, 1]) > 0.9 * SIDE]
    (line,) = lines
    np.testing.assert_allclose(line[:, 0], left + 0.3 * width, atol=1e-5)


def test_brackets_of_a_tree():
    linkage = np.array([[1, 2, 0.1, 2], [0, 3, 0.4, 3]])
    lines = tree_lines(linkage)
    np.testing.assert_allclose(lines[0], [[0, 1], [0.1, 1], [0.1, 2], [0, 2]])
    np.testing.assert_allclose(lines[1], [[0, 0], [0.4, 0], [0.4, 1.5], [0.1, 1.5]])


def test_dead_filters_are_marked():
    stack = random_correlations(1, 6, dead=(1, 4))
    tensors = make_tensors({NAME: ([0], stack)})
    _, axes = correlate(sample_runs(1), tensors, Order="original", ShowDendrogram=0)
    ticks = [line for line in colored_lines(axes, RED) if np.ptp(line[:, 1]) == 0]
    heights = sorted(line[0, 1] / SIDE * 6 for line in ticks)
    np.testing.assert_allclose(heights, [1.5, 4.5], atol=1e-5)


def test_labels_are_thinned_but_never_overlap():
    for n in (1, 20, 50, 200, 512):
        unit = SIDE / n
        size, ticks = label_ticks([str(k) for k in range(n)], unit, 0.32)
        gaps = np.diff([t.position for t in ticks])
        assert len(ticks) >= min(n, 20)
        assert (gaps >= 0.95 * size).all()
        assert 0.6 * 0.32 - 1e-9 <= size <= 0.32


@pytest.mark.parametrize("n_panels", [1, 2, 4, 16])
def test_captions_have_room_between_the_panels(n_panels):
    captions = [Caption(["run 7", "learning_rate 0.00656", "momentum 0.478"], ["29 pairs"])]
    layout = place_panels(captions * n_panels, 3.6, has_trees=True)
    (height,) = {c.height(layout.width, layout.size) for c in captions}
    lows = sorted({s.y for s in layout.squares})
    for low, above in zip(lows, lows[1:]):
        assert above - (low + layout.squares[0].side) > height + 2 * layout.size
    assert layout.squares[0].side > 0.5 * SIDE / len(lows)
    assert lows[-1] + layout.squares[0].side <= SIDE + 1e-9


def test_title_names_what_varies_and_lines_fit():
    runs = RunsData(make_runs({"a": np.array([0.5, 0.5]), "b": np.array([0.1, 1 / 3])}))
    assert run_title(runs, 1) == ["run 1 (r1): b 0.333"]
    assert run_title(runs, 1, is_short=True) == ["run 1", "b 0.333"]
    many = RunsData(make_runs({name: np.arange(3.0) for name in "abcdef"}))
    assert run_title(many, 2) == ["run 2 (r2): a 2", "b 2", "c 2", "d 2, …"]
    assert run_title(many, 2, is_short=True) == ["run 2", "a 2", "b 2, …"]
    lacking = RunsData(make_runs({"a": np.array([0.5, np.nan]), "b": np.array([1.0, 2.0])}))
    assert run_title(lacking, 1) == ["run 1 (r1): b 2"]
    size, text = joined(["one thing", "another", "a third"], 5.0, 1.0)
    assert text == "one thing,\nanother,\na third"
    assert size == 1.0
    assert joined(["one thing", "another"], 50.0, 1.0)[1] == "one thing, another"


# -- many filters ---------------------------------------------------------------------------------
def test_many_filters_are_averaged_in_blocks(monkeypatch):
    monkeypatch.setattr(filter_correlation, "MAX_CELLS", 16)
    stack = random_correlations(1, 7)
    tensors = make_tensors({NAME: ([0], stack)})
    cells, _ = correlate(sample_runs(1), tensors, Order="original")
    a = arrays(cells)
    assert cells.GetNumberOfCells() == 16
    np.testing.assert_array_equal(a["row"], np.repeat([0, 2, 4, 6], 4))
    matrix = a["correlation"].reshape(4, 4)
    np.testing.assert_allclose(matrix[1, 0], np.abs(stack[0])[2:4, 0:2].mean(), rtol=1e-6)
    np.testing.assert_allclose(matrix[3, 3], 1.0)
    np.testing.assert_allclose(matrix[3, 1], np.abs(stack[0])[6:7, 2:4].mean(), rtol=1e-6)


def test_block_means_leave_a_constant_constant():
    assert (block_means(np.full((10, 10), 0.25, np.float32), 3) == 0.25).all()


# -- hard cases -----------------------------------------------------------------------------------
@pytest.mark.parametrize("n_filters", [1, 2])
def test_one_or_two_filters(n_filters):
    tensors = make_tensors({NAME: ([0], random_correlations(1, n_filters))})
    cells, axes = correlate(sample_runs(1), tensors)
    assert cells.GetNumberOfCells() == n_filters**2
    assert np.isfinite(axes.GetBounds()).all()


def test_a_diverged_run_is_all_dead_and_finite():
    dead = np.eye(5, dtype=np.float32)[None]
    cells, axes = correlate(sample_runs(1), make_tensors({NAME: ([0], dead)}))
    np.testing.assert_array_equal(squares_of(cells), np.eye(5))
    assert np.isfinite(to_numpy(axes.GetPoints().GetData())).all()


def test_no_runs_give_no_cells():
    runs = make_runs({"a": np.empty(0)})
    cells, axes = correlate(runs, make_tensors({}))
    assert cells.GetNumberOfCells() == 0
    assert axes.GetNumberOfCells() == 0
    assert set(filter_correlation.ARRAYS) <= set(arrays(cells))


def test_runs_without_tensors_are_empty_panels():
    tensors = make_tensors({NAME: ([7], random_correlations(1, 3))})
    cells, axes = correlate(sample_runs(2), tensors, Runs="1")
    assert cells.GetNumberOfCells() == 0
    assert axes.GetNumberOfCells() > 10  # the words
    cells, _ = correlate(sample_runs(2), tensors)
    assert cells.GetNumberOfCells() == 0


def test_only_the_runs_shown_are_clustered_and_only_once(monkeypatch):
    calls = []

    def counted(matrix, threshold, linkage):
        calls.append(threshold)
        return cluster_order(matrix, threshold, linkage)

    monkeypatch.setattr(_options, "cluster_order", counted)
    tensors = make_tensors({NAME: (np.arange(4), random_correlations(4, 5))})
    for _ in range(2):
        correlate(sample_runs(), tensors, Runs="1-2")
    assert calls == [0.7, 0.7]
    correlate(sample_runs(), tensors, Runs="1-2", Threshold=0.5)
    assert calls == [0.7, 0.7, 0.5, 0.5]
    correlate(sample_runs(), tensors, Runs="1-2", Threshold=0.5, Order="original")
    assert len(calls) == 4


WRONG = [
    ({"Order": "cluster"}, "Order: got 'cluster'; did you mean 'clustered'"),
    ({"Linkage": 7}, "Linkage: got 7"),
    ({"Threshold": 1.5}, "Threshold must lie between 0 and 1"),
    ({"LabelSize": 0.0}, "Label Size must be"),
    ({"Runs": "9"}, "there is no run 9"),
    ({"Layer": "conv2"}, "check layer 'conv2' under Layers of the Ensemble Reader"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
@pytest.mark.expect_vtk_errors
def test_wrong_options_are_named(options, message):
    tensors = make_tensors({NAME: (np.arange(4), random_correlations(4, 5))})
    with pytest.raises(PipelineError, match=message):
        correlate(sample_runs(), tensors, **options)
