"""Filled glyphs for points in a plot: polygons of equal area, one shape a category."""

from __future__ import annotations

import numpy as np

SHAPES = ("disc", "square", "triangle", "diamond", "inverted triangle", "pentagon", "hexagon")
"""Shapes in the order in which categories get them; then they begin anew."""
_CORNERS = {
    "disc": (24, 0.0),
    "square": (4, 45.0),
    "triangle": (3, 90.0),
    "diamond": (4, 0.0),
    "inverted triangle": (3, -90.0),
    "pentagon": (5, 90.0),
    "hexagon": (6, 0.0),
}
COARSE_DISC = 10
MANY = 3000


def glyph_outline(shape: int, n_glyphs: int = 1) -> np.ndarray:
    """Return the corners (n, 2) of a convex glyph about the origin, of the area of a unit disc.

    Parameters
    ----------
    shape : int
        Position in ``SHAPES``, modulo their number.
    n_glyphs : int
        How many are to be drawn: of many, discs get fewer corners.
    """
    name = SHAPES[shape % len(SHAPES)]
    n, turn = _CORNERS[name]
    n = COARSE_DISC if name == "disc" and n_glyphs > MANY else n
    angle = np.radians(turn) + 2 * np.pi * np.arange(n) / n
    radius = np.sqrt(2 * np.pi / (n * np.sin(2 * np.pi / n)))
    return radius * np.column_stack([np.cos(angle), np.sin(angle)])


def glyph_polygons(
    centers: np.ndarray, radius: np.ndarray, shape: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return a polygon for every point.

    Parameters
    ----------
    centers : (n, 2)
    radius : (n,)
        Of the disc of equal area.
    shape : (n,) int
        See ``glyph_outline``.

    Returns
    -------
    corners : (sum of sizes, 2) float64
        Polygon after polygon.
    sizes : (n,) int64
        Number of corners of each.
    """
    shape = np.asarray(shape) % len(SHAPES)
    outlines = {kind: glyph_outline(kind, len(centers)) for kind in np.unique(shape)}
    sizes = np.array([len(outlines[kind]) for kind in shape], np.int64)
    first = np.concatenate([[0], np.cumsum(sizes)])
    corners = np.empty((first[-1], 2))
    for kind, outline in outlines.items():
        of_kind = np.flatnonzero(shape == kind)
        places = first[of_kind][:, None] + np.arange(len(outline))
        corners[places] = centers[of_kind][:, None] + radius[of_kind][:, None, None] * outline
    return corners, sizes
