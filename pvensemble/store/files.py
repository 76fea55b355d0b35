"""Durable files: written beside, synced, renamed, the directory synced; never written again.

A reader may look at any moment and a writer may be killed at any instruction: a name either does
not exist or holds the complete content. HDF5 is never given a path to write to, because it dies by
a signal when the disk is full and leaves half-written metadata when killed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
from pathlib import Path

from pvensemble.errors import CorruptFileError, StoreError

VISIBLE_SECONDS = 120.0
"""After so long a shared file system shows what another node wrote (NFS caches for a minute)."""
TEMPORARY_PREFIX = "."
TEMPORARY_SUFFIX = ".tmp"
FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers that mean "no room": they pass when somebody makes room."""


def digest(data: bytes | memoryview) -> str:
    """SHA-256 of ``data`` in hexadecimal, as ``sha256sum`` prints it."""
    return hashlib.sha256(data).hexdigest()


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte of ``data``, going on after short writes.

    Raises
    ------
    OSError
        From the system, for example when the disk is full.
    """
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(path: Path) -> Path:
    writer = f"{platform.node()}.{os.getpid()}"  # processes of several machines may write here
    return path.with_name(f"{TEMPORARY_PREFIX}{path.name}.{writer}{TEMPORARY_SUFFIX}")


def is_temporary(name: str) -> bool:
    """Whether a file name is that of an unfinished write."""
    return name.startswith(TEMPORARY_PREFIX) and name.endswith(TEMPORARY_SUFFIX)


def _write_temporary(path: Path, data: bytes | memoryview, sync: bool) -> Path:
    temporary = _temporary(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        write_all(descriptor, data)
        if sync:
            os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    finally:
        os.close(descriptor)
    return temporary


def write_file(path: Path, data: bytes | memoryview, *, sync: bool = True) -> None:
    """Create or replace a file in one step.

    Parameters
    ----------
    sync
        Make content and name durable before returning. Files that can be derived from the index
        again do without.

    Raises
    ------
    OSError
        From the system; the file's old content is untouched.
    """
    temporary = _write_temporary(path, data, sync)
    try:
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if sync:
        sync_directory(path.parent)


def create_file(path: Path, data: bytes) -> bool:
    """Create a file in one step unless its name is taken.

    Returns
    -------
    bool
        False when another process was first; its file is untouched.
    """
    temporary = _write_temporary(path, data, True)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        if path.exists():  # a file system without hard links: two at once could both win
            return False
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    sync_directory(path.parent)
    return True


def read_file(path: Path, *, what: str) -> bytes:
    """Read a whole file, or say which one cannot be read and why.

    Raises
    ------
    StoreError
        The system refuses.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, what=what) from error


def unreadable(path: Path, error: OSError, *, what: str) -> StoreError:
    """Return the error for a file that the system does not let us read."""
    if isinstance(error, FileNotFoundError):
        return CorruptFileError(
            f"{path}: {what} is missing; copy it back from where the ensemble came from, or run "
            "`pvensemble check` to see all that is missing"
        )
    return StoreError(
        f"{path}: {what} cannot be read: {error.strerror or error}; check the permissions and the "
        "disk"
    )


def unwritable(path: Path, error: OSError, *, what: str) -> StoreError:
    """Return the error for a file that the system does not let us write."""
    advice = (
        "make room on that disk and try again"
        if error.errno in FULL_ERRORS
        else "check the permissions and the disk"
    )
    return StoreError(f"{path}: {what} cannot be written: {error.strerror or error}; {advice}")
