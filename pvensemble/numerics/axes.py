"""Where the values of a column stand on an axis, and which runs a brush along it takes.

An axis maps the values of one column of the run table to positions in [0, 1]. Missing values have
no place there; they are put on a rail below the axis, so that a run never disappears.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pvensemble.errors import OptionError, did_you_mean
from pvensemble.numerics.axis_scales import CATEGORICAL, LOG, PERCENTILE, Axis
from pvensemble.numerics.ticks import Tick, log_ticks, nice_ticks, number_labels, short_labels

RAIL = -0.09
"""Axis position of the rail that holds missing values."""
MAX_GRID_VALUES = 12
MAX_LABEL = 40


def positions(axis: Axis, values: np.ndarray) -> np.ndarray:
    """Return where values stand on an axis.

    Parameters
    ----------
    axis : Axis
    values : numpy.ndarray
        (n_runs,) values of the axis' column.

    Returns
    -------
    numpy.ndarray
        (n_runs,) float64 in [0, 1], 0 at the bottom; NaN for missing values. The only value of a
        constant axis stands at 0.5.
    """
    values = np.asarray(values)
    place = np.full(len(values), np.nan)
    if axis.is_empty:
        return place
    if axis.scale == CATEGORICAL:
        place = _codes(axis, values) / max(axis.hi, 1.0)
        usable = np.isfinite(place)
    else:
        values = values.astype(np.float64)
        usable = np.isfinite(values)
        if axis.scale == LOG:
            usable &= np.where(usable, values, 0.0) > 0
        place[usable] = _numeric_positions(axis, np.clip(values[usable], axis.lo, axis.hi))
    if axis.is_constant:
        place[usable] = 0.5
    elif axis.flipped:
        place = 1.0 - place
    return place


def _codes(axis: Axis, values: np.ndarray) -> np.ndarray:
    """Return the index of each value among the categories, NaN for missing ones."""
    code = {category: k for k, category in enumerate(axis.categories)}
    distinct, inverse = np.unique(values, return_inverse=True)
    codes = np.array([code.get(v.item(), np.nan) for v in distinct], dtype=np.float64)
    return codes[inverse]


def _numeric_positions(axis: Axis, values: np.ndarray) -> np.ndarray:
    """Return unflipped positions of finite values inside the axis' range."""
    if axis.is_constant:
        return np.full(len(values), 0.5)
    if axis.scale == PERCENTILE:
        return np.interp(values, axis.knots, axis.quantiles)
    if axis.scale == LOG:
        return (np.log(values) - np.log(axis.lo)) / (np.log(axis.hi) - np.log(axis.lo))
    return (values - axis.lo) / (axis.hi - axis.lo)


def value_at(axis: Axis, position: float) -> float | str | None:
    """Return the value that stands at a position: a number, the nearest category's text, or None.

    Positions outside [0, 1] give the value at the nearer end; None is returned on the rail (nearer
    to it than to the axis) and for an axis without values.
    """
    if axis.is_empty or position < RAIL / 2:
        return None
    p = float(np.clip(position, 0.0, 1.0))
    p = 1.0 - p if axis.flipped else p
    if axis.scale == CATEGORICAL:
        return axis.labels[int(round(p * axis.hi))]
    if axis.is_constant:
        return axis.lo
    if axis.scale == PERCENTILE:
        return float(np.interp(p, axis.quantiles, axis.knots))
    if axis.scale == LOG:
        return float(np.exp(np.log(axis.lo) + p * (np.log(axis.hi) - np.log(axis.lo))))
    return axis.lo + p * (axis.hi - axis.lo)


def railed_positions(axis: Axis, values: np.ndarray) -> np.ndarray:
    """Return `positions` with missing values on the rail."""
    place = positions(axis, values)
    return np.where(np.isnan(place), RAIL, place)


def brush(columns: Mapping[str, np.ndarray], axis: Axis, lo: float, hi: float) -> np.ndarray:
    """Return the runs whose line crosses an axis between two positions.

    Parameters
    ----------
    columns : mapping of str to numpy.ndarray
        The run table.
    axis : Axis
    lo, hi : float
        Positions along the axis in any order; both ends belong to the brush. A brush that reaches
        ``RAIL`` takes the runs without a value too.

    Returns
    -------
    numpy.ndarray
        Ascending run indices, int64.

    Raises
    ------
    OptionError
        The axis' column is not in the table.
    """
    if axis.name not in columns:
        raise OptionError(f"no column {axis.name!r}{did_you_mean(axis.name, columns)}")
    place = railed_positions(axis, columns[axis.name])
    return brush_positions(place, lo, hi)


def brush_positions(place: np.ndarray, lo: float, hi: float) -> np.ndarray:
    """Return the indices of positions in the closed interval between ``lo`` and ``hi``."""
    low, high = min(lo, hi), max(lo, hi)
    tolerance = 1e-6  # positions may have passed through float32
    return np.flatnonzero((place >= low - tolerance) & (place <= high + tolerance))


def axis_ticks(axis: Axis, n: int = 6, *, grid_values: bool = True) -> list[Tick]:
    """Return the ticks of an axis, ascending in position; not thinned.

    Parameters
    ----------
    axis : Axis
    n : int
        Number of ticks aimed at on numeric axes.
    grid_values : bool
        Label the real values when there are at most ``MAX_GRID_VALUES`` of them.

    Notes
    -----
    An end of the range at which values from outside are drawn is labelled with ≤ or ≥.

    Returns
    -------
    list of Tick
    """
    if axis.is_empty:
        return []
    if axis.scale == CATEGORICAL:
        codes = np.arange(len(axis.labels), dtype=np.float64)
        place = codes / max(axis.hi, 1.0) if len(codes) > 1 else np.array([0.5])
        place = 1.0 - place if axis.flipped and len(codes) > 1 else place
        texts = short_labels(axis.labels, MAX_LABEL)
        ticks = [Tick(float(p), t, float(c)) for p, t, c in zip(place, texts, codes)]
        return sorted(ticks, key=lambda tick: tick.position)
    ends = [axis.lo] * axis.cuts_low + [axis.hi] * axis.cuts_high
    values = np.unique(np.concatenate([_tick_values(axis, n, grid_values), ends]))
    texts = number_labels(values)
    if axis.cuts_low:
        texts[0] = "≤ " + texts[0]
    if axis.cuts_high:
        texts[-1] = "≥ " + texts[-1]
    place = positions(axis, values)
    ticks = [Tick(float(p), t, float(v)) for p, t, v in zip(place, texts, values)]
    return sorted(ticks, key=lambda tick: tick.position)


def _tick_values(axis: Axis, n: int, grid_values: bool) -> np.ndarray:
    """Return the values to label on a numeric axis."""
    if axis.is_constant:
        return np.array([axis.lo])
    if grid_values and len(axis.knots) <= MAX_GRID_VALUES:
        return axis.knots
    if axis.scale == PERCENTILE:
        return np.unique(np.interp(np.linspace(0, 1, n), axis.quantiles, axis.knots))
    return log_ticks(axis.lo, axis.hi, n) if axis.scale == LOG else nice_ticks(axis.lo, axis.hi, n)
