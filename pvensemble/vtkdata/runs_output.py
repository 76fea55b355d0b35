"""Make "Runs" data sets, and add to them or hand them on; see ``runs`` for what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkCellData, vtkDataObject, vtkPolyData

from pvensemble import schema
from pvensemble.vtkdata.arrays import (
    add_field,
    field_strings,
    strings_to_vtk,
    to_vtk,
)


def runs_to_polydata(
    table: Mapping[str, np.ndarray],
    curves: Mapping[str, Any],
    hyper_parameters: Sequence[Any],
    *,
    name: str = "",
) -> vtkPolyData:
    """Make the "Runs" data set.

    Parameters
    ----------
    table : mapping of str to (n_runs,) array
        Columns in order; numbers, bools or texts.
    curves : mapping of str to curve
        ``curve.steps`` (n_steps,) and ``curve.values`` (n_runs, n_steps) of each metric.
    hyper_parameters : sequence
        Objects with ``name`` and ``scale``; their columns are in the table.
    name : str
        Name of the ensemble.

    Returns
    -------
    vtkPolyData
        One vertex cell a run, at (i, 0, 0).
    """
    n_runs = len(next(iter(table.values()))) if table else 0
    runs = vertex_cells(n_runs)
    for column, values in table.items():
        add_column(runs.GetCellData(), column, values)
    field = runs.GetFieldData()
    add_field(field, schema.HYPER_PARAMETERS_FIELD, [h.name for h in hyper_parameters])
    add_field(field, schema.HYPER_PARAMETER_SCALES_FIELD, [h.scale for h in hyper_parameters])
    add_field(field, schema.MEASURES_FIELD, [])
    add_field(field, schema.ENSEMBLE_NAME_FIELD, [name])
    for metric, curve in curves.items():
        add_curve(runs, metric, curve.steps, curve.values)
    return runs


def vertex_cells(n_runs: int) -> vtkPolyData:
    """Return one vertex cell a run, run i at (i, 0, 0)."""
    positions = np.zeros((n_runs, 3), np.float32)
    positions[:, 0] = np.arange(n_runs)
    points = vtkPoints()
    points.SetData(to_vtk(positions, "Points"))
    cells = vtkCellArray()
    cells.SetData(
        to_vtk(np.arange(n_runs + 1, dtype=np.int64), "offsets"),
        to_vtk(np.arange(n_runs, dtype=np.int64), "connectivity"),
    )
    runs = vtkPolyData()
    runs.SetPoints(points)
    runs.SetVerts(cells)
    return runs


def add_column(cell_data: vtkCellData, name: str, values: np.ndarray) -> None:
    """Add a column; a text column brings its code column ``<name>_code``.

    Parameters
    ----------
    cell_data : vtkCellData
        Of the "Runs" data set.
    name : str
    values : (n_runs,) or (n_runs, n_components) array
        Numbers, bools or texts.
    """
    values = np.asarray(values)
    if values.dtype.kind in "UO":
        cell_data.AddArray(strings_to_vtk(values, name))
        cell_data.AddArray(to_vtk(_codes(name, values.astype(str)), name + schema.CODE_SUFFIX))
    else:
        cell_data.AddArray(to_vtk(values, name))


def add_curve(runs: vtkPolyData, metric: str, steps: np.ndarray, values: np.ndarray) -> None:
    """Add a metric's curve to the field data.

    Parameters
    ----------
    steps : (n_steps,) int
    values : (n_runs, n_steps) float
        NaN where not measured. The precision is kept.

    Notes
    -----
    The array has one component, run after run within a step: ParaView gathers the range of every
    component of every array of every output, and runs as components made that the slowest part of
    an update.
    """
    field = runs.GetFieldData()
    field.AddArray(to_vtk(np.asarray(steps, np.int64), schema.steps_array(metric)))
    field.AddArray(to_vtk(np.asarray(values).T.ravel(), schema.curve_array(metric)))


def copy_fields(runs: vtkPolyData, output: vtkDataObject) -> None:
    """Hand the field data on to a plot, without the curves.

    Nothing reads curves from a plot, and ParaView looks at every array of every output.
    """
    field = output.GetFieldData()
    field.ShallowCopy(runs.GetFieldData())
    names = [field.GetArrayName(i) for i in range(field.GetNumberOfArrays())]
    for name in names:
        if name and name.startswith((schema.CURVE_PREFIX, schema.STEPS_PREFIX)):
            field.RemoveArray(name)


def repeat_columns(source: vtkCellData, target: vtkCellData, n_runs: int, n_times: int) -> None:
    """Hand all columns on, repeated for plots in which a run has several cells.

    Parameters
    ----------
    source : vtkCellData
        Of the "Runs" data set.
    target : vtkCellData
        Gets n_times * n_runs values of each: cell k * n_runs + i is run i.
    n_runs, n_times : int
    """
    if n_times == 1:
        target.ShallowCopy(source)
        return
    for k in range(source.GetNumberOfArrays()):
        array = source.GetAbstractArray(k)
        copy = array.NewInstance()
        copy.SetName(array.GetName())
        copy.SetNumberOfComponents(array.GetNumberOfComponents())
        copy.SetNumberOfTuples(n_runs * n_times)
        for time in range(n_times):
            copy.InsertTuples(time * n_runs, n_runs, 0, array)
        target.AddArray(copy)


def add_measure(runs: vtkPolyData, name: str, values: np.ndarray) -> None:
    """Add a measure (n_runs,) as a column and note its name in the field ``measures``.

    ``runs`` must own its list of arrays (a shallow copy does); no array of the input is changed.
    """
    runs.GetCellData().AddArray(to_vtk(np.asarray(values), name))
    known = field_strings(runs.GetFieldData(), schema.MEASURES_FIELD)
    add_field(runs.GetFieldData(), schema.MEASURES_FIELD, [m for m in known if m != name] + [name])


def _codes(name: str, texts: np.ndarray) -> np.ndarray:
    """Number texts by their place in the sorted distinct values; states by ``schema.STATES``."""
    if name == schema.STATE:
        place = {state: i for i, state in enumerate(schema.STATES)}
        return np.array([place.get(text, -1) for text in texts], np.int32)
    return np.unique(texts, return_inverse=True)[1].astype(np.int32).reshape(-1)
