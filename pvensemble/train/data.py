"""Data sets in memory: reading, splitting and preparing them once for all runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from pvensemble.errors import DataError
from pvensemble.train.config import DataConfig
from pvensemble.train.data_order import batch_indices
from pvensemble.train.datasets import arrays, cifar, idx
from pvensemble.train.datasets.raw import RawData

__all__ = ["DataSets", "Split", "batch_indices", "load_data"]

DIRECTORY_VARIABLE = "PVENSEMBLE_DATA"
DEFAULT_VALIDATION = 1000
DIGITS_HELD_OUT = 300
"""Validation images, and test images, of digits when the configuration does not say."""


@dataclass(frozen=True)
class Split:
    """Images ``(n, channels, height, width)`` float32, C-contiguous; labels ``(n,)`` int64."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class DataSets:
    """The three disjoint splits of one data set.

    The training split is in published order (or in that of ``split_seed``); every run takes its
    batches from it with :func:`batch_indices`.
    """

    train: Split
    validation: Split
    test: Split
    n_classes: int
    name: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return tuple(self.train.images.shape[1:])

    def probe(self, n: int = 256) -> torch.Tensor:
        """Return the probe batch, the first ``n`` validation images, (n, channels, height, width).

        Raises
        ------
        DataError
            When the validation split has fewer.
        """
        if n > len(self.validation):
            raise DataError(
                f"record.probe: got {n}, allowed: at most the {len(self.validation)} images of "
                f"the validation split of {self.name}"
            )
        return self.validation.images[:n]


def load_data(data: DataConfig, data_dir: Path | str | None = None) -> DataSets:
    """Read, split and prepare a data set.

    Parameters
    ----------
    data
        What and how.
    data_dir
        The directory given on the command line; before ``data.dir`` and the variable
        ``PVENSEMBLE_DATA``. The data set's usual sub-directories of these are tried as well.

    Raises
    ------
    DataError
        For missing, truncated or corrupt files, and for split sizes that the set does not have.
    """
    raw = _read(data, list(_roots(data, data_dir)))
    train, validation, test = _split(raw, data)
    mean = _mean(train[0], data.subtract)
    scale = raw.scale if data.scale is None else data.scale
    splits = [_prepare(*part, mean, scale, data.size) for part in (train, validation, test)]
    return DataSets(*splits, n_classes=raw.n_classes, name=raw.name)


def _roots(data: DataConfig, data_dir: Path | str | None) -> Iterator[Path]:
    """Yield the directories to look in, in order."""
    for given in (data_dir, data.dir, os.environ.get(DIRECTORY_VARIABLE)):
        if given:
            yield Path(given).expanduser()


def _read(data: DataConfig, roots: list[Path]) -> RawData:
    """Read the data set's files."""
    for root in roots:
        if not root.is_dir() and data.source != "digits":
            raise DataError(f"{root}: no such directory (--data, data.dir or {DIRECTORY_VARIABLE})")
    if data.source == "digits":
        return arrays.read_digits()
    if data.source in idx.FOLDERS:
        return idx.read(data.source, roots)
    if data.source == "cifar10":
        return cifar.read(roots)
    if data.source == "torchvision":
        return arrays.read_torchvision(data.dataset, roots)
    names = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    return arrays.read_npy(names, [*roots, Path()])


def _split(raw: RawData, data: DataConfig) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (images, labels) of training, validation and test, disjoint."""
    pool = _Pool(raw.name, raw.train_images, raw.train_labels, data.split_seed)
    n_validation = data.validation
    if n_validation is None:
        n_validation = DIGITS_HELD_OUT if raw.name == "digits" else DEFAULT_VALIDATION
    if raw.test_images is not None:
        held_out = _Pool(f"{raw.name} test", raw.test_images, raw.test_labels, data.split_seed)
        source = held_out if data.validation_from == "test" else pool
        validation = source.take_last("validation", n_validation)
        test = held_out.take_first("test", data.test)
    else:
        n_test = data.test or (DIGITS_HELD_OUT if raw.name == "digits" else n_validation)
        test = pool.take_last("test", n_test)
        validation = pool.take_last("validation", n_validation)
    return [pool.take_first("train", data.train), validation, test]


class _Pool:
    """Images still to be given to a split."""

    def __init__(self, name: str, images: np.ndarray, labels: np.ndarray, seed: int | None) -> None:
        self.name, self.images, self.labels = name, images, labels
        self.order = np.arange(len(labels))
        if seed is not None:
            self.order = np.random.Generator(np.random.Philox(seed)).permutation(len(labels))

    def take_last(self, split: str, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Take the last ``n`` images."""
        self._check(split, n)
        taken, self.order = self.order[len(self.order) - n :], self.order[: len(self.order) - n]
        return self.images[taken], self.labels[taken]

    def take_first(self, split: str, n: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Take the first ``n`` images, or all that are left."""
        n = len(self.order) if n is None else n
        self._check(split, n)
        taken, self.order = self.order[:n], self.order[n:]
        if n == len(self.labels) and np.array_equal(taken, np.arange(n)):
            return self.images, self.labels
        return self.images[taken], self.labels[taken]

    def _check(self, split: str, n: int) -> None:
        if not 1 <= n <= len(self.order):
            raise DataError(
                f"data.{split}: got {n}, allowed: 1 to {len(self.order)}, the images of "
                f"{self.name} that no other split has"
            )


def _mean(images: np.ndarray, subtract: str) -> np.ndarray | None:
    """Return the mean that is taken from every image, or None."""
    if subtract == "none":
        return None
    axes = 0 if subtract == "mean_image" else (0, 2, 3)
    return images.mean(axis=axes, dtype=np.float64, keepdims=True).astype(np.float32)


def _prepare(
    images: np.ndarray, labels: np.ndarray, mean: np.ndarray | None, scale: float, size: int | None
) -> Split:
    """Return float32 images, scaled and resized, and labels as tensors."""
    prepared = images.astype(np.float32)
    if mean is not None:
        prepared -= mean
    prepared *= np.float32(scale)
    tensor = torch.from_numpy(prepared)
    if size is not None and tensor.shape[2:] != (size, size):
        tensor = functional.interpolate(
            tensor, size=(size, size), mode="bilinear", align_corners=False
        )
    return Split(tensor.contiguous(), torch.from_numpy(labels.astype(np.int64)))
