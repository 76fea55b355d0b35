"""Read and make ParaView selections of cells: by number, on an output of a source."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from paraview import servermanager
from vtkmodules.util.numpy_support import vtk_to_numpy

CELL_FIELD = 0
ADD, SUBTRACT, TOGGLE, REPLACE = "add", "subtract", "toggle", "replace"


def select_cells(source: Any, cells: Iterable[int], port: int = 0) -> None:
    """Select cells on an output of a source; none clears the selection.

    Parameters
    ----------
    source : proxy
    cells : iterable of int
        Cell numbers; on most sources cell i is run i.
    port : int
        Output port.
    """
    cells = np.unique(np.fromiter((int(c) for c in cells), np.int64))
    if len(cells) == 0:
        source.SMProxy.SetSelectionInput(port, None, 0)
        return
    manager = servermanager.ProxyManager().SMProxyManager
    ids = manager.NewProxy("sources", "IDSelectionSource")
    ids.GetProperty("FieldType").SetElement(0, CELL_FIELD)
    pairs = ids.GetProperty("IDs")
    pairs.SetNumberOfElements(2 * len(cells))
    for k, cell in enumerate(cells):
        pairs.SetElement(2 * k, -1)  # on any process
        pairs.SetElement(2 * k + 1, int(cell))
    ids.UpdateVTKObjects()
    helper = servermanager.vtkSMSelectionHelper
    selection = helper.NewAppendSelectionsFromSelectionSource(ids)
    source.SMProxy.SetSelectionInput(port, selection, 0)


def selected_cells(source: Any, port: int = 0) -> np.ndarray:
    """Return the cells selected on an output of a source.

    Parameters
    ----------
    source : proxy
    port : int

    Returns
    -------
    (n,) int64
        Ascending; empty when nothing is selected.

    Notes
    -----
    What ParaView's own extraction of the selection yields counts, so every kind of selection is
    read right: ids, queries, frustums, selections that were added to each other.
    """
    proxy = source.SMProxy
    selection = proxy.GetSelectionInput(port)
    if selection is None:
        return np.empty(0, np.int64)
    plain = _plain_ids(selection)
    if plain is not None:
        return plain
    extracted = proxy.GetSelectionOutput(port)
    extracted.UpdatePipeline()
    data = servermanager.Fetch(servermanager._getPyProxy(extracted))
    ids = data.GetCellData().GetArray("vtkOriginalCellIds") if data is not None else None
    return np.unique(vtk_to_numpy(ids)).astype(np.int64) if ids else np.empty(0, np.int64)


def _plain_ids(selection: Any) -> np.ndarray | None:
    """Ids of a selection that is one list of cell ids; None for any other."""
    inputs = selection.GetProperty("Input")
    if inputs is None or inputs.GetNumberOfProxies() != 1:
        return None
    ids = inputs.GetProxy(0)
    inverted = selection.GetProperty("InsideOut")
    if inverted is not None and inverted.GetNumberOfElements() and inverted.GetElement(0):
        return None
    if (
        ids.GetXMLName() != "IDSelectionSource"
        or ids.GetProperty("FieldType").GetElement(0) != CELL_FIELD
        or ids.GetProperty("NumberOfLayers") is not None
        and ids.GetProperty("NumberOfLayers").GetElement(0)
    ):
        return None
    values = ids.GetProperty("IDs")
    every = [int(values.GetElement(k)) for k in range(1, values.GetNumberOfElements(), 2)]
    return np.unique(np.array(every, np.int64))


def combined(old: Iterable[int], new: Iterable[int], how: str) -> np.ndarray:
    """Return a selection after a change.

    Parameters
    ----------
    old, new : iterable of int
        Runs selected before, and runs that the mouse chose.
    how : {"replace", "add", "subtract", "toggle"}
        What to do with the new ones.
    """
    old, new = np.array(list(old), np.int64), np.array(list(new), np.int64)
    if how == ADD:
        return np.union1d(old, new)
    if how == SUBTRACT:
        return np.setdiff1d(old, new)
    if how == TOGGLE:
        return np.setxor1d(old, new)
    return np.unique(new)
