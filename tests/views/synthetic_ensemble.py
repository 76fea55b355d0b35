"""Ensembles without training: curves that depend on the hyper-parameters as real ones do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pvensemble.schema import COMPLETE, DIVERGED
from pvensemble.store import EnsembleWriter, HyperParameter, RunInfo, SessionInfo

STEPS = np.arange(0, 201, 10)


def simulated(learning_rate: np.ndarray, momentum: np.ndarray, seed: int = 0):
    """Accuracy and loss (n_steps, n_runs): best where the effective rate is about 0.3."""
    rng = np.random.default_rng(seed)
    rate = learning_rate / (1 - momentum)
    quality = np.exp(-((np.log10(rate) + 0.5) ** 2) / 0.9)
    t = STEPS[:, None] / STEPS[-1]
    accuracy = 0.1 + 0.87 * quality * (1 - np.exp(-6 * t * (0.3 + quality)))
    accuracy += 0.02 * rng.standard_normal(accuracy.shape) * (1 + 3 * (rate > 1))
    loss = 2.3 * (1 - quality * (1 - np.exp(-5 * t))) + 0.03 * rng.random(accuracy.shape)
    return np.clip(accuracy, 0, 1), loss


def write_ensemble(
    path: Path, side: int = 11, *, diverged: int = 0, batch_sizes: tuple[int, ...] = ()
) -> Path:
    """Write an ensemble of side x side runs (learning rate, momentum); no tensors.

    The last ``diverged`` runs stop at a third of the training with an infinite loss. With
    ``batch_sizes`` the runs have these in turn as a third hyper-parameter.
    """
    rates = np.geomspace(0.001, 1.0, side) if side > 1 else np.array([0.1])
    momenta = np.linspace(0.0, 0.95, side) if side > 1 else np.array([0.9])
    grid = [(float(r), float(m)) for r in rates for m in momenta]
    n = len(grid)
    learning_rate, momentum = np.array(grid).T
    accuracy, loss = simulated(learning_rate, momentum)
    if diverged:
        accuracy[len(STEPS) // 3 :, n - diverged :] = np.nan
        loss[len(STEPS) // 3 :, n - diverged :] = np.inf
    runs = [
        RunInfo(f"run{i:04d}", {"learning_rate": r, "momentum": m}, i, "grid", i)
        for i, (r, m) in enumerate(grid)
    ]
    parameters = [
        HyperParameter("learning_rate", "float", "log"),
        HyperParameter("momentum", "float", "linear"),
    ]
    if batch_sizes:
        parameters.append(HyperParameter("batch_size", "int", "log"))
        for i, run in enumerate(runs):
            run.params["batch_size"] = batch_sizes[i % len(batch_sizes)]
    with EnsembleWriter.create(
        path,
        name="synthetic",
        sessions=[SessionInfo("grid", "#1f77b4")],
        hyper_parameters=parameters,
    ) as writer:
        group = writer.create_group(runs)
        metrics = {"validation_accuracy": (STEPS, accuracy), "validation_loss": (STEPS, loss)}
        group.commit(int(STEPS[-1]), {}, metrics)
        group.set_states(range(n - diverged), COMPLETE, step=int(STEPS[-1]))
        if diverged:
            last = int(STEPS[len(STEPS) // 3])
            group.set_states(range(n - diverged, n), DIVERGED, step=last, reason="loss is inf")
        writer.finish()
    return path
