"""Axes of plots: which scale suits a column, and what is known of the axis.

Missing values are NaN, infinity, empty text, and numbers <= 0 on a logarithmic axis. Scales are
inferred as in HiPlot: categorical for text and for few distinct integers, logarithmic when all
values are positive and the 95th percentile is more than 100 times the 5th, else linear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from pvensemble.errors import OptionError, did_you_mean
from pvensemble.numerics.ticks import number_labels

LINEAR = "linear"
LOG = "log"
PERCENTILE = "percentile"
CATEGORICAL = "categorical"
SCALES = (LINEAR, LOG, PERCENTILE, CATEGORICAL)

LOG_RATIO = 100.0
MAX_CATEGORIES = 5


@dataclass(frozen=True)
class Axis:
    """One axis. ``lo`` and ``hi`` are values in the column's own unit (codes if categorical)."""

    name: str
    scale: str
    lo: float
    hi: float
    flipped: bool = False
    labels: tuple[str, ...] = ()
    """Categorical: full texts in order."""
    categories: tuple = ()
    """Categorical: the values that the texts stand for."""
    knots: np.ndarray = field(default_factory=lambda: np.empty(0))
    """Distinct finite values in [lo, hi], ascending (not for categorical axes)."""
    quantiles: np.ndarray = field(default_factory=lambda: np.empty(0))
    """Percentile axes: position of each knot."""
    n_missing: int = 0
    cuts_low: bool = False
    cuts_high: bool = False
    """Whether values lie outside the range and are drawn at its ends."""

    @property
    def is_constant(self) -> bool:
        """Whether all runs that have a value have the same."""
        return len(self.labels) <= 1 if self.scale == CATEGORICAL else self.lo == self.hi

    @property
    def is_empty(self) -> bool:
        """Whether no run has a value."""
        return not self.labels if self.scale == CATEGORICAL else len(self.knots) == 0


def is_text(values: np.ndarray) -> bool:
    """Return whether a column holds text."""
    return np.asarray(values).dtype.kind in "US"


def infer_scale(values: np.ndarray, declared: str | None = None) -> str:
    """Return the scale that suits a column.

    Parameters
    ----------
    values : numpy.ndarray
        (n_runs,) numbers, text or booleans (uint8).
    declared : str, optional
        What the search space says: ``log`` and ``categorical`` are followed (``log`` only when some
        value is positive), ``linear`` leaves the choice to the values.

    Returns
    -------
    str
        One of ``SCALES``; never ``percentile``, which is only chosen by the user.
    """
    values = np.asarray(values)
    if is_text(values) or values.dtype.kind == "b" or values.dtype == np.uint8:
        return CATEGORICAL
    if declared == CATEGORICAL:
        return CATEGORICAL
    finite = values[np.isfinite(values)].astype(np.float64)
    if declared == LOG and np.any(finite > 0):
        return LOG
    if values.dtype.kind in "iu" and len(np.unique(finite)) <= MAX_CATEGORIES:
        return CATEGORICAL
    if len(finite) and finite.min() > 0:
        low, high = np.percentile(finite, [5, 95])
        if high / low > LOG_RATIO:
            return LOG
    return LINEAR


def make_axis(
    name: str,
    values: np.ndarray,
    *,
    declared: str | None = None,
    scale: str | None = None,
    limits: tuple[float, float] | None = None,
    flipped: bool = False,
) -> Axis:
    """Return the axis of one column.

    Parameters
    ----------
    name : str
        Name of the column, used as the title.
    values : numpy.ndarray
        (n_runs,) numbers, text or booleans (uint8).
    declared : str, optional
        Scale from the search space, see `infer_scale`.
    scale : str, optional
        One of ``SCALES``; overrides the inference.
    limits : (float, float), optional
        Displayed range; values outside are drawn at its ends. Not for categorical axes.
    flipped : bool
        Draw high values at the bottom.

    Returns
    -------
    Axis

    Raises
    ------
    OptionError
        Unknown scale, text on a numeric scale, a logarithmic axis without positive values, or
        limits that are not finite, not ascending, not positive on a logarithmic axis, or given
        for a categorical axis.
    """
    values = np.asarray(values)
    if scale is not None and scale not in SCALES:
        raise OptionError(f"axis {name!r}: unknown scale {scale!r}{did_you_mean(scale, SCALES)}")
    if scale not in (None, CATEGORICAL) and is_text(values):
        raise OptionError(f"axis {name!r} holds text and must be categorical, got scale {scale!r}")
    chosen = scale or infer_scale(values, declared)
    if chosen == CATEGORICAL:
        if limits is not None:
            raise OptionError(f"axis {name!r} is categorical and cannot have a range {limits}")
        return _categorical_axis(name, values, flipped)
    return _numeric_axis(name, values.astype(np.float64), chosen, limits, flipped)


def _numeric_axis(name, values, scale, limits, flipped) -> Axis:
    """Build a linear, log or percentile axis."""
    usable = np.isfinite(values)
    if scale == LOG:
        usable &= np.where(np.isfinite(values), values, 0.0) > 0
        if not usable.any() and np.isfinite(values).any():
            raise OptionError(f"axis {name!r} has no positive value and cannot be logarithmic")
    finite = values[usable]
    n_missing = int(len(values) - len(finite))
    if limits is not None:
        _check_limits(name, limits, scale)
        lo, hi = float(limits[0]), float(limits[1])
    elif len(finite):
        lo, hi = float(finite.min()), float(finite.max())
    else:
        lo = hi = np.nan
    cuts = bool(np.any(finite < lo)), bool(np.any(finite > hi))
    clamped = np.clip(finite, lo, hi) if len(finite) else finite
    knots, counts = np.unique(clamped, return_counts=True)
    quantiles = np.empty(0)
    if scale == PERCENTILE and len(knots) > 1:
        ranks = np.cumsum(counts) - counts + (counts - 1) / 2
        quantiles = (ranks - ranks[0]) / (ranks[-1] - ranks[0])
        lo, hi = float(knots[0]), float(knots[-1])
    elif scale == PERCENTILE and len(knots):
        lo = hi = float(knots[0])
    return Axis(
        name,
        scale,
        lo,
        hi,
        flipped,
        knots=knots,
        quantiles=quantiles,
        n_missing=n_missing,
        cuts_low=cuts[0],
        cuts_high=cuts[1],
    )


def _check_limits(name: str, limits, scale: str) -> None:
    """Raise unless limits are two ascending finite numbers, positive for a logarithmic axis."""
    lo, hi = limits
    if not (np.isfinite(lo) and np.isfinite(hi) and lo < hi):
        raise OptionError(f"axis {name!r}: the range must be two ascending numbers, got {lo}, {hi}")
    if scale == LOG and lo <= 0:
        raise OptionError(f"axis {name!r} is logarithmic: its range must be positive, got {lo}")


def _categorical_axis(name, values, flipped) -> Axis:
    """Build a categorical axis: text in natural order, numbers ascending."""
    if is_text(values):
        missing = values == ""
        categories = sorted({str(v) for v in values[~missing]}, key=natural_key)
        labels = list(categories)
    else:
        missing = ~np.isfinite(values)
        categories = [v.item() for v in np.unique(values[~missing])]
        if values.dtype.kind == "b" or (values.dtype == np.uint8 and set(categories) <= {0, 1}):
            labels = ["true" if v else "false" for v in categories]
        else:
            labels = number_labels(categories)
    top = float(max(len(labels) - 1, 0))
    return Axis(
        name,
        CATEGORICAL,
        0.0,
        top,
        flipped,
        labels=tuple(labels),
        categories=tuple(categories),
        n_missing=int(missing.sum()),
    )


def natural_key(text: str) -> list:
    """Return a sort key that puts ``conv2`` before ``conv10``."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts if p]
