"""Small ensembles whose weights move in known ways."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pvensemble import schema
from pvensemble.store import EnsembleWriter, HyperParameter, LayerInfo, RunInfo, SessionInfo

STEPS = list(range(0, 410, 10))


@dataclass
class Dynamics:
    """An ensemble of which run i is in group ``i % len(widths)``; see `make_dynamics`."""

    path: Path
    steps: list
    weights: list
    gradients: list
    kinds: tuple = (schema.WEIGHT,)
    writer: EnsembleWriter = None
    groups: list = field(default_factory=list)

    def commit(self, group: int, place: int, dead: int = 0) -> None:
        """Record the step at a place of ``steps``, of a group; the first filters are dead."""
        members = range(group, len(self.weights), len(self.groups))
        weights = np.stack([self.weights[i][place] for i in members]).astype(np.float32)
        gradients = np.stack([self.gradients[i][place] for i in members]).astype(np.float32)
        n_filters = weights.shape[1]
        correlation = np.full((len(members), n_filters, n_filters), 0.5, np.float32)
        correlation[:, :dead] = correlation[:, :, :dead] = 0
        correlation[:, np.arange(n_filters), np.arange(n_filters)] = 1
        recorded = {
            schema.WEIGHT: weights,
            schema.GRADIENT: gradients,
            schema.CORRELATION: correlation,
        }
        tensors = {("conv", kind): recorded[kind] for kind in self.kinds}
        step = self.steps[place]
        metrics = {schema.VALIDATION_ACCURACY: ([step], np.full((1, len(members)), 0.5))}
        for prefix, values in (
            (schema.WEIGHT_NORM, weights),
            (schema.GRADIENT_NORM, gradients),
        ):
            norms = np.sqrt(np.sum(values.astype(float) ** 2, axis=(1, 2, 3, 4)))
            metrics[prefix + "conv.weight"] = ([step], norms[None])
        self.groups[group].commit(step, tensors, metrics)

    def close(self) -> None:
        for group in self.groups:
            group.close()
        self.writer.finish()


def walk(seed, width, *, steps=STEPS):
    """Weights (n_steps, width, 2, 3, 3) of a random walk."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=(len(steps), width, 2, 3, 3)), axis=0)


def straight(seed, width, *, steps=STEPS):
    """Weights that go straight ahead."""
    direction = np.random.default_rng(seed).normal(size=(width, 2, 3, 3))
    return 1 + np.arange(len(steps)).reshape(-1, 1, 1, 1, 1) * direction


def jitter(seed, width, *, steps=STEPS):
    """Weights that stay where they are but for noise."""
    return np.random.default_rng(seed).normal(size=(len(steps), width, 2, 3, 3))


def make_dynamics(
    path,
    weights,
    gradients=None,
    *,
    widths=(4,),
    states=None,
    steps=STEPS,
    upto=None,
    kinds=(schema.WEIGHT,),
    dead=0,
    finish=True,
) -> Dynamics:
    """Write an ensemble with a layer ``conv``.

    Parameters
    ----------
    path : Path
    weights : list of (n_steps, n_filters, 2, 3, 3) arrays
        Of each run.
    gradients : list, optional
        Likewise; as long as the weights, tenth as large, when omitted.
    widths : tuple of int
        Filters of the runs of each group: run i is in group ``i % len(widths)``.
    states : dict of int to (state, step), optional
        Of runs that ended otherwise than complete.
    steps : list of int
    upto : int, optional
        Record only so many steps.
    kinds : tuple of str
        Tensors that are recorded, of weight, gradient and correlation.
    dead : int
        Number of filters without variance.
    finish : bool
        Close it.
    """
    gradients = [0.1 * w for w in weights] if gradients is None else gradients
    made = Dynamics(Path(path), list(steps), weights, gradients, tuple(kinds))
    made.writer = EnsembleWriter.create(
        path,
        name="dynamics",
        sessions=[SessionInfo("first", "#1f77b4", {})],
        hyper_parameters=[HyperParameter("learning_rate", "float", "log")],
        provenance={},
    )
    for group, width in enumerate(widths):
        members = range(group, len(weights), len(widths))
        runs = [
            RunInfo(f"run{i}", {"learning_rate": 0.01 * 2.0**i}, i, "first", i) for i in members
        ]
        layer = LayerInfo("conv", "Conv2d", (width, 2, 3, 3), made.kinds)
        made.groups.append(made.writer.create_group(runs, [layer]))
        made.groups[-1].set_states(range(len(runs)), schema.RUNNING, step=0)
    for place in range(len(steps) if upto is None else upto):
        for group in range(len(widths)):
            made.commit(group, place, dead)
    for group, handle in enumerate(made.groups):
        for row, run in enumerate(range(group, len(weights), len(widths))):
            state, step = (states or {}).get(run, (None, 0))
            if state is not None:
                handle.set_states([row], state, step=step, reason="as the test says")
            elif finish:
                handle.set_states([row], schema.COMPLETE, step=steps[-1])
    if finish:
        made.close()
    return made
