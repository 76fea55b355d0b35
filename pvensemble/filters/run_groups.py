"""Run Groups: several named, coloured selections of runs at once."""

from __future__ import annotations

from vtkmodules.vtkCommonCore import vtkInformation

from pvensemble import schema
from pvensemble.filters._base import EnsembleAlgorithm
from pvensemble.numerics.groups import assign_groups, parse_groups
from pvensemble.vtkdata.arrays import add_field
from pvensemble.vtkdata.runs_output import add_column


class RunGroups(EnsembleAlgorithm):
    """Add each run's group and colour to the runs (syntax: ``numerics.groups``)."""

    def __init__(self) -> None:
        super().__init__()
        self._groups = ""

    def SetGroups(self, text: str | None) -> None:
        """Define the groups, one a line: ``name = #rrggbb : expression``."""
        self._set("groups", text or "")

    def GetGroups(self) -> str:
        return self._groups

    def RequestData(self, _request: vtkInformation, inInfo: tuple, outInfo: vtkInformation) -> int:
        runs = self.runs_input(inInfo)
        groups = parse_groups(self._groups)
        group, color = assign_groups(groups, runs.columns, runs.n_runs)
        output = self.output(outInfo)
        output.ShallowCopy(runs.polydata)
        add_column(output.GetCellData(), schema.GROUP, group)
        add_column(output.GetCellData(), schema.GROUP_COLOR, color)
        add_field(output.GetFieldData(), schema.GROUP_NAMES_FIELD, [g.name for g in groups])
        add_field(output.GetFieldData(), schema.GROUP_COLORS_FIELD, [g.color for g in groups])
        return 1
