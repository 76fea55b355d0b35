"""The observations on the path of the weight vector, and the update rule (figure 3, right)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from reproduction.finding import Finding, Statistic, judge, spread

from pvensemble.numerics.trajectories import motion
from pvensemble.schema import GRADIENT, WEIGHT
from pvensemble.store import Ensemble
from reproduce_tensorviz import paper
from reproduce_tensorviz.study import LAYERS, Dynamics

LEARNING_RATE = 0.05
"""Of all ensembles of the poster's network (``*.toml``), but for those that are too high."""
STILL = 1e-6
"""Movement between recorded steps, relative to the norm, below which weights stand still."""


def random_walk(study: Dynamics) -> Finding:
    """Observation 5: of the whole weight vector, and of the two weights that the poster shows."""
    found, alike, plane = [], [], []
    for layer, weights in study.weights.items():
        runs = weights[study.is_plain]
        moved = [motion(path, study.steps) for path in runs]
        alike += [m.kind == "random walk" for m in moved]
        plane += [motion(path[:, :2], study.steps).kind == "random walk" for path in runs]
        found += [
            Statistic(
                f"exponent of the mean squared displacement of {layer} (random walk 1, straight 2)"
                ", median run",
                *(float(np.median([getattr(m, k) for m in moved])) for k in INTERVAL),
            ),
            Statistic(
                f"correlation of neighbouring increments of {layer} (random walk within "
                f"{np.median([m.band for m in moved]):.2f}), median run",
                float(np.median([m.increment_correlation for m in moved])),
            ),
        ]
    whole, seen = float(np.mean(alike)), float(np.mean(plane))
    found += [
        Statistic("share of weight vectors that move like a random walk", whole),
        Statistic("share of paths of the first two weights alone that do", seen),
    ]
    return Finding(
        "5",
        "holds when 90 % of the weight vectors move like a random walk (neither the exponent of "
        "the mean squared displacement nor the correlation of increments differs from a random "
        "walk's with 95 % certainty); partly when half of them do",
        tuple(found),
        judge(whole >= 0.9, whole >= 0.5),
        f"{whole:.0%} of the weight vectors move like a random walk; seen in two weights, "
        f"{seen:.0%}",
    )


INTERVAL = ("exponent", "low", "high")


def stuck_weights(study: Dynamics) -> Finding:
    """Observation 6: from when on most weights stand still, or nothing is learned."""
    found, stuck = [], []
    for is_high, name in ((~study.is_plain, "too high"), (study.is_plain, "plain")):
        ends = np.array([still_from(study, run) for run in np.flatnonzero(is_high)])
        ended = np.isfinite(ends)
        stuck.append(ended)
        share = f"share of runs with a learning rate that is {name} that get stuck"
        found.append(Statistic(share, float(np.mean(ended))))
        if ended.any():
            when = spread(ends[ended])
            found.append(Statistic(f"{name}: step from which on they are stuck", *when))
    high, plain = stuck
    early = bool(high.all()) and found[1].value <= paper.EPOCH
    return Finding(
        "6",
        "a run is stuck from the step on after which more than half of the weights of both "
        "convolutions never move again, or it diverged; holds when all runs with learning rates "
        "of 0.5 and 1 get stuck within an epoch and none of the others does; partly when more of "
        "the former do",
        tuple(found),
        judge(early and not plain.any(), bool(high.mean() > plain.mean())),
        f"{high.mean():.0%} of the runs with a learning rate that is too high get stuck, "
        f"{plain.mean():.0%} of the others",
    )


def still_from(study: Dynamics, run: int) -> float:
    """Return the recorded step after which most weights stand still, NaN when they never do."""
    still = np.ones(len(study.steps) - 1, bool)
    for weights in study.weights.values():
        path = weights[run].astype(np.float64)
        moved = np.abs(np.diff(path, axis=0))
        scale = np.abs(path).mean(axis=1)[:-1, None]
        still &= (moved > STILL * scale).mean(axis=1) < 0.5
    moving = np.flatnonzero(~still)
    first = moving[-1] + 1 if len(moving) else 0
    return float(study.steps[first]) if first < len(still) else np.nan


def update_rule(path: Path) -> list[Statistic]:
    """Return how far recorded weights are from what the recorded gradients say, for each layer."""
    ensemble = Ensemble.open(path)
    (group,) = ensemble.groups
    steps = group.recorded_steps()
    found = []
    for layer in LAYERS:
        weights, gradients = (
            np.stack([group.filters(layer, kind, step) for step in steps]).astype(np.float64)
            for kind in (WEIGHT, GRADIENT)
        )
        update = LEARNING_RATE * gradients[:-1]
        off = np.abs(np.diff(weights, axis=0) + update).max()
        found.append(
            Statistic(
                f"{layer}, {len(steps) - 1} steps of {ensemble.n_runs} runs: largest deviation, "
                "relative to the largest update",
                float(off / np.abs(update).max()),
            )
        )
    return found
