"""numpy <-> VTK: values, sharing, and which axis is which."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkImageData, vtkPolyData

from pvensemble.vtkdata import arrays


@pytest.mark.parametrize(
    ("dtype", "vtk_type"),
    [
        (np.float64, "double"),
        (np.float32, "float"),
        (np.float16, "float"),
        (np.int64, "long long"),
        (np.int32, "int"),
        (np.uint8, "unsigned char"),
        (bool, "unsigned char"),
        (">f4", "float"),
    ],
)
def test_numbers_keep_their_value_and_kind(dtype, vtk_type):
    values = np.array([0, 1, 1, 0], dtype=dtype)
    array = arrays.to_vtk(values, "x")
    assert array.GetName() == "x"
    assert array.GetDataTypeAsString() == vtk_type
    np.testing.assert_array_equal(arrays.to_numpy(array), values)


def test_memory_is_shared_both_ways_and_kept_alive():
    values = np.arange(5.0)
    array = arrays.to_vtk(values, "x", share=True)
    values[2] = 7  # through to VTK
    assert array.GetValue(2) == 7
    assert np.shares_memory(arrays.to_numpy(array), values)
    data = vtkPolyData()
    data.GetFieldData().AddArray(array)
    del values, array
    gc.collect()
    np.empty(5)[:] = -1
    seen = arrays.to_numpy(data.GetFieldData().GetArray("x"))
    np.testing.assert_array_equal(seen, [0, 1, 7, 3, 4])


def test_what_vtk_owns_survives_where_only_the_buffer_is_taken_over():
    cells = vtkCellArray()
    cells.SetData(
        arrays.to_vtk(np.arange(4), "offsets"), arrays.to_vtk(np.arange(3), "connectivity")
    )
    gc.collect()
    ruins = [np.full(n, 7) for n in (3, 4) for _ in range(50)]
    assert arrays.to_numpy(cells.GetOffsetsArray()).tolist() == [0, 1, 2, 3]
    assert arrays.to_numpy(cells.GetConnectivityArray()).tolist() == [0, 1, 2]
    del ruins


def test_what_is_not_contiguous_is_copied_in_the_right_order():
    values = np.arange(6.0).reshape(2, 3).T
    array = arrays.to_vtk(values, "x")
    assert (array.GetNumberOfTuples(), array.GetNumberOfComponents()) == (3, 2)
    np.testing.assert_array_equal(arrays.to_numpy(array), values)
    assert not np.shares_memory(arrays.to_numpy(array), values)


def test_texts_survive():
    texts = ["a", "", "µ 網"]
    array = arrays.strings_to_vtk(texts, "t")
    assert arrays.to_numpy(array).tolist() == texts
    assert arrays.strings_to_numpy(arrays.strings_to_vtk([], "t")).shape == (0,)
    assert arrays.string_list(None) == []


def test_field_arrays_are_replaced_not_doubled():
    field = vtkPolyData().GetFieldData()
    arrays.add_field(field, "names", ["a", "b"])
    arrays.add_field(field, "names", ["c"])
    arrays.add_field(field, "numbers", np.array([1, 2]))
    assert field.GetNumberOfArrays() == 2
    assert arrays.field_strings(field, "names") == ["c"]
    assert arrays.field_strings(field, "numbers") == []
    assert arrays.field_strings(field, "absent") == []


def test_stack_is_a_volume_with_x_right_y_up_and_z_the_run():
    stack = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)  # (run, y, x)
    image = arrays.image_from_stack(stack, "weight")
    assert image.GetDimensions() == (5, 4, 3)
    cell = image.GetCellData().GetArray("weight")
    for z, y, x in [(0, 0, 0), (0, 0, 3), (0, 2, 0), (1, 0, 0), (1, 2, 3)]:
        number = image.ComputeCellId([x, y, z])
        assert image.GetCell(number).GetBounds() == (x, x + 1, y, y + 1, z, z + 1)
        assert cell.GetValue(number) == stack[z, y, x], (z, y, x)
    np.testing.assert_array_equal(arrays.stack_from_image(image, "weight"), stack)
    assert np.shares_memory(arrays.to_numpy(cell), stack)


def test_one_matrix_of_one_cell_is_still_a_volume():
    image = arrays.image_from_stack(np.array([[[3.0]]]), "w")
    assert image.GetNumberOfCells() == 1
    assert arrays.stack_from_image(image, "w").shape == (1, 1, 1)


def test_second_array_must_fit_the_volume():
    image = arrays.image_from_stack(np.zeros((2, 3, 4)), "weight")
    arrays.add_stack(image, np.ones((2, 3, 4)), "gradient")
    assert image.GetCellData().GetNumberOfArrays() == 2
    with pytest.raises(ValueError, match=r"\(2, 4, 3\), the volume's is \(2, 3, 4\)"):
        arrays.add_stack(image, np.ones((2, 4, 3)), "other")
    with pytest.raises(ValueError, match=r"got shape \(3, 4\), expected three axes"):
        arrays.image_from_stack(np.zeros((3, 4)), "w")
    with pytest.raises(KeyError):
        arrays.stack_from_image(vtkImageData(), "w")
