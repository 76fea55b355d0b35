"""Locks on files: who holds one is alive, because the system releases the locks of the dead."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pvensemble.errors import StoreError
from pvensemble.store.files import unwritable

LOOK_SECONDS = 0.025


def lock(descriptor: int, patience: float, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed, for this process alone unless ``shared``.

    Parameters
    ----------
    patience
        Seconds to wait for another process.

    Returns
    -------
    bool
        False on a file system without locks, as some network mounts: nobody can tell there.

    Raises
    ------
    BlockingIOError
        Another process holds the lock.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    give_up = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise
        except OSError:
            return False
        time.sleep(LOOK_SECONDS)


@contextmanager
def locked_file(path: Path, patience: float) -> Iterator[bool]:
    """Hold the lock of a file, which is created when missing; give what :func:`lock` returns.

    Raises
    ------
    StoreError
        Another process holds it for longer than ``patience`` seconds, or the system refuses.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise unwritable(path, error, what="a lock") from error
    try:
        try:
            held = lock(descriptor, patience)
        except BlockingIOError:
            raise StoreError(
                f"{path}: another process has held this lock for {patience:.0f} seconds; see "
                "whether it still works, or stop it"
            ) from None
        yield held
    finally:
        os.close(descriptor)
