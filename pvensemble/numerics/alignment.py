"""Orientation of layouts: a canonical one, and alignment to another layout.

Embeddings know distances only, so that any rotation, reflection or shift of one is as good. Without
alignment an animation over time would turn and flip at random.
"""

from __future__ import annotations

import numpy as np

_SYMMETRIC = 0.05
"""Third moment, as a share of that of the magnitudes, below which an axis counts as symmetric."""


def procrustes(
    points: np.ndarray, reference: np.ndarray, rows: np.ndarray | None = None
) -> np.ndarray:
    """Rotate, reflect and shift points to lie as near to a reference as they can, without scaling.

    Least squares over matching rows (Schönemann 1966).

    Parameters
    ----------
    points, reference : numpy.ndarray
        (n, 2); row i of both is the same run. NaN where a run has no place.
    rows : numpy.ndarray, optional
        Indices or (n,) bool of the rows to match. Default: all. Rows with NaN are never matched.

    Returns
    -------
    numpy.ndarray
        (n, 2) float64, all points moved alike; only shifted when the matching rows leave no
        rotation better than others, untouched when no row matches.
    """
    points = np.asarray(points, dtype=np.float64)
    reference = np.asarray(reference, dtype=np.float64)
    matched = np.zeros(len(points), bool)
    matched[slice(None) if rows is None else rows] = True
    matched &= np.isfinite(points).all(axis=1) & np.isfinite(reference).all(axis=1)
    if not matched.any():
        return points.copy()
    source, target = points[matched], reference[matched]
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    left, values, right = np.linalg.svd((source - source_mean).T @ (target - target_mean))
    if values[1] <= 1e-12 * values[0]:  # on a line: do not reflect without need
        right[1] *= np.sign(np.linalg.det(left) * np.linalg.det(right))
    rotation = left @ right if values[0] > 0 else np.eye(2)
    return (points - source_mean) @ rotation + target_mean


def canonical(points: np.ndarray) -> np.ndarray:
    """Centre points, turn their principal axes to x and y, and choose the signs.

    Each axis points to the side on which runs lie farthest out (its third moment is positive);
    where a layout is nearly symmetric, to where later runs lie.

    Parameters
    ----------
    points : numpy.ndarray
        (n, 2) finite.

    Returns
    -------
    numpy.ndarray
        (n, 2) float64.
    """
    centred = points - points.mean(axis=0) if len(points) else np.zeros((0, 2))
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    turned = centred @ axes
    size = np.abs(turned).sum(axis=0)
    third = np.sum(turned**3, axis=0)
    later = (np.arange(len(points)) - (len(points) - 1) / 2) @ turned
    skewed = np.abs(third) > _SYMMETRIC * np.sum(np.abs(turned) ** 3, axis=0)
    sign = np.where(skewed, third, np.where(np.abs(later) > 1e-9 * size, later, 1.0))
    return turned * np.where(sign < 0, -1.0, 1.0) + 0.0
