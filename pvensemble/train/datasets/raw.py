"""A data set as its files hold it, and the checks that all readers share."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvensemble.errors import DataError

MAX_CLASSES = 65_536
"""Classes of a data set at most: the last layer of a network has a unit for each."""


@dataclass(frozen=True)
class RawData:
    """Images and labels before any preparation.

    Attributes
    ----------
    train_images, test_images
        ``(n, channels, height, width)``, uint8 or float32; ``test_images`` is None for a set
        without a published test set.
    train_labels, test_labels
        ``(n,)`` int64, 0 … n_classes - 1.
    scale
        What pixels are multiplied by when the configuration does not say.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray | None
    test_labels: np.ndarray | None
    n_classes: int
    scale: float


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of a file, unpacked if it is gzip, of at most ``limit`` bytes.

    Raises
    ------
    DataError
        For a file that cannot be read, is truncated, damaged, or unpacks to more than ``limit``.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            content = file.read(limit + 1)
    except EOFError as error:
        raise DataError(f"{path}: truncated gzip file; copy or download it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}: damaged gzip file ({error}); copy or download it again"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > limit:
        raise DataError(f"{path}: more than the {limit} bytes it may have; it is not this data set")
    return content


def find_file(folders: Sequence[Path], names: Sequence[str], what: str) -> Path:
    """Return the first of ``names`` that exists in the first folder that has one.

    Raises
    ------
    DataError
        When none does; the message lists where it looked.
    """
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    looked = ", ".join(str(f) for f in folders) or "nowhere: no directory was given"
    raise DataError(
        f"{what}: no file {' or '.join(names)} (looked in {looked}); "
        "give the directory with --data DIR, data.dir or the variable PVENSEMBLE_DATA"
    )


def check_labels(
    labels: np.ndarray, n_images: int, n_classes: int | None, where: str
) -> np.ndarray:
    """Return labels as int64 after checking their number and range."""
    if labels.ndim != 1 or len(labels) != n_images:
        raise DataError(
            f"{where}: got labels of shape {labels.shape}, expected one for each of "
            f"the {n_images} images"
        )
    if labels.dtype.kind not in "iu":
        raise DataError(f"{where}: got labels of type {labels.dtype}, expected whole numbers")
    labels = labels.astype(np.int64)
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
    n_classes = n_classes or MAX_CLASSES
    if low < 0 or high >= n_classes:
        bad = low if low < 0 else high
        raise DataError(f"{where}: got label {bad}, expected 0 to {n_classes - 1}")
    return labels
