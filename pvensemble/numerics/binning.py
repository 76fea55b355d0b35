"""Cells of a performance heat map: which runs share a pair of hyper-parameter values.

A grid search gives one cell for each pair of real values. A random search hardly ever repeats a
value, so its axes are cut into equal bins on the axis' own scale. Nothing is interpolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pvensemble.numerics.axes import positions, value_at
from pvensemble.numerics.axis_scales import CATEGORICAL, Axis
from pvensemble.numerics.ticks import Tick, number_labels, short_labels

MAX_EXACT = 64
FEW = 8
NO_VALUE = "no value"
MAX_LABEL = 32


@dataclass(frozen=True)
class Bins:
    """One axis of a heat map.

    Attributes
    ----------
    index : numpy.ndarray
        (n_runs,) int64 bin of each run.
    n_bins : int
        Bins are drawn side by side, each one unit wide; bin b covers [b, b + 1].
    ticks : list of Tick
        ``position`` in units of bins: centres of exact values, edges of binned ranges.
    is_exact : bool
        Whether every bin is one real value.
    """

    index: np.ndarray
    n_bins: int
    ticks: list[Tick]
    is_exact: bool


def bin_axis(axis: Axis, values: np.ndarray, *, n_bins: int = 0, alone: bool = False) -> Bins:
    """Sort the runs into the bins of one axis.

    Parameters
    ----------
    axis : Axis
    values : numpy.ndarray
        (n_runs,) values of its column.
    n_bins : int
        Number of bins for values that do not lie on a grid; 0 chooses by the number of runs.
    alone : bool
        The heat map has only this axis.

    Returns
    -------
    Bins
        Runs without a value go to an additional first bin, labelled ``no value``.
    """
    place = positions(axis, values)
    missing = np.isnan(place)
    if axis.is_empty:
        return _with_missing(np.zeros(len(place), np.int64), 0, [], missing, is_exact=True)
    if axis.scale == CATEGORICAL:
        exact, index = _categories(axis, place)
    else:
        levels, inverse = np.unique(place[~missing], return_inverse=True)
        n_values = len(levels)
        n_present = int((~missing).sum())
        is_grid = n_values <= FEW or n_present >= 2 * n_values or alone
        if is_grid and n_values <= MAX_EXACT:
            index = np.zeros(len(place), np.int64)
            index[~missing] = inverse
            exact = _level_ticks(axis, values, place, levels)
        else:
            n = n_bins or int(np.clip(round(0.75 * math.sqrt(n_present)), 4, 20))
            return _with_missing(*_ranges(axis, place, n), missing, is_exact=False)
    return _with_missing(index, len(exact), exact, missing, is_exact=True)


def _categories(axis: Axis, place: np.ndarray) -> tuple[list[Tick], np.ndarray]:
    """Return one tick for each category and the category of each run."""
    n = len(axis.labels)
    order = range(n - 1, -1, -1) if axis.flipped else range(n)
    texts = short_labels(axis.labels, MAX_LABEL)
    ticks = [Tick(k + 0.5, texts[c], float(c)) for k, c in enumerate(order)]
    index = np.rint(np.nan_to_num(place) * max(n - 1, 0)).astype(np.int64)
    return ticks, index


def _level_ticks(axis, values, place, levels) -> list[Tick]:
    """Return one tick for each distinct value, labelled with the value itself."""
    first = [int(np.flatnonzero(place == level)[0]) for level in levels]
    real = np.clip(np.asarray(values, np.float64)[first], axis.lo, axis.hi)
    return [Tick(k + 0.5, t, float(v)) for k, (t, v) in enumerate(zip(number_labels(real), real))]


def _ranges(axis: Axis, place: np.ndarray, n: int) -> tuple[np.ndarray, int, list[Tick]]:
    """Return the bin of each run among n equal ranges, and a tick at each edge."""
    index = np.clip((np.nan_to_num(place) * n).astype(np.int64), 0, n - 1)
    edges = np.array([value_at(axis, k / n) for k in range(n + 1)], np.float64)
    texts = number_labels(edges, digits=3)
    return index, n, [Tick(float(k), t, float(v)) for k, (t, v) in enumerate(zip(texts, edges))]


def _with_missing(index, n_bins, ticks, missing, *, is_exact) -> Bins:
    """Put runs without a value into an additional first bin."""
    index = np.where(missing, -1, index)
    if not missing.any():
        return Bins(index, n_bins, ticks, is_exact)
    shifted = [Tick(t.position + 1, t.label, t.value) for t in ticks]
    return Bins(index + 1, n_bins + 1, [Tick(0.5, NO_VALUE, math.nan), *shifted], is_exact)


@dataclass(frozen=True)
class CellShares:
    """How the runs of one heat-map cell share it, all arrays (n_runs,).

    ``rank`` of ``count`` runs in the cell (ascending run index), and the cell's ``mean``.
    """

    rank: np.ndarray
    count: np.ndarray
    mean: np.ndarray


def share_cells(x: np.ndarray, y: np.ndarray, values: np.ndarray) -> CellShares:
    """Group runs by cell.

    Parameters
    ----------
    x, y : numpy.ndarray
        (n_runs,) bins of each run.
    values : numpy.ndarray
        (n_runs,) measure; NaN values do not enter the mean (NaN when there is none).

    Returns
    -------
    CellShares
    """
    values = np.asarray(values, np.float64)
    _, cell = np.unique(np.stack([x, y]), axis=1, return_inverse=True)
    cell = cell.reshape(-1)
    count = np.bincount(cell)
    order = np.argsort(cell, kind="stable")
    starts = np.cumsum(count) - count
    rank = np.empty(len(cell), np.int64)
    rank[order] = np.arange(len(cell)) - starts[cell[order]]
    usable = np.isfinite(values)
    total = np.bincount(cell, weights=np.where(usable, values, 0.0), minlength=len(count))
    n_usable = np.bincount(cell, weights=usable, minlength=len(count))
    with np.errstate(invalid="ignore"):
        mean = total / np.where(n_usable > 0, n_usable, np.nan)
    return CellShares(rank, count[cell], mean[cell])
