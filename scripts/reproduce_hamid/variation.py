"""What one grid of runs with equal initial weights cannot tell: other seeds, and larger steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pvensemble.numerics.performance import broken_runs, performance_table
from pvensemble.schema import CORRELATION
from pvensemble.store import Ensemble
from reproduce_hamid import paper
from reproduce_hamid.runs import at_or_before, times
from reproduce_hamid.training import CORNERS

NAMES = {(0, 0): "cyan", (0, 1): "high momentum", (1, 0): "high learning rate", (1, 1): "red"}
"""The corners of the grid: (learning rate, momentum), 1 for high."""


def corner_values(path: Path) -> dict[str, dict[str, list[float]]]:
    """Return measures and filter correlations of each corner of the grid over seeds.

    Returns
    -------
    dict of corner to dict of name to list
        ``P1``, ``P2``, ``deviation`` (percentage points), ``pairs`` above the threshold and mean
        |r| ``level`` of conv2 at the step of the embedding; one value a seed.
    """
    columns, table = _measured(path)
    high = [np.isclose(table[n], c[1]) for n, c in zip(("learning_rate", "momentum"), CORNERS)]
    return {
        name: {
            key: values[(high[0] == r) & (high[1] == m)].tolist() for key, values in columns.items()
        }
        for (r, m), name in NAMES.items()
    }


def larger_steps(path: Path) -> dict[str, list[float]]:
    """Return P1, P2 and the deviation over effective steps beyond the grid's red corner."""
    columns, table = _measured(path)
    effective = table["learning_rate"] / (1 - table["momentum"])
    order = np.argsort(effective)
    kept = {"effective": effective, **{n: columns[n] for n in ("P1", "P2", "deviation")}}
    return {name: values[order].tolist() for name, values in kept.items()}


def _measured(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    ensemble = Ensemble.open(path)
    table = ensemble.run_table()
    curve = ensemble.curve(ensemble.accuracy_metric)
    p1_step, interval, step = times(int(curve.steps[-1]))
    measures = performance_table(
        curve.steps,
        curve.values,
        p1_step=p1_step,
        interval=interval,
        broken=broken_runs(table["state"]),
    )
    (group,) = ensemble.groups
    steps = np.array(group.recorded_steps(paper.SIMILARITY_LAYER, CORRELATION))
    at = int(steps[at_or_before(steps, step)])
    stack = np.abs(group.filters(paper.SIMILARITY_LAYER, CORRELATION, at))
    stack = stack[np.argsort(group.run_indices)]
    above = np.triu_indices(stack.shape[1], 1)
    pairs = stack[:, above[0], above[1]]
    columns = {
        "P1": measures["P1"],
        "P2": measures["P2"],
        "deviation": np.nan_to_num(measures["P3_deviation"], nan=-1.0),
        "pairs": (pairs > paper.THRESHOLD).sum(axis=1),
        "level": pairs.mean(axis=1, dtype=np.float64),
    }
    return columns, table
