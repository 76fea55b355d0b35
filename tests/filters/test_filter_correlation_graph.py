"""Filter correlation graph: counts by value, steps read once, live steps, groups, errors."""

from __future__ import annotations

import numpy as np
import pytest
from plot_samples import cell_colors, cell_points, make_runs, sizes
from tensor_samples import make_tensors, random_correlations
from topology_samples import make_topology, plot_of, reader_of

from pvensemble.errors import NotRecordedError, OptionError, PipelineError
from pvensemble.filters import filter_correlation_graph as graph_module
from pvensemble.filters import reader as reader_module
from pvensemble.filters._base import run
from pvensemble.filters.filter_correlation_graph import FilterCorrelationGraph
from pvensemble.filters.measures import PerformanceMeasures
from pvensemble.filters.plot_curves import HEIGHT, WIDTH
from pvensemble.filters.plot_geometry import RED
from pvensemble.filters.run_groups import RunGroups
from pvensemble.filters.similarity_plot import EnsembleSimilarityPlot
from pvensemble.vtkdata.arrays import to_numpy
from pvensemble.vtkdata.time import data_time, published_time_steps


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch):
    monkeypatch.setattr(reader_module, "LIVE_INTERVAL", 0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_topology(
        tmp_path_factory.mktemp("graph") / "two.pvens", n_runs=7, widths=(5, 8), dead=(2,)
    )


def pairs(matrix, threshold=0.7):
    """Count the pairs one by one."""
    n = len(matrix)
    return sum(abs(matrix[i, j]) > threshold for i in range(n) for j in range(i + 1, n))


def partners(matrix, threshold=0.7):
    n = len(matrix)
    return sum(any(abs(matrix[i, j]) > threshold for j in range(n) if j != i) for i in range(n))


def expected(made, steps, count=pairs, threshold=0.7, layer="conv2"):
    """Counts (n_runs, n_steps)."""
    return np.array(
        [
            [count(made.correlations(s, [r], layer)[0], threshold) for s in steps]
            for r in range(made.n_runs)
        ]
    )


def drawn_counts(output, unit, cell):
    """Values that a curve shows, when ``unit`` is the height of one."""
    return cell_points(output, cell)[:, 1] / unit


def unit_of(output, counts):
    """Height of a count of one: all curves share a scale that begins at 0."""
    cell, step = np.unravel_index(np.argmax(counts), counts.shape)
    return cell_points(output, int(cell))[step, 1] / counts[cell, step]


@pytest.mark.parametrize(("count", "reference"), [("pairs", pairs), ("filters", partners)])
def test_curves_are_the_counts_of_each_run(made, count, reference):
    graph = plot_of(FilterCorrelationGraph(), reader_of(made), Count=count)
    output = run(graph, time=20)
    truth = expected(made, made.steps, reference)
    assert truth.max() > 3
    assert (truth[2] == 0).all()  # the dead one
    assert output.GetNumberOfCells() == made.n_runs
    unit = unit_of(output, truth)
    assert 0.9 * HEIGHT < unit * truth.max() < HEIGHT
    for cell in range(made.n_runs):
        points = cell_points(output, cell)
        np.testing.assert_allclose(points[:, 0], np.array([0, 0.5, 1]) * WIDTH, atol=1e-5)
        np.testing.assert_allclose(drawn_counts(output, unit, cell), truth[cell], atol=1e-3)


def test_the_present_count_is_a_column(made):
    graph = plot_of(FilterCorrelationGraph(), reader_of(made))
    for time, step in ((0, 0), (15, 10), (20, 20), (30, 20)):
        output = run(graph, time=time)
        present = to_numpy(output.GetCellData().GetArray("high_correlations"))
        np.testing.assert_array_equal(present, expected(made, [step])[:, 0])


def test_each_step_is_read_once_and_the_input_is_left_at_the_present_one(made):
    reader = reader_of(made)
    graph = plot_of(FilterCorrelationGraph(), reader)
    run(graph, time=10)
    # The present step for both inputs, then the others, and the present one again.
    assert reader.reads() == [10.0, 20.0, 0.0, 10.0]
    assert data_time(reader.GetOutputDataObject(1)) == 10.0
    assert data_time(reader.GetOutputDataObject(0)) == 10.0


def test_other_options_read_nothing(made):
    reader = reader_of(made)
    graph = plot_of(FilterCorrelationGraph(), reader)
    run(graph, time=10)
    reader.reads()
    for options in (
        {"Threshold": 0.3},
        {"Threshold": 0.31},
        {"Count": "filters"},
        {"Runs": "1,3"},
        {"ShowPlayhead": False},
        {"LabelSize": 2.0},
    ):
        plot_of(graph, reader, **options)
        run(graph, time=10)
    assert reader.reads() == []
    output = run(plot_of(graph, reader, Threshold=0.3, Count="pairs", Runs=""), time=10)
    truth = expected(made, made.steps, threshold=0.3)
    assert (truth != expected(made, made.steps)).any()
    np.testing.assert_allclose(drawn_counts(output, unit_of(output, truth), 4), truth[4], atol=1e-3)


def test_where_memory_is_short_a_threshold_may_read_once_more(made, monkeypatch):
    monkeypatch.setattr(graph_module, "MAX_BYTES", 0)
    reader = reader_of(made)
    graph = plot_of(FilterCorrelationGraph(), reader)
    for threshold, reads in ((0.7, True), (0.35, False), (0.7123, True), (0.7123, False)):
        output = run(plot_of(graph, reader, Threshold=threshold), time=20)
        assert bool(reader.reads()) == reads
        truth = expected(made, made.steps, threshold=threshold)
        unit = unit_of(output, truth)
        np.testing.assert_allclose(drawn_counts(output, unit, 6), truth[6], atol=1e-3)


def test_another_time_reads_that_step_alone(made):
    reader = reader_of(made)
    graph = plot_of(FilterCorrelationGraph(), reader)
    run(graph, time=10)
    reader.reads()
    run(graph, time=20)
    assert reader.reads() == [20.0]


def test_another_layer_is_read_and_the_first_one_kept(made):
    reader = reader_of(made)
    graph = plot_of(FilterCorrelationGraph(), reader, Layer="conv2")
    run(graph, time=20)
    reader.reads()
    output = run(plot_of(graph, reader, Layer="conv1"), time=20)
    assert sorted(set(reader.reads())) == [0.0, 10.0, 20.0]
    truth = expected(made, made.steps, layer="conv1")
    np.testing.assert_allclose(drawn_counts(output, unit_of(output, truth), 0), truth[0], atol=1e-3)
    run(plot_of(graph, reader, Layer="conv2"), time=20)
    assert reader.reads() == []


def test_filters_between_are_not_run_again_for_other_steps(made):
    reader = reader_of(made)
    measures = PerformanceMeasures()
    measures.SetInputConnection(reader.GetOutputPort(0))
    graph = plot_of(FilterCorrelationGraph(), reader)
    graph.SetInputConnection(0, measures.GetOutputPort(0))
    run(graph, time=10)
    before = measures.GetOutputDataObject(0).GetMTime()
    assert data_time(measures.GetOutputDataObject(0)) == 10.0
    run(graph, time=10)
    assert measures.GetOutputDataObject(0).GetMTime() == before


def test_runs_left_out_upstream_keep_their_curves(tmp_path):
    made = make_topology(tmp_path / "sessions.pvens", n_runs=6, widths=(5,), sessions=2)
    reader = reader_of(made)
    graph = plot_of(FilterCorrelationGraph(), reader)
    run(graph, time=20)
    for session, runs in (("coarse", [3, 4, 5]), ("fine", [0, 1, 2])):
        reader.GetSessions().EnableAllArrays()
        reader.GetSessions().DisableArray(session)
        output = run(graph, time=20)
        indices = to_numpy(output.GetCellData().GetArray("run_index"))
        assert indices.tolist() == runs
        truth = expected(made, made.steps)[runs]
        unit = unit_of(output, truth)
        for cell in range(3):
            np.testing.assert_allclose(drawn_counts(output, unit, cell), truth[cell], atol=1e-3)


def test_a_training_that_goes_on_reads_only_new_steps(tmp_path):
    made = make_topology(tmp_path / "live.pvens", widths=(5, 8), finish=False)
    reader = reader_of(made)
    graph = plot_of(FilterCorrelationGraph(), reader)
    run(graph, time=20)
    reader.reads()
    made.commit(0, 30)  # the other group lags behind
    assert reader.GetNeedsUpdate()
    output = run(graph, time=20)
    assert set(reader.reads()) == {20.0, 30.0}
    np.testing.assert_array_equal(sizes(output), [4, 3] * 3)
    made.commit(1, 30)
    assert reader.GetNeedsUpdate()
    output = run(graph, time=20)
    assert set(reader.reads()) == {20.0, 30.0}
    np.testing.assert_array_equal(sizes(output), [4] * 6)
    truth = expected(made, [0, 10, 20, 30])
    unit = unit_of(output, truth)
    for cell in range(6):
        np.testing.assert_allclose(drawn_counts(output, unit, cell), truth[cell], atol=1e-3)
    assert not reader.GetNeedsUpdate()
    run(graph, time=20)
    assert reader.reads() == []
    made.close()


def test_steps_at_which_nothing_was_recorded_of_a_layer_are_not_all_read(tmp_path):
    made = make_topology(tmp_path / "uneven.pvens", widths=(5, 8), finish=False)
    for step in (30, 40, 50, 60):
        made.commit(1, step)
    made.close()
    reader = reader_of(made)
    reader.GetGroups().DisableArray("g001")
    output = run(plot_of(FilterCorrelationGraph(), reader), time=20)
    assert reader.reads() == [20.0, 60.0, 10.0, 0.0, 20.0]
    np.testing.assert_array_equal(sizes(output), [3] * 3)


def test_another_ensemble_replaces_the_first(made, tmp_path):
    other = make_topology(tmp_path / "other.pvens", n_runs=7, widths=(5, 8), dead=(3, 4))
    reader = reader_of(made)
    graph = plot_of(FilterCorrelationGraph(), reader)
    run(graph, time=20)
    reader.SetFileName(str(other.path))
    output = run(graph, time=20)
    truth = expected(other, other.steps)
    np.testing.assert_allclose(drawn_counts(output, unit_of(output, truth), 2), truth[2], atol=1e-3)


@pytest.mark.expect_vtk_errors
def test_a_step_that_cannot_be_read_ends_in_an_error_and_not_in_a_loop(tmp_path):
    made = make_topology(tmp_path / "broken.pvens")
    (file,) = (tmp_path / "broken.pvens.d").glob("g000/conv2.correlation/s000010*")
    content = file.read_bytes()
    file.write_bytes(content[:-9] + bytes(9))
    reader = reader_of(made)
    graph = plot_of(FilterCorrelationGraph(), reader)
    with pytest.raises(PipelineError, match="step 10 cannot be read"):
        run(graph, time=20)
    assert data_time(reader.GetOutputDataObject(1)) == 20.0
    file.write_bytes(content)
    np.testing.assert_array_equal(sizes(run(graph, time=20)), [3] * 6)


def test_the_user_can_stop_it(made):
    reader = reader_of(made)
    graph = plot_of(FilterCorrelationGraph(), reader)

    def stop(*_event):
        if "Reading step" in (graph.GetProgressText() or ""):
            graph.SetAbortExecute(1)

    observer = graph.AddObserver("ProgressEvent", stop)
    run(graph, time=20)
    assert reader.reads() == [20.0, 10.0, 20.0]
    assert data_time(reader.GetOutputDataObject(1)) == 20.0
    graph.RemoveObserver(observer)
    graph.SetAbortExecute(0)
    np.testing.assert_array_equal(sizes(run(graph, time=20)), [3] * made.n_runs)
    assert reader.reads() == [0.0, 20.0]  # it goes on where it was stopped


def test_only_chosen_runs_are_drawn(made):
    output = run(plot_of(FilterCorrelationGraph(), reader_of(made), Runs="1, 4-5"), time=20)
    assert output.GetNumberOfCells() == made.n_runs
    np.testing.assert_array_equal(np.flatnonzero(sizes(output)), [1, 4, 5])


def test_playhead_and_axes(made):
    graph = plot_of(FilterCorrelationGraph(), reader_of(made))
    run(graph, time=10)

    def red():
        axes = graph.GetOutputDataObject(1)
        colors = cell_colors(axes)[: axes.GetNumberOfLines()]
        return [cell_points(axes, int(k)) for k in np.flatnonzero((colors == RED).all(axis=1))]

    ((line),) = red()
    np.testing.assert_allclose(line[:, 0], WIDTH / 2, atol=1e-5)
    np.testing.assert_allclose(sorted(line[:, 1]), [0, HEIGHT], atol=1e-5)
    graph.SetShowPlayhead(False)
    run(graph, time=10)
    assert red() == []


def test_without_time_and_reader(tmp_path):
    """Data sets made by hand: one step."""
    stack = random_correlations(3, 4)
    graph = FilterCorrelationGraph()
    graph.SetInputDataObject(0, make_runs({"a": np.arange(4.0)}))
    graph.SetInputDataObject(1, make_tensors({"g000/c.correlation": ([0, 2, 3], stack)}))
    output = run(graph)
    np.testing.assert_array_equal(sizes(output), [2, 0, 2, 2])  # a single value is a short dash
    present = to_numpy(output.GetCellData().GetArray("high_correlations"))
    np.testing.assert_array_equal(present[[0, 2, 3]], [pairs(m) for m in stack])
    assert np.isnan(present[1])


@pytest.mark.parametrize("n_runs", [1, 2])
def test_few_runs(tmp_path, n_runs):
    made = make_topology(tmp_path / "few.pvens", n_runs=n_runs, widths=(1,), steps=(5,))
    output = run(plot_of(FilterCorrelationGraph(), reader_of(made)), time=5)
    np.testing.assert_array_equal(sizes(output), [2] * n_runs)
    assert np.isfinite(output.GetBounds()).all()


WRONG = [
    ({"Layer": "conv3"}, "check layer 'conv3'", NotRecordedError),
    ({"Threshold": 1.5}, "Threshold must lie between 0 and 1", OptionError),
    ({"Count": "pair"}, "did you mean 'pairs'", OptionError),
    ({"LabelSize": -1.0}, "Label Size must be", OptionError),
]


@pytest.mark.parametrize(("options", "message", "kind"), WRONG)
@pytest.mark.expect_vtk_errors
def test_wrong_options_are_named(made, options, message, kind):
    with pytest.raises(PipelineError, match=message) as caught:
        run(plot_of(FilterCorrelationGraph(), reader_of(made), **options), time=20)
    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.expect_vtk_errors
def test_an_unchecked_layer_is_explained(made):
    reader = reader_of(made)
    reader.GetLayers().DisableAllArrays()
    with pytest.raises(PipelineError, match="check a layer under Layers of the Ensemble Reader"):
        run(plot_of(FilterCorrelationGraph(), reader), time=20)


def test_the_colours_are_those_of_the_similarity_plot_and_groups_have_dots(made):
    groups = RunGroups()
    reader = reader_of(made)
    groups.SetInputConnection(reader.GetOutputPort(0))
    groups.SetGroups("chosen = #123456 : runs 2,5")
    graph, plot = FilterCorrelationGraph(), EnsembleSimilarityPlot()
    outputs = []
    for algorithm in (graph, plot):
        algorithm.SetInputConnection(groups.GetOutputPort(0))
        algorithm.SetYParameter("seed")
        outputs.append(run(algorithm, time=20))
    colors = [to_numpy(output.GetCellData().GetArray("lab_color")) for output in outputs]
    np.testing.assert_array_equal(*colors)
    assert len(np.unique(colors[0], axis=0)) > 2
    axes = graph.GetOutputDataObject(1)
    dots = (cell_colors(axes) == (0x12, 0x34, 0x56)).all(axis=1)
    middles = [cell_points(axes, int(k))[:, :2].mean(axis=0) for k in np.flatnonzero(dots)]
    ends = [cell_points(outputs[0], cell)[-1, :2] for cell in (2, 5)]
    np.testing.assert_allclose(middles, ends, atol=1e-4)


def test_curves_that_do_not_follow_time_have_no_columns_of_a_step(made):
    graph = plot_of(FilterCorrelationGraph(), reader_of(made), Layer="conv2")
    for follow, steps in ((True, made.steps), (False, [])):
        graph.SetFollowTime(follow)
        curves = run(graph, time=made.steps[0])
        axes = graph.GetOutputDataObject(1)
        assert published_time_steps(graph.GetExecutive().GetOutputInformation(0)) == steps
        assert published_time_steps(graph.GetExecutive().GetOutputInformation(1)) == made.steps
        assert curves.GetCellData().HasArray("high_correlations") == follow
        assert curves.GetCellData().HasArray("lab_color")
        red = cell_colors(axes) == RED
        assert red.all(axis=1).any()  # the playhead
