"""The data sets of an ensemble as conduit nodes that follow Mesh Blueprint, and back.

Catalyst 2 takes meshes of numbers. "Runs" is handed on as a mesh of points, each volume of
"Tensors" as one of cells; number arrays are shared with the node, not copied. What Mesh Blueprint
has no place for (texts, the order of columns, names of volumes) goes along as one JSON text in the
mesh's state. By it ``as_runs`` and ``as_tensors`` know a mesh that has arrived and restore the
data set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from vtkmodules.vtkCommonCore import vtkAbstractArray, vtkDataArray, vtkStringArray
from vtkmodules.vtkCommonDataModel import (
    vtkCompositeDataSet,
    vtkDataObject,
    vtkDataSet,
    vtkFieldData,
    vtkImageData,
    vtkMultiBlockDataSet,
    vtkPartitionedDataSetCollection,
    vtkPolyData,
)

from pvensemble.vtkdata.arrays import (
    add_field,
    field_strings,
    string_list,
    strings_to_vtk,
    to_numpy,
)
from pvensemble.vtkdata.runs_output import vertex_cells
from pvensemble.vtkdata.time import data_time, set_data_time

ABOUT = "pvensemble"
"""Field of a mesh's state that has what Mesh Blueprint has no place for."""
MESH = "mesh"


def runs_to_mesh(runs: vtkPolyData, mesh: Any) -> None:
    """Write a "Runs" data set into a conduit node.

    Parameters
    ----------
    runs : vtkPolyData
        Its number arrays are shared: it must live as long as the node is looked at.
    mesh : conduit.Node
        Empty; becomes an unstructured mesh whose element i is run i.
    """
    if runs.GetPoints() is None:  # another process has them
        runs = vertex_cells(0)
    coords = mesh["coordsets/coords"]
    coords["type"] = "explicit"
    _share(coords["values"], runs.GetPoints().GetData(), "xyz")
    _begin_topology(mesh, "unstructured")
    elements = mesh["topologies"][MESH]["elements"]
    elements["shape"] = "point"
    elements["connectivity"].set_external(to_numpy(runs.GetVerts().GetConnectivityArray()))
    _write_arrays(mesh, runs, {})


def tensors_to_meshes(tensors: vtkMultiBlockDataSet, meshes: Any) -> None:
    """Write a "Tensors" data set into a conduit node, a uniform mesh for each volume.

    Parameters
    ----------
    tensors : vtkMultiBlockDataSet
        Of images with cell data, which are shared as in `runs_to_mesh`.
    meshes : conduit.Node
        Empty; gets a child for each volume that this process has.
    """
    for position in range(tensors.GetNumberOfBlocks()):
        image = tensors.GetBlock(position)
        if image is None:  # other processes have it
            continue
        mesh = meshes[f"volume{position}"]
        coords = mesh["coordsets/coords"]
        coords["type"] = "uniform"
        for axis, points in zip("ijk", image.GetDimensions()):
            coords[f"dims/{axis}"] = points
        _begin_topology(mesh, "uniform")
        name = tensors.GetMetaData(position).Get(vtkCompositeDataSet.NAME())
        _write_arrays(mesh, image, {"name": name})


def as_runs(data: vtkDataObject | None) -> vtkDataObject | None:
    """Return the "Runs" data set that a mesh was made of, anything else as it is."""
    about = _about(data)
    if about is None:
        return data
    grid = next(_leaves(data), None)
    runs = vertex_cells(0 if grid is None else grid.GetNumberOfCells())
    _read_arrays(runs, grid, _fields(data), about)
    set_data_time(runs, data_time(data))
    return runs


def as_tensors(data: vtkDataObject | None) -> vtkDataObject | None:
    """Return the "Tensors" data set that meshes were made of, anything else as it is."""
    if not isinstance(data, vtkPartitionedDataSetCollection):
        return data
    parts = [data.GetPartitionedDataSet(i) for i in range(data.GetNumberOfPartitionedDataSets())]
    volumes = [(part, about) for part in parts if (about := _about(part)) is not None]
    tensors = vtkMultiBlockDataSet()
    tensors.SetNumberOfBlocks(len(volumes))
    for position, (part, about) in enumerate(volumes):
        grid = next(_leaves(part))
        image = vtkImageData()
        image.SetDimensions(grid.GetDimensions())
        _read_arrays(image, grid, _fields(part), about)
        tensors.GetMetaData(position).Set(vtkCompositeDataSet.NAME(), about["name"])
        tensors.SetBlock(position, image)
    set_data_time(tensors, data_time(data))
    return tensors


def _begin_topology(mesh: Any, kind: str) -> None:
    mesh["topologies"][MESH]["type"] = kind
    mesh["topologies"][MESH]["coordset"] = "coords"


def _write_arrays(mesh: Any, data: vtkDataSet, about: dict) -> None:
    """Write cell data as fields, field data as the mesh's state, and texts as JSON."""
    cell_data, state = data.GetCellData(), mesh["state/fields"]
    scalars = cell_data.GetScalars()
    about = {**about, "scalars": scalars.GetName() if scalars is not None else None}
    about["columns"] = _texts(cell_data)
    about["fields"] = _texts(data.GetFieldData())
    for array in _numbers(cell_data):
        field = mesh["fields"].add_child(array.GetName())
        field["association"] = "element"
        field["topology"] = MESH
        _share(field["values"], array)
    for array in _numbers(data.GetFieldData()):
        _share(state.add_child(array.GetName()), array)
    state[ABOUT] = json.dumps(about)


def _read_arrays(
    data: vtkDataSet, grid: vtkDataSet | None, fields: vtkFieldData, about: dict
) -> None:
    """Give a data set the cell and field data that a mesh was made of."""
    cell_data = data.GetCellData()
    for name, texts in about["columns"].items():
        array = strings_to_vtk(texts, name) if texts is not None else None
        if array is None and grid is not None:
            array = grid.GetCellData().GetAbstractArray(name)
        if array is not None:
            cell_data.AddArray(array)
    for name, texts in about["fields"].items():
        if texts is not None:
            add_field(data.GetFieldData(), name, texts)
        elif fields.HasArray(name):
            data.GetFieldData().AddArray(fields.GetAbstractArray(name))
    if about["scalars"] is not None:
        cell_data.SetActiveScalars(about["scalars"])


def _texts(arrays: vtkFieldData) -> dict[str, list[str] | None]:
    """Return the names of arrays in their order, with the texts of those that have some."""
    return {
        array.GetName(): string_list(array) if isinstance(array, vtkStringArray) else None
        for array in _named(arrays)
    }


def _numbers(arrays: vtkFieldData) -> Iterator[vtkDataArray]:
    """Yield the arrays of numbers that are not empty."""
    for array in _named(arrays):
        if isinstance(array, vtkDataArray) and array.GetNumberOfTuples():
            yield array


def _named(arrays: vtkFieldData) -> Iterator[vtkAbstractArray]:
    all_arrays = (arrays.GetAbstractArray(i) for i in range(arrays.GetNumberOfArrays()))
    return (array for array in all_arrays if array.GetName())


def _share(node: Any, array: vtkDataArray, components: str = "") -> None:
    """Let a node look at an array's memory, a child for each component where it has several."""
    values = to_numpy(array)
    if values.ndim == 1:
        node.set_external(values)
        return
    for k in range(values.shape[1]):
        node[components[k] if components else f"c{k}"].set_external(values[:, k])


def _about(data: vtkDataObject | None) -> dict | None:
    """Return what `_write_arrays` said of a mesh, None for other data."""
    texts = field_strings(_fields(data), ABOUT) if isinstance(data, vtkCompositeDataSet) else []
    return json.loads(texts[0]) if texts else None


def _fields(data: vtkCompositeDataSet) -> vtkFieldData:
    """Return the state of a mesh: ParaView up to 5.11 gives it to the whole, later to its parts."""
    if data.GetFieldData().HasArray(ABOUT):
        return data.GetFieldData()
    return next((leaf.GetFieldData() for leaf in _leaves(data)), data.GetFieldData())


def _leaves(data: vtkCompositeDataSet) -> Iterator[vtkDataSet]:
    iterator = data.NewIterator()
    iterator.InitTraversal()
    while not iterator.IsDoneWithTraversal():
        yield iterator.GetCurrentDataObject()
        iterator.GoToNextItem()
