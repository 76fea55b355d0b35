"""Ask a running training for something from the window."""

from __future__ import annotations

from typing import Any

from paraview import servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkOutputWindow

from pvensemble.errors import SceneError
from pvensemble.numerics.runs import format_runs
from pvensemble.schema import RUN_INDEX
from pvensemble.views.data import fetch
from pvensemble.views.pipeline import GROUPS, MEASURES, READER, find, root_of
from pvensemble.views.selection import selected_cells

CONTROL = "TrainingControl"
PER_RUN = (GROUPS, MEASURES, READER)
"""Sources of which cell i is run i, and in which a selection of runs is to be looked for."""


def stop_selected_runs() -> str:
    """Ask to stop the runs that are selected, and tell in Output Messages what was asked.

    Returns
    -------
    str
        What was sent.

    Raises
    ------
    SceneError
        No run is selected, or the request was not sent; the message says why.
    """
    source, runs = _selected_runs()
    control = training_control(source)
    control.RunsToStop = format_runs(runs)
    control.SMProxy.InvokeCommand("StopRuns")
    control.SMProxy.UpdatePropertyInformation()
    answer = control.SMProxy.GetProperty("Answer").GetElement(0)
    if answer.startswith("not sent"):
        raise SceneError(answer)
    if servermanager.ActiveConnection.IsRemote():  # else the filter itself has said so here
        vtkOutputWindow.GetInstance().DisplayText(f"Training Control: {answer}\n")
    simple.RenderAllViews()
    return answer


def training_control(source: Any) -> Any:
    """Return the Training Control of the ensemble that a source shows; made where there is none."""
    reader = root_of(source)
    for control in find(CONTROL):
        if root_of(control).SMProxy == reader.SMProxy:
            return control
    active = simple.GetActiveSource()
    control = simple.TrainingControl(Input=reader)
    if active is not None:
        simple.SetActiveSource(active)
    return control


def _selected_runs() -> tuple[Any, list[int]]:
    """Return a source in which runs are selected, and their indices."""
    for kind in PER_RUN:
        for source in reversed(find(kind)):
            cells = selected_cells(source)
            if len(cells):
                index = fetch(source).GetCellData().GetArray(RUN_INDEX)
                return source, vtk_to_numpy(index)[cells].tolist()
    raise SceneError("no run is selected: select some in any view first")
