"""What is kept of a layer's weights at a step: their extent, statistics and a histogram.

Histograms of all steps and runs must have bins in common, but the range is known only when all of
them have been seen. Bins are therefore 2^e wide with an edge at 0: those of another e are sums of
these, exactly, and no weight is looked at twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OUTLIER = 20.0
"""Extents beyond so many times the median (a run that diverges) do not count for a common scale."""
SIGMAS = 3.0
QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
STATISTICS = ("mean", "std", "min", *QUANTILES, "max", "zeros", "not_finite")
"""``zeros`` is the share of weights that are 0, ``not_finite`` the number of those that are NaN or
infinite; all others are of the finite weights, and NaN where there are none."""
BINS = 128


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
    for row, values in enumerate(stack.reshape(len(stack), int(np.prod(stack.shape[1:])))):
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


def statistics(values: np.ndarray) -> np.ndarray:
    """Return the ``STATISTICS`` of weights (n,), float64; ``std`` is that of the population."""
    finite = _finite(values)
    result = np.full(len(STATISTICS), np.nan)
    result[-1] = values.size - finite.size
    if finite.size:
        exact = finite.astype(np.float64)
        between = np.quantile(exact, list(QUANTILES.values()))
        ends = exact.min(), exact.max()
        zeros = 1 - np.count_nonzero(finite) / finite.size
        result[:-1] = exact.mean(), exact.std(), ends[0], *between, ends[1], zeros
    return result


def extents_of_statistics(rows: np.ndarray) -> np.ndarray:
    """Return what ``extents`` gives, (n, 2), from rows (n, len(STATISTICS)) of statistics."""
    column = dict(zip(STATISTICS, np.asarray(rows, np.float64).reshape(-1, len(STATISTICS)).T))
    largest = np.maximum(-column["min"], column["max"])
    return np.stack([largest, np.hypot(column["mean"], column["std"])], axis=1)


@dataclass(frozen=True)
class Histogram:
    """Counts of weights in bins that are 2^exponent wide.

    Attributes
    ----------
    exponent : int
    counts : numpy.ndarray
        (BINS,) int64; bin k goes from (k - BINS / 2) 2^exponent, which it holds, to the next one.
    """

    exponent: int
    counts: np.ndarray

    def coarsened(self, exponent: int) -> np.ndarray:
        """Return the counts (BINS,) in bins that are 2^exponent wide.

        Exact for wider bins. For narrower ones a bin's count is put into the one at its middle, at
        the ends what lies beyond.
        """
        k = np.arange(BINS) - BINS // 2
        shift = exponent - self.exponent
        if shift >= 0:
            k = k >> min(shift, 32)
        else:
            k = np.floor(np.clip((k + 0.5) * 2.0 ** min(-shift, 32), -BINS, BINS)).astype(int)
        k = np.clip(k + BINS // 2, 0, BINS - 1)
        return np.bincount(k, self.counts, BINS).astype(np.int64)


def histogram(values: np.ndarray) -> Histogram:
    """Return the histogram of the finite weights among (n,), in the narrowest bins that do."""
    finite = _finite(values)
    exponent = exponent_of(float(np.max(np.abs(finite), initial=0.0)))
    k = np.floor(np.ldexp(finite.astype(np.float64), -exponent)).astype(np.int64) + BINS // 2
    return Histogram(exponent, np.bincount(k, minlength=BINS))


def exponent_of(limit: float) -> int:
    """Return the exponent of the narrowest bins that hold -limit and limit."""
    return int(np.frexp(limit)[1]) - (BINS // 2).bit_length() + 1


def _finite(values: np.ndarray) -> np.ndarray:
    """Return the finite values, the array itself where all are."""
    finite = np.isfinite(values)
    return values if finite.all() else values[finite]
