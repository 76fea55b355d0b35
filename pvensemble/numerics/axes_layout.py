"""Which columns a parallel-coordinates plot shows, in which order, and where each axis stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pvensemble.errors import OptionError, did_you_mean
from pvensemble.numerics.axes import brush_positions, railed_positions, value_at
from pvensemble.numerics.axis_scales import Axis, make_axis


@dataclass(frozen=True)
class AxesLayout:
    """Axes side by side.

    Attributes
    ----------
    axes : tuple of Axis
    x : numpy.ndarray
        (n_axes,) float64 plot coordinate of each axis.
    height : float
        Axes go from y = 0 to y = height.
    positions : numpy.ndarray
        (n_runs, n_axes) float64 position of every run on every axis; ``RAIL`` where missing.
    """

    axes: tuple[Axis, ...]
    x: np.ndarray
    height: float
    positions: np.ndarray

    def nearest_axis(self, x: float) -> int:
        """Return the index of the axis nearest to a plot coordinate."""
        return int(np.argmin(np.abs(self.x - x)))

    def value_at(self, x: float, y: float) -> float | str | None:
        """Return the value of the nearest axis at a plot coordinate; None on its rail."""
        return value_at(self.axes[self.nearest_axis(x)], y / self.height)

    def brush(self, x: float, y0: float, y1: float) -> np.ndarray:
        """Return the runs between two heights on the axis nearest to ``x``, ascending."""
        place = self.positions[:, self.nearest_axis(x)]
        return brush_positions(place, y0 / self.height, y1 / self.height)


def axes_layout(
    columns: Mapping[str, np.ndarray],
    hyper_parameters: Sequence[str],
    measures: Sequence[str],
    *,
    declared_scales: Mapping[str, str] | None = None,
    names: Sequence[str] = (),
    scales: Mapping[str, str] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    flipped: Iterable[str] = (),
    hide_constant: bool = True,
    width: float = 16.0,
    height: float = 9.0,
) -> AxesLayout:
    """Return the axes of a parallel-coordinates plot and every run's position on them.

    Parameters
    ----------
    columns : mapping of str to numpy.ndarray
        The run table, arrays of shape (n_runs,).
    hyper_parameters, measures : sequence of str
        Columns shown by default, in this order.
    declared_scales : mapping of str to str, optional
        Scales that the search space declares.
    names : sequence of str
        Columns to show instead, in order; exactly these are shown, constant or not.
    scales, ranges : mapping, optional
        Overrides by column name: a scale, or the displayed (low, high).
    flipped : iterable of str
        Columns drawn with high values at the bottom.
    hide_constant : bool
        Leave out default columns in which all runs have the same value, or none a value, unless
        that would leave no axis.
    width, height : float
        Extent of the plot in plot units.

    Returns
    -------
    AxesLayout

    Raises
    ------
    OptionError
        An unknown column, a column twice, no column at all, an unusable scale or range.
    """
    scales, ranges, flipped = dict(scales or {}), dict(ranges or {}), set(flipped)
    declared_scales = declared_scales or {}
    chosen = list(names) or [n for n in (*hyper_parameters, *measures) if n in columns]
    for option, used in (
        ("Axes", chosen),
        ("Scales", scales),
        ("Ranges", ranges),
        ("Flip", flipped),
    ):
        for name in used:
            if name not in columns:
                raise OptionError(f"{option}: no column {name!r}{did_you_mean(name, columns)}")
    doubled = sorted({name for name in chosen if chosen.count(name) > 1})
    if doubled:
        raise OptionError(f"Axes: column {doubled[0]!r} is named twice")
    if not chosen:
        raise OptionError(
            "the runs have neither hyper-parameters nor measures; name columns in Axes"
            f"{did_you_mean('', columns)}"
        )
    axes = [
        make_axis(
            name,
            columns[name],
            declared=declared_scales.get(name),
            scale=scales.get(name),
            limits=ranges.get(name),
            flipped=name in flipped,
        )
        for name in chosen
    ]
    if hide_constant and not names:
        axes = [a for a in axes if not (a.is_constant or a.is_empty)] or axes
    x = np.linspace(0.0, width, len(axes)) if len(axes) > 1 else np.array([width / 2])
    place = np.column_stack([railed_positions(axis, columns[axis.name]) for axis in axes])
    return AxesLayout(tuple(axes), x, float(height), place)
