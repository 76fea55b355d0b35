"""Planes through points of a space of very many dimensions, and what projecting onto them leaves.

Parameters of networks are too many to be multiplied often. All that is asked of them here follows
from their inner products: an axis of a plane is a combination of differences from the plane's
origin, so it is enough to know its coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TINY = 1e-12
"""Part of the largest squared length below which a direction is rounding."""


@dataclass(frozen=True)
class Plane:
    """A plane through the origin, spanned by two orthonormal axes.

    Attributes
    ----------
    coefficients : numpy.ndarray
        (2, n) float64: each axis is that combination of the n differences.
    explained : numpy.ndarray
        (2,) float64: share of the points' variance along each axis; NaN where nothing is explained.
    """

    coefficients: np.ndarray
    explained: np.ndarray


def principal_plane(products: np.ndarray) -> Plane | None:
    """Return the plane of the two first principal components of some points.

    Parameters
    ----------
    products : (n, n) float64
        Inner products of the points' differences from the origin.

    Returns
    -------
    Plane or None
        The first point has coordinates that are not negative. None when the points lie on a line.

    Notes
    -----
    Variance is about the points' mean, as always in principal component analysis; the plane goes
    through the origin all the same.
    """
    n = len(products)
    centering = np.eye(n) - 1.0 / n
    values, vectors = np.linalg.eigh(centering @ products @ centering)
    if n < 3 or values[-2] <= _TINY * max(products.diagonal().max(), 0.0):
        return None
    weights = (centering @ vectors[:, :-3:-1]) / np.sqrt(values[:-3:-1])
    signs = np.where(products[0] @ weights < 0, -1.0, 1.0)
    total = np.maximum(values, 0).sum()
    return Plane((weights * signs).T, values[:-3:-1] / total)


def plane_through(products: np.ndarray) -> Plane | None:
    """Return the plane through the origin and two points, by Gram-Schmidt.

    Parameters
    ----------
    products : (2, 2) float64
        Inner products of the points' differences from the origin.

    Returns
    -------
    Plane or None
        The first axis points to the first point; the second point has a positive second
        coordinate. None when the three points lie on a line.
    """
    (aa, ab), (_, bb) = products
    if aa <= 0 or bb <= 0 or bb - ab**2 / aa <= _TINY * max(aa, bb):
        return None
    first = np.array([1.0, 0.0]) / np.sqrt(aa)
    rest = np.array([-ab / aa, 1.0]) / np.sqrt(bb - ab**2 / aa)
    return Plane(np.array([first, rest]), np.full(2, np.nan))


def project(
    axes: np.ndarray, along: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Project points onto a plane by least squares.

    Parameters
    ----------
    axes : (2, 2) float64
        Inner products of the two axes, which need not be orthonormal.
    along : (2, n) float64
        Inner products of the axes and the points' differences from the origin.
    squares : (n,) float64
        Squared lengths of these differences.

    Returns
    -------
    coordinates : (n, 2) float64
    distances : (n,) float64
        From the plane, in the units of the space.
    """
    coordinates = np.linalg.solve(axes, along)
    left = squares - np.einsum("kn,kn->n", coordinates, along)
    # What is left of a point in the plane is rounding of its whole length.
    left[left < _TINY * squares] = 0.0
    return coordinates.T.copy(), np.sqrt(left)


def framed(points: np.ndarray, span: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the box around points of a plane with room on all sides.

    Parameters
    ----------
    points : (n, 2)
    span : float
        1 leaves a quarter of the extent free on each side; 2 makes the box twice as large.

    Returns
    -------
    low, high : (2,) float64
        Neither side is shorter than half of the other.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    extent = high - low
    half = 0.75 * span * np.maximum(extent, 0.5 * extent.max())
    middle = (low + high) / 2
    return middle - half, middle + half
