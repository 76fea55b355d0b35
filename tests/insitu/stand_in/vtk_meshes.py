"""Data sets of meshes, as VTK's vtkConduitSource makes them."""

from __future__ import annotations

import numpy as np
from catalyst_conduit.blueprint.mesh import components
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonCore import vtkPoints, vtkStringArray
from vtkmodules.vtkCommonDataModel import (
    VTK_VERTEX,
    vtkCellArray,
    vtkCompositeDataSet,
    vtkImageData,
    vtkPartitionedDataSet,
    vtkPartitionedDataSetCollection,
    vtkUnstructuredGrid,
)


def partitioned(mesh):
    """Return the data set of a channel of type mesh."""
    data = vtkPartitionedDataSet()
    grid = _uniform(mesh) if mesh["topologies/mesh/type"] == "uniform" else _points(mesh)
    data.SetPartition(0, grid)
    for child in mesh["fields"].children():
        grid.GetCellData().AddArray(_numbers(child.node()["values"], child.name()))
    for child in mesh["state/fields"].children():
        data.GetFieldData().AddArray(_state(child.node(), child.name()))
    return data


def collection(meshes):
    """Return the data set of a channel of type multimesh."""
    data = vtkPartitionedDataSetCollection()
    data.SetNumberOfPartitionedDataSets(meshes.number_of_children())
    for position, child in enumerate(meshes.children()):
        data.SetPartitionedDataSet(position, partitioned(child.node()))
        data.GetMetaData(position).Set(vtkCompositeDataSet.NAME(), child.name())
    return data


def _uniform(mesh):
    image = vtkImageData()
    image.SetDimensions([mesh[f"coordsets/coords/dims/{axis}"] for axis in "ijk"])
    return image


def _points(mesh):
    grid = vtkUnstructuredGrid()
    connectivity = mesh["topologies/mesh/elements/connectivity"]
    if len(connectivity) == 0:
        return grid
    points = vtkPoints()
    points.SetData(_numbers(mesh["coordsets/coords/values"], "coords"))
    cells = vtkCellArray()
    offsets = np.arange(len(connectivity) + 1, dtype=np.int64)
    cells.SetData(numpy_to_vtk(offsets, deep=True), numpy_to_vtk(connectivity, deep=True))
    grid.SetPoints(points)
    grid.SetCells(VTK_VERTEX, cells)
    return grid


def _state(node, name):
    value = node.value()
    if not isinstance(value, str):
        return _numbers(node if value is None else value, name)
    texts = vtkStringArray()
    texts.SetName(name)
    texts.InsertNextValue(value)
    return texts


def _numbers(values, name):
    """Return an array; one with a single component shares its memory."""
    parts = components(values)
    array = parts[0] if len(parts) == 1 else np.stack(parts, axis=1)
    result = numpy_to_vtk(array, deep=len(parts) > 1)
    result.SetName(name)
    return result
