"""Opening an ensemble: runs, states and all curves, against one HDF5 file per run.

    python benchmarks/store_open.py

Each ensemble has one group, 51 commits of four metrics over 1,000 steps, and the index of 51
recorded steps of eight tensors. "open" ends with the run table, "open + curves" with all values of
all metrics in memory. The file per run holds the same numbers: hyper-parameters and state as
attributes, each metric as one data set.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from harness import alternate, machine, report

from pvensemble.store import Ensemble, EnsembleWriter, HyperParameter, LayerInfo, RunInfo

STEPS = np.arange(1, 1001)
METRICS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
LAYERS = [LayerInfo(f"conv{i}", "Conv2d", (2, 2), ("weight", "gradient")) for i in range(4)]


def values(n_runs: int) -> np.ndarray:
    return np.random.default_rng(0).random((len(STEPS), n_runs))


def write_ensemble(path: Path, n_runs: int) -> None:
    parameters = [
        HyperParameter("learning_rate", "float", "log"),
        HyperParameter("momentum", "float"),
    ]
    runs = [
        RunInfo(f"run{i}", {"learning_rate": 0.1 / (i + 1), "momentum": i / n_runs}, i, "grid")
        for i in range(n_runs)
    ]
    rows = values(n_runs)
    tensor = np.zeros((n_runs, 2, 2), np.float32)
    with EnsembleWriter.create(path, hyper_parameters=parameters) as writer:
        group = writer.create_group(runs, LAYERS)
        for step in range(0, 1001, 20):
            new = np.flatnonzero(np.ceil(STEPS / 20) * 20 == step)
            metrics = dict.fromkeys(METRICS, (STEPS[new], rows[new])) if step else {}
            group.commit(
                step, {(i.name, kind): tensor for i in LAYERS for kind in i.kinds}, metrics
            )


def write_files(folder: Path, n_runs: int) -> None:
    folder.mkdir()
    rows = values(n_runs)
    for i in range(n_runs):
        with h5py.File(folder / f"run{i:05d}.h5", "w") as file:
            file.attrs.update(learning_rate=0.1 / (i + 1), momentum=i / n_runs, state="COMPLETE")
            for metric in METRICS:
                file[metric] = rows[:, i]


def read_ensemble(path: Path) -> list:
    ensemble = Ensemble.open(path)
    return [ensemble.run_table(), *(ensemble.curve(m).values for m in METRICS)]


def read_files(folder: Path, metrics: tuple) -> list:
    table, rows = [], []
    for name in sorted(folder.iterdir()):
        with h5py.File(name, "r") as file:
            table.append(dict(file.attrs))
            rows.append([file[m][()] for m in metrics])
    return [table, *np.array(rows).swapaxes(0, 1)]


def main(sizes: list[int]) -> None:
    print(machine())
    for n_runs in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_ensemble(folder / "a.pvens", n_runs)
            write_files(folder / "files", n_runs)
            ours, theirs = read_ensemble(folder / "a.pvens"), read_files(folder / "files", METRICS)
            assert np.array_equal(ours[1], theirs[1])
            times = alternate(
                {
                    "open": lambda f=folder: Ensemble.open(f / "a.pvens").run_table(),
                    "one file per run: open": lambda f=folder: read_files(f / "files", ()),
                },
                repeats=15,
            )
            print(report(f"open {n_runs} runs", times, "one file per run: open"))
            times = alternate(
                {
                    "open + curves": lambda f=folder: read_ensemble(f / "a.pvens"),
                    "one file per run: all": lambda f=folder: read_files(f / "files", METRICS),
                },
                repeats=15,
            )
            print(report(f"open {n_runs} runs and read all curves", times, "one file per run: all"))


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or [121, 1000])
