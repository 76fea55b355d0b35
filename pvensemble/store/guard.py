"""What we accept inside an HDF5 file: plain arrays of numbers, stored in that file, of sane size.

HDF5 follows links into other files, reads raw data from any path that a file names, and allocates
what a header of four kilobytes asks for. The hash from the index says that a file is the one that
was written; this says that it cannot reach outside of itself, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py

from pvensemble.errors import CorruptFileError

MAX_RATIO = 1100
"""Bytes in memory for one in the file: what a single deflate filter can reach."""
FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)


def _refuse(path: Path, name: str, reason: str) -> CorruptFileError:
    return CorruptFileError(
        f"{path}: '{name}' {reason}; such files are never read, get the ensemble from a source "
        "that you trust"
    )


def check_file(file: h5py.File, path: Path, size: int) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield the name and data set of each array, or refuse the file.

    Parameters
    ----------
    file
        Open from memory.
    path
        For messages.
    size
        Bytes of the file.

    Raises
    ------
    CorruptFileError
        A link that is not hard, external or virtual storage, a type that is no plain number, an
        unknown filter, or more bytes than the file can hold.
    """
    yield from _walk(file, "", path, size, depth=0)


def _walk(
    group: h5py.Group, prefix: str, path: Path, size: int, depth: int
) -> Iterator[tuple[str, h5py.Dataset]]:
    if depth > 8:
        raise _refuse(path, prefix, "is nested too deeply")
    for key in group:
        name = f"{prefix}{key}"
        if group.id.links.get_info(key.encode()).type != h5py.h5l.TYPE_HARD:
            raise _refuse(path, name, "is a link")
        item = group[key]
        if isinstance(item, h5py.Group):
            yield from _walk(item, name + "/", path, size, depth + 1)
        elif isinstance(item, h5py.Dataset):
            _check_dataset(item, name, path, size)
            yield name, item
        else:
            raise _refuse(path, name, "is neither a group nor an array")


def _check_dataset(dataset: h5py.Dataset, name: str, path: Path, size: int) -> None:
    creation = dataset.id.get_create_plist()
    if creation.get_external_count():
        raise _refuse(path, name, "keeps its values in another file")
    if creation.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED, h5py.h5d.COMPACT):
        raise _refuse(path, name, "is a virtual data set")
    if dataset.dtype.kind not in "fiub":
        raise _refuse(path, name, f"has the type {dataset.dtype}, not a plain number")
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
    if len(set(filters)) != len(filters) or not set(filters) <= set(FILTERS):
        raise _refuse(path, name, "uses filters that we never write")
    if dataset.size * dataset.dtype.itemsize > MAX_RATIO * size:
        raise _refuse(path, name, f"claims the shape {dataset.shape}, more than the file can hold")
