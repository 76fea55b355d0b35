"""Kills a real writer and judges what it left: nothing acknowledged may be lost or wrong."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from kill_writer import EVERY, N_RUNS, checkpoint_arrays
from store_samples import SHAPES, sample_accuracy, sample_tensor, sample_tensors

from pvensemble.errors import PVEnsembleError
from pvensemble.store import Ensemble, EnsembleWriter
from pvensemble.store.check import check_ensemble
from pvensemble.store.journal import parse

WRITER = Path(__file__).with_name("kill_writer.py")
SYSTEM_CALLS = (
    "write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "rename", "renameat",
    "renameat2", "link", "linkat", "unlink", "unlinkat", "mkdir", "mkdirat",
)  # fmt: skip


@dataclass
class Round:
    """What one killed writer did."""

    acknowledged: list = field(default_factory=list)
    checkpoint: int | None = None
    ended: bool = False
    failures: list = field(default_factory=list)


def command(design: str, path: Path, first: int, *more: object) -> list[str]:
    return [sys.executable, "-B", str(WRITER), design, str(path), str(first), *map(str, more)]


def environment() -> dict:
    root = Path(__file__).resolve().parents[2]
    return {**os.environ, "PYTHONPATH": f"{root}:{Path(__file__).parent}", "OMP_NUM_THREADS": "1"}


def take(result: Round, output: bytes) -> None:
    """Read acknowledgements; an incomplete line is none."""
    for line in output.decode().split("\n")[:-1]:
        if line.startswith("checkpoint "):
            result.checkpoint = int(line.split()[1])
        elif line == "end":
            result.ended = True
        else:
            result.acknowledged.append(int(line))


def kill_after(design: str, path: Path, first: int, seconds: float) -> Round:
    """Start a writer and kill it so many seconds after its process began to work."""
    result = Round()
    with subprocess.Popen(
        command(design, path, first), stdout=subprocess.PIPE, env=environment()
    ) as process:
        while not path.exists() and process.poll() is None:  # it is still importing
            time.sleep(0.002)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        output = process.stdout.read()
    take(result, output)
    if process.returncode != -signal.SIGKILL:
        result.failures.append(f"the writer ended by itself with status {process.returncode}")
    return result


def kill_at_call(design: str, path: Path, first: int, n_steps: int, call: str, nth: int) -> Round:
    """Kill a writer of a few steps as it enters a system call for the n-th time."""
    result = Round()
    inject = f"inject={call}:signal=SIGKILL:when={nth}"
    done = subprocess.run(
        ["strace", "-f", "-o", os.devnull, "-e", f"trace={call}", "-e", inject]
        + command(design, path, first, n_steps),
        stdout=subprocess.PIPE,
        env=environment(),
        check=False,
    )
    take(result, done.stdout)
    return result


def count_calls(design: str, path: Path, first: int, n_steps: int) -> dict[str, int]:
    """Return how often a writer of a few steps enters each write-class system call."""
    log = path.with_suffix(".strace")
    subprocess.run(
        ["strace", "-f", "-o", str(log), "-e", "trace=" + ",".join(f"?{c}" for c in SYSTEM_CALLS)]
        + command(design, path, first, n_steps),
        stdout=subprocess.DEVNULL,
        env=environment(),
        check=True,
    )
    counts = dict.fromkeys(SYSTEM_CALLS, 0)
    for name in re.findall(r"^\d+ +(\w+)\(", log.read_text(), flags=re.MULTILINE):
        counts[name] += 1
    return {name: n for name, n in counts.items() if n}


# -- judging -----------------------------------------------------------------------------------


def read_store(path: Path) -> dict[int, bool]:
    """Return for each visible step whether all its tensors are right."""
    groups = Ensemble.open(path).groups if path.exists() else []
    return {
        step: all(
            np.array_equal(groups[0].filters(*key, step), sample_tensor(key, step, N_RUNS))
            for key in SHAPES
        )
        for group in groups
        for step in group.recorded_steps()
    }


def read_unsafe(path: Path) -> dict[int, bool]:
    with h5py.File(path, "r") as file:
        return {
            int(step): all(
                np.array_equal(
                    file[f"{step}/{layer}/{kind}"], sample_tensor((layer, kind), int(step), N_RUNS)
                )
                for layer, kind in SHAPES
            )
            for step in file
        }


def judge(design: str, path: Path, all_acknowledged: list[int]) -> list[str]:
    """Return all that is wrong with what a killed writer left."""
    read = read_unsafe if design == "unsafe" else read_store
    try:
        visible = read(path)
    except (PVEnsembleError, OSError, KeyError, RuntimeError) as error:
        return [f"unreadable: {error}"]
    lost = sorted(set(all_acknowledged) - set(visible))
    gained = sorted(set(visible) - set(all_acknowledged))
    failures = [f"acknowledged step {step} is lost" for step in lost]
    failures += [f"step {step} has wrong values" for step, right in visible.items() if not right]
    if len(gained) > 1:
        failures.append(f"steps {gained} were not acknowledged")
    return failures


def judge_files(path: Path) -> list[str]:
    """Every file that has its final name is whole."""
    failures = [f"check: {f.path}: {f.text}" for f in check_ensemble(path).problems]
    for file in path.with_name(path.name + ".d").rglob("[!.]*"):
        try:
            if file.suffix in (".vtkhdf", ".hdf"):
                h5py.File(file, "r").close()
            elif file.suffix == ".series":
                json.loads(file.read_text())
            elif file.suffix == ".csv":
                assert len(file.read_text().splitlines()) in (1, N_RUNS + 1)
            elif file.suffix == ".pvj" and parse(file.read_bytes()).damaged_lines:
                failures.append(f"{file}: damaged")
        except (OSError, ValueError, AssertionError) as error:
            failures.append(f"{file}: {error!r}")
    return failures


def judge_metrics(path: Path, last: int) -> list[str]:
    ensemble = Ensemble.open(path)
    if not ensemble.metric_names:
        return [] if last < 0 else ["all metrics are lost"]
    curve = ensemble.curve("validation_accuracy")
    if not np.array_equal(curve.values, sample_accuracy(curve.steps, N_RUNS).T):
        return ["a metric has wrong values"]
    if np.any(np.diff(curve.steps) != 5) or curve.steps[-1] < last:
        return [f"rows of a metric are lost: {curve.steps.tolist()}, acknowledged up to {last}"]
    return []


def judge_going_on(path: Path, checkpoint: int | None) -> list[str]:
    """The writer's successor finds its checkpoint and can append."""
    writer = EnsembleWriter.open(path)
    if not writer.group_names:
        return []
    failures = []
    with writer.open_group("g000") as group:
        found = group.read_checkpoint()
        if checkpoint is not None and (found is None or found.step < checkpoint):
            failures.append(f"checkpoint {checkpoint} is lost")
        if found is not None:
            expected = checkpoint_arrays(found.step)
            if found.meta != {"step": found.step} or any(
                not np.array_equal(found.arrays[name], a) for name, a in expected.items()
            ):
                failures.append(f"checkpoint {found.step} has wrong values")
        step = max(group.recorded_steps, default=-EVERY) + EVERY
        group.commit(step, sample_tensors(step, N_RUNS))
    if not read_store(path).get(step):
        failures.append(f"step {step} could not be appended")
    return failures


@dataclass
class Series:
    """One ensemble whose writer is killed again and again."""

    design: str
    path: Path
    acknowledged: list = field(default_factory=list)
    checkpoint: int | None = None

    def next_step(self) -> int:
        visible = read_store(self.path) if self.design != "unsafe" else self.acknowledged
        return max(visible, default=-EVERY) + EVERY

    def judge(self, result: Round) -> list[str]:
        """Judge what is there now, and go on with it."""
        self.acknowledged += result.acknowledged
        failures = result.failures + judge(self.design, self.path, self.acknowledged)
        if result.checkpoint is not None:
            self.checkpoint = result.checkpoint
        if self.design != "unsafe" and self.path.exists() and not failures:
            failures += judge_files(self.path)
            failures += judge_metrics(self.path, max(self.acknowledged, default=-1))
        self.acknowledged = [] if failures else sorted(read_visible(self.design, self.path))
        return failures


def read_visible(design: str, path: Path) -> list[int]:
    if not path.exists():
        return []
    return list(read_unsafe(path) if design == "unsafe" else read_store(path))


def kill_randomly(
    design: str, directory: Path, n: int, *, seed: int, longest: float = 0.5, per_ensemble: int = 4
) -> list[list[str]]:
    """Kill a writer at n random moments; return the failures of each."""
    rng = random.Random(seed)
    outcomes = []
    series = None
    for i in range(n):
        if series is None or i % per_ensemble == 0 or outcomes[-1]:
            series = Series(design, directory / f"{design}-{i:04d}.pvens")
        result = kill_after(design, series.path, series.next_step(), rng.uniform(0, longest))
        failures = series.judge(result)
        if design != "unsafe" and not failures and i % per_ensemble == per_ensemble - 1:
            failures = judge_going_on(series.path, series.checkpoint)
        outcomes.append(failures)
    return outcomes


def kill_at_every_call(design: str, directory: Path, n_steps: int = 3) -> dict:
    """Kill a writer at each write-class system call; return the failures at each point.

    Derived tables are refreshed by the clock, so a later writer may end a few calls earlier than
    the one that was counted: such points are left out.
    """
    counts = count_calls(design, directory / "count.pvens", 0, n_steps)
    outcomes = {}
    for call, count in counts.items():
        for nth in range(1, count + 1):
            series = Series(design, directory / f"{call}-{nth:04d}.pvens")
            result = kill_at_call(design, series.path, 0, n_steps, call, nth)
            failures = series.judge(result)
            if result.ended and not failures:
                continue
            if not failures and series.path.exists():
                failures = judge_going_on(series.path, series.checkpoint)
            outcomes[call, nth] = failures
    return outcomes
