"""Steps as VTK time."""

from __future__ import annotations

import pytest
from vtkmodules.vtkCommonCore import vtkInformation, vtkInformationVector
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkCommonExecutionModel import vtkDemandDrivenPipeline
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline as Pipeline

from pvensemble.vtkdata import time


@pytest.mark.parametrize(
    ("asked", "step"),
    [(-1, 0), (0, 0), (9.999, 0), (10, 10), (10.5, 10), (99, 50), (None, 50), (1e300, 50)],
)
def test_snap_takes_the_largest_step_not_after_the_time(asked, step):
    assert time.snap([0, 10, 50], asked) == step


def test_nothing_to_snap_to():
    with pytest.raises(ValueError, match="no steps"):
        time.snap([], 3)


def test_published_steps_replace_the_former():
    info = vtkInformation()
    time.publish_time_steps(info, [0, 10, 50])
    time.publish_time_steps(info, [0, 20])
    assert time.published_time_steps(info) == [0.0, 20.0]
    assert [Pipeline.TIME_RANGE().Get(info, i) for i in range(2)] == [0.0, 20.0]
    time.publish_time_steps(info, [])
    assert not info.Has(Pipeline.TIME_STEPS())
    assert not info.Has(Pipeline.TIME_RANGE())
    assert time.published_time_steps(info) == []


def test_data_time():
    data = vtkPolyData()
    assert time.data_time(data) is None
    time.set_data_time(data, 20)
    assert time.data_time(data) == 20.0
    time.set_data_time(data, None)
    assert time.data_time(data) is None


def test_requested_time_is_that_of_the_port_that_asks():
    ports, request = vtkInformationVector(), vtkInformation()
    ports.SetNumberOfInformationObjects(2)
    request.Set(vtkDemandDrivenPipeline.FROM_OUTPUT_PORT(), 1)
    assert time.requested_time(request, ports) is None
    ports.GetInformationObject(0).Set(Pipeline.UPDATE_TIME_STEP(), 3.0)
    assert time.requested_time(request, ports) is None
    ports.GetInformationObject(1).Set(Pipeline.UPDATE_TIME_STEP(), 7.0)
    assert time.requested_time(request, ports) == 7.0
    request.Set(vtkDemandDrivenPipeline.FROM_OUTPUT_PORT(), -1)
    assert time.requested_time(request, ports) == 3.0
