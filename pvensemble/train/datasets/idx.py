"""MNIST and Fashion-MNIST in the idx format.

Big-endian int32 magic (2051 images, 2049 labels), int32 count, for images int32 rows and columns,
then bytes in row-major order. http://yann.lecun.com/exdb/mnist/ ("FILE FORMATS")
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pvensemble.errors import DataError
from pvensemble.train.datasets.raw import RawData, check_labels, find_file, read_bytes

FOLDERS = {"mnist": ("", "MNIST/raw"), "fashion-mnist": ("", "FashionMNIST/raw")}
_LIMIT = 256 << 20
_WHAT = {2051: "images", 2049: "labels"}


def read(source: str, roots: Sequence[Path]) -> RawData:
    """Read MNIST or Fashion-MNIST from the first of ``roots`` that has it."""
    # A folder of its own name wins over files that lie directly in a root: those may be either.
    names = sorted(FOLDERS[source], key=len, reverse=True)
    folders = [root / name if name else root for root in roots for name in names]
    # Both halves come from one folder: two sets are never mixed.
    folder = find_file(folders, _names("train", "images-idx3"), source).parent
    train_images, train_labels = _split(source, "train", folder)
    test_images, test_labels = _split(source, "t10k", folder)
    if train_images.shape[1:] != test_images.shape[1:]:
        shapes = f"{train_images.shape[2:]} and {test_images.shape[2:]}"
        raise DataError(f"{source}: training and test images differ in size: {shapes}")
    return RawData(
        source, train_images, train_labels, test_images, test_labels, n_classes=10, scale=1 / 255
    )


def _split(source: str, prefix: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 1, rows, columns) and labels (n,) of one half of the set."""
    images_path = find_file([folder], _names(prefix, "images-idx3"), source)
    labels_path = find_file([folder], _names(prefix, "labels-idx1"), source)
    images = read_idx(images_path, 2051)
    labels = read_idx(labels_path, 2049)
    return images[:, None], check_labels(labels, len(images), 10, str(labels_path))


def _names(prefix: str, stem: str) -> list[str]:
    """Return the names under which a file is published and unpacked."""
    dotted = stem.replace("-idx", ".idx")
    plain = [f"{prefix}-{stem}-ubyte", f"{prefix}-{dotted}-ubyte"]
    return [*plain, *(f"{name}.gz" for name in plain)]


def read_idx(path: Path, magic: int) -> np.ndarray:
    """Return the array of one idx file, (n,) labels or (n, rows, columns) images, uint8.

    Raises
    ------
    DataError
        When the magic number, the size or the count is not what the format says.
    """
    content = read_bytes(path, _LIMIT)
    n_dims = magic & 0xFF
    start = 4 + 4 * n_dims
    if len(content) < start:
        raise DataError(
            f"{path}: {len(content)} bytes, less than an idx header; copy or download it again"
        )
    got, *shape = struct.unpack(f">{1 + n_dims}i", content[:start])
    if got != magic:
        hint = f" (these are {_WHAT[got]})" if got in _WHAT else ""
        raise DataError(f"{path}: got magic {got}{hint}, expected {magic} ({_WHAT[magic]})")
    expected = int(np.prod(shape, dtype=np.int64))
    if min(shape) < 1 or len(content) - start != expected:
        raise DataError(
            f"{path}: {len(content) - start} bytes of data, expected {expected} for the shape "
            f"{tuple(shape)} in its header; it is truncated or corrupt: copy or download it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
