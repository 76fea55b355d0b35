"""Performance Measures and Run Groups: values, properties, errors."""

from __future__ import annotations

import numpy as np
import pytest
from ensembles import make_ensemble

from pvensemble.errors import ExpressionError, MeasureError, NotRecordedError, PipelineError
from pvensemble.filters._base import run
from pvensemble.filters.measures import PerformanceMeasures
from pvensemble.filters.reader import EnsembleReader
from pvensemble.filters.run_groups import RunGroups
from pvensemble.numerics.performance import performance_table
from pvensemble.vtkdata.arrays import to_numpy
from pvensemble.vtkdata.runs import RunsData
from pvensemble.vtkdata.runs_output import runs_to_polydata


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    path = tmp_path_factory.mktemp("measures") / "grid.pvens"
    return make_ensemble(path, groups=2, categorical=True, diverged=(3, 20))


@pytest.fixture
def reader(truth):
    reader = EnsembleReader()
    reader.SetFileName(str(truth.path))
    return reader


@pytest.fixture
def measures(reader):
    measures = PerformanceMeasures()
    measures.SetInputConnection(reader.GetOutputPort(0))
    return measures


def expected(truth, **options):
    diverged = np.isin(np.arange(25), (3, 20))
    return performance_table(truth.steps, truth.accuracy, broken=diverged, **options)


def assert_columns(runs, table):
    for name, values in table.items():
        np.testing.assert_array_equal(runs.columns[name], values, err_msg=name)


# -- measures -------------------------------------------------------------------------------------
def test_default_is_the_whole_training(measures, truth):
    runs = RunsData(run(measures))
    assert_columns(runs, expected(truth))
    assert runs.measures == [
        "P1",
        "P2",
        "P3",
        "combined",
        "final",
        "best",
        "time_to_threshold",
    ]
    # By hand, from the formula of the curve: run 7 = learning rate 10^-2.5, momentum 0.45.
    rate = 10**-2.5 / 0.55
    accuracy = 0.1 + 0.89 / (1 + rate) * (1 - np.exp(-2 * rate * 100))
    assert runs.columns["P1"][7] == pytest.approx(accuracy, rel=1e-12)
    assert runs.columns["P1"][3] == runs.columns["P3"][20] == 0


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"P1Step": 35}, {"p1_step": 30}),
        ({"P1Step": 0}, {"p1_step": 0}),
        ({"IntervalStart": 20, "IntervalEnd": 60}, {"interval": (20, 60)}),
        ({"IntervalStart": 80}, {"interval": (80, 100)}),
        ({"UseClampP1": 1, "ClampP1": (0.3, 0.6)}, {"clamps": {"P1": (0.3, 0.6)}}),
        ({"ClampP1": (0.3, 0.6)}, {}),
        (
            {"UseClampP2": 1, "ClampP2": (0.5, 0.9), "UseClampP3": 1, "ClampP3": (1.5, 3)},
            {"clamps": {"P2": (0.5, 0.9), "P3": (1.5, 3)}},
        ),
        ({"UseP2": 0, "UseP3": 0}, {"use": ("P1",)}),
        ({"UseP1": 0}, {"use": ("P2", "P3")}),
        ({"Threshold": 0.4}, {"threshold": 0.4}),
        ({"Preset": 1}, {"p1_step": 10, "interval": (10, 60)}),
        ({"Preset": 2, "P1Step": 3}, {"p1_step": 100, "interval": (50, 100)}),
    ],
)
def test_properties_do_what_they_say(measures, truth, settings, options):
    run(measures)
    for name, value in settings.items():
        getattr(measures, "Set" + name)(*(value if isinstance(value, tuple) else (value,)))
    assert_columns(RunsData(run(measures)), expected(truth, **options))


def test_another_metric_can_be_judged(measures, reader, truth):
    assert PerformanceMeasures().GetMetricNames() == [""]
    assert measures.GetMetricNames() == [""]
    run(reader)
    assert measures.GetMetricNames() == ["", "validation_accuracy", "validation_loss"]
    measures.SetMetric("validation_loss")
    for name in ("P1", "P2"):
        getattr(measures, f"SetClamp{name}")(0.0, 3.0)
        getattr(measures, f"SetUseClamp{name}")(1)
    p1 = RunsData(run(measures)).columns["P1"]
    assert p1[0] == pytest.approx(truth.loss[0, -1] / 3)


def test_measures_do_not_depend_on_the_time_shown(measures, truth):
    assert_columns(RunsData(run(measures, time=0)), expected(truth))


def test_measures_are_computed_once_for_all_times_and_again_when_the_runs_change(truth, reader):
    measures = PerformanceMeasures()
    measures.SetInputConnection(reader.GetOutputPort(0))
    measures.UpdateInformation()

    def column(time):
        measures.UpdateTimeStep(time)
        return measures.GetOutputDataObject(0).GetCellData().GetArray("P2")

    first = column(float(truth.steps[1]))
    assert column(float(truth.steps[2])) is first
    runs = RunsData(reader.GetOutputDataObject(0))
    curve = runs.polydata.GetFieldData().GetArray("curve:validation_accuracy")
    to_numpy(curve)[:] = 0.5
    curve.Modified()
    again = to_numpy(column(float(truth.steps[3])))
    np.testing.assert_array_equal(again, np.where(np.isin(np.arange(25), (3, 20)), 0.0, 0.5))


@pytest.mark.expect_vtk_errors
@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"IntervalStart": 101}, MeasureError, "start is after the end"),
        ({"IntervalStart": 41, "IntervalEnd": 49}, MeasureError, "holds no evaluated step"),
        ({"UseP1": 0, "UseP2": 0, "UseP3": 0}, MeasureError, "at least one of P1, P2 and P3"),
        ({"Metric": "acc"}, NotRecordedError, "no metric 'acc'"),
        ({"UseClampP1": 1, "ClampP1": (0.9, 0.9)}, MeasureError, "low end must be below"),
    ],
)
def test_unusable_settings_are_explained_and_can_be_corrected(
    measures, truth, settings, kind, message
):
    for name, value in settings.items():
        getattr(measures, "Set" + name)(*(value if isinstance(value, tuple) else (value,)))
    with pytest.raises(PipelineError, match=message) as info:
        run(measures)
    assert isinstance(info.value.__cause__, kind)
    assert measures.GetOutputDataObject(0).GetNumberOfCells() == 0
    for name in settings:
        default = {"IntervalStart": 0, "IntervalEnd": -1, "Metric": ""}.get(name, 1)
        if name == "ClampP1":
            measures.SetClampP1(0.0, 1.0)
        else:
            getattr(measures, "Set" + name)(default)
    assert_columns(
        RunsData(run(measures)),
        expected(truth, clamps={"P1": (0, 1)} if "ClampP1" in settings else None),
    )


@pytest.mark.expect_vtk_errors
def test_runs_without_accuracy_are_explained():
    measures = PerformanceMeasures()
    measures.SetInputDataObject(runs_to_polydata({"run_index": np.arange(2)}, {}, []))
    with pytest.raises(PipelineError, match="no accuracy to measure; metrics present: none"):
        run(measures)


# -- groups ---------------------------------------------------------------------------------------
def test_groups_have_index_colour_and_name(measures):
    groups = RunGroups()
    groups.SetInputConnection(measures.GetOutputPort(0))
    groups.SetGroups("good = #1f77b4 : top 2 P1\nsgd : optimizer == 'sgd'\npicked : runs 0-4")
    output = run(groups)
    runs = RunsData(output)
    p1 = runs.columns["P1"]
    best = [int(i) for i in np.argsort(-p1, kind="stable")[:2]]
    sgd = [i for i in range(25) if i % 3 == 0 and i not in best]
    picked = [i for i in range(5) if i not in best + sgd]
    assert np.flatnonzero(runs.group == 0).tolist() == sorted(best)
    assert np.flatnonzero(runs.group == 1).tolist() == sgd
    assert np.flatnonzero(runs.group == 2).tolist() == picked
    assert runs.group_names == ["good", "sgd", "picked"]
    assert runs.group_colors == ["#1f77b4", "#1f77b4", "#2ca02c"]
    colors = to_numpy(output.GetCellData().GetArray("group_color"))
    assert colors[best[0]].tolist() == [0x1F, 0x77, 0xB4]
    assert colors[np.flatnonzero(runs.group == -1)[0]].tolist() == [160, 160, 160]
    assert runs.measures[0] == "P1"


def test_no_groups_leave_all_runs_grey(reader):
    groups = RunGroups()
    groups.SetInputConnection(reader.GetOutputPort(0))
    output = run(groups)
    assert RunsData(output).group is None
    assert to_numpy(output.GetCellData().GetArray("group")).tolist() == [-1] * 25


@pytest.mark.expect_vtk_errors
def test_measure_that_is_not_there_is_named(reader):
    groups = RunGroups()
    groups.SetInputConnection(reader.GetOutputPort(0))
    groups.SetGroups("good : top 3 P1")
    with pytest.raises(PipelineError, match="group 'good': .*there is no column 'P1'") as info:
        run(groups)
    assert isinstance(info.value.__cause__, ExpressionError)


def test_runs_left_out_by_the_reader_keep_their_numbers(reader):
    run(reader)
    reader.GetGroups().DisableArray("g000")
    groups = RunGroups()
    groups.SetInputConnection(reader.GetOutputPort(0))
    groups.SetGroups("odd : runs 1,3-4,23")
    runs = RunsData(run(groups))
    assert runs.run_index[runs.group == 0].tolist() == [1, 3, 23]
