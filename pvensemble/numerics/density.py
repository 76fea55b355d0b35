"""Density of parallel-coordinates lines: how many runs pass through each pixel.

Lines are counted, not drawn: between two axes the runs are first merged into pairs of end bins
(a table of 15,625 runs has far fewer distinct pairs), then every pair is added to each pixel column
at the height of its line. Every column therefore sums to the number of runs, and nothing saturates
as overlapping transparent lines do.
"""

from __future__ import annotations

import numpy as np

MAX_SAMPLES = 16
_CHUNK = 4_000_000


def line_density(
    place: np.ndarray, n_columns: int, n_rows: int, lo: float, hi: float
) -> np.ndarray:
    """Count the lines through each pixel.

    Parameters
    ----------
    place : numpy.ndarray
        (n_runs, n_axes) finite positions, n_axes >= 2; those outside [lo, hi] fall into the
        outermost rows.
    n_columns, n_rows : int
        Size of the image; the first axis lies in the first column, the last axis in the last.
    lo, hi : float
        Axis positions of the lower edge of the first and the upper edge of the last row.

    Returns
    -------
    numpy.ndarray
        (n_rows, n_columns) float64 counts, row 0 at the bottom; each column sums to n_runs.
    """
    n_runs, n_axes = place.shape
    rows = np.clip(((place - lo) / (hi - lo) * n_rows).astype(np.int64), 0, n_rows - 1)
    counts = np.zeros((n_rows, n_columns))
    at = np.linspace(0, n_columns - 1, n_axes)
    for k in range(n_axes - 1):
        first = int(np.ceil(at[k] - 1e-9))
        last = n_columns if k == n_axes - 2 else int(np.ceil(at[k + 1] - 1e-9))
        t = np.clip((np.arange(first, last) - at[k]) / (at[k + 1] - at[k]), 0.0, 1.0)
        pairs, weights = np.unique(rows[:, k] * n_rows + rows[:, k + 1], return_counts=True)
        start, span = pairs // n_rows, pairs % n_rows - pairs // n_rows
        # Samples in each column: as many as rows that the line passes there, in powers of two.
        rows_passed = np.maximum(np.abs(span) / (at[k + 1] - at[k]), 1.0)
        samples = np.minimum(2 ** np.ceil(np.log2(rows_passed)).astype(np.int64), MAX_SAMPLES)
        for n_samples in np.unique(samples):
            lines = samples == n_samples
            counts[:, first:last] += _segment(
                start[lines], span[lines], weights[lines], t, n_rows, n_samples
            )
    return counts


def _segment(start, span, weights, t, n_rows, n_samples) -> np.ndarray:
    """Count weighted straight lines from row ``start`` over ``span`` rows at the fractions ``t``.

    Steep lines are sampled several times in each column, or they would be dotted.
    """
    n = len(t)
    column_width = t[1] - t[0] if n > 1 else 0.0
    shifts = (np.arange(n_samples) + 0.5) / n_samples - 0.5
    at = np.clip(t[:, None] + shifts * column_width, 0.0, 1.0).ravel()
    column = np.repeat(np.arange(n), n_samples)
    counts = np.zeros(n_rows * n)
    step = max(1, _CHUNK // len(at))
    for i in range(0, len(start), step):
        row = np.rint(start[i : i + step, None] + span[i : i + step, None] * at).astype(np.int64)
        weight = np.repeat(weights[i : i + step] / n_samples, len(at))
        counts += np.bincount((row * n + column).ravel(), weights=weight, minlength=n_rows * n)
    return counts.reshape(n_rows, n)


def log_density(counts: np.ndarray) -> np.ndarray:
    """Map counts to [0, 1] logarithmically: 0 where there is none, 1 at the highest count."""
    top = counts.max() if counts.size else 0.0
    return np.log1p(counts) / np.log1p(top) if top > 0 else np.zeros_like(counts)


def sparsest_runs(place: np.ndarray, n_wanted: int, *, n_bins: int = 48) -> np.ndarray:
    """Return the runs whose lines are least like those of others.

    A run's rarity is its smallest number of companions over all pairs of neighbouring axes, where
    companions have both ends in the same two of ``n_bins`` bins or in those beside them; ties go to
    the runs whose counts over all pairs are lower, then to the lower index.

    Parameters
    ----------
    place : numpy.ndarray
        (n_runs, n_axes) finite positions.
    n_wanted : int
    n_bins : int
        Bins on each axis.

    Returns
    -------
    numpy.ndarray
        At most ``n_wanted`` ascending run indices.
    """
    n_runs, n_axes = place.shape
    if n_axes < 2 or n_runs == 0 or n_wanted <= 0:
        return np.empty(0, np.int64)
    bins = np.clip(np.floor(place * n_bins), -n_bins, n_bins).astype(np.int64) + n_bins + 1
    n = 2 * n_bins + 3  # an empty row on each side
    companions = np.empty((n_runs, n_axes - 1))
    for k in range(n_axes - 1):
        start, end = bins[:, k], bins[:, k + 1]
        histogram = np.bincount(start * n + end, minlength=n * n).reshape(n, n)
        for axis in (0, 1):
            histogram = histogram + np.roll(histogram, 1, axis) + np.roll(histogram, -1, axis)
        companions[:, k] = histogram[start, end]
    order = np.lexsort((np.arange(n_runs), np.log(companions).sum(axis=1), companions.min(axis=1)))
    return np.sort(order[:n_wanted])
