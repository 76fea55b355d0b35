"""The index gives a prefix of what was written, whatever happened to the file."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pvensemble.errors import StoreError
from pvensemble.store import locks
from pvensemble.store.journal import Journal, decode, encode, parse

RECORDS = [
    {"type": "x", "i": i, "text": "äöü\n " * (i % 4), "list": [i] * (i % 5)} for i in range(9)
]
DATA = b"".join(encode(i, r) for i, r in enumerate(RECORDS))


def is_prefix(records):
    return records == RECORDS[: len(records)]


def test_line_round_trip():
    line = encode(7, {"a": [1, 2.5, None, "ü"]})
    assert line.endswith(b"\n")
    assert decode(line[:-1]) == (7, {"a": [1, 2.5, None, "ü"]})


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_what_json_cannot_hold_is_refused(tmp_path, value):
    index = Journal(tmp_path / "index.pvj")
    with pytest.raises(StoreError, match=r"index\.pvj: a record cannot be written as JSON"):
        index.append({"a": value})
    index.append(RECORDS[0])
    index.close()
    assert (tmp_path / "index.pvj").read_bytes() == encode(0, RECORDS[0])


def test_truncation_at_every_byte_gives_the_whole_records_before_it():
    ends = [0]
    for i, record in enumerate(RECORDS):
        ends.append(ends[-1] + len(encode(i, record)))
    for size in range(len(DATA) + 1):
        prefix = parse(DATA[:size])
        whole = sum(end <= size for end in ends) - 1
        assert prefix.records == RECORDS[:whole]
        assert prefix.end == ends[whole]
        assert prefix.torn == (size not in ends)
        assert prefix.damaged_lines == 0


def test_every_bit_flip_gives_a_prefix_that_ends_before_it():
    for position in range(len(DATA)):
        damaged = bytearray(DATA)
        damaged[position] ^= 1 << (position % 8)
        prefix = parse(bytes(damaged))
        assert is_prefix(prefix.records)
        assert prefix.end <= position
        assert len(prefix.records) == DATA[:position].count(b"\n")


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_doubled_swapped_and_overwritten_lines_give_a_prefix(data):
    lines = DATA.splitlines(keepends=True)
    kind = data.draw(st.sampled_from(["double", "swap", "drop", "zero", "garbage"]))
    i = data.draw(st.integers(0, len(lines) - 1))
    j = data.draw(st.integers(0, len(lines) - 1))
    if kind == "double":
        lines.insert(j, lines[i])
    elif kind == "swap":
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == "drop":
        del lines[i]
    elif kind == "garbage":
        lines.insert(i, data.draw(st.binary(max_size=80)))
    found = b"".join(lines)
    if kind == "zero":
        start = data.draw(st.integers(0, len(found) - 1))
        length = data.draw(st.integers(1, 4096))
        found = found[:start] + b"\0" * min(length, len(found) - start) + found[start + length :]
    prefix = parse(found)
    assert is_prefix(prefix.records)
    assert found[: prefix.end] == DATA[: prefix.end]


def test_a_checksum_alone_would_not_notice_swapped_records():
    """Negative control: without the sequence number the swap below reads as good."""
    lines = DATA.splitlines()
    assert all(decode(line) is not None for line in (lines[1], lines[0]))
    assert parse(b"\n".join([lines[1], lines[0]]) + b"\n").records == []


def test_appended_records_are_read_back(tmp_path):
    first = Journal(tmp_path / "index.pvj")
    for record in RECORDS[:4]:
        first.append(record)
    first.close()
    second = Journal(tmp_path / "index.pvj")
    assert second.records == RECORDS[:4]
    for record in RECORDS[4:]:
        second.append(record)
    second.close()
    assert (tmp_path / "index.pvj").read_bytes() == DATA


def test_torn_tail_is_cut_before_appending(tmp_path):
    path = tmp_path / "index.pvj"
    path.write_bytes(DATA[:-3])
    index = Journal(path)
    assert index.records == RECORDS[:-1]
    index.append(RECORDS[-1])
    index.close()
    assert path.read_bytes() == DATA
    assert list(tmp_path.iterdir()) == [path]


def test_damage_before_good_records_is_kept_aside(tmp_path):
    path = tmp_path / "index.pvj"
    lines = DATA.splitlines(keepends=True)
    broken = b"".join([*lines[:3], b"?" + lines[3][1:], *lines[4:]])
    path.write_bytes(broken)
    Journal(path).close()
    good = b"".join(lines[:3])
    assert path.read_bytes() == good
    kept = tmp_path / f"index.pvj.cut-at-{len(good)}"
    assert good + kept.read_bytes() == broken


def test_failed_append_leaves_the_index_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "index.pvj"
    index = Journal(path)
    index.append(RECORDS[0])
    write = os.write

    def half(descriptor, data):
        write(descriptor, bytes(data)[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(StoreError, match=r"index\.pvj.*No space left.*make room"):
        index.append(RECORDS[1])
    monkeypatch.undo()
    assert path.read_bytes() == encode(0, RECORDS[0])
    index.append(RECORDS[1])
    index.close()
    assert parse(path.read_bytes()).records == RECORDS[:2]


def test_index_that_cannot_be_cut_at_once_is_cut_before_the_next_record(tmp_path, monkeypatch):
    path = tmp_path / "index.pvj"
    index = Journal(path)
    index.append(RECORDS[0])

    def refuse(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", refuse)
    monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(StoreError, match="Input/output error"):
        index.append(RECORDS[5])
    monkeypatch.undo()
    index.append(RECORDS[1])
    index.close()
    assert path.read_bytes() == encode(0, RECORDS[0]) + encode(1, RECORDS[1])


def test_record_is_synced_before_append_returns(tmp_path, monkeypatch):
    calls = []
    for name in ("write", "fdatasync"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, r=real: (calls.append(n), r(*a))[1])
    index = Journal(tmp_path / "index.pvj")
    index.append(RECORDS[0])
    index.close()
    assert calls == ["write", "fdatasync"]


def test_second_writer_is_refused(tmp_path):
    path = tmp_path / "index.pvj"
    index = Journal(path)
    with pytest.raises(StoreError, match="another process is writing"):
        Journal(path)
    code = (
        "import sys; from pathlib import Path; from pvensemble.store.journal import Journal\n"
        "from pvensemble.errors import StoreError\n"
        "try: Journal(Path(sys.argv[1]))\n"
        "except StoreError: sys.exit(42)\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    assert subprocess.run(command, check=False).returncode == 42
    index.close()
    assert subprocess.run(command, check=False).returncode == 0


def test_forked_child_does_not_keep_the_lock(tmp_path):
    path = tmp_path / "index.pvj"
    index = Journal(path)
    gate_read, gate_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(gate_write)
        os.read(gate_read, 1)  # lives until the parent lets go
        os._exit(0)
    try:
        index.close()
        Journal(path).close()
    finally:
        os.close(gate_write)
        os.close(gate_read)
        os.waitpid(child, 0)


def test_file_system_without_locks_is_accepted(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    index = Journal(tmp_path / "index.pvj")
    index.append(RECORDS[0])
    index.close()
    assert parse((tmp_path / "index.pvj").read_bytes()).records == RECORDS[:1]
