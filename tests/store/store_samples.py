"""Small ensembles whose every value follows from its place, so any wrong one is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pvensemble.schema import KINDS
from pvensemble.store import (
    EnsembleWriter,
    GroupWriter,
    HyperParameter,
    LayerInfo,
    RunInfo,
    SessionInfo,
)

LAYERS = [
    LayerInfo("conv1", "Conv2d", (3, 2, 5, 4), KINDS),
    LayerInfo("features.0", "Linear", (4, 6), ("weight",)),
]
HYPER_PARAMETERS = [
    HyperParameter("learning_rate", "float", "log"),
    HyperParameter("width", "int"),
    HyperParameter("optimizer", "categorical", "categorical"),
    HyperParameter("nesterov", "bool", "categorical"),
]
SHAPES = {
    ("conv1", "weight"): (3, 2, 5, 4),
    ("conv1", "gradient"): (3, 2, 5, 4),
    ("conv1", "correlation"): (3, 3),
    ("conv1", "activation"): (3, 2, 4, 5),
    ("conv1", "gram"): (2, 4, 4),
    ("features.0", "weight"): (4, 6),
}


def sample_runs(n: int, first: int | None = 0) -> list[RunInfo]:
    return [
        RunInfo(
            f"run-{0 if first is None else first}-{i}",
            {
                "learning_rate": 10.0 ** -(i + 1),
                "width": 8 * (i + 1),
                "optimizer": ("sgd", "adam")[i % 2],
                "nesterov": i % 2 == 0,
            },
            seed=100 + i,
            session="grid",
            run_index=None if first is None else first + i,
        )
        for i in range(n)
    ]


def sample_tensor(key: tuple[str, str], step: int, n_runs: int) -> np.ndarray:
    """(n_runs, *shape) float32, different for every key, step, run and element."""
    shape = (n_runs, *SHAPES[key])
    place = sorted(SHAPES).index(key)
    count = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    return (np.sin(count + 1000 * place) + step).astype(np.float32)


def sample_tensors(step: int, n_runs: int) -> dict:
    return {key: sample_tensor(key, step, n_runs) for key in SHAPES}


def sample_accuracy(steps, n_runs: int) -> np.ndarray:
    steps = np.asarray(steps, np.float64)[:, None]
    return 1 - 1 / (2 + steps / 10 + np.arange(n_runs)[None, :])


def sample_metrics(first: int, last: int, n_runs: int, every: int = 10) -> dict:
    """Rows after ``first`` up to ``last``."""
    steps = np.arange(first + every, last + 1, every)
    rows = sample_accuracy(steps, n_runs)
    return {"validation_accuracy": (steps, rows), "train_loss": (steps, 1 - rows)}


def create(path: Path, **options) -> EnsembleWriter:
    options.setdefault("sessions", [SessionInfo("grid", "#aa0000", {"learning_rate": [0.1, 0.01]})])
    return EnsembleWriter.create(path, hyper_parameters=HYPER_PARAMETERS, **options)


def fill(group: GroupWriter, steps=(0, 20, 40)) -> None:
    n_runs = len(group.runs)
    group.set_states(range(n_runs), "RUNNING", step=0)
    before = -10
    for step in steps:
        group.commit(step, sample_tensors(step, n_runs), sample_metrics(before, step, n_runs))
        before = step
    group.set_states(range(n_runs), "COMPLETE", step=steps[-1])


def write_sample(path: Path, n_runs: int = 4, steps=(0, 20, 40)) -> Path:
    """A finished ensemble of one group."""
    with create(path) as writer, writer.create_group(sample_runs(n_runs), LAYERS) as group:
        fill(group, steps)
        group.write_checkpoint(20, {"a/w": np.arange(3.0)}, {"step": 20})
        group.write_checkpoint(40, {"a/w": np.arange(4.0)}, {"step": 40})
    return path
