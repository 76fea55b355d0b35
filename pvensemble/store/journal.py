"""The index of a group: an append-only file that is the truth about everything beside it.

One line is one record: the CRC-32 of the rest, a space, the sequence number, a space, JSON. A
record counts when its line is complete, its CRC is right, its number is the next one, and all
records before it count. So whatever a crash, a bad disk or a copy does to the file, reading gives a
prefix of what was written, and never something else.
"""

from __future__ import annotations

import contextlib
import json
import os
import weakref
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from pvensemble.errors import GroupBusyError, StoreError
from pvensemble.store.files import sync_directory, unwritable, write_all
from pvensemble.store.locks import lock

PATIENCE = 0.5
"""Seconds to wait for a lock: a killed process, or a child before its exec, keeps it a moment."""


def encode(sequence: int, record: dict) -> bytes:
    """Return the line of a record.

    Raises
    ------
    ValueError
        The record holds NaN or infinity, or something that JSON does not know.
    """
    body = json.dumps(record, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    text = f"{sequence} {body}".encode("ascii")
    return b"%08x %b\n" % (zlib.crc32(text), text)


def decode(line: bytes) -> tuple[int, dict] | None:
    """Return sequence number and record of a line without its newline, None when it is damaged."""
    if len(line) < 12 or line[8:9] != b" ":
        return None
    text = line[9:]
    try:
        if line[:8] != b"%08x" % zlib.crc32(text):
            return None
        number, _, body = text.partition(b" ")
        record = json.loads(body)
        sequence = int(number)
    except (ValueError, RecursionError):
        return None
    return (sequence, record) if isinstance(record, dict) and number.isdigit() else None


@dataclass
class Prefix:
    """The good beginning of an index."""

    records: list = field(default_factory=list)
    """The records, in order; record ``i`` has sequence number ``first + i``."""
    end: int = 0
    """Bytes of the data that the records take."""
    damaged_lines: int = 0
    """Complete lines after the good beginning. 0 in a healthy index and after a crash."""
    torn: bool = False
    """Whether the data ends in an incomplete line: its writer is at work, or was killed."""


def parse(data: bytes, *, first: int = 0) -> Prefix:
    """Return the good beginning of ``data``.

    Parameters
    ----------
    first
        Sequence number that the first record must have.
    """
    prefix = Prefix()
    position = 0
    while True:
        newline = data.find(b"\n", position)
        if newline < 0:
            prefix.torn = position < len(data)
            return prefix
        decoded = decode(data[position:newline])
        if decoded is None or decoded[0] != first + len(prefix.records):
            prefix.damaged_lines = data.count(b"\n", position)
            prefix.torn = not data.endswith(b"\n")
            return prefix
        prefix.records.append(decoded[1])
        position = prefix.end = newline + 1


_open_journals: weakref.WeakSet = weakref.WeakSet()


def _close_inherited() -> None:
    # A lock lives as long as any process has the file open: a forked child must not keep it.
    for journal in list(_open_journals):
        journal.close()


os.register_at_fork(after_in_child=_close_inherited)


def is_written(path: Path) -> bool:
    """Whether a live process has an index open for appending, as far as locks can tell."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        lock(descriptor, 0.0, shared=True)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class Journal:
    """An index that is open for appending; at most one exists for a file, in all processes.

    Parameters
    ----------
    path
        The index file; created when missing.
    patience
        Seconds to wait for whoever appends to it.

    Raises
    ------
    GroupBusyError
        Another live process (or another journal of this one) appends to it.
    StoreError
        The system refuses.
    """

    def __init__(self, path: Path, *, patience: float = PATIENCE) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise unwritable(path, error, what="the index of a group") from error
        _open_journals.add(self)
        try:
            self._lock(patience)
            self._recover()
        except BaseException:
            self.close()
            raise

    def _lock(self, patience: float) -> None:
        try:
            lock(self._descriptor, patience)
        except BlockingIOError:
            raise GroupBusyError(
                f"{self.path}: another process is writing this group; wait until it ends, "
                "or stop it"
            ) from None

    def _recover(self) -> None:
        """Read what is there and cut what does not count."""
        data = self.path.read_bytes()
        prefix = parse(data)
        self.records = prefix.records
        self._end = prefix.end
        self._dirty = False
        if prefix.end == len(data):
            return
        if (
            prefix.damaged_lines
        ):  # more than an unfinished append: keep it for whoever wants to look
            kept = self.path.with_name(f"{self.path.name}.cut-at-{prefix.end}")
            kept.write_bytes(data[prefix.end :])
        self._cut()
        os.fsync(self._descriptor)

    def _cut(self) -> None:
        os.ftruncate(self._descriptor, self._end)
        self._dirty = False

    def append(self, record: dict) -> None:
        """Append a record; it is durable on return.

        Raises
        ------
        StoreError
            The record is nothing that JSON can hold, or the system refuses, for example because
            the disk is full. The index is then as before, and appending can be tried again.
        """
        try:
            line = encode(len(self.records), record)
        except (TypeError, ValueError) as error:
            raise StoreError(f"{self.path}: a record cannot be written as JSON: {error}") from error
        try:
            if self._dirty:
                self._cut()
            self._dirty = True
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            write_all(self._descriptor, line)
            os.fdatasync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._cut()
            raise unwritable(self.path, error, what="the index of a group") from error
        self._dirty = False
        self._end += len(line)
        if not self.records:
            sync_directory(self.path.parent)
        self.records.append(json.loads(line[9:].partition(b" ")[2]))

    def close(self) -> None:
        """Release the file; others may append then."""
        _open_journals.discard(self)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
