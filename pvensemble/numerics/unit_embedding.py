"""A layout of a layer's units at all steps of a training: one path a unit, made for its time order.

Multislice PHATE (Gigante, Charles, Krishnaswamy and Mishne 2019). The points are units at steps.
Two units at one step are near when their vectors are (a Gaussian whose width is the distance to the
k-th neighbour in that step), a unit at two steps when it has not changed much (a Gaussian of one
width for all); all other pairs are not connected. A random walk on this graph for so many steps as
the entropy of its spectrum suggests, and the distances of the logarithms of its probabilities
("potential"), laid out by metric multidimensional scaling.

Different from the authors' program: exact neighbours and all eigenvalues instead of landmarks, our
SMACOF, and nothing random.
"""

from __future__ import annotations

import numpy as np

from pvensemble.errors import OptionError
from pvensemble.numerics.embedding import Embedding, embed

MAX_POINTS = 1600
MIN_STEPS = 3
NEIGHBORS = 5
"""Whose distance is the width of the kernel within a step."""
STEP_NEIGHBORS = 25
"""Likewise between steps, in steps of the same unit (a tenth of the steps where they are fewer)."""
_MAX_TIME = 100


def chosen_steps(n_steps: int, n_units: int) -> np.ndarray:
    """Return the positions of the steps to lay out: all, or so many that lie evenly as can be.

    Raises
    ------
    OptionError
        When even three steps of so many units are too many points, or there are fewer steps.
    """
    if n_steps < MIN_STEPS:
        raise OptionError(
            f"the paths of units need at least {MIN_STEPS} recorded steps, there are {n_steps}"
        )
    most = MAX_POINTS // max(n_units, 1)
    if most < MIN_STEPS:
        raise OptionError(
            f"the layer has {n_units:,} units; the paths of at most {MAX_POINTS // MIN_STEPS} can "
            f"be laid out: choose another layer, or another Projection"
        )
    return np.unique(np.linspace(0, n_steps - 1, min(n_steps, most)).round().astype(int))


def embed_units(units: np.ndarray) -> Embedding:
    """Lay out units over time.

    Parameters
    ----------
    units : (n_steps, n_units, n_features) float
        Finite; at most ``MAX_POINTS`` units times steps, see `chosen_steps`.

    Returns
    -------
    Embedding
        ``points`` (n_steps * n_units, 2), step by step. All at one place when nothing differs.
    """
    units = np.asarray(units, np.float64)
    n_steps, n_units = units.shape[:2]
    if n_steps * n_units > MAX_POINTS or n_steps < MIN_STEPS:
        chosen_steps(n_steps, n_units)
        raise OptionError(f"{n_steps * n_units:,} units at steps are more than {MAX_POINTS:,}")
    if np.ptp(units, axis=(0, 1)).max(initial=0.0) == 0:
        return Embedding(np.zeros((n_steps * n_units, 2)), note="no unit differs from any other")
    kernel = multislice_kernel(units)
    potential = diffusion_potential(kernel)
    squares = np.sum(potential**2, axis=1)
    distances = squares[:, None] + squares - 2 * potential @ potential.T
    distances = np.sqrt(np.maximum(distances, 0))
    np.fill_diagonal(distances, 0)
    distances = 0.5 * (distances + distances.T)
    return embed(distances=(distances / max(distances.max(), 1e-300)).astype(np.float32))


def multislice_kernel(units: np.ndarray) -> np.ndarray:
    """Return the affinities (n, n) of units at steps, n = n_steps * n_units, symmetric.

    Parameters
    ----------
    units : (n_steps, n_units, n_features) float
    """
    n_steps, n_units, _ = units.shape
    kernel = np.zeros((n_steps, n_units, n_steps, n_units))
    for s in range(n_steps):
        distances = _distances(units[s])
        width = _kth(distances, min(NEIGHBORS, n_units - 1))[:, None]
        kernel[s, :, s, :] = _gaussian(distances, width)
    steps = min(STEP_NEIGHBORS, max(1, n_steps // 10))
    between = np.stack([_distances(units[:, i]) for i in range(n_units)])
    width = np.mean([_kth(distances, steps) for distances in between])
    for i in range(n_units):
        kernel[:, i, :, i] = _gaussian(between[i], width)
    kernel = kernel.reshape(n_steps * n_units, -1)
    return 0.5 * (kernel + kernel.T)


def diffusion_potential(kernel: np.ndarray) -> np.ndarray:
    """Return minus the logarithms (n, n) of the probabilities of a random walk on a graph."""
    degree = kernel.sum(axis=1)
    root = np.sqrt(degree)
    values, vectors = np.linalg.eigh(kernel / np.outer(root, root))
    values = np.clip(values, 0, 1)
    time = diffusion_time(values)
    walk = (vectors * values**time) @ vectors.T * root / root[:, None]
    return -np.log(np.maximum(walk, 0) + 1e-7)


def diffusion_time(values: np.ndarray) -> int:
    """Return the knee of the entropy of powers of a spectrum (n,) in [0, 1].

    The time at which two straight lines, through the entropies before and after it, fit best.
    """
    times = np.arange(1, _MAX_TIME + 1)
    powers = np.maximum(values, 0) ** times[:, None]
    shares = powers / powers.sum(axis=1, keepdims=True)
    entropy = -np.sum(shares * np.log(shares + 1e-300), axis=1)
    errors = [
        _line_error(times[:k], entropy[:k]) + _line_error(times[k - 1 :], entropy[k - 1 :])
        for k in range(2, _MAX_TIME)
    ]
    return int(times[1 + int(np.argmin(errors))])


def _line_error(x: np.ndarray, y: np.ndarray) -> float:
    """Return the sum of squared deviations from the best straight line."""
    x, y = x - x.mean(), y - y.mean()
    square = np.sum(x**2)
    return float(np.sum(y**2) - (np.sum(x * y) ** 2 / square if square > 0 else 0.0))


def _distances(points: np.ndarray) -> np.ndarray:
    """Return the distances (n, n) of points (n, n_features)."""
    points = points - points.mean(axis=0)
    squares = np.sum(points**2, axis=1)
    found = squares[:, None] + squares - 2 * points @ points.T
    np.fill_diagonal(found, 0)
    return np.sqrt(np.maximum(found, 0))


def _kth(distances: np.ndarray, k: int) -> np.ndarray:
    """Return the distance (n,) to the k-th neighbour of each point."""
    return np.sort(distances, axis=1)[:, k]


def _gaussian(distances: np.ndarray, width) -> np.ndarray:
    """Return exp(-(d / width)^2); where the width is 0, 1 for equal points and 0 for others."""
    equal = distances == 0
    safe = np.where(width > 0, width, 1.0)
    return np.where(equal, 1.0, np.where(width > 0, np.exp(-((distances / safe) ** 2)), 0.0))
