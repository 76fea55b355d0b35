"""What the observations need of the ensembles: curves, weight vectors, correlations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvensemble.schema import CORRELATION, TEST_ACCURACY, WEIGHT
from pvensemble.store import Ensemble
from reproduce_tensorviz import paper

LAYERS = ("conv1", "conv2")
PARAMETERS = {"conv1": "conv1.weight", "conv2": "conv2.weight", "fc1": "fc1.weight"}
"""The poster shows norms of convolution weights and of fully connected weights."""


@dataclass(frozen=True)
class Dynamics:
    """Runs over the training.

    Attributes
    ----------
    is_plain : (n_runs,) bool
        Learning rate not too high.
    steps : (n_steps,) int
        Recorded steps.
    weight_norm, gradient_norm : dict of str to (n_runs, n_steps) float
        By layer; NaN where a run had diverged.
    weights : dict of str to (n_runs, n_steps, n_weights) float32
        Weight vectors of the convolutions.
    correlation : dict of str to (n_runs, n, n) float32
        Filter correlations at the last recorded step.
    """

    is_plain: np.ndarray
    steps: np.ndarray
    weight_norm: dict[str, np.ndarray]
    gradient_norm: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    correlation: dict[str, np.ndarray]


def read_dynamics(path: Path) -> Dynamics:
    """Read the ensemble of ``dynamics.toml``."""
    ensemble = Ensemble.open(path)
    (group,) = ensemble.groups
    table = ensemble.run_table()
    steps = np.array(group.recorded_steps())
    return Dynamics(
        is_plain=np.array([session == "plain" for session in table["session"]]),
        steps=steps,
        weight_norm=_curves(ensemble, "weight_norm", steps),
        gradient_norm=_curves(ensemble, "gradient_norm", steps),
        weights={layer: _weights(group, layer) for layer in LAYERS},
        correlation={x: group.filters(x, CORRELATION, int(steps[-1])) for x in LAYERS},
    )


def _curves(ensemble: Ensemble, what: str, steps: np.ndarray) -> dict[str, np.ndarray]:
    curves = {layer: ensemble.curve(f"{what}:{name}") for layer, name in PARAMETERS.items()}
    return {
        layer: curve.values[:, np.searchsorted(curve.steps, steps)]
        for layer, curve in curves.items()
    }


def _weights(group, layer: str) -> np.ndarray:
    stacks = [group.filters(layer, WEIGHT, step) for step in group.recorded_steps(layer, WEIGHT)]
    return np.stack([stack.reshape(len(stack), -1) for stack in stacks], axis=1)


@dataclass(frozen=True)
class Reduction:
    """Runs as they are and runs that merge filters, of the same seeds.

    Attributes
    ----------
    seed : (n_runs,) int
    threshold : (n_runs,) float
        Correlation from which filters are merged; NaN for runs that are left as they are.
    epochs : (n_epochs,) float
    accuracy : (n_runs, n_epochs) float
        On the test split.
    n_filters : dict of str to (n_runs, n_steps) int
        By layer.
    """

    seed: np.ndarray
    threshold: np.ndarray
    epochs: np.ndarray
    accuracy: np.ndarray
    n_filters: dict[str, np.ndarray]

    @property
    def untouched(self) -> np.ndarray:
        """(n_runs,) bool."""
        return np.isnan(self.threshold)

    def thresholds(self) -> list[float]:
        """Thresholds, the highest first."""
        return sorted({float(t) for t in self.threshold if np.isfinite(t)}, reverse=True)

    def runs_at(self, threshold: float) -> np.ndarray:
        """Return the runs that reduce with a threshold, by seed."""
        runs = np.flatnonzero(self.threshold == threshold)
        return runs[np.argsort(self.seed[runs])]

    def partners(self, runs: np.ndarray) -> np.ndarray:
        """Return the untouched runs of the same seeds."""
        own = np.flatnonzero(self.untouched)
        place = {int(seed): int(run) for seed, run in zip(self.seed[own], own)}
        return np.array([place[int(seed)] for seed in self.seed[runs]])


def read_reduction(path: Path) -> Reduction:
    """Read the ensemble of ``reduction.toml``."""
    ensemble = Ensemble.open(path)
    table = ensemble.run_table()
    accuracy = ensemble.curve(TEST_ACCURACY)
    numbers = {layer: ensemble.curve(f"n_filters:{layer}").values for layer in LAYERS}
    return Reduction(
        seed=np.asarray(table["seed"], int),
        threshold=np.asarray(table["reduce_threshold"], float),
        epochs=accuracy.steps / paper.EPOCH,
        accuracy=accuracy.values,
        n_filters={layer: values.astype(int) for layer, values in numbers.items()},
    )
