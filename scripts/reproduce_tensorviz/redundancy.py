"""The observations on accuracy, redundant filters and their reduction (figures 4 and 5)."""

from __future__ import annotations

import numpy as np
from reproduction.finding import Finding, Statistic, judge, spread
from scipy import stats

from reproduce_tensorviz import paper
from reproduce_tensorviz.study import Dynamics, Reduction

SIMILAR = 0.9
"""Pearson correlation from which the reproduction calls two filters similar."""


def accuracy_reached(study: Reduction) -> Finding:
    """Observation 1."""
    runs = study.accuracy[study.untouched]
    early = study.epochs <= paper.EPOCHS_TO_ACCURACY
    best = runs[:, early].max(axis=1)
    reached = [
        study.epochs[np.argmax(run >= paper.ACCURACY)]
        for run in runs
        if run.max() >= paper.ACCURACY
    ]
    at_end = runs[:, np.flatnonzero(early)[-1]]
    found = (
        Statistic("best accuracy on the test split within 16 epochs", *spread(best)),
        Statistic("accuracy after 16 epochs", *spread(at_end)),
        *(
            [Statistic("first epoch with 99.2 %", *spread(np.array(reached)))]
            if len(reached) == len(runs)
            else []
        ),
    )
    return Finding(
        "1",
        "holds when all seeds reach 99.2 % on the test split within 16 epochs; partly when one "
        "does, or all reach 99.0 %",
        found,
        judge(
            bool((best >= paper.ACCURACY).all()),
            bool((best >= paper.ACCURACY).any() or (best >= 0.99).all()),
        ),
        f"{100 * np.mean(best):.2f} % is the best within 16 epochs, {100 * np.mean(at_end):.2f} % "
        "stand after them",
    )


def redundant_filters(study: Dynamics) -> Finding:
    """Observation 7."""
    found, has = [], []
    for layer, matrices in study.correlation.items():
        upper = np.triu_indices(matrices.shape[1], 1)
        pairs = matrices[study.is_plain][:, upper[0], upper[1]]
        count = (pairs >= SIMILAR).sum(axis=1)
        magnitude = (np.abs(pairs) >= SIMILAR).sum(axis=1)
        has.append(count > 0)
        n_pairs = len(upper[0])
        found += [
            Statistic(f"pairs of filters of {layer} with r >= 0.9, of {n_pairs}", *spread(count)),
            Statistic(f"pairs of filters of {layer} with |r| >= 0.9", *spread(magnitude)),
        ]
    return Finding(
        "7",
        "holds when both layers of all runs hold pairs with r >= 0.9, partly when one layer does",
        tuple(found),
        judge(bool(np.all(has)), any(bool(np.all(layer)) for layer in has)),
        "; ".join(f"{s.value:.1f} {s.name}" for s in found[::2]),
    )


def reduction_keeps_accuracy(study: Reduction) -> Finding:
    """Observation 8: at the threshold that comes nearest to the poster's twelve filters."""
    found, kept = [], {}
    for threshold in study.thresholds():
        runs = study.runs_at(threshold)
        partners = study.partners(runs)
        lost = 100 * (study.accuracy[partners, -1] - study.accuracy[runs, -1])
        left = {layer: n[runs, -1] for layer, n in study.n_filters.items()}
        kept[threshold] = (lost, left["conv1"])
        found.append(Statistic(f"r >= {threshold:g}: percentage points lost", *mean_interval(lost)))
        found += [
            Statistic(f"r >= {threshold:g}: filters left in {layer}", *spread(n))
            for layer, n in left.items()
        ]
    chosen = min(kept, key=lambda t: abs(np.mean(kept[t][1]) - paper.FILTERS_LEFT))
    lost, left = kept[chosen]
    fine = 100 * paper.ACCURACY_LOST
    return Finding(
        "8",
        "at the threshold that leaves nearest to 12 filters in conv1: holds when at most 13 are "
        "left and at most 0.1 percentage points are lost against the untouched networks of the "
        "same seeds (mean); partly when one of both",
        tuple(found),
        judge(
            bool(np.mean(left) <= 13 and np.mean(lost) <= fine),
            bool(np.mean(left) <= 13 or np.mean(lost) <= fine),
        ),
        f"r >= {chosen:g} leaves {np.mean(left):.1f} of 16 filters in conv1 and loses "
        f"{np.mean(lost):+.2f} percentage points ({len(lost)} seeds)",
    )


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval by Student's t."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return mean, mean - float(half), mean + float(half)
