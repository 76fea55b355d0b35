"""Layouts by eigenvectors: classical scaling, principal components, landmark scaling.

Classical scaling (Torgerson 1952) centres -1/2 of the squared distances; the eigenvectors of its
largest eigenvalues, scaled by their square roots, are the layout. Distances that no Euclidean space
holds, such as 1 - correlation, have negative eigenvalues; their share says how much of the
distances no layout of any dimension can show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from pvensemble.numerics.pair_distances import ALIKE, PairDistances

DENSE = 1000
"""Up to as many runs all eigenvalues are computed."""
N_LANDMARKS = 400
_SMALL = 50
_EXACT = 1e-6
_ROUGH = 0.02
_ROUGH_BASIS = 8
_MAX_RESTARTS = 200
_DIMENSIONS = 2


@dataclass(frozen=True)
class Scaling:
    """A layout by eigenvectors.

    Attributes
    ----------
    points : numpy.ndarray
        (n, 2) float64; an axis without positive eigenvalue is zero.
    negative : float
        Sum of the magnitudes of the negative eigenvalues divided by that of all, in [0, 1].
    n_sampled : int
        Number of runs whose eigenvalues ``negative`` is of; n where it is exact.
    """

    points: np.ndarray
    negative: float
    n_sampled: int


def classical_scaling(distances: PairDistances, seed: int = 0) -> Scaling:
    """Classical scaling of the distances as they are."""
    sample = sample_runs(distances.n, DENSE, seed)
    inner = _centred(_half_squares(distances.to_runs(sample)[sample]))
    negative = _negative_share(np.linalg.eigvalsh(inner))
    points = _principal_coordinates(distances, np.square, -0.5, seed)
    return Scaling(points, negative, len(sample))


def quick_scaling(distances: PairDistances, seed: int = 0) -> np.ndarray:
    """Return (n, 2) classical scaling to about a per cent, to start other methods from."""
    return _principal_coordinates(distances, np.square, -0.5, seed, rough=True)


def principal_components(distances: PairDistances, seed: int = 0) -> np.ndarray:
    """Return (n, 2) principal components of the runs' vectors.

    For unit vectors twice the distance, 2 - 2 r, is the square of the Euclidean one, so that these
    are also the components of distances without vectors, if they are 1 - similarity.
    """
    return _principal_coordinates(distances, np.positive, -1.0, seed)


def landmark_scaling(distances: PairDistances, seed: int = 0) -> Scaling:
    """Classical scaling of some runs, all others placed by their distances to these.

    Landmark multidimensional scaling (de Silva and Tenenbaum 2004) with landmarks chosen at random;
    with all runs as landmarks it is classical scaling.
    """
    landmarks = sample_runs(distances.n, N_LANDMARKS, seed)
    half_squares = _half_squares(distances.to_runs(landmarks))
    if np.abs(half_squares).mean() <= ALIKE:
        return Scaling(np.zeros((distances.n, _DIMENSIONS)), 0.0, len(landmarks))
    between = half_squares[landmarks]
    values, vectors = np.linalg.eigh(_centred(between))
    negative = _negative_share(values)
    values, vectors = values[::-1][:_DIMENSIONS], vectors[:, ::-1][:, :_DIMENSIONS]
    seen = values > 1e-9 * abs(values[0])
    axes = np.where(seen, vectors, 0) / np.sqrt(np.where(seen, values, 1))
    points = _two_columns((half_squares - between.mean(axis=0)) @ axes)
    return Scaling(points, negative, len(landmarks))


def sample_runs(n: int, n_wanted: int, seed: int) -> np.ndarray:
    """Return ascending indices of at most ``n_wanted`` of n runs, chosen at random."""
    if n <= n_wanted:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, n_wanted, replace=False))


def _half_squares(distances: np.ndarray) -> np.ndarray:
    return distances * distances * -0.5


def _principal_coordinates(
    distances: PairDistances, kernel: np.ufunc, factor: float, seed: int, *, rough: bool = False
) -> np.ndarray:
    """Scale the two leading eigenvectors of the centred ``factor * kernel(distances)``."""
    n = distances.n
    if n <= _SMALL:
        matrix = distances.matrix().astype(np.float64)
        values, vectors = np.linalg.eigh(_centred(factor * kernel(matrix)))
    else:
        buffer = np.empty(max(strip.size for *_, strip in distances.strips()), np.float32)
        product = LinearOperator(
            (n, n),
            lambda x: factor * _centred_product(distances, kernel, x, buffer),
            dtype=np.float64,
        )
        try:
            values, vectors = eigsh(
                product,
                _DIMENSIONS,
                which="LA",
                v0=np.random.default_rng(seed).standard_normal(n),
                ncv=_ROUGH_BASIS if rough else None,
                tol=_ROUGH if rough else _EXACT,
                maxiter=_MAX_RESTARTS,
            )
        except ArpackError:
            return landmark_scaling(distances, seed).points
    leading = np.argsort(-values, kind="stable")[:_DIMENSIONS]
    return _two_columns(vectors[:, leading] * np.sqrt(np.maximum(values[leading], 0)))


def _centred_product(
    distances: PairDistances, kernel: np.ufunc, vector: np.ndarray, buffer: np.ndarray
) -> np.ndarray:
    """Multiply the doubly centred kernel matrix by a vector, from the upper triangle alone."""
    vector = vector.ravel() - vector.mean()
    narrow = vector.astype(np.float32)
    product = np.zeros(distances.n)
    for first, last, strip in distances.strips():
        block = kernel(strip, out=buffer[: strip.size].reshape(strip.shape))
        product[first:last] += block @ narrow[first:]
        product[last:] += narrow[first:last] @ block[:, last - first :]
    return product - product.mean()


def _centred(matrix: np.ndarray) -> np.ndarray:
    """Subtract the means of rows and columns of a symmetric matrix."""
    means = matrix.mean(axis=0)
    return matrix - means - means[:, None] + means.mean()


def _negative_share(values: np.ndarray) -> float:
    """Share of the negative eigenvalues in the sum of magnitudes, rounding errors left out."""
    values = values[np.abs(values) > 1e-6 * np.abs(values).max(initial=0.0)]
    return float(-values[values < 0].sum() / np.abs(values).sum()) if len(values) else 0.0


def _two_columns(points: np.ndarray) -> np.ndarray:
    """Append a zero axis to the layout of a single run."""
    missing = _DIMENSIONS - points.shape[1]
    return np.pad(points, ((0, 0), (0, missing))) if missing > 0 else points
