"""A function over a rectangle as a relief: its scale of heights, and lines that lie upon it."""

from __future__ import annotations

import math

import numpy as np

from pvensemble.numerics.axis_scales import LINEAR, LOG
from pvensemble.numerics.curves import CurveScale

QUANTILE = 0.95
AZIMUTH, ELEVATION = -60.0, 32.0
"""Degrees: from where plots in space are looked at, and their labels face."""


def relief_scale(values: np.ndarray, *, log: bool, clip: float = 0.0) -> CurveScale:
    """Return the scale of heights.

    Parameters
    ----------
    values : numpy.ndarray
        NaN where nothing is known; may be infinite.
    log : bool
        Logarithmic; values <= 0 are drawn at the bottom.
    clip : float
        Largest value that is shown; 0 for the largest one, or ``QUANTILE`` of all where the largest
        is infinite, or (not logarithmic) more than three times that.
    """
    known = values[~np.isnan(values)]
    usable = known[np.isfinite(known) & ((known > 0) | (not log))]
    if not len(usable):
        return CurveScale(LOG, 0.1, 1.0) if log else CurveScale(LINEAR, 0.0, 1.0)
    low, high = float(usable.min()), float(usable.max())
    bulk = float(np.quantile(usable, QUANTILE))
    if clip > low:
        high = clip
    elif bulk > low and (len(usable) < len(known) or (not log and high > 3 * bulk)):
        high = bulk
    if high <= low * (1 + 1e-9):
        high = 2 * low if log else low + max(abs(low), 1.0)
    beyond = known > high
    largest = float(known.max())
    return CurveScale(LOG if log else LINEAR, low, high, int(beyond.sum()), largest)


def value_at(scale: CurveScale, position: float) -> float:
    """Return the value that a scale shows at a position, 0 to 1."""
    if scale.scale == LOG:
        return float(scale.lo * (scale.hi / scale.lo) ** position)
    return float(scale.lo + (scale.hi - scale.lo) * position)


def draped(
    x: np.ndarray, y: np.ndarray, grid: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Refine a polyline so that it follows the cells of a grid.

    Parameters
    ----------
    x, y : numpy.ndarray
        (n_x,) and (n_y,), ascending and evenly spaced.
    grid : numpy.ndarray
        (n_y, n_x) heights; NaN where there are none.
    points : numpy.ndarray
        (n, 2) corners of the line.

    Returns
    -------
    at : numpy.ndarray
        (m,) float64: places along the line, corner k at k.
    heights : numpy.ndarray
        (m,) by bilinear interpolation; points that are not upon the grid are left out.
    """
    if len(points) == 0:
        return np.empty(0), np.empty(0)
    cell = np.array([x[1] - x[0], y[1] - y[0]])
    steps = np.ceil(2 * np.abs(np.diff(points, axis=0) / cell).max(axis=1, initial=0))
    parts = [k + np.arange(n) / n for k, n in enumerate(np.maximum(steps, 1).clip(max=1000))]
    at = np.concatenate([*parts, [len(points) - 1]])
    heights = interpolated(x, y, grid, along(at, points))
    return at[~np.isnan(heights)], heights[~np.isnan(heights)]


def along(at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values (n,) or (n, k) of corners at places along their line."""
    first = np.clip(np.floor(at).astype(int), 0, max(len(values) - 2, 0))
    second = np.minimum(first + 1, len(values) - 1)
    part = (at - first).reshape(-1, *[1] * (values.ndim - 1))
    return values[first] * (1 - part) + values[second] * part


def interpolated(x: np.ndarray, y: np.ndarray, grid: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return a grid's values (n,) at points (n, 2), bilinear; NaN outside and beside NaN."""
    size = np.array([len(x), len(y)])
    place = (points - (x[0], y[0])) / (x[1] - x[0], y[1] - y[0])
    inside = np.all((place >= -1e-9) & (place <= size - 1 + 1e-9), axis=1)
    first = np.clip(np.floor(place).astype(int), 0, size - 2)
    (u, v), (i, k) = (place - first).T.clip(0, 1), first.T
    lower = grid[k, i] * (1 - u) + grid[k, i + 1] * u
    upper = grid[k + 1, i] * (1 - u) + grid[k + 1, i + 1] * u
    return np.where(inside, lower * (1 - v) + upper * v, np.nan)


def view_axes() -> np.ndarray:
    """Return what is right, up and towards the eye (3, 3) in plots in space, as rows."""
    azimuth, elevation = math.radians(AZIMUTH), math.radians(ELEVATION)
    right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    towards = np.array(
        [
            math.cos(elevation) * math.cos(azimuth),
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
        ]
    )
    return np.array([right, np.cross(towards, right), towards])
