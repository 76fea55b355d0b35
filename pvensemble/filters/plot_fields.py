"""What a parallel-coordinates plot tells about its axes, as field data, and how to read it back.

A view needs no more than this to turn a mouse position into an axis and a value, and a drag along
an axis into the exact set of runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkDataObject

from pvensemble.errors import MissingArrayError
from pvensemble.numerics.axes import brush_positions
from pvensemble.numerics.axes_layout import AxesLayout
from pvensemble.vtkdata.arrays import add_field, field_strings, to_numpy

AXIS_NAMES = "axis_names"
AXIS_SCALES = "axis_scales"
AXIS_X = "axis_x"
AXIS_LO = "axis_lo"
AXIS_HI = "axis_hi"
AXIS_FLIPPED = "axis_flipped"
AXIS_HEIGHT = "axis_height"
AXIS_POSITIONS = "axis_positions"
"""(n_runs, n_axes) float32: 0 at the bottom of the axis, 1 at its top, ``numerics.axes.RAIL`` where
the run has no value. Plot coordinate y = position * axis_height."""


@dataclass(frozen=True)
class DrawnAxes:
    """The axes of a drawn plot.

    Attributes
    ----------
    names, scales : list of str
    x : numpy.ndarray
        (n_axes,) plot coordinates.
    height : float
        The axes go from y = 0 to y = height.
    positions : numpy.ndarray
        (n_runs, n_axes).
    lo, hi : numpy.ndarray
        (n_axes,) values at the ends (codes on categorical axes); swapped on flipped axes when read
        from bottom to top.
    flipped : numpy.ndarray
        (n_axes,) bool.
    """

    names: list[str]
    scales: list[str]
    x: np.ndarray
    height: float
    positions: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    flipped: np.ndarray

    def nearest_axis(self, x: float) -> int:
        """Return the index of the axis nearest to a plot coordinate."""
        return int(np.argmin(np.abs(self.x - x)))

    def brush(self, x: float, y0: float, y1: float) -> np.ndarray:
        """Return the runs whose lines cross the axis nearest to x between two plot heights."""
        place = self.positions[:, self.nearest_axis(x)]
        return brush_positions(place, y0 / self.height, y1 / self.height)


def write_axes(data: vtkDataObject, layout: AxesLayout) -> None:
    """Add the description of a layout to a data set's field data."""
    field = data.GetFieldData()
    add_field(field, AXIS_NAMES, [axis.name for axis in layout.axes])
    add_field(field, AXIS_SCALES, [axis.scale for axis in layout.axes])
    add_field(field, AXIS_X, np.asarray(layout.x, np.float64))
    add_field(field, AXIS_LO, np.array([axis.lo for axis in layout.axes]))
    add_field(field, AXIS_HI, np.array([axis.hi for axis in layout.axes]))
    add_field(field, AXIS_FLIPPED, np.array([axis.flipped for axis in layout.axes], np.uint8))
    add_field(field, AXIS_HEIGHT, np.array([layout.height]))
    add_field(field, AXIS_POSITIONS, layout.positions.astype(np.float32))


def read_axes(data: vtkDataObject) -> DrawnAxes:
    """Return the axes of the output of Parallel Coordinates (port Lines or Axes).

    Raises
    ------
    MissingArrayError
        The data set is not such an output.
    """
    field = data.GetFieldData()
    numbers = {}
    for name in (AXIS_X, AXIS_HEIGHT, AXIS_LO, AXIS_HI, AXIS_FLIPPED, AXIS_POSITIONS):
        array = field.GetArray(name)
        if array is None:
            raise MissingArrayError(
                f"field array {name!r} is missing: not an output of Parallel Coordinates"
            )
        numbers[name] = to_numpy(array)
    names = field_strings(field, AXIS_NAMES)
    return DrawnAxes(
        names=names,
        scales=field_strings(field, AXIS_SCALES),
        x=numbers[AXIS_X],
        height=float(numbers[AXIS_HEIGHT][0]),
        positions=numbers[AXIS_POSITIONS].reshape(-1, len(names)),
        lo=numbers[AXIS_LO],
        hi=numbers[AXIS_HI],
        flipped=numbers[AXIS_FLIPPED].astype(bool),
    )
