"""CIFAR-10: the published python batches, and difference-coded npz files.

The python batches are pickles. A pickle can run any program when it is read, so only the few
constructors that a batch needs are let through.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pvensemble.errors import DataError
from pvensemble.train.datasets.raw import RawData, check_labels, find_file, read_bytes

FOLDERS = ("cifar-10", "cifar-10-batches-py", "")
BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
_LIMIT = 64 << 20
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


def read(roots: Sequence[Path]) -> RawData:
    """Read CIFAR-10 from the first of ``roots`` that has it in either format."""
    folders = [root / name if name else root for root in roots for name in FOLDERS]
    first = find_file(folders, ["train.npz", BATCHES[0]], "cifar10")
    folder = first.parent
    if first.suffix == ".npz":
        train = read_npz(first)
        test = read_npz(find_file([folder], ["test.npz"], "cifar10"))
    else:
        parts = [read_batch(find_file([folder], [name], "cifar10")) for name in BATCHES]
        train = tuple(np.concatenate(arrays) for arrays in zip(*parts))
        test = read_batch(find_file([folder], ["test_batch"], "cifar10"))
    return RawData("cifar10", *train, *test, n_classes=10, scale=1 / 255)


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 3, 32, 32) uint8 and labels (n,) of a difference-coded file.

    Notes
    -----
    Both directions were coded as differences to the neighbour, then red and blue as differences
    to green; all modulo 256.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            coded, labels = arrays["images_delta"], arrays["labels"]
    except KeyError as error:
        raise DataError(
            f"{path}: no array images_delta or labels; it is not this format"
        ) from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged npz file ({error}); copy or download it again") from error
    if coded.dtype != np.uint8 or coded.shape[1:] != (3, 32, 32) or coded.ndim != 4:
        raise DataError(
            f"{path}: got images_delta {coded.dtype} {coded.shape}, expected uint8 (n, 3, 32, 32)"
        )
    images = np.cumsum(coded, axis=2, dtype=np.uint8)
    np.cumsum(images, axis=3, dtype=np.uint8, out=images)
    images[:, 0] += images[:, 1]
    images[:, 2] += images[:, 1]
    return images, check_labels(labels, len(images), 10, str(path))


def read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 3, 32, 32) uint8 and labels (n,) of one published python batch."""
    batch = _unpickle(path)
    if not isinstance(batch, dict) or not {b"data", b"labels"} <= set(batch):
        raise DataError(f"{path}: no data and labels in it; it is not a CIFAR-10 batch")
    data = batch[b"data"]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3072,):
        shape = getattr(data, "shape", type(data).__name__)
        raise DataError(f"{path}: got data of shape {shape}, expected (n, 3072) bytes")
    try:
        labels = np.array(batch[b"labels"])
    except ValueError as error:
        raise DataError(f"{path}: labels are not a list of numbers") from error
    return data.reshape(-1, 3, 32, 32), check_labels(labels, len(data), 10, str(path))


class _BatchUnpickler(pickle.Unpickler):
    """Reads arrays, numbers, texts, lists and dictionaries, nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which a batch does not need"
            )
        return super().find_class(module, name)


def _unpickle(path: Path) -> Any:
    """Return the content of a pickle that holds plain data."""
    content = read_bytes(path, _LIMIT)
    try:
        return _BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
    except (
        pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, TypeError,
        AttributeError, ImportError, MemoryError, OverflowError,
    ) as error:  # fmt: skip
        raise DataError(f"{path}: refused: {error}; copy or download it again") from error
