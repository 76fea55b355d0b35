"""Synthetic ensembles on disk, with smooth accuracy curves that are known in closed form.

Used by the tests of the filters, the plug-in, the views and the command line::

    truth = make_ensemble(tmp_path / "small.pvens", n_lr=3, n_momentum=2, diverged=(4,))
    truth.path, truth.steps, truth.accuracy  # (n_runs, n_steps)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pvensemble import schema
from pvensemble.store import EnsembleWriter, HyperParameter, LayerInfo, RunInfo, SessionInfo

KINDS = (schema.WEIGHT, schema.GRADIENT, schema.CORRELATION)
LAYERS = (
    LayerInfo("conv1", "Conv2d", (4, 1, 3, 3), KINDS),
    LayerInfo("conv2", "Conv2d", (6, 4, 3, 3), KINDS),
)
SESSIONS = (SessionInfo("coarse", "#1f77b4", {}), SessionInfo("fine", "#d62728", {}))


@dataclass
class Truth:
    """What was written, for comparing."""

    path: Path
    steps: np.ndarray
    """(n_steps,) evaluated steps."""
    accuracy: np.ndarray
    """(n_runs, n_steps) validation accuracy as a fraction."""
    loss: np.ndarray
    """(n_runs, n_steps) validation loss."""
    params: list[dict]
    """Hyper-parameters of each run."""
    recorded_steps: list[int]
    states: list[str]
    groups: list[np.ndarray] = field(default_factory=list)
    """Run indices of each group."""

    @property
    def n_runs(self) -> int:
        return len(self.params)


def make_ensemble(
    path: Path,
    *,
    n_lr: int = 5,
    n_momentum: int = 5,
    steps: Sequence[int] = tuple(range(0, 101, 10)),
    recorded_steps: Sequence[int] = (0, 50, 100),
    diverged: Sequence[int] = (),
    groups: int = 1,
    sessions: int = 1,
    categorical: bool = False,
    finish: bool = True,
    kinds: Sequence[str] = KINDS,
    norms: bool = False,
) -> Truth:
    """Write an ensemble and return what is in it.

    Parameters
    ----------
    path : Path
        The ``.pvens`` file.
    n_lr, n_momentum : int
        Grid of learning rates (geometric, 1e-3 to 1e-1) and momenta (0 to 0.9); run index =
        ``i_lr * n_momentum + i_momentum``.
    steps : sequence of int
        Evaluated steps.
    recorded_steps : sequence of int
        Steps at which tensors are recorded; empty: none.
    diverged : sequence of int
        Runs that end DIVERGED half-way: not measured after that.
    groups : int
        Runs are dealt to groups in turn: run i is in group ``i % groups``.
    sessions : int
        1 or 2; with 2 the upper half of the runs is of session ``fine``.
    categorical : bool
        Add hyper-parameters ``optimizer`` (text), ``nesterov`` (bool) and ``batch_size`` (int).
    finish : bool
        False leaves all runs RUNNING (but for the diverged ones).
    kinds : sequence of str
        What is recorded of every layer, see `tensor`; with activations two probe images of 7 x 7,
        counted in thousandths, at the first recorded step.
    norms : bool
        Record the norms of every layer's weight and gradient, see `norm`.
    """
    steps = np.asarray(steps, np.int64)
    truth = _truth(path, n_lr, n_momentum, steps, recorded_steps, diverged, categorical, finish)
    truth.groups = [np.arange(g, truth.n_runs, groups) for g in range(groups)]
    with EnsembleWriter.create(
        path,
        name=path.stem,
        sessions=SESSIONS[:sessions],
        hyper_parameters=hyper_parameters(categorical),
        provenance={"config": "synthetic"},
    ) as writer:
        for indices in truth.groups:
            layers = [replace(layer, kinds=tuple(kinds)) for layer in LAYERS]
            group = writer.create_group(_runs(truth, indices, sessions), layers)
            _write_group(group, truth, indices, diverged, finish, norms)
            group.close()
        writer.finish()
    return truth


def hyper_parameters(categorical: bool) -> list[HyperParameter]:
    """Return the hyper-parameters of a synthetic ensemble."""
    numeric = [
        HyperParameter("learning_rate", "float", "log"),
        HyperParameter("momentum", "float", "linear"),
    ]
    more = [
        HyperParameter("optimizer", "categorical", "categorical"),
        HyperParameter("nesterov", "bool", "categorical"),
        HyperParameter("batch_size", "int", "log"),
    ]
    return numeric + (more if categorical else [])


def accuracy_curves(rates: np.ndarray, momenta: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return accuracies ``0.1 + top (1 - exp(-speed t))`` (n_runs, n_steps), higher rates faster.

    ``speed`` is the effective rate ``lr / (1 - momentum)`` in units of 1/s with s = 50 steps at
    0.01; ``top`` falls with the rate, which makes the best rate one in the middle.
    """
    effective = (rates / (1.0 - momenta))[:, None]
    top = 0.89 / (1.0 + effective)
    return 0.1 + top * (1.0 - np.exp(-2.0 * effective * steps[None, :]))


def tensor(layer: LayerInfo, kind: str, step: int, indices: np.ndarray) -> np.ndarray:
    """Return the tensor of some runs: every value says which run, step and place it is of.

    Correlations are (n_filters, n_filters), activations of 2 images (n_filters, 2, 5, 5), Gram
    matrices of 2 minibatches (2, 4, 4), none of them what such a thing may be.
    """
    n_filters = layer.shape[0]
    shapes = {
        schema.CORRELATION: (n_filters, n_filters),
        schema.ACTIVATION: (n_filters, 2, 5, 5),
        schema.GRAM: (2, 4, 4),
    }
    shape = shapes.get(kind, layer.shape)
    place = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 1000
    run = np.asarray(indices, np.float32).reshape((-1,) + (1,) * len(shape))
    return run + np.float32(step / 1000) + place + np.float32(10 * schema.KINDS.index(kind))


def norm(layer: LayerInfo, kind: str, step: int, indices: np.ndarray) -> np.ndarray:
    """Return the norms (n_runs,) that are recorded of some runs.

    Of the weight 2 + 0.1 (run + 1) (step / 10)^0.5 times the number of the layer, of the gradient
    its inverse.
    """
    number = 1 + [one.name for one in LAYERS].index(layer.name)
    weight = number * (2 + 0.1 * (np.asarray(indices) + 1.0) * (step / 10) ** 0.5)
    return weight if kind == schema.WEIGHT_NORM else 1 / weight


def _norms(group, truth: Truth, indices, diverged, step: int) -> dict:
    """Return the metrics of norms at a step; a run that has diverged has no gradient."""
    metrics = {}
    for layer in group.layers:
        for kind in (schema.WEIGHT_NORM, schema.GRADIENT_NORM):
            values = norm(layer, kind, step, indices)
            if kind == schema.GRADIENT_NORM and step > truth.steps[-1] // 2:
                values = np.where(np.isin(indices, diverged), np.nan, values)
            metrics[f"{kind}{layer.name}.weight"] = ([step], values[None])
    return metrics


def _truth(path, n_lr, n_momentum, steps, recorded, diverged, categorical, finish) -> Truth:
    rates = np.repeat(np.geomspace(1e-3, 1e-1, n_lr), n_momentum)
    momenta = np.tile(np.linspace(0.0, 0.9, n_momentum), n_lr)
    accuracy = accuracy_curves(rates, momenta, steps)
    loss = -np.log(accuracy)
    params = []
    for i, (rate, momentum) in enumerate(zip(rates, momenta)):
        params.append({"learning_rate": float(rate), "momentum": float(momentum)})
        if categorical:
            params[i].update(
                optimizer=("sgd", "adam", "rmsprop")[i % 3],
                nesterov=bool(i % 2),
                batch_size=(16, 32, 64, 128)[i % 4],
            )
    states = [schema.COMPLETE if finish else schema.RUNNING] * len(params)
    for run in diverged:
        states[run] = schema.DIVERGED
        accuracy[run, steps > steps[-1] // 2] = np.nan
        loss[run, steps > steps[-1] // 2] = np.nan
    return Truth(Path(path), steps, accuracy, loss, params, list(recorded), states)


def _runs(truth: Truth, indices: np.ndarray, sessions: int) -> list[RunInfo]:
    half = truth.n_runs / 2
    return [
        RunInfo(
            run_id=f"run{i:04d}",
            params=truth.params[i],
            seed=100 + int(i),
            session=SESSIONS[int(sessions > 1 and i >= half)].name,
            run_index=int(i),
        )
        for i in indices
    ]


def _write_group(group, truth: Truth, indices, diverged, finish: bool, norms: bool) -> None:
    here = range(len(indices))
    group.set_states(here, schema.RUNNING, step=0)
    stops = sorted({*truth.recorded_steps, int(truth.steps[-1])})
    done = -1
    for stop in stops:
        rows = (truth.steps > done) & (truth.steps <= stop)
        metrics = {
            schema.VALIDATION_ACCURACY: (truth.steps[rows], truth.accuracy[indices][:, rows].T),
            schema.VALIDATION_LOSS: (truth.steps[rows], truth.loss[indices][:, rows].T),
        }
        if norms and stop in truth.recorded_steps:
            metrics.update(_norms(group, truth, indices, diverged, stop))
        tensors = {}
        if stop in truth.recorded_steps:
            tensors = {
                (layer.name, kind): tensor(layer, kind, stop, indices)
                for layer in group.layers
                for kind in layer.kinds
            }
            if stop == truth.recorded_steps[0] and schema.ACTIVATION in group.layers[0].kinds:
                images = np.arange(2 * 49, dtype=np.float32).reshape(1, 1, 2, 7, 7) / 1000
                tensors[schema.PROBE_IMAGES] = images
        metrics = {name: (at, values) for name, (at, values) in metrics.items() if len(at)}
        group.commit(stop, tensors, metrics)
        done = stop
    bad = [i for i in here if indices[i] in diverged]
    good = [i for i in here if i not in bad]
    last = int(truth.steps[-1])
    group.set_states(bad, schema.DIVERGED, step=last // 2, reason="loss is NaN")
    if finish:
        group.set_states(good, schema.COMPLETE, step=last)
