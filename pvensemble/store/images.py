"""Arrays as HDF5 files in memory, and back.

HDF5 never touches the disk: a file is built in memory, and read from bytes whose hash was compared
with the index before. Where an array is stored as one plain block its offset is known, so a reader
takes it straight from the bytes without HDF5.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from pvensemble.errors import CorruptFileError
from pvensemble.store.guard import check_file

COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
"""The only filters that every ParaView reads."""


def tensor_image(
    stack: np.ndarray, kind: str, *, compress: bool = False
) -> tuple[bytes, int | None]:
    """Return a VTKHDF 1.0 ImageData file with one cell array, and where its values begin.

    Parameters
    ----------
    stack
        (n_runs, y, x) float32: the run is the z axis.
    kind
        Name of the cell array.
    compress
        Worth it for rounded values only; there is no offset then.

    Returns
    -------
    data : bytes
    offset : int or None

    References
    ----------
    https://docs.vtk.org/en/latest/vtk_file_formats/vtkhdf_file_format (ImageData, version 1.0).
    """
    if compress:
        return _tensor_image(stack, kind, compress=True)
    head, tail = _frame(stack.shape, kind)
    return b"".join((head, np.ascontiguousarray(stack, np.float32).data, tail)), len(head)


@lru_cache(maxsize=256)
def _frame(shape: tuple[int, int, int], kind: str) -> tuple[bytes, bytes]:
    """Return what stands before and behind the values in the file of an uncompressed tensor.

    Nothing there depends on the values, so that HDF5 need not be asked at every step.
    """
    data, offset = _tensor_image(np.zeros(shape, np.float32), kind)
    return data[:offset], data[offset + 4 * math.prod(shape) :]


def _tensor_image(
    stack: np.ndarray, kind: str, *, compress: bool = False
) -> tuple[bytes, int | None]:
    """Let HDF5 make what `tensor_image` returns."""
    depth, height, width = stack.shape
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:  # default libver: "latest" is unreadable for ParaView
        root = file.create_group("VTKHDF")
        root.attrs["Version"] = np.array([1, 0], np.int64)
        root.attrs.create("Type", b"ImageData", dtype=h5py.string_dtype("ascii", len("ImageData")))
        root.attrs["WholeExtent"] = np.array([0, width, 0, height, 0, depth], np.int32)
        root.attrs["Origin"] = np.zeros(3)
        root.attrs["Spacing"] = np.ones(3)
        root.attrs["Direction"] = np.eye(3).ravel()
        options = {"chunks": (1, height, width), **COMPRESSION} if compress else {}
        dataset = root.create_group("CellData").create_dataset(kind, data=stack, **options)
        file.flush()
        offset = None if compress else dataset.id.get_offset()
    return buffer.getvalue(), offset


def arrays_image(arrays: Mapping[str, np.ndarray]) -> tuple[bytes, dict]:
    """Return an HDF5 file of plain arrays and a table of where they are.

    Returns
    -------
    data : bytes
    table : dict
        Name to ``[dtype, shape, offset]``, as `block` takes it.
    """
    buffer = io.BytesIO()
    table = {}
    with h5py.File(buffer, "w") as file:
        datasets = {name: file.create_dataset(name, data=array) for name, array in arrays.items()}
        file.flush()
        for name, dataset in datasets.items():
            offset = dataset.id.get_offset()
            if offset is not None:  # arrays without elements have no place
                table[name] = [dataset.dtype.str, list(dataset.shape), offset]
    return buffer.getvalue(), table


def block(data: memoryview, dtype: str, shape: list, offset: int, *, path: Path) -> np.ndarray:
    """Return the array that lies at ``offset`` in the bytes of a file, without a copy.

    Raises
    ------
    CorruptFileError
        It would reach beyond the file, or is not an array of numbers.
    """
    kind = np.dtype(dtype)
    count = int(np.prod(shape, dtype=object)) if all(n >= 0 for n in shape) else -1
    if kind.kind not in "fiub" or count < 0 or not 0 <= offset <= len(data) - count * kind.itemsize:
        raise CorruptFileError(
            f"{path}: the index says that {shape} values of {dtype} begin at byte {offset}, but "
            f"the file has {len(data)} bytes; copy the ensemble again from where it came from"
        )
    return np.frombuffer(data, kind, count, offset).reshape(shape)


def read_arrays(data: bytes, *, path: Path) -> dict[str, np.ndarray]:
    """Return all arrays of an HDF5 file given as bytes, by path inside the file.

    Raises
    ------
    CorruptFileError
        The bytes are no HDF5 file, or one that reaches outside of itself.
    """
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return {name: dataset[()] for name, dataset in check_file(file, path, len(data))}
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        if isinstance(error, CorruptFileError):
            raise
        raise CorruptFileError(
            f"{path}: HDF5 cannot read it ({error}); copy it again from where it came from"
        ) from error
