"""Curves over training steps: which part can be drawn, and on which scale.

A value may be missing because the run was not evaluated at that step (the line goes on to the next
one) or because the run had ended or diverged (the line ends). Diverged runs reach losses that
would flatten all others; the scale is set by the bulk of the values and says what it cuts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pvensemble.numerics.axis_scales import LINEAR, LOG
from pvensemble.numerics.ticks import Tick, log_ticks, nice_ticks, number_labels

TOP_PERCENTILE = 98.0
OUTLIER_FACTOR = 3.0
OUTLIER_DECADES = 3.0


@dataclass(frozen=True)
class CurveScale:
    """Vertical scale of a panel: values lo to hi, linear or logarithmic.

    ``n_cut`` runs have values above ``hi``; the largest is ``largest``.
    """

    scale: str
    lo: float
    hi: float
    n_cut: int = 0
    largest: float = np.nan

    def positions(self, values: np.ndarray) -> np.ndarray:
        """Return values as positions in [0, 1], clamped; infinity is 1, NaN stays NaN."""
        values = np.asarray(values, np.float64)
        if self.scale == LOG:
            with np.errstate(divide="ignore", invalid="ignore"):
                raw = (np.log(values) - np.log(self.lo)) / (np.log(self.hi) - np.log(self.lo))
            raw = np.where(values <= 0, 0.0, raw)
        else:
            raw = (values - self.lo) / (self.hi - self.lo)
        return np.clip(raw, 0.0, 1.0)

    def ticks(self, n: int) -> list[Tick]:
        """Return ticks at round values."""
        find = log_ticks if self.scale == LOG else nice_ticks
        values = find(self.lo, self.hi, n)
        place = self.positions(values)
        texts = number_labels(values)
        return [Tick(float(p), t, float(v)) for p, t, v in zip(place, texts, values)]


def curve_scale(values: np.ndarray, *, log: bool = False, upper: float | None = None) -> CurveScale:
    """Return the scale on which curves are drawn.

    Parameters
    ----------
    values : numpy.ndarray
        (n_runs, n_steps), NaN where not measured.
    log : bool
        Logarithmic; values <= 0 are drawn at the lower end.
    upper : float, optional
        Largest possible value (1 for an accuracy): the scale ends just above it.

    Returns
    -------
    CurveScale
        From the smallest to the largest finite value with a little room; if the largest is more
        than ``OUTLIER_FACTOR`` times the 98th percentile (``OUTLIER_DECADES`` decades on a
        logarithmic scale), up to that percentile, with ``n_cut`` runs beyond.
    """
    values = np.asarray(values, np.float64)
    finite = values[np.isfinite(values)]
    usable = finite[finite > 0] if log else finite
    if len(usable) == 0:
        return CurveScale(LOG, 0.1, 1.0) if log else CurveScale(LINEAR, 0.0, 1.0)
    lo, top = float(usable.min()), float(usable.max())
    bulk = float(np.percentile(usable, TOP_PERCENTILE))
    has_outliers = top > bulk * (10**OUTLIER_DECADES if log else OUTLIER_FACTOR) and bulk > 0
    hi = bulk if has_outliers else top
    if log:
        lo, hi = (lo / 1.1, hi * 1.1)
    else:
        room = 0.03 * (hi - lo) or 0.05 * abs(hi) or 0.5
        lo = 0.0 if 0 <= lo < 0.15 * hi else lo - room
        hi = hi + room
    if upper is not None and hi > upper >= top:
        hi = upper + 0.02 * (upper - lo) if upper > lo else hi
    with np.errstate(invalid="ignore"):
        cut = np.any(values > hi, axis=1) if values.ndim == 2 else values > hi
    largest = float(np.nanmax(np.where(np.isnan(values), -np.inf, values)))
    return CurveScale(LOG if log else LINEAR, lo, hi, int(cut.sum()), largest)


def dashes(x: np.ndarray, y: np.ndarray, *, spacing: float, dash: float, gap: float) -> np.ndarray:
    """Return points along a curve that look like a dashed line.

    Dashes begin at the same x on all curves, so a bundle of curves still looks dashed.

    Parameters
    ----------
    x, y : numpy.ndarray
        (n_points,) corners of the curve, finite, x ascending.
    spacing : float
        Distance of the points within a dash, along the curve.
    dash, gap : float
        Lengths along x.

    Returns
    -------
    numpy.ndarray
        (n, 2) points; a curve of one corner gives that point.
    """
    if len(x) < 2:
        return np.column_stack([x, y])
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    at = np.arange(0.0, length[-1] + spacing / 2, spacing)
    points = np.column_stack([np.interp(at, length, x), np.interp(at, length, y)])
    return points[points[:, 0] % (dash + gap) <= dash]
