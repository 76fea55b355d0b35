"""Errors of Python algorithms are not lost."""

from __future__ import annotations

import numpy as np
import pytest
from plot_samples import paper_runs
from vtk_messages import vtk_messages
from vtkmodules.vtkCommonCore import vtkFloatArray
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData, vtkTable
from vtkmodules.vtkCommonExecutionModel import (
    vtkPolyDataAlgorithm,
    vtkStreamingDemandDrivenPipeline,
)

from pvensemble.errors import MissingArrayError, PipelineError, StoreError
from pvensemble.filters import parallel_coordinates
from pvensemble.filters._base import EnsembleAlgorithm, run, spaced, upstream
from pvensemble.vtkdata.runs_output import runs_to_polydata


class DoubleSteps(EnsembleAlgorithm):
    """Passes runs on, or fails as told."""

    def __init__(self):
        super().__init__()
        self.failure = None
        self.executed = 0

    def RequestData(self, _request, inInfo, outInfo):
        self.executed += 1
        runs = self.runs_input(inInfo)
        if self.failure:
            raise self.failure
        self.output(outInfo).ShallowCopy(runs.polydata)
        return 1


@pytest.fixture
def runs():
    return runs_to_polydata({"run_index": np.arange(3)}, {}, [])


def connected(data):
    algorithm = DoubleSteps()
    algorithm.SetInputDataObject(data)
    return algorithm


def test_run_returns_the_output(runs):
    assert run(connected(runs)).GetNumberOfCells() == 3


@pytest.mark.expect_vtk_errors
def test_error_is_raised_each_time_and_gone_when_repaired(runs):
    algorithm = connected(runs)
    algorithm.failure = StoreError("the disk is upside down")
    for _ in range(2):
        with pytest.raises(PipelineError, match="^Double Steps: the disk is upside down$") as info:
            run(algorithm)
        assert info.value.__cause__ is algorithm.failure
        assert algorithm.error is algorithm.failure
    algorithm.failure = None
    assert run(algorithm).GetNumberOfCells() == 3
    assert algorithm.error is None


@pytest.mark.expect_vtk_errors
def test_error_upstream_reaches_who_asks_downstream(runs):
    first, second = connected(runs), DoubleSteps()
    second.SetInputConnection(first.GetOutputPort())
    assert list(upstream(second))[-2:] == [first, second]
    first.failure = StoreError("upstream")
    with pytest.raises(PipelineError, match="upstream"):
        run(second)
    assert second.executed == 0


def test_message_of_a_users_mistake_has_no_traceback(runs):
    algorithm = connected(runs)
    algorithm.failure = StoreError("the disk is upside down")
    with vtk_messages() as messages, pytest.raises(PipelineError):
        run(algorithm)
    text = "\n".join(messages.errors)
    assert "ERROR: Double Steps: the disk is upside down" in text
    assert "Traceback" not in text


def test_message_of_a_bug_has_its_traceback(runs):
    algorithm = connected(runs)
    algorithm.failure = ZeroDivisionError("oops")
    with vtk_messages() as messages, pytest.raises(PipelineError):
        run(algorithm)
    text = "\n".join(messages.errors)
    assert "Traceback" in text
    assert "ZeroDivisionError: oops" in text


@pytest.mark.expect_vtk_errors
@pytest.mark.parametrize("kind", [vtkTable, vtkImageData])
def test_input_of_another_kind_is_named(kind):
    message = f"needs the runs of an ensemble .*; got {kind.__name__}"
    with pytest.raises(PipelineError, match=message) as info:
        run(connected(kind()))
    assert isinstance(info.value.__cause__, MissingArrayError)


@pytest.mark.expect_vtk_errors
def test_polydata_that_is_not_runs_is_named():
    data = vtkPolyData()
    array = vtkFloatArray()
    array.SetName("temperature")
    data.GetCellData().AddArray(array)
    with pytest.raises(PipelineError, match=r"'run_index' is missing \(arrays present: temper"):
        run(connected(data))


@pytest.mark.expect_vtk_errors
def test_empty_input_points_to_what_comes_before():
    with pytest.raises(PipelineError, match="the input is empty; see the message"):
        run(connected(vtkPolyData()))


def test_no_input_is_an_error():
    with pytest.raises(PipelineError, match="has 0 connections"):
        run(DoubleSteps())


@pytest.mark.expect_vtk_errors
def test_forgotten_return_value_is_an_error(runs):
    class Forgetful(DoubleSteps):
        def RequestData(self, *_):
            pass

    algorithm = Forgetful()
    algorithm.SetInputDataObject(runs)
    with pytest.raises(PipelineError):
        run(algorithm)


def test_in_parallel_the_first_process_holds_all_runs(runs):
    algorithm = connected(runs)
    algorithm.UpdatePiece(1, 2, 0)
    assert algorithm.executed == 0
    assert algorithm.GetOutputDataObject(0).GetNumberOfCells() == 0
    algorithm.UpdatePiece(0, 2, 0)
    assert algorithm.executed == 1
    assert algorithm.GetOutputDataObject(0).GetNumberOfCells() == 3


def test_progress_and_abort_reach_vtk(runs):
    seen = []
    algorithm = connected(runs)
    algorithm.AddObserver("ProgressEvent", lambda a, _e: seen.append(a.GetProgress()))
    algorithm.report(0.25, "Reading")
    assert seen == [0.25]
    assert algorithm.GetProgressText() == "Reading"
    assert not algorithm.aborted()
    algorithm.SetAbortExecute(1)
    assert algorithm.aborted()


@pytest.mark.expect_vtk_errors
def test_garbage_is_collected_after_an_update_whatever_happens(runs):
    """An algorithm and its executive refer to each other: only a search frees them."""
    algorithm, freed = connected(runs), []
    for failure in (None, StoreError("the disk is upside down")):
        algorithm.failure = failure
        algorithm.Modified()
        algorithm.Update()
        circle = vtkPolyDataAlgorithm()
        circle.GetExecutive()
        circle.AddObserver("DeleteEvent", lambda *_: freed.append(True))
        del circle
    assert freed == [True, True]


def test_names_for_people():
    class PerformanceHeatMap:
        pass

    assert spaced(PerformanceHeatMap()) == "Performance Heat Map"


def test_outputs_that_are_asked_for_one_after_the_other_are_computed_once(monkeypatch):
    """An output that is an image is never large enough for VTK, which executes anew for it."""
    runs, computed = paper_runs(), []
    write_lines = parallel_coordinates.write_lines

    def counted(*arguments):
        computed.append(1)
        return write_lines(*arguments)

    monkeypatch.setattr(parallel_coordinates, "write_lines", counted)
    plot = parallel_coordinates.ParallelCoordinates()
    plot.SetInputDataObject(runs)
    plot.Update()
    first = [plot.GetOutputDataObject(port).GetNumberOfPoints() for port in range(2)]
    for port in (2, 0, 1, 2):
        plot.UpdateInformation()
        info = plot.GetExecutive().GetOutputInformation(2)
        info.Set(vtkStreamingDemandDrivenPipeline.UPDATE_EXTENT(), (0, port, 0, 1, 0, 0), 6)
        plot.GetExecutive().Update(port)
    assert [plot.GetOutputDataObject(port).GetNumberOfPoints() for port in range(2)] == first
    assert len(computed) == 1
    plot.SetWidth(20.0)
    plot.Update()
    runs.Modified()
    plot.Update()
    assert len(computed) == 3
