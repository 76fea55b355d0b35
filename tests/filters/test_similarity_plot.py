"""Ensemble similarity plot: places, colours, glyphs, alignment over time, hard cases, errors."""

from __future__ import annotations

import numpy as np
import pytest
from plot_samples import cell_colors, cell_points, make_runs, sizes
from tensor_samples import make_tensors, random_correlations
from topology_samples import make_topology, plot_of, reader_of

from pvensemble.errors import NotRecordedError, OptionError, PipelineError
from pvensemble.filters import _layouts
from pvensemble.filters import reader as reader_module
from pvensemble.filters._base import run
from pvensemble.filters._layouts import key_steps
from pvensemble.filters.plot_glyphs import SHAPES
from pvensemble.filters.plot_scatter import ENLARGED, SIDE
from pvensemble.filters.similarity_plot import EnsembleSimilarityPlot
from pvensemble.numerics.embedding import embed
from pvensemble.numerics.lab_colors import lab_colors
from pvensemble.numerics.similarity import cka_vectors, run_vectors
from pvensemble.vtkdata.arrays import to_numpy
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.time import data_time


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch):
    monkeypatch.setattr(reader_module, "LIVE_INTERVAL", 0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("plot") / "runs.pvens"
    return make_topology(path, n_runs=9, steps=range(0, 100, 20), dead=(4,))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    return make_topology(tmp_path_factory.mktemp("plot") / "m.pvens", n_runs=7, widths=(5, 8))


def layout_of(output):
    """Places (n, 2) that the cell arrays tell."""
    return np.column_stack([to_numpy(output.GetCellData().GetArray(name)) for name in "xy"])


def centers_of(output):
    return np.array([cell_points(output, k).mean(axis=0) for k in range(output.GetNumberOfCells())])


def draw(made, *, time=20, **options):
    return run(plot_of(EnsembleSimilarityPlot(), reader_of(made), **options), time=time)


def pair_distances(points):
    return np.linalg.norm(points[:, None] - points[None], axis=2)


@pytest.mark.parametrize("method", ["mds", "classical", "pca", "tsne"])
def test_places_are_those_of_the_numerics(made, method):
    vectors = run_vectors(made.correlations(20, range(9)))
    expected = embed(vectors, method=method, seed=3)
    output = draw(made, Method=method, Seed=3, AlignOverTime=False)
    np.testing.assert_array_equal(layout_of(output), expected.points)
    # The picture is the layout, enlarged alike in both directions.
    distances, drawn = pair_distances(expected.points), pair_distances(centers_of(output))
    scale = drawn.max() / distances.max()
    np.testing.assert_allclose(drawn, scale * distances, atol=1e-4)
    assert 0.6 * SIDE < np.ptp(centers_of(output), axis=0).max() < SIDE


def test_cka_places_runs_of_any_width(mixed):
    output = draw(mixed, Measure="cka", AlignOverTime=False)
    expected = embed(cka_vectors(mixed.grams(20, range(7))))
    np.testing.assert_array_equal(layout_of(output), expected.points)


def test_of_different_widths_the_largest_set_is_placed(mixed):
    output = draw(mixed, AlignOverTime=False)
    even = np.arange(0, 7, 2)
    expected = embed(run_vectors(mixed.correlations(20, even)))
    points = layout_of(output)
    np.testing.assert_array_equal(points[even], expected.points)
    assert np.isnan(points[1::2]).all()
    centers = centers_of(output)
    assert (centers[1::2, 1] < 0).all()  # below the frame
    assert ((centers[even] > 0) & (centers[even] < SIDE)).all()
    assert len(np.unique(centers[1::2, 0].round(3))) == 3
    assert (sizes(output) > 0).all()  # they too can be picked


def test_cell_i_is_run_i_with_all_its_arrays(made):
    reader = reader_of(made)
    output = run(plot_of(EnsembleSimilarityPlot(), reader), time=20)
    runs, given = RunsData(output), RunsData(reader.GetOutputDataObject(0))
    for name in given.columns:
        np.testing.assert_array_equal(runs.columns[name], given.columns[name])
    assert output.GetNumberOfCells() == 9
    assert runs.metric_names == []


def test_runs_left_out_upstream(tmp_path):
    made = make_topology(tmp_path / "sessions.pvens", n_runs=8, sessions=2)
    reader = reader_of(made)
    reader.GetSessions().DisableArray("coarse")
    plot = plot_of(EnsembleSimilarityPlot(), reader, AlignOverTime=False)
    output = run(plot, time=20)
    assert RunsData(output).run_index.tolist() == [4, 5, 6, 7]
    expected = embed(run_vectors(made.correlations(20, range(4, 8))))
    np.testing.assert_array_equal(layout_of(output), expected.points)


# -- colours, sizes, glyphs ------------------------------------------------------------------------
def colors_of(output):
    return to_numpy(output.GetCellData().GetArray("lab_color"))


def test_colours_by_the_first_two_varying_parameters(made):
    output = draw(made)
    columns = RunsData(output).columns
    expected = lab_colors(columns["learning_rate"], columns["momentum"])
    assert colors_of(output).dtype == np.uint8
    np.testing.assert_array_equal(colors_of(output), expected)
    swapped = draw(made, XParameter="momentum")
    expected = lab_colors(columns["momentum"], columns["learning_rate"])
    np.testing.assert_array_equal(colors_of(swapped), expected)


def test_text_counts_by_its_codes_and_one_parameter_makes_a_line():
    runs = make_runs({"optimizer": np.array(["sgd", "adam", "sgd"]), "constant": np.ones(3)})
    plot = EnsembleSimilarityPlot()
    plot.SetInputDataObject(0, runs)
    stack = random_correlations(3, 4)
    plot.SetInputDataObject(1, make_tensors({"g000/c.correlation": (range(3), stack)}))
    code = np.array([1, 0, 1])
    np.testing.assert_array_equal(colors_of(run(plot)), lab_colors(code, code))
    plot.SetYParameter("constant")
    np.testing.assert_array_equal(colors_of(run(plot)), lab_colors(code, np.ones(3)))


def legend_colors(axes):
    """Colours of the boxes to the right of the frame, by the place of their centre."""
    found = {}
    colors = cell_colors(axes)
    for k in range(axes.GetNumberOfLines(), axes.GetNumberOfCells()):
        x0, x1, y0, y1 = axes.GetCell(k).GetBounds()[:4]
        if axes.GetCell(k).GetNumberOfPoints() == 4 and x0 > SIDE:
            found[(x0 + x1) / 2, (y0 + y1) / 2] = tuple(colors[k])
    return found


def test_the_legend_shows_the_colours_of_the_runs():
    low_high = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    plot = EnsembleSimilarityPlot()
    plot.SetInputDataObject(0, make_runs({"a": low_high[:, 0], "b": low_high[:, 1]}))
    stack = random_correlations(4, 4)
    plot.SetInputDataObject(1, make_tensors({"g000/c.correlation": (range(4), stack)}))
    colors = colors_of(run(plot))
    boxes = legend_colors(plot.GetOutputDataObject(1))
    places = np.array(list(boxes))
    assert len(places) > 100
    for (a, b), color in zip(low_high, colors):
        corner = places[np.argmin(places @ np.array([1 - 2 * a, 1 - 2 * b]))]
        assert boxes[tuple(corner)] == tuple(color)


def test_chosen_runs_are_larger(made):
    output = draw(made, Runs="2,7", PointSize=3.0)
    width = np.array([np.ptp(cell_points(output, k)[:, 0]) for k in range(9)])
    large = np.isin(np.arange(9), [2, 7])
    np.testing.assert_allclose(width[~large], 0.03 * SIDE, rtol=0.03)
    np.testing.assert_allclose(width[large], 0.03 * SIDE * ENLARGED, rtol=0.03)
    z = np.array([output.GetCell(k).GetBounds()[4] for k in range(9)])
    assert z[large].min() > z[~large].max()


def area(corners):
    x, y = corners.T
    return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))


def test_glyphs_tell_the_session_and_have_equal_areas(tmp_path):
    made = make_topology(tmp_path / "sessions.pvens", n_runs=6, sessions=2)
    output = draw(made)
    np.testing.assert_array_equal(sizes(output), [24] * 3 + [4] * 3)
    areas = [area(cell_points(output, k)) for k in range(6)]
    np.testing.assert_allclose(areas, areas[0], rtol=1e-3)
    assert len(set(SHAPES)) == len(SHAPES) >= 5


# -- over time -------------------------------------------------------------------------------------
def test_a_picture_depends_on_the_step_alone(made):
    """However one gets to a step, it looks the same."""
    there = {}
    forward = plot_of(EnsembleSimilarityPlot(), reader_of(made))
    for step in made.steps:
        there[step] = centers_of(run(forward, time=step))
    scrubbed = plot_of(EnsembleSimilarityPlot(), reader_of(made))
    for step in (60, 20, 80, 0, 60, 40, 20):
        np.testing.assert_array_equal(centers_of(run(scrubbed, time=step)), there[step])
    np.testing.assert_array_equal(centers_of(run(scrubbed, time=47)), there[40])


def test_each_key_step_begins_from_the_one_before(made):
    plot = plot_of(EnsembleSimilarityPlot(), reader_of(made))
    before = None
    for step in made.steps:
        expected = embed(run_vectors(made.correlations(step, range(9))), start=before)
        np.testing.assert_array_equal(layout_of(run(plot, time=step)), expected.points)
        before = expected.points


def test_other_steps_begin_from_the_key_step_before(tmp_path, monkeypatch):
    monkeypatch.setattr(_layouts, "MAX_KEYS", 10)
    made = make_topology(tmp_path / "many.pvens", steps=range(20))
    assert key_steps(made.steps, 6) == made.steps[::2]
    plot = plot_of(EnsembleSimilarityPlot(), reader_of(made))
    before = layout_of(run(plot, time=6))
    expected = embed(run_vectors(made.correlations(7, range(6))), start=before)
    np.testing.assert_array_equal(layout_of(run(plot, time=7)), expected.points)


def test_aligned_layouts_are_as_good(made):
    vectors = run_vectors(made.correlations(80, range(9)))
    expected = embed(vectors).stress
    points = layout_of(draw(made, time=80))
    given = 1.0 - vectors.astype(np.float64) @ vectors.T
    np.fill_diagonal(given, 0)
    stress = np.sqrt(((pair_distances(points) - given) ** 2).sum() / (given**2).sum())
    assert stress < expected + 0.05


def test_the_scale_is_that_of_all_key_steps(made):
    plot = plot_of(EnsembleSimilarityPlot(), reader_of(made))
    units = []
    for step in made.steps[1:]:
        output = run(plot, time=step)
        centers, layout = centers_of(output), layout_of(output)
        units.append(np.ptp(centers[:, 0]) / np.ptp(layout[:, 0]))
        assert ((centers > 0) & (centers < SIDE)).all()
    np.testing.assert_allclose(units, units[0], rtol=1e-4)


def test_steps_are_read_once_and_the_present_one_is_left(made):
    reader = reader_of(made)
    plot = plot_of(EnsembleSimilarityPlot(), reader)
    run(plot, time=40)
    assert reader.reads() == [40.0, *map(float, made.steps), 40.0]
    assert data_time(reader.GetOutputDataObject(0)) == 40.0
    run(plot_of(plot, reader, Runs="1", XParameter="momentum", PointSize=1.0), time=40)
    assert reader.reads() == []
    run(plot, time=80)
    assert reader.reads() == [80.0]
    plot.SetThreshold(0.3)
    run(plot, time=80)
    assert set(reader.reads()) == set(map(float, made.steps))


def test_matched_filters_take_long_and_have_fewer_key_steps(tmp_path):
    made = make_topology(tmp_path / "many.pvens", n_runs=100, steps=range(12))
    reader = reader_of(made, "conv2")
    plot = plot_of(EnsembleSimilarityPlot(), reader, Measure="matched")
    run(plot, time=11)
    assert reader.reads() == [11.0, 0.0, 4.0, 8.0, 11.0]


def test_key_steps_are_few_and_stay():
    steps = [float(s) for s in range(0, 1010, 10)]
    keys = key_steps(steps, 121)
    assert keys == steps[::2]
    for n in range(1, len(steps)):  # those of a shorter training are among those of a longer one
        shorter, longer = key_steps(steps[:n], 121), key_steps(steps[: n + 1], 121)
        kept = shorter if longer[:2] == shorter[:2] else shorter[::2]
        assert longer[: len(kept)] == kept
        assert len(shorter) <= 64
    assert len(key_steps(steps, 1000)) <= 8
    assert key_steps(steps, 100_000) == [0.0, 640.0]
    assert key_steps([], 5) == []
    assert key_steps([7.0], 5) == [7.0]


def test_a_training_that_goes_on_keeps_its_pictures(tmp_path):
    made = make_topology(tmp_path / "live.pvens", widths=(5, 5), finish=False)
    reader = reader_of(made)
    plot = plot_of(EnsembleSimilarityPlot(), reader)
    before = layout_of(run(plot, time=10))
    reader.reads()
    made.commit(0, 30)
    assert reader.GetNeedsUpdate()
    run(plot, time=30)
    made.commit(1, 30)
    assert reader.GetNeedsUpdate()
    late = layout_of(run(plot, time=30))
    assert set(reader.reads()) == {30.0}
    np.testing.assert_array_equal(layout_of(run(plot, time=10)), before)
    made.close()
    fresh = plot_of(EnsembleSimilarityPlot(), reader_of(made))
    np.testing.assert_array_equal(layout_of(run(fresh, time=30)), late)


# -- hard cases ------------------------------------------------------------------------------------
@pytest.mark.parametrize("n_runs", [1, 2])
@pytest.mark.parametrize("method", ["mds", "tsne", "pca"])
def test_few_runs(tmp_path, n_runs, method):
    made = make_topology(tmp_path / "few.pvens", n_runs=n_runs, steps=(5, 10))
    plot = plot_of(EnsembleSimilarityPlot(), reader_of(made), Method=method)
    output = run(plot, time=10)
    assert (sizes(output) == 24).all()
    assert np.isfinite(layout_of(output)).all()
    assert np.isfinite(plot.GetOutputDataObject(1).GetBounds()).all()


@pytest.mark.parametrize("measure", ["paper", "matched", "cka"])
def test_all_diverged_but_one(tmp_path, measure):
    made = make_topology(tmp_path / "dead.pvens", dead=range(1, 6))
    points = layout_of(draw(made, Measure=measure))
    assert np.isfinite(points).all()
    if measure != "cka":
        np.testing.assert_allclose(points[1:], points[[1]].repeat(5, axis=0), atol=1e-3)


def test_all_runs_alike(tmp_path):
    made = make_topology(tmp_path / "alike.pvens", dead=range(6))
    output = draw(made)
    np.testing.assert_allclose(centers_of(output), SIDE / 2, atol=1e-4)


def test_runs_without_data_stand_apart():
    plot = EnsembleSimilarityPlot()
    plot.SetInputDataObject(0, make_runs({"a": np.arange(5.0), "b": np.arange(5.0) % 2}))
    stack = random_correlations(3, 4)
    plot.SetInputDataObject(1, make_tensors({"g000/c.correlation": ([0, 2, 3], stack)}))
    output = run(plot)
    np.testing.assert_array_equal(layout_of(output)[[0, 2, 3]], embed(run_vectors(stack)).points)
    assert np.isnan(layout_of(output)[[1, 4]]).all()
    assert (centers_of(output)[[1, 4], 1] < 0).all()


def test_nothing_to_colour_by():
    plot = EnsembleSimilarityPlot()
    plot.SetInputDataObject(0, make_runs({"a": np.ones(3)}))
    stack = random_correlations(3, 4)
    plot.SetInputDataObject(1, make_tensors({"g000/c.correlation": (range(3), stack)}))
    output = run(plot)
    assert len(np.unique(colors_of(output), axis=0)) == 1


WRONG = [
    ({"Layer": "conv3"}, "check layer 'conv3'", NotRecordedError),
    ({"Measure": "papper"}, "did you mean 'paper'", OptionError),
    ({"Method": "tsme"}, "did you mean 'tsne'", OptionError),
    ({"XParameter": "momentun"}, "X Parameter: no column 'momentun'; did you mean", OptionError),
    ({"YParameter": "z"}, "Y Parameter: no column 'z'", OptionError),
    ({"PointSize": 0.0}, "Point Size must be", OptionError),
    ({"LabelSize": float("nan")}, "Label Size must be", OptionError),
    ({"Runs": "9"}, "there is no run 9", None),
]


@pytest.mark.parametrize(("options", "message", "kind"), WRONG)
@pytest.mark.expect_vtk_errors
def test_wrong_options_are_named(made, options, message, kind):
    with pytest.raises(PipelineError, match=message) as caught:
        draw(made, **options)
    assert kind is None or isinstance(caught.value.__cause__, kind)


@pytest.mark.expect_vtk_errors
def test_a_plot_recovers_after_an_error(made):
    plot, reader = EnsembleSimilarityPlot(), reader_of(made)
    with pytest.raises(PipelineError):
        run(plot_of(plot, reader, LabelSize=-1.0), time=20)
    assert (sizes(run(plot_of(plot, reader, LabelSize=3.0), time=20)) > 0).all()
