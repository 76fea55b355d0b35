"""What the views need of a source's output: cells in the plane, and where axes stand."""

from __future__ import annotations

from typing import Any

import numpy as np
from paraview import servermanager
from paraview.modules.vtkRemotingCore import vtkPVDataInformation
from vtkmodules.util.numpy_support import vtk_to_numpy

from pvensemble.views.pick import Cells

AXIS_X, AXIS_HEIGHT, AXIS_POSITIONS = "axis_x", "axis_height", "axis_positions"
"""Field arrays of Parallel Coordinates: (n_axes,) plot x, (1,), and (n_runs, n_axes) in [0, 1]."""


def fetch(source: Any, port: int = 0) -> Any:
    """Return a source's output as a VTK data set on this side of a client-server connection."""
    source.UpdatePipeline()
    return servermanager.Fetch(source, idx=port)


def information(source: Any, port: int = 0) -> vtkPVDataInformation:
    """Return what there is to know of a source's output as it was updated last."""
    return source.SMProxy.GetDataInformation(port)


def cells_of(data: Any) -> Cells:
    """Return the cells of a vtkPolyData (of one kind: vertices, lines or polygons)."""
    groups = (data.GetVerts(), data.GetLines(), data.GetPolys())
    array = max(groups, key=lambda cells: cells.GetNumberOfCells())
    points = data.GetPoints()
    xy = vtk_to_numpy(points.GetData())[:, :2] if points is not None else np.empty((0, 2))
    return Cells(
        xy.astype(np.float64),
        vtk_to_numpy(array.GetConnectivityArray()).astype(np.int64),
        vtk_to_numpy(array.GetOffsetsArray()).astype(np.int64),
    )


def field(data: Any, name: str) -> np.ndarray | None:
    """Return a field array as numpy, or None."""
    array = data.GetFieldData().GetArray(name)
    return None if array is None else vtk_to_numpy(array)


class Latest:
    """A source's output, fetched again only when it has changed."""

    def __init__(self, source: Any, port: int = 0) -> None:
        self.source, self.port = source, port
        self._time: int | None = None
        self._data: Any = None

    def get(self) -> Any:
        """Return the output."""
        self.source.UpdatePipeline()
        time = self.source.SMProxy.GetDataInformation(self.port).GetMTime()
        if time != self._time or self._data is None:
            self._data, self._time = fetch(self.source, self.port), time
        return self._data


def display_of(source: Any, port: int, view: Any) -> Any:
    """Return how an output is shown in a view, or None; nothing is created."""
    for display in view.Representations:
        shown = getattr(display, "Input", None)
        if shown is not None and (shown.SMProxy, shown.Port) == (source.SMProxy, port):
            return display
    return None
