"""Recording beside the training: a slow or full disk costs steps, never the training."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from store_samples import (
    LAYERS,
    SHAPES,
    create,
    sample_accuracy,
    sample_metrics,
    sample_runs,
    sample_tensor,
    sample_tensors,
)

from pvensemble.errors import NotRecordedError, StoreError
from pvensemble.store import BackgroundWriter, Ensemble
from pvensemble.store.background import QUEUE_FULL
from pvensemble.store.check import check_ensemble

N = 3


@pytest.fixture
def group(tmp_path):
    with create(tmp_path / "a.pvens").create_group(sample_runs(N), LAYERS) as group:
        yield group


def submit(background, step):
    return background.submit(step, sample_tensors(step, N), sample_metrics(step - 10, step, N))


def check_all(tmp_path, recorded, last):
    """The steps are right, and no row of a metric is missing."""
    ensemble = Ensemble.open(tmp_path / "a.pvens")
    assert ensemble.recorded_steps == recorded
    for step in recorded:
        for key in SHAPES:
            np.testing.assert_array_equal(
                ensemble.groups[0].filters(*key, step), sample_tensor(key, step, N)
            )
    curve = ensemble.curve("validation_accuracy")
    np.testing.assert_array_equal(curve.steps, np.arange(0, last + 1, 10))
    np.testing.assert_array_equal(curve.values, sample_accuracy(curve.steps, N).T)
    assert check_ensemble(ensemble.path).problems == []


class FullDisk:
    """Lets `os.write` fail as a full disk does, after some bytes."""

    def __init__(self, monkeypatch):
        self.room = None
        write = os.write

        def limited(descriptor, data):
            if self.room is None or descriptor <= 2:
                return write(descriptor, data)
            if self.room < len(data):
                written = write(descriptor, bytes(data[: self.room])) if self.room else 0
                self.room = 0
                if written:
                    return written
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= len(data)
            return write(descriptor, data)

        monkeypatch.setattr(os, "write", limited)


class SlowDisk:
    """Holds every commit until it is let go."""

    def __init__(self, group, monkeypatch):
        self.go = threading.Event()
        self.entered = threading.Event()
        commit = group.commit

        def slow(*arguments):
            self.entered.set()
            assert self.go.wait(30)
            return commit(*arguments)

        monkeypatch.setattr(group, "commit", slow)


def test_everything_is_stored_in_order(group, tmp_path):
    with BackgroundWriter(group) as background:
        for step in range(0, 100, 10):
            assert submit(background, step)
            background.set_states([0], "RUNNING", step=step, reason=f"at {step}")
    assert background.skipped == []
    check_all(tmp_path, list(range(0, 100, 10)), 90)
    assert Ensemble.open(tmp_path / "a.pvens").run_table()["reason"][0] == "at 90"


def test_full_queue_skips_tensors_and_keeps_metrics(group, tmp_path, monkeypatch):
    disk = SlowDisk(group, monkeypatch)
    with BackgroundWriter(group, max_pending=2, patience=0.01) as background:
        assert submit(background, 0)
        assert disk.entered.wait(30)
        assert submit(background, 10)
        assert not submit(background, 20)
        assert not submit(background, 30)
        disk.go.set()
        background.flush()
        assert submit(background, 40)
    assert background.skipped == [(20, QUEUE_FULL), (30, QUEUE_FULL)]
    check_all(tmp_path, [0, 10, 40], 40)
    assert Ensemble.open(tmp_path / "a.pvens").groups[0].skipped == background.skipped


def test_submit_waits_for_a_disk_that_is_only_a_little_late(group, tmp_path, monkeypatch):
    """Negative control of the test above: with patience nothing is skipped."""
    disk = SlowDisk(group, monkeypatch)
    with BackgroundWriter(group, max_pending=1, patience=30) as background:
        submit(background, 0)
        threading.Timer(0.2, disk.go.set).start()
        assert submit(background, 10)
    assert background.skipped == []
    check_all(tmp_path, [0, 10], 10)


def test_submit_waits_once_not_at_every_step(group, monkeypatch):
    disk = SlowDisk(group, monkeypatch)
    background = BackgroundWriter(group, max_pending=1, patience=0.05)
    submit(background, 0)
    waits = []
    real = threading.Event.wait

    def count(self, timeout=None):
        waits.append(timeout)
        return real(self, timeout)

    assert not submit(background, 10)
    monkeypatch.setattr(threading.Event, "wait", count)
    for step in range(20, 200, 10):
        assert not submit(background, step)
    monkeypatch.setattr(threading.Event, "wait", real)
    assert waits == []
    disk.go.set()
    background.close()


def test_each_commit_has_the_metrics_up_to_its_step(group, monkeypatch):
    go = threading.Event()
    commits = []
    commit, set_states = group.commit, group.set_states
    monkeypatch.setattr(group, "set_states", lambda *a, **k: go.wait(30) and set_states(*a, **k))
    monkeypatch.setattr(group, "commit", lambda *a: commits.append(a) or commit(*a))
    with BackgroundWriter(group) as background:
        background.set_states([0], "RUNNING", step=0)
        submit(background, 0)
        submit(background, 10)
        go.set()
    assert [(c[0], c[2]["train_loss"][0].tolist()) for c in commits] == [(0, [0]), (10, [10])]


def test_full_disk_skips_and_goes_on_when_there_is_room(group, tmp_path, monkeypatch):
    disk = FullDisk(monkeypatch)
    with BackgroundWriter(group) as background:
        for step in (0, 10):
            submit(background, step)
            background.flush()
        disk.room = 20_000  # enough for some of the files of the next step
        for step in (20, 30):
            submit(background, step)
            background.set_states([1], "DIVERGED", step=step, reason="loss is NaN")
            background.write_checkpoint(step, {"w": np.zeros(10)}, {})
            background.flush()
        assert group.states[1] == "WAITING"
        disk.room = None
        submit(background, 40)
    reasons = dict.fromkeys(background.skipped)
    assert list(reasons) == [
        (20, "No space left on device"),
        (20, "checkpoint not written: No space left on device"),
        (30, "No space left on device"),
        (30, "checkpoint not written: No space left on device"),
    ]
    check_all(tmp_path, [0, 10, 40], 40)
    ensemble = Ensemble.open(tmp_path / "a.pvens")
    assert ensemble.groups[0].skipped == background.skipped
    assert ensemble.run_table()["state"].tolist() == ["WAITING", "DIVERGED", "WAITING"]


@pytest.mark.parametrize("room", [0, 1, 100, 6_000, 10_000, 30_000, 40_000])
def test_disk_that_fills_at_any_point_of_a_commit(group, tmp_path, monkeypatch, room):
    disk = FullDisk(monkeypatch)
    group.commit(0, sample_tensors(0, N), sample_metrics(-10, 0, N))
    disk.room = room

    def commit_on():
        for step in range(10, 100, 10):
            group.commit(step, sample_tensors(step, N), sample_metrics(step - 10, step, N))

    with pytest.raises(StoreError, match="No space left on device; make room"):
        commit_on()
    reached = group.recorded_steps[-1]
    disk.room = None
    group.commit(
        reached + 10, sample_tensors(reached + 10, N), sample_metrics(reached, reached + 10, N)
    )
    check_all(tmp_path, list(range(0, reached + 11, 10)), reached + 10)
    assert not list(tmp_path.rglob("*.tmp"))


def test_disk_that_stays_full_is_said_at_the_end(group, monkeypatch):
    disk = FullDisk(monkeypatch)
    background = BackgroundWriter(group)
    disk.room = 0
    submit(background, 0)
    with pytest.raises(StoreError, match="No space left on device; make room"):
        background.close()
    disk.room = None
    background.close()  # what waits is kept: closing can be tried again
    assert group.metric_steps["train_loss"] == 0


def test_real_limit_of_the_system(group, tmp_path):
    """The kernel itself refuses: files may not grow beyond 3,000 bytes for a while."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with BackgroundWriter(group) as background:
        submit(background, 0)
        background.flush()
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, before[1]))
            submit(background, 10)
            background.flush()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        submit(background, 20)
    assert [step for step, _ in background.skipped] == [10]
    check_all(tmp_path, [0, 20], 20)


def test_mistakes_are_not_taken_for_a_full_disk(group):
    background = BackgroundWriter(group)
    background.submit(0, {("conv1", "bias"): np.zeros((N, 3))})
    with pytest.raises(
        StoreError, match="recording stopped: .*'conv1.bias' was not announced"
    ) as e:
        background.flush()
    assert isinstance(e.value.__cause__, NotRecordedError)
    with pytest.raises(StoreError, match="recording stopped"):
        background.submit(10, {}, {})
    with pytest.raises(StoreError, match="recording stopped"):
        background.close()


FULL_TMPFS = """
import errno, os, sys
from pathlib import Path
from store_samples import *
from pvensemble.store import BackgroundWriter
path = Path(sys.argv[1]) / "a.pvens"
ballast = Path(sys.argv[1]) / "ballast"
group = create(path).create_group(sample_runs(3), LAYERS)
with BackgroundWriter(group) as background:
    for step in range(0, 400, 10):
        if step == 100:
            with ballast.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError as error:
                    assert error.errno == errno.ENOSPC
        if step == 300:
            ballast.unlink()
        background.submit(step, sample_tensors(step, 3), sample_metrics(step - 10, step, 3))
        background.flush()
group.close()
print(len(background.skipped), background.skipped[0][1])
"""


def test_full_file_system(tmp_path):
    """A real file system of 6 MB runs full and gets room again; the process lives and goes on."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.strip()}")
    try:
        done = subprocess.run(
            [sys.executable, "-c", FULL_TMPFS, str(tmp_path)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "20 No space left on device\n"
        check_all(tmp_path, [*range(0, 100, 10), *range(300, 400, 10)], 390)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
