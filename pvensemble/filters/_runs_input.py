"""The "Runs" data set at an input of an algorithm."""

from __future__ import annotations

from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase
from vtkmodules.vtkCommonDataModel import vtkPolyData

from pvensemble import schema
from pvensemble.errors import MissingArrayError
from pvensemble.vtkdata.blueprint import as_runs
from pvensemble.vtkdata.runs import RunsData


class RunsInput(VTKPythonAlgorithmBase):
    """Mixin: the runs at an input, checked, and what the panel lists of them."""

    def runs_input(self, inInfo: tuple, port: int = 0) -> RunsData:
        """Return the "Runs" input of a port.

        Raises
        ------
        MissingArrayError
            When the input is of another kind or not the runs of an ensemble.
        """
        data = as_runs(self.GetInputData(inInfo, port, 0))
        if not isinstance(data, vtkPolyData):
            got = "nothing" if data is None else data.GetClassName()
            raise MissingArrayError(
                "needs the runs of an ensemble (vtkPolyData, the first output of Ensemble "
                f"Reader); got {got}"
            )
        if data.GetNumberOfCells() == data.GetCellData().GetNumberOfArrays() == 0:
            raise MissingArrayError("the input is empty; see the message of what comes before it")
        return RunsData(data)

    def current_runs(self, port: int = 0) -> RunsData | None:
        """Return the runs that are at a port now, or None: for the lists in the panel."""
        connected = self.GetNumberOfInputConnections(port) > 0
        data = as_runs(self.GetInputDataObject(port, 0)) if connected else None
        if isinstance(data, vtkPolyData) and data.GetCellData().HasArray(schema.RUN_INDEX):
            return RunsData(data)
        return None

    def GetColumnNames(self) -> list[str]:
        """Columns of the input, for the lists in the panel."""
        runs = self.current_runs()
        return ["", *(runs.columns if runs else [])]

    def GetMetricNames(self) -> list[str]:
        """Metrics of the input, for the lists in the panel."""
        runs = self.current_runs()
        return ["", *(runs.metric_names if runs else [])]
