"""What all plots promise: inputs untouched, arrays handed on, clear errors, hard cases."""

from __future__ import annotations

import numpy as np
import pytest
from plot_samples import STEPS, add_groups, fingerprint, make_runs, outputs, paper_runs

from pvensemble.errors import MissingArrayError, OptionError, PipelineError
from pvensemble.filters.heat_map import PerformanceHeatMap
from pvensemble.filters.loss_accuracy_graph import LossAccuracyGraph
from pvensemble.filters.parallel_coordinates import ParallelCoordinates
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import vertex_cells

PLOTS = (ParallelCoordinates, PerformanceHeatMap, LossAccuracyGraph)


@pytest.mark.parametrize("plot", PLOTS)
def test_input_is_untouched_and_its_arrays_are_handed_on(plot):
    runs = add_groups(paper_runs(), np.arange(121) % 3 - 1)
    before = fingerprint(runs)
    cells = outputs(plot(), runs)[0]
    assert fingerprint(runs) == before
    assert cells.GetNumberOfCells() == 121
    handed, given = RunsData(cells), RunsData(runs)
    assert set(given.columns) <= set(handed.columns)
    for name in given.columns:
        np.testing.assert_array_equal(handed.columns[name], given.columns[name])
    assert given.metric_names  # nothing reads curves from a plot, and they slow ParaView down
    assert handed.metric_names == []
    assert handed.measures == given.measures
    assert cells.GetCellData().GetArray("group_color").GetNumberOfComponents() == 3


@pytest.mark.parametrize("plot", PLOTS)
def test_one_run(plot):
    curves = {"accuracy": np.linspace(0, 1, 11)[None], "loss": np.full((1, 11), np.nan)}
    runs = make_runs({"lr": np.array([0.1])}, measures={"P1": np.array([0.5])}, curves=curves)
    cells, axes, _ = outputs(plot(), runs)
    port = axes if plot is not LossAccuracyGraph else cells
    assert cells.GetNumberOfCells() == 1
    assert port.GetNumberOfCells() > 0
    assert np.all(np.isfinite(port.GetBounds()))


@pytest.mark.parametrize("plot", PLOTS)
def test_no_run(plot):
    curves = {"accuracy": np.empty((0, 11)), "loss": np.empty((0, 11))}
    runs = make_runs({"lr": np.empty(0)}, measures={"P1": np.empty(0)}, curves=curves)
    assert outputs(plot(), runs)[0].GetNumberOfCells() == 0


@pytest.mark.parametrize("plot", PLOTS)
def test_measure_and_curves_without_a_value(plot):
    nothing = np.full((4, 11), np.nan)
    runs = make_runs(
        {"lr": np.array([0.1, 0.2, 0.3, 0.4])},
        measures={"combined": np.full(4, np.nan)},
        curves={"accuracy": nothing, "loss": nothing},
    )
    cells, axes, _ = outputs(plot(), runs)
    assert cells.GetNumberOfCells() == 4
    assert np.all(np.isfinite(np.array(axes.GetBounds())))


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.expect_vtk_errors
def test_other_data_are_refused(plot):
    with pytest.raises(PipelineError, match="run_index") as caught:
        outputs(plot(), vertex_cells(3))
    assert isinstance(caught.value.__cause__, MissingArrayError)


WRONG = [
    (ParallelCoordinates, {"Axes": "lr"}, "Axes: no column 'lr'"),
    (ParallelCoordinates, {"Scales": "P1=lin"}, "unknown scale 'lin'; did you mean 'linear'"),
    (ParallelCoordinates, {"Scales": "P1"}, "Scales: got 'P1'"),
    (ParallelCoordinates, {"Ranges": "P1=1"}, "two numbers"),
    (ParallelCoordinates, {"Flip": "x"}, "Flip: no column"),
    (ParallelCoordinates, {"Runs": "121"}, "there is no run 121"),
    (ParallelCoordinates, {"Width": 0.0}, "width must be a positive number"),
    (ParallelCoordinates, {"LabelSize": float("nan")}, "label_size must be a positive number"),
    (PerformanceHeatMap, {"XAxis": "learning_rat"}, "did you mean 'learning_rate'"),
    (PerformanceHeatMap, {"XAxis": "P1", "YAxis": "P1"}, "two different columns"),
    (PerformanceHeatMap, {"ColorBy": "run_id"}, "holds text"),
    (PerformanceHeatMap, {"ColorBy": "P9"}, "no column 'P9'"),
    (PerformanceHeatMap, {"Layout": "pairs"}, "Layout: got 'pairs'"),
    (PerformanceHeatMap, {"Bins": -1}, "Bins must be"),
    (PerformanceHeatMap, {"LabelSize": 0.0}, "Label Size must be"),
    (LossAccuracyGraph, {"LossMetric": "validation_los"}, "did you mean 'validation_loss'"),
    (LossAccuracyGraph, {"Runs": "a"}, "neither a run"),
    (LossAccuracyGraph, {"LabelSize": -1.0}, "Label Size must be"),
]


@pytest.mark.parametrize(("plot", "options", "message"), WRONG)
@pytest.mark.expect_vtk_errors
def test_wrong_options_are_named(plot, options, message):
    with pytest.raises(PipelineError, match=message):
        outputs(plot(), paper_runs(), **options)


@pytest.mark.parametrize(
    ("plot", "message"),
    [
        (ParallelCoordinates, "name columns in Axes"),
        (PerformanceHeatMap, "no hyper-parameters"),
        (LossAccuracyGraph, "nothing to draw"),
    ],
)
@pytest.mark.expect_vtk_errors
def test_nothing_to_draw_says_what_to_do(plot, message):
    runs = make_runs({}, measures=None, curves={"x": np.zeros((3, len(STEPS)))})
    runs.GetFieldData().RemoveArray("curve:x")
    with pytest.raises(PipelineError, match=message) as caught:
        outputs(plot(), runs)
    assert isinstance(caught.value.__cause__, OptionError)


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.expect_vtk_errors
def test_a_plot_recovers_after_an_error(plot):
    algorithm = plot()
    with pytest.raises(PipelineError):
        outputs(algorithm, paper_runs(), LabelSize=-1.0)
    assert outputs(algorithm, paper_runs(), LabelSize=3.0)[0].GetNumberOfCells() == 121
