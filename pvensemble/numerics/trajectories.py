"""Paths of weight vectors over the training: is it a random walk?

"It looks like a random walk" (Chen et al. 2017) cannot be seen in two dimensions. In the first two
weights every path looks erratic, and in principal components even a true random walk of many
dimensions looks like a smooth curve, parts of cosines (Antognini and Sohl-Dickstein 2018). All that
is computed here is therefore of the whole weight vector, from the inner products of its increments
between recorded steps, which hold everything that no rotation changes.

increment correlation
    r = sum <d_i, d_i+1> / sum |d_i|^2. In a random walk the sign of each increment is arbitrary, so
    r lies with 95 % probability within +-1.96 (sum <d_i, d_i+1>^2)^(1/2) / sum |d_i|^2, whatever
    the lengths of the increments and however few directions they have.
exponent
    b in: mean squared displacement over a lag ~ lag^b, by least squares of the logarithms over lags
    up to a quarter of the path. 1: random walk; 2: straight ahead (ballistic); less than 1:
    confined. As increments become shorter while a training goes on, and the ends of a path enter
    fewer of the longer displacements, each mean is divided by that of a random walk with increments
    of the same lengths, lag * sigma^2 where they are equal. Its confidence interval is that of a
    fractional Brownian motion of this exponent in as many dimensions and with as many increments as
    there are effectively: displacements over different lags and from different steps overlap, which
    is accounted for to first order (Isserlis' theorem).
path ratio
    Length of the path divided by the distance of its ends: 1 when straight, about n^(1/2) for a
    random walk of n increments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import t as student

MIN_INCREMENTS = 8
"""Fewer recorded steps at equal distances tell nothing."""
RANDOM_WALK, DIRECTED, CONFINED, UNDECIDED = MOTIONS = (
    "random walk",
    "directed",
    "confined",
    "undecided",
)
_N_LAGS = 8
_MAX_GAPS = 8
_GRID = np.concatenate([[0.02], np.arange(0.1, 2.0, 0.1), [1.97]])
_MAX_POINTS = 200
_CHUNK = 65_536
_NAN = float("nan")


@dataclass(frozen=True)
class Motion:
    """How a path moves, see the head of the module; NaN where it is too short to tell.

    Attributes
    ----------
    increment_correlation, band : float
        Of neighbouring increments, and half the width of the 95 % band of a random walk.
    exponent, low, high : float
        Of the mean squared displacement, with its 95 % confidence interval.
    path_ratio : float
        Length of the path divided by the distance of its ends; infinite when it ends at its start.
    dimensions : float
        In how many directions the increments go effectively.
    n_increments : int
        Increments at equal distances of steps that were used.
    """

    increment_correlation: float = _NAN
    band: float = _NAN
    exponent: float = _NAN
    low: float = _NAN
    high: float = _NAN
    path_ratio: float = _NAN
    dimensions: float = _NAN
    n_increments: int = 0

    @property
    def kind(self) -> str:
        """One of ``MOTIONS``: what both the exponent and the increments say."""
        if not np.isfinite(self.exponent):
            return UNDECIDED
        r = self.increment_correlation
        if self.low > 1 and r > -self.band:
            return DIRECTED
        if self.high < 1 and r < self.band:
            return CONFINED
        if self.low <= 1 <= self.high and abs(r) <= self.band:
            return RANDOM_WALK
        return UNDECIDED

    def sentence(self) -> str:
        """Return what this means, in words."""
        if not np.isfinite(self.exponent):
            return "too few recorded steps at equal distances to tell, or no movement"
        what = {
            RANDOM_WALK: "like a random walk",
            DIRECTED: "goes on in its direction, unlike a random walk",
            CONFINED: "turns back, unlike a random walk",
            UNDECIDED: "neither a random walk nor clearly directed or confined",
        }[self.kind]
        return (
            f"{what}: mean squared displacement ~ lag^{self.exponent:.2f} ({self.low:.2f} to "
            f"{self.high:.2f}; random walk 1), neighbouring increments correlate "
            f"{self.increment_correlation:.2f} (random walk within {self.band:.2f}), path "
            f"{self.path_ratio:.3g} times as long as straight"
        )


def equal_steps(steps: np.ndarray) -> np.ndarray:
    """Return the positions of the longest row of steps at equal distances.

    Parameters
    ----------
    steps : (n_steps,) int
        Ascending.

    Returns
    -------
    (n,) int64
        The first of several rows of equal length.
    """
    steps = np.asarray(steps, np.int64)
    if len(steps) < 2:
        return np.arange(len(steps))
    gaps, counts = np.unique(np.diff(steps), return_counts=True)
    frequent = gaps[np.argsort(-counts, kind="stable")[:_MAX_GAPS]]
    place = {step: k for k, step in enumerate(steps.tolist())}
    best: list[int] = []
    for gap in frequent.tolist():
        for first in steps.tolist():
            if first - gap in place:
                continue  # within a row that was looked at
            row, step = [], first
            while step in place:
                row.append(place[step])
                step += gap
            best = row if len(row) > len(best) else best
    return np.array(best, np.int64)


def motion(path: np.ndarray, steps: np.ndarray | None = None) -> Motion:
    """Describe how a weight vector moves.

    Parameters
    ----------
    path : (n_steps, n_weights) float
        The whole vector at the recorded steps. Steps with values that are not finite (after a
        divergence) are left out.
    steps : (n_steps,) int, default: 0, 1, 2 ...
        Recorded steps; the longest row at equal distances is used.

    Returns
    -------
    Motion
    """
    path = np.asarray(path)
    steps = np.arange(len(path)) if steps is None else np.asarray(steps)
    usable = np.isfinite(path).all(axis=1)
    path, steps = path[usable], steps[usable]
    path = path[equal_steps(steps)]
    n = len(path) - 1
    if n < MIN_INCREMENTS:
        return Motion(n_increments=max(n, 0))
    gram = np.zeros((n, n))
    for start in range(0, path.shape[1], _CHUNK):
        increments = np.diff(path[:, start : start + _CHUNK].astype(np.float64), axis=0)
        gram += increments @ increments.T
    return motion_of_gram(gram, path.shape[1])


def motion_of_gram(gram: np.ndarray, n_weights: int) -> Motion:
    """Describe a path by the inner products (n, n) of its increments at equal distances."""
    n = len(gram)
    squares = np.diag(gram).copy()
    total = squares.sum()
    if not total > 0:
        return Motion(n_increments=n)
    beside = np.diag(gram, 1)
    r = float(beside.sum() / total)
    band = float(1.96 * np.sqrt(np.sum(beside**2)) / total)
    apart = np.sqrt(max(float(gram.sum()), 0.0))
    length = float(np.sqrt(squares).sum())
    ratio = length / apart if apart > 1e-9 * length else np.inf
    lags = lags_of(n)
    share = displacements(gram)[lags - 1] / displacements(np.diag(squares))[lags - 1]
    dimensions = min(effective_dimensions(gram), float(n_weights))
    exponent = float(1 + _slope(lags) @ np.log(np.maximum(share, np.finfo(float).tiny)))
    deviation = np.interp(exponent, _GRID, _deviations(n, tuple(lags.tolist())))
    # Unequal increments count for fewer; equal ones scatter by 1 + 2 / dimensions themselves.
    deviation *= np.sqrt(max(1.0, n * np.sum(squares**2) / total**2 / (1 + 2 / dimensions)))
    half = deviation / np.sqrt(dimensions) * student.ppf(0.975, max(3.0, 3.0 * dimensions))
    return Motion(r, band, exponent, exponent - half, exponent + half, ratio, dimensions, n)


def lags_of(n_increments: int) -> np.ndarray:
    """Return up to ``_N_LAGS`` lags, in increments, from 1 to a quarter of the path."""
    return np.unique(np.geomspace(1, max(n_increments // 4, 2), _N_LAGS).round().astype(int))


def displacements(gram: np.ndarray) -> np.ndarray:
    """Return the mean squared displacement (n,) over lags 1 to n, of all steps so far apart."""
    n = len(gram)
    sums = np.zeros((n + 1, n + 1))
    sums[1:, 1:] = gram.cumsum(axis=0).cumsum(axis=1)
    diagonal = np.diag(sums)
    squared = diagonal[:, None] + diagonal - 2 * sums  # of the positions i and j
    return np.array([np.diag(squared, lag).mean() for lag in range(1, n + 1)])


def effective_dimensions(gram: np.ndarray) -> float:
    """Return in how many directions increments (n, n inner products) scatter, at least 1.

    Of independent increments with covariance C it is (tr C)^2 / tr C^2: the inverse of the mean
    square of the cosine of two of them. What is common to all pairs at one distance in time, the
    correlation of the motion, is taken off.
    """
    scale = np.sqrt(np.diag(gram))
    moving = scale > 0
    cosines = gram[np.ix_(moving, moving)] / np.outer(scale[moving], scale[moving])
    n, scatter, freedom = len(cosines), 0.0, 0
    for lag in range(1, n - 1):
        row = np.diag(cosines, lag)
        scatter += np.sum((row - row.mean()) ** 2)
        freedom += len(row) - 1
    return max(1.0, freedom / scatter) if scatter > 1e-12 and freedom else 1.0


def _slope(lags: np.ndarray) -> np.ndarray:
    """Return the weights that make a slope of logarithms at lags."""
    x = np.log(lags) - np.log(lags).mean()
    return x / np.sum(x**2)


@lru_cache(maxsize=64)
def _deviations(n: int, lags: tuple) -> np.ndarray:
    """Return the standard deviation of the exponent in one dimension, at the exponents ``_GRID``.

    For fractional Brownian motion; longer paths are scaled from ``_MAX_POINTS`` increments, with
    the lags as the same shares of the path.
    """
    used, scaled = n, np.array(lags)
    if n > _MAX_POINTS:
        used = _MAX_POINTS
        scaled = np.maximum(1, np.round(scaled * used / n)).astype(int)
    weights = _slope(np.array(lags))
    return np.array([_deviation(used, scaled, weights, exponent) for exponent in _GRID])


def _deviation(n: int, lags: np.ndarray, weights: np.ndarray, exponent: float) -> float:
    """Return the standard deviation of the slope of log displacements of n increments."""

    def power(distance):
        return np.abs(distance).astype(np.float64) ** exponent

    covariance = np.empty((len(lags), len(lags)))
    for a, k in enumerate(lags):
        for b, m in enumerate(lags[: a + 1]):
            # x(i + k) - x(i) and x(j + m) - x(j), over all differences j - i
            apart = np.arange(-(n - k), n - m + 1)
            product = power(apart + m) + power(apart - k) - power(apart) - power(apart + m - k)
            firsts, seconds = n - k + 1, n - m + 1
            pairs = np.minimum(firsts, seconds - apart) - np.maximum(0, -apart)
            squares = np.sum(np.maximum(pairs, 0) * (0.5 * product) ** 2)
            covariance[a, b] = 2 * squares / (firsts * seconds) / power(k) / power(m)
            covariance[b, a] = covariance[a, b]
    return float(np.sqrt(weights @ covariance @ weights))
