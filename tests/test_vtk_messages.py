"""The VTK error catcher reports a planted error and stays quiet otherwise."""

import pytest
from vtk_messages import vtk_messages

vtk_core = pytest.importorskip("vtkmodules.vtkCommonCore")
from vtkmodules.vtkCommonExecutionModel import vtkTrivialProducer  # noqa: E402
from vtkmodules.vtkFiltersCore import vtkAppendPolyData  # noqa: E402


def provoke_error():
    producer = vtkTrivialProducer()
    append = vtkAppendPolyData()
    append.SetInputConnection(producer.GetOutputPort())
    append.Update()


def test_planted_error_is_reported():
    with vtk_messages() as messages:
        provoke_error()
    assert len(messages.errors) >= 1


def test_quiet_code_reports_nothing():
    with vtk_messages() as messages:
        vtk_core.vtkPoints()
    assert messages.errors == []


@pytest.mark.expect_vtk_errors
def test_marked_test_may_provoke_errors():
    provoke_error()
