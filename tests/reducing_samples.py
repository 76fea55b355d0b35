"""A small ensemble in which filters of some runs are merged during the training."""

from __future__ import annotations

import numpy as np

from pvensemble import schema
from pvensemble.store import EnsembleWriter, HyperParameter, LayerInfo, RunInfo, SessionInfo

STEPS = (0, 10, 20)
STANDING = {0: [0, 1, 2, 3, 4, 5], 10: [0, 1, 0, 3, 4, 5], 20: [0, 1, 0, 1, 4, 0]}
"""Of run 0: 2 joins 0, later 3 joins 1 and 5 joins 0."""
N_FILTERS = 6
ACCURACY = {0: 0.1, 10: 0.8, 20: 0.9125}


def kernels(run: int, step: int) -> np.ndarray:
    """Weights (6, 1, 3, 3) that tell run, step and place; those that are merged away are 0."""
    weights = run + step / 100 + np.arange(N_FILTERS * 9).reshape(N_FILTERS, 1, 3, 3) / 1000 - 0.02
    if run == 0:
        weights[np.array(STANDING[step]) != np.arange(N_FILTERS)] = 0
    return weights.astype(np.float32)


def correlations(sizes: list[int], step: int) -> np.ndarray:
    """Correlations of filters in clusters of given sizes: 0.3 within them, 0.9 at the last step."""
    label = np.repeat(np.arange(len(sizes)), sizes)
    matrix = np.where(label[:, None] == label, 0.3 + 0.03 * step, 0.1)
    np.fill_diagonal(matrix, 1.0)
    return matrix.astype(np.float32)


def make_reducing(path):
    """Write runs 0 (merges filters) and 1 (does not) in a group, 2 in one of 4 filters alone."""
    kinds = (schema.WEIGHT, schema.CORRELATION)
    group_kinds = ((*kinds, schema.FILTER_GROUP), kinds)
    members, widths = ((0, 1), (2,)), (N_FILTERS, 4)
    writer = EnsembleWriter.create(
        path,
        name=path.stem,
        sessions=[SessionInfo("all", "#1f77b4", {})],
        hyper_parameters=[HyperParameter("learning_rate", "float", "log")],
        provenance={},
    )
    for runs, width, of_group in zip(members, widths, group_kinds):
        layer = LayerInfo("conv1", "Conv2d", (width, 1, 3, 3), of_group)
        infos = [RunInfo(f"run{k}", {"learning_rate": 0.1 * (k + 1)}, k, "all", k) for k in runs]
        group = writer.create_group(infos, [layer])
        group.set_states(range(len(runs)), schema.RUNNING, step=0)
        for step in STEPS:
            n = len(runs)
            sizes = [2, 1, 3] if width == N_FILTERS else [2, 2]
            tensors = {
                ("conv1", schema.WEIGHT): np.stack([kernels(k, step)[:width] for k in runs]),
                ("conv1", schema.CORRELATION): np.stack([correlations(sizes, step)] * n),
            }
            if schema.FILTER_GROUP in of_group:
                standing = [STANDING[step], STANDING[0]]
                tensors["conv1", schema.FILTER_GROUP] = np.array(standing, np.float32)
            metrics = {schema.VALIDATION_ACCURACY: ([step], np.full((1, n), ACCURACY[step]))}
            group.commit(step, tensors, metrics)
        group.close()
    writer.finish()
    return path
