"""Memory shared with worker processes: data sets once for all, and a page of control numbers.

Everything lives in unlinked files whose descriptors the workers inherit, so nothing is left behind
when all processes end, however they end.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from pvensemble.train.executors.events import Control

_ALIGN = 64


@dataclass(frozen=True)
class SharedData:
    """Where a data set lies in shared memory.

    Attributes
    ----------
    blocks
        Name of a split and of its array to (dtype, shape, offset).
    """

    fd: int
    n_bytes: int
    blocks: Mapping[tuple[str, str], tuple[str, tuple[int, ...], int]]
    n_classes: int
    name: str


def anonymous_file(n_bytes: int) -> int:
    """Return the inheritable descriptor of a new file without a name, in memory if possible."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("pvensemble")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, n_bytes)
    os.set_inheritable(fd, True)
    return fd


def share(data) -> SharedData:
    """Copy a data set to shared memory."""
    arrays = {
        (split, part): getattr(getattr(data, split), part).numpy()
        for split in ("train", "validation", "test")
        for part in ("images", "labels")
    }
    blocks, end = {}, 0
    for key, array in arrays.items():
        blocks[key] = (array.dtype.str, array.shape, end)
        end += -(-array.nbytes // _ALIGN) * _ALIGN
    fd = anonymous_file(max(end, 1))
    with mmap.mmap(fd, max(end, 1)) as memory:
        for key, array in arrays.items():
            place = np.frombuffer(memory, array.dtype, array.size, blocks[key][2])
            place[:] = array.ravel()
            del place
    return SharedData(fd, max(end, 1), blocks, data.n_classes, data.name)


def attach(shared: SharedData):
    """Return the data set as the trainer has it, without a copy; in a worker."""
    from pvensemble.train.data import DataSets, Split

    memory = mmap.mmap(shared.fd, shared.n_bytes, flags=mmap.MAP_PRIVATE)
    tensors = {}
    for key, (dtype, shape, offset) in shared.blocks.items():
        count = int(np.prod(shape))
        tensors[key] = torch.from_numpy(np.frombuffer(memory, dtype, count, offset).reshape(shape))
    splits = {s: Split(tensors[s, "images"], tensors[s, "labels"]) for s, _ in shared.blocks}
    return DataSets(**splits, n_classes=shared.n_classes, name=shared.name)


class ControlPage:
    """``stop``, ``save`` and one ``done`` a worker, in shared memory; one writer for each."""

    def __init__(self, n_workers: int, fd: int | None = None) -> None:
        n_bytes = 8 * (2 + n_workers)
        self.fd = anonymous_file(n_bytes) if fd is None else fd
        self._memory = mmap.mmap(self.fd, n_bytes)
        self.numbers = np.frombuffer(self._memory, np.int64)

    def publish(self, control: Control) -> None:
        """In the trainer: pass its wishes on, and sum up what the workers have done."""
        self.numbers[0] = control.stop
        self.numbers[1] = control.save
        control.done = int(self.numbers[2:].sum())


class WorkerControl(Control):
    """The control of one worker, read from and written to the shared page."""

    def __init__(self, page: ControlPage, worker: int) -> None:
        super().__init__()
        self._numbers, self._place = page.numbers, 2 + worker
        self.tick()

    def tick(self) -> None:
        """Read the trainer's wishes and publish the progress."""
        self.stop = bool(self._numbers[0])
        self.save = int(self._numbers[1])
        self._numbers[self._place] = self.done
