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
    """``stop`` and ``save``, and of each worker ``done`` and the run it is at, in shared memory.

    Every number has one writer. The run is a group and a position, -1 for none or all of them.
    """

    def __init__(self, n_workers: int, fd: int | None = None) -> None:
        n_numbers = 2 + 3 * n_workers
        self.fd = anonymous_file(8 * n_numbers) if fd is None else fd
        self._memory = mmap.mmap(self.fd, 8 * n_numbers)
        self.numbers = np.frombuffer(self._memory, np.int64)
        self.workers = self.numbers[2:].reshape(n_workers, 3)
        """(n_workers, 3): done, group, position."""

    def reset(self, worker: int, done: int) -> None:
        """In the trainer: prepare the place of a worker that does not run yet."""
        self.workers[worker] = done, -1, -1

    def publish(self, control: Control) -> None:
        """In the trainer: pass its wishes on, and sum up what the workers have done."""
        self.numbers[0] = control.stop
        self.numbers[1] = control.save
        control.done = int(self.workers[:, 0].sum())


class WorkerControl(Control):
    """The control of one worker, read from and written to the shared page."""

    def __init__(self, page: ControlPage, worker: int) -> None:
        super().__init__()
        self._numbers, self._own = page.numbers, page.workers[worker]
        self.renew()

    def renew(self) -> None:
        """Begin to count where the trainer says."""
        self.done = int(self._own[0])
        self.tick()

    def tick(self) -> None:
        """Read the trainer's wishes and publish the progress."""
        self.stop = bool(self._numbers[0])
        self.save = int(self._numbers[1])
        self._own[0] = self.done

    def begin(self, group: int, position: int) -> None:
        """Publish which run is worked on, in case it is the last that this process does."""
        self._own[1:] = group, position
