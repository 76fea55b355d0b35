"""Messages between the training and the process that draws: JSON, and arrays as their bytes.

Nothing that arrives is ever unpickled, so the two may have different releases of numpy.
"""

from __future__ import annotations

import json
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

_ARRAY = "array:"


def send(connection: Connection, message: dict) -> None:
    """Send a message: of what JSON can hold, paths, and arrays of numbers anywhere in it."""
    arrays: list[np.ndarray] = []

    def place(value: object) -> object:
        if isinstance(value, Path):
            return str(value)
        if not isinstance(value, np.ndarray):
            raise TypeError(f"a message cannot hold {type(value).__name__}")
        arrays.append(np.ascontiguousarray(value))
        return {_ARRAY: [len(arrays) - 1, value.dtype.str, value.shape]}

    head = json.dumps(message, default=place)
    connection.send_bytes(json.dumps([len(arrays), head]).encode())
    for array in arrays:
        connection.send_bytes(array.reshape(-1).view(np.uint8))


def receive(connection: Connection) -> dict:
    """Return the next message.

    Raises
    ------
    EOFError
        The other side has closed the connection.
    """
    n_arrays, head = json.loads(connection.recv_bytes())
    buffers = [connection.recv_bytes() for _ in range(n_arrays)]

    def found(value: dict) -> object:
        if _ARRAY not in value:
            return value
        number, dtype, shape = value[_ARRAY]
        return np.frombuffer(buffers[number], np.dtype(dtype)).reshape(shape)

    return json.loads(head, object_hook=found)
