"""Files of tensors are what HDF5 itself would write, whatever came before."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest

from pvensemble.store.images import tensor_image


def written_by_hdf5(stack: np.ndarray, kind: str) -> bytes:
    """The same file without anything kept from another one."""
    depth, height, width = stack.shape
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        root = file.create_group("VTKHDF")
        root.attrs["Version"] = np.array([1, 0], np.int64)
        root.attrs.create("Type", b"ImageData", dtype=h5py.string_dtype("ascii", 9))
        root.attrs["WholeExtent"] = np.array([0, width, 0, height, 0, depth], np.int32)
        root.attrs["Origin"] = np.zeros(3)
        root.attrs["Spacing"] = np.ones(3)
        root.attrs["Direction"] = np.eye(3).ravel()
        root.create_group("CellData").create_dataset(kind, data=stack)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (121, 50, 50), (7, 1, 1000)])
@pytest.mark.parametrize("kind", ["weight", "correlation"])
def test_a_tensor_file_is_byte_for_byte_that_of_hdf5(shape, kind):
    rng = np.random.default_rng(1)
    for _ in range(2):  # the second time with what was kept of the first
        stack = rng.normal(size=shape).astype(np.float32)
        data, offset = tensor_image(stack, kind)
        assert data == written_by_hdf5(stack, kind)
        values = np.frombuffer(data, np.float32, stack.size, offset).reshape(shape)
        np.testing.assert_array_equal(values, stack)


def test_parts_of_larger_arrays_are_written_in_their_order():
    whole = np.arange(2 * 6 * 8, dtype=np.float32).reshape(2, 6, 8)
    part = whole[:, ::2, ::-1]
    data, _ = tensor_image(part, "weight")
    assert data == written_by_hdf5(np.ascontiguousarray(part), "weight")


def test_compressed_files_hold_the_same_values():
    stack = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    data, offset = tensor_image(stack, "weight", compress=True)
    assert offset is None
    with h5py.File(io.BytesIO(data), "r") as file:
        np.testing.assert_array_equal(file["VTKHDF/CellData/weight"], stack)
