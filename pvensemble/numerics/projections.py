"""Paths of many weights in the plane, and fewer numbers in place of very many weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

MAX_ROWS = 2000
"""Principal axes are of at most as many points, taken evenly; all points are projected on them."""


@dataclass(frozen=True)
class Projection:
    """Paths in the plane.

    Attributes
    ----------
    paths : list of numpy.ndarray
        (n_steps, 2) float64 for each path, NaN where its vector is not finite.
    explained : tuple of float
        Share of the variance of all paths together along each axis.
    """

    paths: list[np.ndarray]
    explained: tuple[float, float]


def principal_plane(paths: Sequence[np.ndarray]) -> Projection:
    """Project paths on the first two principal components of all their points.

    The signs are such that the paths' ends lie, on the whole, to the right of and above their
    starts.

    Parameters
    ----------
    paths : sequence of (n_steps, n_weights) arrays
        Of equal ``n_weights``.
    """
    rows = np.concatenate([np.asarray(path, np.float64) for path in paths])
    usable = np.isfinite(rows).all(axis=1)
    places = np.full((len(rows), 2), np.nan)
    explained = (0.0, 0.0)
    if usable.any():
        centred = rows[usable] - rows[usable].mean(axis=0)
        total = float(np.sum(centred**2))
        n_rows = min(MAX_ROWS, len(centred))
        sample = centred[np.linspace(0, len(centred) - 1, n_rows).astype(int)]
        places[usable] = centred @ _leading(sample)
        shares = np.sum(places[usable] ** 2, axis=0) / total if total > 0 else np.zeros(2)
        explained = (float(shares[0]), float(shares[1]))
    ends = np.cumsum([len(path) for path in paths])[:-1]
    parts = np.split(places, ends)
    moved = np.nansum([_ends(part) for part in parts], axis=0) if parts else np.zeros(2)
    sign = np.where(moved < 0, -1.0, 1.0)
    return Projection([part * sign for part in parts], explained)


def _leading(rows: np.ndarray) -> np.ndarray:
    """Return the two leading right singular vectors (n_weights, 2), zero where there is none."""
    axes = np.zeros((rows.shape[1], 2))
    if len(rows) <= rows.shape[1]:
        values, left = np.linalg.eigh(rows @ rows.T)
        found = rows.T @ left[:, ::-1][:, :2]
        found /= np.maximum(np.linalg.norm(found, axis=0), np.finfo(float).tiny)
    else:
        values, vectors = np.linalg.eigh(rows.T @ rows)
        found = vectors[:, ::-1][:, :2]
    has = values[::-1][:2] > 1e-12 * max(values[-1], np.finfo(float).tiny)
    axes[:, : found.shape[1]] = np.where(has, found, 0.0)
    return axes


def _ends(path: np.ndarray) -> np.ndarray:
    """Return last minus first place (2,) of a path, 0 for an empty one."""
    there = path[np.isfinite(path).all(axis=1)]
    return there[-1] - there[0] if len(there) else np.zeros(2)


def sketched(vectors: np.ndarray, size: int) -> np.ndarray:
    """Return vectors of at most ``size`` numbers whose inner products are about those of the given.

    Every weight gets a random sign, and those at equal remainders of their number by ``size`` are
    added up. The expectation of an inner product is exact, its standard deviation at most
    (2 / size)^(1/2) of the product of the norms (Charikar et al. 2002).

    Parameters
    ----------
    vectors : (..., n_weights) float
    size : int

    Returns
    -------
    (..., min(n_weights, size)) float32
    """
    vectors = np.asarray(vectors, np.float32)
    n = vectors.shape[-1]
    if n <= size:
        return vectors
    signed = vectors * _signs(n)
    padded = np.zeros((*vectors.shape[:-1], -(-n // size) * size), np.float32)
    padded[..., :n] = signed
    return padded.reshape(*vectors.shape[:-1], -1, size).sum(axis=-2)


@lru_cache(maxsize=8)
def _signs(n: int) -> np.ndarray:
    """Return n random signs, always the same."""
    return np.random.default_rng(n).choice(np.array([-1.0, 1.0], np.float32), n)
