"""What is kept of a layer's weights at a step: their extent, statistics and a histogram.

Histograms of all steps and runs must have bins in common, but the range is known only when all of
them have been seen. Bins are therefore 2^e wide with an edge at 0: those of another e are sums of
these, exactly, and no weight is looked at twice.
"""

from __future__ import annotations

import numpy as np

OUTLIER = 20.0
"""Extents beyond so many times the median (a run that diverges) do not count for a common scale."""
SIGMAS = 3.0


def extents(stack: np.ndarray) -> np.ndarray:
    """Return the largest magnitude and the root mean square of each run's weights.

    Parameters
    ----------
    stack : (n_runs, …) float array

    Returns
    -------
    (n_runs, 2) float64
        Of the finite values; NaN where there are none.
    """
    result = np.full((len(stack), 2), np.nan)
    for row, values in enumerate(stack.reshape(len(stack), -1)):
        finite = _finite(values)
        if len(finite):
            largest = max(float(finite.max()), -float(finite.min()))
            scaled = finite / largest if largest else finite  # squares of 1e30 overflow
            result[row] = largest, largest * np.sqrt(np.dot(scaled, scaled) / len(finite))
    return result


def common_limits(all_extents: np.ndarray) -> tuple[float, float]:
    """Return one scale for all steps and runs: of heights, and of colours.

    Parameters
    ----------
    all_extents : (n, 2) array
        As ``extents`` returns them, in any order.

    Returns
    -------
    height, color : float
        The largest magnitude, leaving out extents of more than ``OUTLIER`` times the median; and
        ``SIGMAS`` times the largest root mean square of the rest, but at most that. 1 for no
        weights, or none but 0.
    """
    usable = all_extents[np.isfinite(all_extents).all(axis=1) & (all_extents[:, 0] > 0)]
    if len(usable) == 0:
        return 1.0, 1.0
    usable = usable[usable[:, 0] <= OUTLIER * np.median(usable[:, 0])]
    largest, rms = usable.max(axis=0)
    return float(largest), float(min(largest, SIGMAS * rms))


def _finite(values: np.ndarray) -> np.ndarray:
    """Return the finite values, the array itself where all are."""
    finite = np.isfinite(values)
    return values if finite.all() else values[finite]
