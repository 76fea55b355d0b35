"""One 50 x 50 matrix of all runs at one step, against one HDF5 file per run.

    python benchmarks/store_read.py

"first" is the first look of a process at a file, which compares its SHA-256; "again" is any later
one. The file per run holds the same matrices as one (steps, 50, 50) data set, opened and closed
for each look, as whoever cannot keep 1,000 files open must do. All files are in the page cache.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from harness import alternate, machine, report

from pvensemble.store import Ensemble, EnsembleWriter, LayerInfo, RunInfo

N_STEPS = 30
KEY = ("conv1", "correlation")


def matrices(n_runs: int, step: int) -> np.ndarray:
    return np.random.default_rng(step).random((n_runs, 50, 50), np.float32)


def write(folder: Path, n_runs: int) -> None:
    layer = LayerInfo("conv1", "Conv2d", (50, 20, 5, 5), ("correlation",))
    with EnsembleWriter.create(folder / "a.pvens") as writer:
        group = writer.create_group([RunInfo(f"run{i}", {}) for i in range(n_runs)], [layer])
        for step in range(N_STEPS):
            group.commit(step, {KEY: matrices(n_runs, step)})
    for i in range(n_runs):
        with h5py.File(folder / f"run{i:05d}.h5", "w") as file:
            file.create_dataset("correlation", (N_STEPS, 50, 50), "f4", chunks=(1, 50, 50))
    for step in range(N_STEPS):
        stack = matrices(n_runs, step)
        for i in range(n_runs):
            with h5py.File(folder / f"run{i:05d}.h5", "a") as file:
                file["correlation"][step] = stack[i]


def read_files(folder: Path, n_runs: int, step: int) -> np.ndarray:
    stack = np.empty((n_runs, 50, 50), np.float32)
    for i in range(n_runs):
        with h5py.File(folder / f"run{i:05d}.h5", "r") as file:
            file["correlation"].read_direct(stack, np.s_[step], np.s_[i])
    return stack


def main(sizes: list[int]) -> None:
    print(machine())
    for n_runs in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write(folder, n_runs)
            (group,) = Ensemble.open(folder / "a.pvens").groups
            for step in (N_STEPS - 2, N_STEPS - 1):
                assert np.array_equal(group.tensor(*KEY, step), matrices(n_runs, step))
                assert np.array_equal(read_files(folder, n_runs, step), matrices(n_runs, step))
            new = iter(range(N_STEPS - 2))
            times = alternate(
                {
                    "first": lambda g=group, s=new: g.tensor(*KEY, next(s)),
                    "again": lambda g=group: g.tensor(*KEY, N_STEPS - 1),
                    "one file per run": lambda f=folder, n=n_runs: read_files(f, n, N_STEPS - 1),
                },
                repeats=N_STEPS - 3,
            )
            print(report(f"a 50 x 50 matrix of {n_runs} runs", times, "one file per run"))


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or [121, 1000])
