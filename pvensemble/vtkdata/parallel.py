"""The processes of one ParaView server, or of one script under ``mpirun``: messages among them.

VTK's own communication carries them, so that neither mpi4py nor anything else must be installed
where the server runs. A message is a head that JSON can hold, and arrays of numbers; nothing that
arrives is ever executed or unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from vtkmodules.vtkCommonCore import vtkUnsignedCharArray
from vtkmodules.vtkParallelCore import vtkMultiProcessController

from pvensemble.vtkdata.arrays import to_numpy, to_vtk

FIRST = 0
_TAG = 71_001
_CHUNK = 2**28
"""Bytes that are sent at once: MPI counts in 32 bits."""
_SMALL = 2**20
"""Arrays of so many bytes go along with the head: each piece makes processes wait."""
_LENGTH = 8
"""Bytes of the length of the head."""


class Message(NamedTuple):
    """What is sent.

    Attributes
    ----------
    head : dict
        Of what JSON can hold.
    arrays : sequence of numpy.ndarray
        Of numbers.
    """

    head: dict
    arrays: Sequence[np.ndarray] = ()


class Processes:
    """This process among all that work together.

    Attributes
    ----------
    rank : int
        Number of this process.
    size : int
        Number of processes, at least 2.
    """

    def __init__(self, controller: vtkMultiProcessController) -> None:
        self._controller = controller
        self.rank = controller.GetLocalProcessId()
        self.size = controller.GetNumberOfProcesses()

    def broadcast(self, message: Message | None = None) -> Message:
        """Send a message from the first process, which gives it, to all; return it."""
        if self.rank == FIRST:
            for part in _parts(message):
                self._controller.Broadcast(_as_vtk(part), FIRST)
            return message
        return _joined(self._receive_broadcast)

    def send(self, message: Message) -> None:
        """Send a message to the first process."""
        for part in _parts(message):
            self._controller.Send(_as_vtk(part), FIRST, _TAG)

    def receive(self, rank: int) -> Message:
        """Return the next message of a process."""
        return _joined(lambda: self._receive(rank))

    def _receive(self, rank: int) -> np.ndarray:
        array = vtkUnsignedCharArray()
        self._controller.Receive(array, rank, _TAG)
        return to_numpy(array)

    def _receive_broadcast(self) -> np.ndarray:
        array = vtkUnsignedCharArray()
        self._controller.Broadcast(array, FIRST)
        return to_numpy(array)


def processes() -> Processes | None:
    """Return this process among the others, None when it is alone."""
    controller = vtkMultiProcessController.GetGlobalController()
    if controller is None or controller.GetNumberOfProcesses() < 2:
        return None
    return Processes(controller)


def share(n: int, rank: int, size: int) -> slice:
    """Return which of n things a process takes: neighbours, the first processes one more."""
    return slice(*(-(-n * r // size) for r in (rank, rank + 1)))


# -- bytes of a message ----------------------------------------------------------------------------
def _parts(message: Message) -> Iterator[np.ndarray]:
    """Yield a message as pieces of bytes (n,) uint8, never an empty one: mostly one."""
    arrays = [np.ascontiguousarray(array) for array in message.arrays]
    of_arrays = [[array.dtype.str, array.shape] for array in arrays]
    is_small = sum(array.nbytes for array in arrays) <= _SMALL
    head = json.dumps([message.head, of_arrays, is_small]).encode()
    first = np.frombuffer(len(head).to_bytes(_LENGTH, "little") + head, np.uint8)
    flat = [array.reshape(-1).view(np.uint8) for array in arrays]
    if is_small:
        yield np.concatenate([first, *flat])
        return
    yield first
    for of_array in flat:
        for start in range(0, len(of_array), _CHUNK):
            yield of_array[start : start + _CHUNK]


def _joined(receive: Callable[[], np.ndarray]) -> Message:
    """Return the message whose pieces a function returns, one after the other."""
    first = receive()
    end = _LENGTH + int.from_bytes(bytes(first[:_LENGTH]), "little")
    head, of_arrays, is_small = json.loads(bytes(first[_LENGTH:end]).decode())
    arrays = []
    for dtype, shape in of_arrays:
        array = np.empty(shape, dtype)
        flat = array.reshape(-1).view(np.uint8)
        if is_small:
            flat[:] = first[end : end + len(flat)]
            end += len(flat)
        for start in range(0, 0 if is_small else len(flat), _CHUNK):
            flat[start : start + _CHUNK] = receive()
        arrays.append(array)
    return Message(head, arrays)


def _as_vtk(part: np.ndarray) -> vtkUnsignedCharArray:
    return to_vtk(part, "bytes", share=True)
