"""Files that the index vouches for: size and hash are compared before anything looks inside."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from pvensemble.errors import CorruptFileError
from pvensemble.store.files import digest, unreadable
from pvensemble.store.group_index import FileEntry

_verified: dict[str, tuple] = {}
"""Path to (inode, size, time of change, hash) of files compared once in this process."""


def read_verified(path: Path, entry: FileEntry, *, always: bool = False) -> memoryview:
    """Return a file's bytes, writable and aligned for numbers at multiples of 8.

    Parameters
    ----------
    always
        Compare the hash even when this process did so before and the file has not changed since.

    Raises
    ------
    CorruptFileError
        It is missing, or its size or hash is not what the index says.
    """
    name = os.fspath(path)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(path, error, what="a recorded file") from error
    try:
        status = os.fstat(descriptor)
        if status.st_size != entry.size:
            raise CorruptFileError(
                f"{path}: has {status.st_size} bytes, but the index says {entry.size}; it was "
                "truncated or replaced: copy it again from where it came from"
            )
        buffer = memoryview(np.empty(entry.size, np.uint8))
        filled = 0
        while filled < entry.size:
            count = os.readv(descriptor, [buffer[filled:]])
            if count == 0:
                raise CorruptFileError(f"{path}: ends early, at byte {filled} of {entry.size}")
            filled += count
    except OSError as error:
        if isinstance(error, CorruptFileError):
            raise
        raise unreadable(path, error, what="a recorded file") from error
    finally:
        os.close(descriptor)
    mark = (status.st_ino, status.st_size, status.st_mtime_ns, entry.sha256)
    if always or _verified.get(name) != mark:
        found = digest(buffer)
        if found != entry.sha256:
            raise CorruptFileError(
                f"{path}: its content is damaged (SHA-256 is {found[:12]}…, the index says "
                f"{entry.sha256[:12]}…); copy it again from where it came from"
            )
        _verified[name] = mark
    return buffer
