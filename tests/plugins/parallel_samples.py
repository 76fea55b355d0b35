"""An ensemble of everything that filters look at, in groups of several widths, one of one run."""

from __future__ import annotations

import numpy as np

from pvensemble import schema
from pvensemble.store import EnsembleWriter, HyperParameter, LayerInfo, RunInfo, SessionInfo

STEPS = (0, 10, 20, 30)
WIDTHS = (6, 4, 6)
MEMBERS = ((0, 2, 4, 6, 7), (1, 3, 5), (8,))
"""Runs of each group."""
N_RUNS = sum(map(len, MEMBERS))
KINDS = (*schema.KINDS, schema.FILTER_GROUP)


def recorded(runs: tuple, width: int, step: int) -> dict:
    """Return the tensors of a layer at a step, by kind."""
    n = len(runs)
    random = [np.random.default_rng([run, step]) for run in runs]
    weights = np.stack([r.normal(size=(width, 2, 3, 3)) for r in random])
    signals = np.stack([r.normal(size=(width, 8)) + r.normal(size=(1, 8)) for r in random])
    correlation = np.stack([np.corrcoef(s) for s in signals])
    maps = np.stack([r.normal(size=(width, 2, 5, 5)) for r in random])
    gram = np.stack([r.normal(size=(2, 4, 4)) for r in random])
    gram = gram + gram.transpose(0, 1, 3, 2)
    gram[:, :, np.arange(4), np.arange(4)] = 0
    gram /= np.linalg.norm(gram.reshape(n, -1), axis=1).reshape(n, 1, 1, 1)
    standing = np.tile(np.arange(width, dtype=float), (n, 1))
    if step >= 20:  # the last filter of every other run joins the first one
        standing[::2, -1] = 0
        weights[::2, -1] = maps[::2, -1] = 0
        correlation[::2, -1] = correlation[::2, :, -1] = np.nan
    return {
        schema.WEIGHT: weights,
        schema.GRADIENT: 0.1 * weights,
        schema.CORRELATION: correlation,
        schema.ACTIVATION: maps,
        schema.GRAM: gram,
        schema.FILTER_GROUP: standing,
    }


def make_parallel(path, last=STEPS[-1]):
    """Write runs 0 to 8 with layers conv1 and conv2, up to a step; return the path."""
    steps = [step for step in STEPS if step <= last]
    writer = EnsembleWriter.create(
        path,
        name=path.stem,
        sessions=[SessionInfo("all", "#1f77b4", {})],
        hyper_parameters=[
            HyperParameter("learning_rate", "float", "log"),
            HyperParameter("momentum", "float", "linear"),
        ],
        provenance={},
    )
    for runs, width in zip(MEMBERS, WIDTHS):
        layers = [LayerInfo(f"conv{k}", "Conv2d", (width, 2, 3, 3), KINDS) for k in (1, 2)]
        infos = [
            RunInfo(
                f"run{k}", {"learning_rate": 0.01 * (k + 1), "momentum": k % 3 / 4}, k, "all", k
            )
            for k in runs
        ]
        group = writer.create_group(infos, layers)
        group.set_states(range(len(runs)), schema.RUNNING, step=0)
        for step in steps:
            _commit(group, runs, width, step)
        group.set_states(range(len(runs)), schema.COMPLETE, step=last)
        group.close()
    writer.finish()
    return path


def _commit(group, runs: tuple, width: int, step: int) -> None:
    tensors, metrics = {}, {}
    for number, layer in enumerate(("conv1", "conv2")):
        found = recorded(runs, width, step + 100 * number)
        if number:
            found[schema.FILTER_GROUP] = np.tile(np.arange(width), (len(runs), 1))
        tensors |= {(layer, kind): values.astype(np.float32) for kind, values in found.items()}
        for prefix, kind in ((schema.WEIGHT_NORM, "weight"), (schema.GRADIENT_NORM, "gradient")):
            norms = np.linalg.norm(found[kind].reshape(len(runs), -1), axis=1)
            metrics[f"{prefix}{layer}.weight"] = ([step], norms[None])
    accuracy = 0.1 + 0.02 * step + 0.01 * np.array([runs])
    metrics[schema.VALIDATION_ACCURACY] = ([step], accuracy)
    metrics[schema.VALIDATION_LOSS] = ([step], -np.log(accuracy))
    if step == STEPS[0]:
        tensors[schema.PROBE_IMAGES] = np.arange(98, dtype=np.float32).reshape(1, 1, 2, 7, 7)
    group.commit(step, tensors, metrics)
