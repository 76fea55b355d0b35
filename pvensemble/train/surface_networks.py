"""The stored networks of some runs, as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pvensemble import schema
from pvensemble.errors import ConfigError, NotRecordedError
from pvensemble.store import Ensemble, Group


@dataclass(frozen=True)
class RunNetworks:
    """Networks of one shape.

    Attributes
    ----------
    run_ids, steps : list
        Of the runs, and the last step of each that is stored.
    shapes : dict
        Name of each parameter and buffer to its shape, in the order of the vectors.
    final : numpy.ndarray
        (n_runs, n_values) float32: the network of each run at its last step.
    path : numpy.ndarray
        (n_points, n_values) float32: all stored networks of the runs that have several.
    path_run, path_step : numpy.ndarray
        (n_points,) int64: place of the run in ``run_ids``, and step.
    """

    run_ids: list[str]
    steps: list[int]
    shapes: dict[str, tuple[int, ...]]
    final: np.ndarray
    path: np.ndarray
    path_run: np.ndarray
    path_step: np.ndarray


def run_networks(ensemble: Ensemble, runs: Sequence[int], *, whole: bool) -> RunNetworks:
    """Read the networks of runs.

    Parameters
    ----------
    runs
        Run indices.
    whole
        Whether the trajectory is needed: there must be at least three networks of each run.

    Raises
    ------
    NotRecordedError
        There is no such run, or its networks are not stored.
    ConfigError
        The networks are of different shapes, or of a run that failed or diverged.
    """
    places = [_place(ensemble, run) for run in runs]
    shapes = places[0][0].index.parameters
    for run, (group, _) in zip(runs, places):
        if dict(group.index.parameters) != dict(shapes):
            raise ConfigError(
                f"runs: the networks of runs {runs[0]} and {run} are of different shape; choose "
                "runs whose models are equal"
            )
        if whole and len(group.network_steps) < 3:
            stored = " and ".join(map(str, group.network_steps))
            raise NotRecordedError(
                f"{ensemble.path}: of run {run} the network is stored at step {stored} only, which "
                "is no trajectory; train with --set record.networks=all, or use --directions random"
            )
    found = [_of_run(run, *place) for run, place in zip(runs, places)]
    paths = [(i, steps, vectors) for i, (steps, vectors) in enumerate(found) if len(steps) > 1]
    empty = np.empty((0, found[0][1].shape[1]), np.float32)
    return RunNetworks(
        [group.runs[position].run_id for group, position in places],
        [int(steps[-1]) for steps, _ in found],
        dict(shapes),
        np.stack([vectors[-1] for _, vectors in found]),
        np.concatenate([empty, *(vectors for _, _, vectors in paths)]),
        np.repeat(np.array([i for i, *_ in paths], np.int64), [len(s) for _, s, _ in paths]),
        np.concatenate([np.empty(0, np.int64), *(steps for _, steps, _ in paths)]),
    )


def _place(ensemble: Ensemble, run: int) -> tuple[Group, int]:
    """Return the group of a run that has networks, and its position there."""
    for group in ensemble.groups:
        found = np.flatnonzero(group.run_indices == run)
        if run >= 0 and len(found):
            break
    else:
        raise NotRecordedError(
            f"{ensemble.path}: there is no run {run}; there are runs 0 to {ensemble.n_runs - 1}"
        )
    position = int(found[0])
    state = group.index.states[position]
    if state.state in schema.BROKEN:
        raise ConfigError(
            f"run {run} is {state.state} ({state.reason or 'no reason is known'}) and has no final "
            "network; choose another run"
        )
    if not group.network_steps:
        raise NotRecordedError(
            f"{ensemble.path}: no whole network of run {run} is stored; train without "
            "record.networks = none, and to the end"
        )
    return group, position


def _of_run(run: int, group: Group, position: int) -> tuple[np.ndarray, np.ndarray]:
    """Return steps (n,) and networks (n, n_values) of a run."""
    steps = group.network_steps
    vectors = [group.filters(*schema.NETWORK, step)[position] for step in steps]
    for step, vector in zip(steps, vectors):
        if not np.isfinite(vector).all():
            raise ConfigError(
                f"run {run}: its network at step {step} holds values that are not finite; choose "
                "another run"
            )
    return np.array(steps, np.int64), np.array(vectors, np.float32)
