"""Norms of weight vectors over the training: how they grow, and after which power of the step.

A power law is fitted to one of three quantities of a norm curve n(t):

==============  =================================================================================
norm            n(t)
growth          n(t) - n(0), what came on top of the first recorded norm
quadrature      (n(t)^2 - n(0)^2)^(1/2), what came on top when it is orthogonal to the start
==============  =================================================================================

Chen et al. 2017 (TensorViz) say that the growth is roughly the square root of the step. A random
walk from a start of norm n(0) has, in its mean square, quadrature = c t^(1/2); its growth is like
that only where the start is small beside it, and linear, c^2 t / 2 n(0), where it is large.

**Confidence.** The deviations of a curve from its power law are far from independent: a curve that
is above it at one step is so at the next. For a self-similar process, like a random walk, they are
a stationary process over log t (Lamperti's transform; of Brownian motion an Ornstein-Uhlenbeck
process). So log value = log a + b log t + u(log t) is fitted by generalized least squares with an
Ornstein-Uhlenbeck u, at up to ``N_POINTS`` steps that lie evenly over log t. How far u is
correlated is not known and hardly determined by one curve: it is integrated out (flat prior of
log a, b and log sigma, of the correlation length over its logarithm), which makes the intervals as
wide as they have to be where deviations are correlated over much of the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from pvensemble.errors import OptionError, did_you_mean

NORM, GROWTH, QUADRATURE = QUANTITIES = ("norm", "growth", "quadrature")
N_POINTS = 40
MIN_POINTS = 5
MAX_MISSING = 0.2
"""A curve with more steps in the interval without a positive value follows no power law."""
_N_LENGTHS = 24
_N_BISECTIONS = 30
_SHORTEST, _LONGEST = 0.2, 20.0
"""Correlation lengths that are tried, in units of the distance of points and of the interval."""


@dataclass(frozen=True)
class PowerLaw:
    """Fits value = a t^b of several runs; NaN where a curve follows none or is too short.

    Attributes
    ----------
    factor : numpy.ndarray
        (n_runs,) a, with which the deviations of the logarithms have the mean 0.
    exponent, low, high : numpy.ndarray
        (n_runs,) b and the ends of its confidence interval.
    first, last : numpy.ndarray
        (n_runs,) steps of the first and the last value that was used.
    """

    factor: np.ndarray
    exponent: np.ndarray
    low: np.ndarray
    high: np.ndarray
    first: np.ndarray
    last: np.ndarray

    def at(self, steps: np.ndarray) -> np.ndarray:
        """Return the fitted values (n_runs, n_steps) at steps > 0."""
        return self.factor[:, None] * np.asarray(steps, np.float64) ** self.exponent[:, None]


def quantity_of(norms: np.ndarray, quantity: str) -> np.ndarray:
    """Return a quantity of norm curves; see the head of the module.

    Parameters
    ----------
    norms : (n_runs, n_steps) float
        NaN where not recorded. The first recorded norm of each run is n(0).
    quantity : {"norm", "growth", "quadrature"}

    Returns
    -------
    (n_runs, n_steps) float64
        Growth is negative where a norm is below its first value, quadrature NaN there.

    Raises
    ------
    OptionError
        There is no such quantity.
    """
    if quantity not in QUANTITIES:
        raise OptionError(f"quantity: got {quantity!r}{did_you_mean(quantity, QUANTITIES)}")
    norms = np.asarray(norms, np.float64)
    if quantity == NORM or norms.shape[1] == 0:
        return norms
    is_there = np.isfinite(norms)
    first = norms[np.arange(len(norms)), is_there.argmax(axis=1)][:, None]
    if quantity == GROWTH:
        return norms - first
    with np.errstate(invalid="ignore", over="ignore"):
        return np.sqrt((norms - first) * (norms + first))


def total_norm(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the norm of several vectors together: the root of the sum of their squares.

    Parameters
    ----------
    curves : sequence of (steps, norms)
        (n_steps,) ascending and (n_runs, n_steps), NaN where not recorded. Runs may lack some of
        the vectors altogether (other layers).

    Returns
    -------
    steps : (n,) int64
        All steps of all curves.
    norms : (n_runs, n) float64
        NaN where one of the vectors that a run has was not recorded.
    """
    steps = np.unique(np.concatenate([np.asarray(s, np.int64) for s, _ in curves]))
    shape = (len(curves[0][1]), len(steps))
    squares, n_there, n_at = np.zeros(shape), np.zeros((shape[0], 1), int), np.zeros(shape, int)
    for some, norms in curves:
        columns = np.searchsorted(steps, some)
        is_there = ~np.isnan(norms)
        squares[:, columns] += np.where(is_there, np.asarray(norms, np.float64), 0.0) ** 2
        n_at[:, columns] += is_there
        n_there += is_there.any(axis=1, keepdims=True)
    return steps, np.where((n_at == n_there) & (n_there > 0), np.sqrt(squares), np.nan)


def fit_power_law(
    steps: np.ndarray,
    values: np.ndarray,
    interval: tuple[float, float] | None = None,
    *,
    confidence: float = 0.95,
) -> PowerLaw:
    """Fit value = a t^b to the curve of each run, by the steps t > 0 of an interval.

    Parameters
    ----------
    steps : (n_steps,) int
        Ascending.
    values : (n_runs, n_steps) float
        NaN where not recorded.
    interval : (first, last), default: all steps
        Closed.
    confidence : float, default: 0.95
        Of the interval of the exponent; see the head of the module.

    Returns
    -------
    PowerLaw
        NaN for a run with fewer than ``MIN_POINTS`` positive values in the interval, or with more
        than a share ``MAX_MISSING`` of values that are not positive (a norm that does not grow).

    Raises
    ------
    OptionError
        When the interval's start is after its end.
    """
    steps, values = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    first, last = (0.0, np.inf) if interval is None else interval
    if not first <= last:
        raise OptionError(f"interval [{first:g}, {last:g}]: the start is after the end")
    inside = (steps > 0) & (steps >= first) & (steps <= last)
    steps, values = steps[inside], values[:, inside]
    usable = np.isfinite(values) & (np.nan_to_num(values) > 0)
    measured = np.isfinite(values)
    enough = usable.sum(axis=1) >= np.maximum(
        MIN_POINTS, np.ceil((1 - MAX_MISSING) * measured.sum(axis=1))
    )
    fits = np.full((6, len(values)), np.nan)
    patterns, of_run = np.unique(usable[enough], axis=0, return_inverse=True)
    for k, pattern in enumerate(patterns):
        runs = np.flatnonzero(enough)[of_run.reshape(-1) == k]
        chosen = np.flatnonzero(pattern)[_even(np.log(steps[pattern]))]
        fits[:4, runs] = _fit(np.log(steps[chosen]), np.log(values[runs][:, chosen]), confidence)
        fits[4:, runs] = steps[chosen[[0, -1]], None]
    return PowerLaw(np.exp(fits[0]), *fits[1:])


def _even(place: np.ndarray) -> np.ndarray:
    """Return the positions of at most ``N_POINTS`` places that lie about evenly."""
    if len(place) <= N_POINTS:
        return np.arange(len(place))
    wanted = np.linspace(place[0], place[-1], N_POINTS)
    right = np.clip(np.searchsorted(place, wanted), 1, len(place) - 1)
    nearer_left = wanted - place[right - 1] < place[right] - wanted
    return np.unique(right - nearer_left)


def _fit(x: np.ndarray, y: np.ndarray, confidence: float) -> np.ndarray:
    """Fit y = log a + b x with correlated deviations; return (4, n_runs) log a, b, low, high.

    For each correlation length the deviations are made independent (an Ornstein-Uhlenbeck process
    is a Markov process, so by differences of neighbours), b has a t-distribution, and what the
    curve tells of the length is its restricted likelihood.
    """
    n_runs, n_points = y.shape
    gaps = np.diff(x)
    spread = x[-1] - x[0]
    lengths = np.geomspace(_SHORTEST * np.median(gaps), _LONGEST * spread, _N_LENGTHS)
    free = n_points - 2
    level = y.mean(axis=1, keepdims=True)
    middle = x.mean()
    found = np.empty((3, _N_LENGTHS, n_runs))  # log likelihood, b, its deviation
    for k, length in enumerate(lengths):
        rho = np.concatenate([[0.0], np.exp(-gaps / length)])
        scale = np.sqrt(-np.expm1(-2 * np.concatenate([[np.inf], gaps]) / length))

        def independent(values, rho=rho, scale=scale):
            before = np.concatenate([values[..., :1] * 0, values[..., :-1]], axis=-1)
            return (values - rho * before) / scale

        design = independent(np.stack([np.ones(n_points), x - middle])).T
        target = independent(y - level)
        inverse = np.linalg.inv(design.T @ design)
        beta = target @ design @ inverse
        rest = np.sum((target - beta @ design.T) ** 2, axis=1)
        rest = np.maximum(rest, np.finfo(np.float64).eps ** 2 * n_points)
        found[0, k] = -np.log(scale).sum() + 0.5 * np.linalg.slogdet(inverse)[1]
        found[0, k] -= 0.5 * free * np.log(rest)
        found[1, k] = beta[:, 1]
        found[2, k] = np.sqrt(inverse[1, 1] * rest / free)
    weight = np.exp(found[0] - found[0].max(axis=0))
    weight /= weight.sum(axis=0)
    exponent = (weight * found[1]).sum(axis=0)
    tail = 0.5 * (1 - confidence)
    low, high = (_quantile(weight, found[1], found[2], free, q) for q in (tail, 1 - tail))
    return np.stack([level[:, 0] - exponent * middle, exponent, low, high])


def _quantile(weight, center, deviation, free: int, share: float) -> np.ndarray:
    """Return the quantile (n_runs,) of a mixture (n_parts, n_runs) of t-distributions.

    It lies between the least and the largest of the parts' quantiles, and is found by bisection.
    """
    of_parts = center + stdtrit(free, share) * deviation
    low, high = of_parts.min(axis=0), of_parts.max(axis=0)
    for _ in range(_N_BISECTIONS):
        at = 0.5 * (low + high)
        below = (weight * stdtr(free, (at - center) / deviation)).sum(axis=0) < share
        low, high = np.where(below, at, low), np.where(below, high, at)
    return 0.5 * (low + high)
