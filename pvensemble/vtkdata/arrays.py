"""Numpy arrays as VTK arrays, and stacks of matrices as volumes: the only place that ravels.

``to_numpy`` looks at VTK's memory. The other way small arrays are copied and volumes are shared:
sharing ties numpy's memory to one VTK array *object*, and VTK objects that take over only its
buffer (``vtkCellArray.SetData``, ``vtkDataArray.ShallowCopy``) outlive it and then show freed
memory. Cell data of images are passed on as objects, so there sharing is safe, and worth it.
Whoever shares an array must not write to it again.

VTK lets x run fastest. A stack ``(run, y, x)`` of matrices therefore needs no transposition to
become a volume with x to the right, y up and z = run: its memory already is in VTK's order.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from vtkmodules.util import numpy_support
from vtkmodules.vtkCommonCore import VTK_LONG_LONG, vtkAbstractArray, vtkDataArray, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkDataObject, vtkFieldData, vtkImageData


def to_vtk(array: np.ndarray, name: str, *, share: bool = False) -> vtkDataArray:
    """Make a VTK array of numbers.

    Parameters
    ----------
    array : (n_tuples,) or (n_tuples, n_components) array of numbers or bools
    name : str
        Name of the VTK array.
    share : bool
        Let VTK look at the array's memory instead of a copy (see the module's notes). An array that
        VTK cannot hold as it is (not contiguous, bool, float16, big-endian) is copied all the same.

    Returns
    -------
    vtkDataArray
        int64 becomes ``long long``, bool becomes ``unsigned char``.
    """
    array = np.asarray(array)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    kind = VTK_LONG_LONG if array.dtype == np.int64 else None
    result = numpy_support.numpy_to_vtk(array, deep=not share, array_type=kind)
    result.SetName(name)
    return result


def to_numpy(array: vtkAbstractArray) -> np.ndarray:
    """Look at a VTK array as numpy; text arrays are copied to ``(n,)`` str.

    The result of a number array shares VTK's memory: never write to it.
    """
    if isinstance(array, vtkStringArray):
        return strings_to_numpy(array)
    return numpy_support.vtk_to_numpy(array)


def strings_to_vtk(values: Iterable[str], name: str) -> vtkStringArray:
    """Copy texts into a named vtkStringArray."""
    result = vtkStringArray()
    result.SetName(name)
    for value in values:
        result.InsertNextValue(str(value))
    return result


def strings_to_numpy(array: vtkStringArray) -> np.ndarray:
    """Copy a vtkStringArray to an ``(n,)`` array of str."""
    return np.array(string_list(array), dtype=str)


def string_list(array: vtkStringArray | None) -> list[str]:
    """Return the texts of a vtkStringArray, ``[]`` for None."""
    if array is None:
        return []
    return [array.GetValue(i) for i in range(array.GetNumberOfValues())]


def add_field(field: vtkFieldData, name: str, values: np.ndarray | Iterable[str]) -> None:
    """Add numbers or texts to field data, replacing an array of that name."""
    values = np.asarray(values if isinstance(values, np.ndarray) else list(values))
    if values.dtype.kind in "UO" or values.size == 0:
        field.AddArray(strings_to_vtk(values, name))
    else:
        field.AddArray(to_vtk(values, name))


def add_fields(data: vtkDataObject, other: vtkDataObject) -> None:
    """Add the field data of another data set, replacing arrays of the same names."""
    added = other.GetFieldData()
    for k in range(added.GetNumberOfArrays()):
        data.GetFieldData().AddArray(added.GetAbstractArray(k))


def field_strings(field: vtkFieldData, name: str) -> list[str]:
    """Return the texts of a field array, ``[]`` when it is absent."""
    array = field.GetAbstractArray(name)
    return string_list(array) if isinstance(array, vtkStringArray) else []


def image_from_stack(stack: np.ndarray, name: str) -> vtkImageData:
    """Show a stack of matrices as a volume of cells.

    Parameters
    ----------
    stack : (n_z, n_y, n_x) array
        Shared with VTK when it is C-contiguous.
    name : str
        Name of the cell array.

    Returns
    -------
    vtkImageData
        Of ``n_x + 1, n_y + 1, n_z + 1`` points; the cell ``(x, y, z)`` holds ``stack[z, y, x]``.

    Raises
    ------
    ValueError
        When the stack does not have three axes.
    """
    image = vtkImageData()
    add_stack(image, stack, name)
    image.GetCellData().SetActiveScalars(name)
    return image


def add_stack(image: vtkImageData, stack: np.ndarray, name: str) -> None:
    """Add a stack ``(n_z, n_y, n_x)`` as cell data; an empty image takes its size from it."""
    stack = np.asarray(stack)
    if stack.ndim != 3:
        raise ValueError(f"{name}: got shape {stack.shape}, expected three axes (run, y, x)")
    dimensions = tuple(n + 1 for n in stack.shape[::-1])
    if image.GetNumberOfPoints() == 0:
        image.SetDimensions(*dimensions)
    elif image.GetDimensions() != dimensions:
        have = tuple(n - 1 for n in image.GetDimensions()[::-1])
        raise ValueError(f"{name}: got shape {stack.shape}, the volume's is {have}")
    image.GetCellData().AddArray(to_vtk(stack.reshape(-1), name, share=True))


def stack_from_image(image: vtkImageData, name: str) -> np.ndarray:
    """Return the cell array of a volume as the stack ``(n_z, n_y, n_x)`` it was made from.

    Raises
    ------
    KeyError
        When the volume has no cell array of that name.
    """
    array = image.GetCellData().GetArray(name)
    if array is None:
        raise KeyError(name)
    shape = tuple(max(n - 1, 1) for n in image.GetDimensions()[::-1])
    return to_numpy(array).reshape(shape)
