"""Weight trajectory: paths by value, statistics, reading, groups, ended runs, errors."""

from __future__ import annotations

import numpy as np
import pytest
from dynamics_samples import STEPS, jitter, make_dynamics, straight, walk
from plot_samples import cell_colors, cell_points, make_runs, sizes
from tensor_samples import make_tensors
from topology_samples import WatchedReader, plot_of

from pvensemble import schema
from pvensemble.errors import NotRecordedError, OptionError, PipelineError
from pvensemble.filters import _weight_paths
from pvensemble.filters import reader as reader_module
from pvensemble.filters._base import run
from pvensemble.filters.plot_geometry import RED
from pvensemble.filters.plot_paths import MARGIN, SIDE
from pvensemble.filters.weight_trajectory import WeightTrajectory
from pvensemble.numerics.trajectories import motion
from pvensemble.vtkdata.arrays import string_list, to_numpy
from pvensemble.vtkdata.time import data_time

TWO = {"Projection": "two weights"}
UNITS = {"Projection": "hidden units"}


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch):
    monkeypatch.setattr(reader_module, "LIVE_INTERVAL", 0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    weights = [walk(1, 4), straight(2, 4), jitter(3, 4)]
    return make_dynamics(tmp_path_factory.mktemp("paths") / "three.pvens", weights)


def reader_of(made):
    reader = WatchedReader()
    reader.SetFileName(str(made.path))
    reader.UpdateInformation()
    reader.GetLayers().EnableArray("conv")
    return reader


def draw(made, *, time=400, reader=None, **options):
    plot = plot_of(WeightTrajectory(), reader or reader_of(made), **options)
    return run(plot, time=time), plot


def column(data, name):
    return to_numpy(data.GetCellData().GetArray(name))


def path_steps(data, cell):
    """Point data ``step`` of a cell's points."""
    ids = data.GetCell(cell).GetPointIds()
    values = to_numpy(data.GetPointData().GetArray("step"))
    return values[[ids.GetId(k) for k in range(ids.GetNumberOfIds())]]


def assert_similar(places, truth):
    """Places are the truth, shifted and scaled equally in both directions."""
    centred, wanted = places - places.mean(axis=0), truth - truth.mean(axis=0)
    scale = np.sum(centred * wanted) / np.sum(wanted**2)
    assert scale > 0
    np.testing.assert_allclose(centred, scale * wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("numbers", "places"),
    [((0, 1), ((0, 0, 0, 0), (0, 0, 0, 1))), ((9, 71), ((0, 1, 0, 0), (3, 1, 2, 2)))],
)
def test_two_weights_are_those_that_pytorch_numbers_so(made, numbers, places):
    plot = plot_of(WeightTrajectory(), reader_of(made), **TWO)
    plot.SetWeights(*numbers)
    output = run(plot, time=400)
    assert output.GetNumberOfCells() == output.GetNumberOfLines() == 3
    drawn = np.concatenate([cell_points(output, cell) for cell in range(3)])
    truth = [np.stack([w[(slice(None), *place)] for place in places], axis=1) for w in made.weights]
    assert_similar(drawn, np.concatenate(truth))
    for cell in range(3):
        np.testing.assert_array_equal(path_steps(output, cell), STEPS)
    assert drawn.min() > 0
    assert drawn.max() < SIDE
    assert np.ptp(drawn, axis=0).max() == pytest.approx((1 - 2 * MARGIN) * SIDE, rel=1e-4)


def test_principal_components_are_of_all_chosen_runs_together(made):
    from sklearn.decomposition import PCA

    for runs in ("", "0,2"):
        output, _ = draw(made, Runs=runs)
        cells = [0, 1, 2] if not runs else [0, 2]
        np.testing.assert_array_equal(np.flatnonzero(sizes(output)), cells)
        rows = np.concatenate([made.weights[k].reshape(len(STEPS), -1) for k in cells])
        reference = PCA(2).fit_transform(rows)
        drawn = np.concatenate([cell_points(output, cell) for cell in cells])
        sign = np.sign(np.sum((drawn - drawn.mean(axis=0)) * reference, axis=0))
        assert_similar(drawn, sign * reference)


def test_statistics_are_of_the_whole_vector(made):
    output, _ = draw(made, **TWO)
    motions = [motion(w.reshape(len(STEPS), -1).astype(np.float32)) for w in made.weights]
    for name, attribute in {
        "increment_correlation": "increment_correlation",
        "increment_band": "band",
        "msd_exponent": "exponent",
        "msd_exponent_low": "low",
        "msd_exponent_high": "high",
        "path_ratio": "path_ratio",
    }.items():
        expected = [getattr(each, attribute) for each in motions]
        np.testing.assert_allclose(column(output, name), expected, rtol=1e-4)
    names = string_list(output.GetCellData().GetAbstractArray("motion"))
    assert names == ["random walk", "directed", "confined"]
    assert output.GetCellData().HasArray("learning_rate")


def test_large_layers_are_sketched(made, monkeypatch):
    monkeypatch.setattr(_weight_paths, "MAX_BYTES", 0)
    monkeypatch.setattr(_weight_paths, "MIN_SIZE", 40)
    exact = [
        each.exponent for each in map(motion, (w.reshape(len(STEPS), -1) for w in made.weights))
    ]
    output, _ = draw(made)
    found = column(output, "msd_exponent")
    assert not np.allclose(found, exact, rtol=1e-6)
    np.testing.assert_allclose(found, exact, atol=0.15)


def test_hidden_units_are_a_path_a_filter(made):
    output, _ = draw(made, Runs="1", **UNITS)
    assert output.GetNumberOfCells() == 4
    np.testing.assert_array_equal(column(output, "filter"), np.arange(4))
    np.testing.assert_array_equal(column(output, "run_index"), [1] * 4)
    np.testing.assert_array_equal(sizes(output), [len(STEPS)] * 4)
    np.testing.assert_array_equal(path_steps(output, 3), STEPS)
    first, _ = draw(made, **UNITS)
    np.testing.assert_array_equal(column(first, "run_index"), [0] * 4)


def test_steps_are_read_once_and_another_time_reads_one(made):
    reader = reader_of(made)
    plot = plot_of(WeightTrajectory(), reader)
    run(plot, time=300)
    reads = reader.reads()
    assert [r for r in reads if r != 300] == [s for s in STEPS if s != 300]
    assert data_time(reader.GetOutputDataObject(1)) == 300
    run(plot, time=310)
    assert reader.reads() == [310.0]
    run(plot_of(plot, reader, Projection="principal components", LabelSize=3.0), time=310)
    assert reader.reads() == []


def test_a_training_that_goes_on_reads_only_new_steps(tmp_path):
    steps = STEPS[:20]
    weights = [walk(k, width, steps=steps) for k, width in enumerate((4, 4, 4, 4))]
    made = make_dynamics(
        tmp_path / "live.pvens", weights, widths=(4, 4), steps=steps, upto=15, finish=False
    )
    reader = reader_of(made)
    plot = plot_of(WeightTrajectory(), reader)
    np.testing.assert_array_equal(sizes(run(plot, time=100)), [15] * 4)
    reader.reads()
    made.commit(0, 15)  # the other group lags behind
    assert reader.GetNeedsUpdate()
    np.testing.assert_array_equal(sizes(run(plot, time=100)), [16, 15, 16, 15])
    assert set(reader.reads()) == {100.0, 150.0}
    made.commit(1, 15)
    assert reader.GetNeedsUpdate()
    output = run(plot, time=100)
    np.testing.assert_array_equal(sizes(output), [16] * 4)
    np.testing.assert_array_equal(path_steps(output, 1), steps[:16])
    made.close()


def test_where_the_runs_are_now_is_marked(made):
    output, plot = draw(made, time=205)

    def marks():
        axes = plot.GetOutputDataObject(1)
        colors = cell_colors(axes)
        red = np.flatnonzero((colors == RED).all(axis=1))
        cells = [cell_points(axes, int(k)) for k in red]
        return [c.mean(axis=0) for c in cells if len(c) > 4]  # discs; letters are triangles

    expected = [cell_points(output, cell)[20] for cell in range(3)]
    np.testing.assert_allclose(marks(), expected, atol=1e-4)
    plot.SetShowPlayhead(False)
    run(plot, time=205)
    assert marks() == []


def test_a_run_that_diverged_ends_there(tmp_path):
    weights = [walk(1, 4), walk(2, 4)]
    weights[1][31:] = weights[1][30]  # what the trainer records after a divergence
    states = {1: (schema.DIVERGED, 300)}
    made = make_dynamics(tmp_path / "diverged.pvens", weights, states=states)
    output, _ = draw(made)
    np.testing.assert_array_equal(sizes(output), [41, 31])
    expected = motion(weights[1][:31].reshape(31, -1).astype(np.float32)).exponent
    assert column(output, "msd_exponent")[1] == pytest.approx(expected, rel=1e-4)
    units, _ = draw(made, Runs="1", **UNITS)
    np.testing.assert_array_equal(sizes(units), [31] * 4)


def test_weights_that_are_not_finite_are_left_out(tmp_path):
    weights = [walk(1, 4), walk(2, 4)]
    weights[1][25:] = np.nan
    made = make_dynamics(tmp_path / "nan.pvens", weights)
    for options in ({}, TWO, {**UNITS, "Runs": "1"}):
        output, _ = draw(made, **options)
        assert np.isfinite(to_numpy(output.GetPoints().GetData())).all()
        assert sizes(output)[1] == 25


def test_runs_of_other_widths_have_no_common_components(tmp_path):
    weights = [walk(1, 4), walk(2, 6), walk(3, 4)]
    made = make_dynamics(tmp_path / "widths.pvens", weights, widths=(4, 6))
    output, _ = draw(made)
    np.testing.assert_array_equal(sizes(output), [41, 0, 41])
    assert np.isfinite(column(output, "msd_exponent")).all()
    output, _ = draw(made, **TWO)
    np.testing.assert_array_equal(sizes(output), [41] * 3)


@pytest.mark.parametrize("options", [{}, TWO])
def test_one_step_and_one_run(tmp_path, options):
    made = make_dynamics(tmp_path / "one.pvens", [walk(1, 4, steps=[0])], steps=[0])
    output, _ = draw(made, time=0, **options)
    np.testing.assert_array_equal(sizes(output), [1])
    assert np.isnan(column(output, "msd_exponent")[0])
    assert string_list(output.GetCellData().GetAbstractArray("motion")) == ["undecided"]


def test_without_reader():
    """Data sets made by hand: one step, and no shape of the tensor."""
    plot = WeightTrajectory()
    plot.SetInputDataObject(0, make_runs({"a": np.arange(3.0)}))
    stack = np.random.default_rng(0).normal(size=(2, 4, 6))
    plot.SetInputDataObject(1, make_tensors({"g000/c.weight": ([0, 2], stack)}))
    np.testing.assert_array_equal(sizes(run(plot)), [1, 0, 1])


WRONG = [
    ({"Projection": "components"}, "did you mean 'principal components'", OptionError),
    ({"Layer": "conv9"}, "check layer 'conv9'", NotRecordedError),
    ({"LabelSize": -1.0}, "Label Size must be", OptionError),
]


@pytest.mark.parametrize(("options", "message", "kind"), WRONG)
@pytest.mark.expect_vtk_errors
def test_wrong_options_are_named(made, options, message, kind):
    with pytest.raises(PipelineError, match=message) as caught:
        draw(made, **options)
    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.expect_vtk_errors
def test_a_weight_that_is_not_there_is_named(made):
    plot = plot_of(WeightTrajectory(), reader_of(made), **TWO)
    plot.SetWeights(0, 72)
    with pytest.raises(PipelineError, match="has 72 weights, numbered 0 to 71; got 72"):
        run(plot, time=400)


@pytest.mark.expect_vtk_errors
def test_too_few_steps_for_units_are_explained(tmp_path):
    made = make_dynamics(tmp_path / "two.pvens", [walk(1, 4, steps=[0, 10])], steps=[0, 10])
    with pytest.raises(PipelineError, match="at least 3 recorded steps, there are 2"):
        draw(made, time=10, **UNITS)
