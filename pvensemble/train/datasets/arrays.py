"""Data sets that need no format of their own: scikit-learn's digits, .npy arrays, torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pvensemble.errors import DataError, did_you_mean
from pvensemble.train.datasets.raw import RawData, check_labels, find_file


def read_digits() -> RawData:
    """Return the 1,797 digits of 8 x 8 pixels, 0 to 16, that scikit-learn embeds."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.float32)[:, None]
    return RawData("digits", images, bunch.target.astype(np.int64), None, None, 10, 1 / 16)


def read_npy(names: Sequence[str | None], roots: Sequence[Path]) -> RawData:
    """Read arrays of the user's own.

    Parameters
    ----------
    names
        Files of training images, training labels, test images and test labels; the last two may
        be None. Images are (n, height, width), (n, channels, height, width) or (n, features).
    roots
        Directories that relative names are looked for in.
    """
    images_path, labels_path = (find_file(roots, [str(n)], "npy") for n in names[:2])
    train_images = _images(images_path)
    train_labels = check_labels(_load(labels_path), len(train_images), None, str(labels_path))
    n_classes = int(train_labels.max()) + 1
    test_images = test_labels = None
    if names[2]:
        images_path, labels_path = (find_file(roots, [str(n)], "npy") for n in names[2:])
        test_images = _images(images_path)
        test_labels = _load(labels_path)
        test_labels = check_labels(test_labels, len(test_images), n_classes, str(labels_path))
        if test_images.shape[1:] != train_images.shape[1:]:
            got, expected = test_images.shape[1:], train_images.shape[1:]
            raise DataError(
                f"{images_path}: got images of {got}, expected {expected} as in training"
            )
    scale = 1 / 255 if train_images.dtype == np.uint8 else 1.0
    return RawData("npy", train_images, train_labels, test_images, test_labels, n_classes, scale)


def _load(path: Path) -> np.ndarray:
    """Return the array of a .npy file; never a pickle."""
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable .npy array: {error}") from error


def _images(path: Path) -> np.ndarray:
    """Return images (n, channels, height, width), uint8 or float32, all finite."""
    array = _load(path)
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError(f"{path}: got an .npz archive, expected one .npy array")
    shapes = {2: (-1, 1, 1), 3: (1,), 4: ()}
    if array.ndim not in shapes or 0 in array.shape:
        raise DataError(
            f"{path}: got shape {array.shape}, expected (n, features), (n, height, width) or "
            "(n, channels, height, width)"
        )
    if array.dtype.kind not in "uifb":
        raise DataError(f"{path}: got {array.dtype} values, expected numbers")
    if array.ndim == 4 and _channels_last(array.shape):
        raise DataError(
            f"{path}: got shape {array.shape}, which looks like (n, height, width, channels), "
            "expected (n, channels, height, width): save np.moveaxis(images, 3, 1)"
        )
    if array.ndim == 2:
        array = array[:, :, None, None]
    elif array.ndim == 3:
        array = array[:, None]
    if array.dtype != np.uint8:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise DataError(f"{path}: got NaN or infinite values, expected finite ones")
    return array


def _channels_last(shape: tuple) -> bool:
    """Whether images of this shape are square with one, three or four channels at the end."""
    return shape[3] in (1, 3, 4) and shape[1] == shape[2] > 4


def read_torchvision(name: str, roots: Sequence[Path]) -> RawData:
    """Read a data set through torchvision, downloading it where the net allows that.

    Raises
    ------
    DataError
        When torchvision is not installed, has no such data set, or cannot get it.
    """
    try:
        from torchvision import datasets
    except ImportError as error:
        raise DataError(
            f"data.source 'torchvision' ({name}) needs torchvision: pip install torchvision"
        ) from error
    known = [n for n in datasets.__all__ if n[0].isupper()]
    if name not in known:
        raise DataError(f"data.dataset: torchvision has no {name!r}{did_you_mean(name, known)}")
    if not roots:
        raise DataError(
            "data.source 'torchvision' needs a directory: --data DIR, data.dir or PVENSEMBLE_DATA"
        )
    parts = []
    for train in (True, False):
        split = {"train": train} if name not in ("SVHN", "STL10") else {
            "split": "train" if train else "test"
        }  # fmt: skip
        try:
            dataset = getattr(datasets, name)(str(roots[0]), download=True, **split)
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            raise DataError(f"torchvision {name} in {roots[0]}: {error}") from error
        parts += _torchvision_arrays(dataset, name)
    n_classes = int(parts[1].max()) + 1
    parts[3] = check_labels(parts[3], len(parts[2]), n_classes, f"torchvision {name}")
    return RawData(name, *parts, n_classes=n_classes, scale=1 / 255)


def _torchvision_arrays(dataset: object, name: str) -> list[np.ndarray]:
    """Return images (n, c, h, w) uint8 and labels (n,) of a torchvision data set."""
    images = getattr(dataset, "data", None)
    labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
    if images is None or labels is None:
        raise DataError(f"torchvision {name}: does not keep its images in memory; save .npy arrays")
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] == 3:
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return [images, check_labels(np.asarray(labels), len(images), None, f"torchvision {name}")]
