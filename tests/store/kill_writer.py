"""Writes steps back to back until it is killed; says so on the output after each one is stored.

``python kill_writer.py DESIGN PATH FIRST_STEP [N_STEPS]``. Started by `kill_harness`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import h5py
from store_samples import LAYERS, SHAPES, create, sample_metrics, sample_runs, sample_tensors

from pvensemble.store import BackgroundWriter, EnsembleWriter

N_RUNS = 4
EVERY = 10
CHECKPOINT_EVERY = 3


def acknowledge(word: object) -> None:
    os.write(1, f"{word}\n".encode())


def steps(first: int, count: int):
    return range(first, first + EVERY * count, EVERY)


def checkpoint_arrays(step: int) -> dict:
    return {f"{layer}/{kind}": t for (layer, kind), t in sample_tensors(step, N_RUNS).items()}


def open_group(path: Path):
    """Go on with the group that is there, or begin it: a kill can come before either."""
    writer = EnsembleWriter.open(path) if path.exists() else create(path)
    if writer.group_names:
        group = writer.open_group("g000")
    else:
        group = writer.create_group(sample_runs(N_RUNS), LAYERS)
    return writer, group


def write_store(path: Path, first: int, count: int) -> None:
    writer, group = open_group(path)
    group.set_states(range(N_RUNS), "RUNNING", step=first)
    for n, step in enumerate(steps(first, count)):
        metrics = sample_metrics(max(step - EVERY, -5), step, N_RUNS, every=5)
        group.commit(step, sample_tensors(step, N_RUNS), metrics)
        acknowledge(step)
        if n % CHECKPOINT_EVERY == 1:
            group.write_checkpoint(step, checkpoint_arrays(step), {"step": step})
            acknowledge(f"checkpoint {step}")
    writer.finish()


def write_background(path: Path, first: int, count: int) -> None:
    """As a trainer does; acknowledged is what a flush confirmed."""
    writer, group = open_group(path)
    with BackgroundWriter(group, max_pending=2) as background:
        for step in steps(first, count):
            metrics = sample_metrics(max(step - EVERY, -5), step, N_RUNS, every=5)
            background.submit(step, sample_tensors(step, N_RUNS), metrics)
            background.flush()
            acknowledge(step)
    writer.finish()


def write_unsafe(path: Path, first: int, count: int) -> None:
    """What must be noticed: one HDF5 file that grows in place."""
    with h5py.File(path, "a") as file:
        for step in steps(first, count):
            for (layer, kind), tensor in sample_tensors(step, N_RUNS).items():
                file[f"{step}/{layer}/{kind}"] = tensor
            acknowledge(step)


DESIGNS = {"store": write_store, "background": write_background, "unsafe": write_unsafe}
assert set(SHAPES)

if __name__ == "__main__":
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 10**6
    DESIGNS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]), count)
    acknowledge("end")
