"""Show the plots of weights in their views."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from paraview import servermanager, simple

from pvensemble.views import colors
from pvensemble.views.charts import COLOR, show, show_axes
from pvensemble.views.data import information
from pvensemble.views.layout import BAR_GAP, FONT_PIXELS, MARGIN, SIDE, Fit, size_of

NORMALIZED, LOG_SHARE = "normalized", "log_share"
SHARES = (-4.0, 0.0)
"""Powers of ten of the share of weights in a bin, from pale to dark."""
PALE_TO_DARK = ((0.0, 0.90, 0.91, 0.93), (0.5, 0.58, 0.61, 0.68), (1.0, 0.10, 0.12, 0.20))
AXES_PORT = 1
TILT, TURN = 40.0, 10.0
"""Degrees by which the camera of weight boxes stands off the normal of their plane, and aside."""


def show_weight_boxes(plot: Any, view: Any, *, has_bar: bool = True) -> None:
    """Boxes from blue (negative) over white to red, shaded; see :class:`FitBoxes`."""
    view.UseLight = 1  # sides of boxes differ by their shade alone
    boxes = show(plot, view, 0)
    for name, value in {"Ambient": 0.45, "Diffuse": 0.65, "Specular": 0.0}.items():
        setattr(boxes, name, value)
    boxes.BackfaceRepresentation = "Cull Backface"  # a quarter faster without a graphics card
    colors.selection_style(boxes, width=2.0)
    bar = colors.diverging(boxes, NORMALIZED, view, (-1.0, 1.0))
    bar.Visibility = int(has_bar)
    show_image(plot, view, 2)
    show_axes(plot, view)


def show_weight_images(plot: Any, view: Any, *, has_bar: bool = True) -> None:
    """Tiles from blue over white to red, histograms from pale (rare) to dark (common)."""
    tiles = show(plot, view, 0)
    colors.selection_style(tiles, width=1.5)
    bar = colors.diverging(tiles, NORMALIZED, view, (-1.0, 1.0))
    bar.Visibility = int(has_bar)
    show_image(plot, view, 2)
    histograms = show(plot, view, 3)
    lut = simple.GetColorTransferFunction(LOG_SHARE)
    colors.set_limits(lut, SHARES, PALE_TO_DARK)
    lut.AutomaticRescaleRangeMode, lut.ScalarRangeInitialized = "Never", 1
    histograms.LookupTable = lut
    histograms.ColorArrayName = ["CELLS", LOG_SHARE]
    colors.selection_style(histograms, width=1.5)
    show_axes(plot, view)


def show_filter_groups(plot: Any, view: Any) -> None:
    """Kernels in the colours of their groups, with which they come."""
    tiles = show(plot, view, 0)
    colors.direct_colors(tiles, COLOR)
    colors.selection_style(tiles, width=1.5)
    show_axes(plot, view)


def show_image(plot: Any, view: Any, port: int) -> None:
    """The image that stands for very many boxes or tiles, in their colours; gaps are not drawn."""
    image = simple.Show(servermanager.OutputPort(plot, port), view)
    image.Representation = "Slice"  # a texture: as quads it takes ten times as long
    image.UseSeparateColorMap = 1
    lut = simple.GetColorTransferFunction(NORMALIZED, image, separate=True)
    colors.set_limits(lut, (-1.0, 1.0), colors.DIVERGING)
    lut.ColorSpace, lut.NanOpacity = "Lab", 0.0
    lut.AutomaticRescaleRangeMode, lut.ScalarRangeInitialized = "Never", 1
    image.LookupTable = lut
    image.ColorArrayName = ["CELLS", NORMALIZED]


class FitBoxes(Fit):
    """Keeps weight boxes as large as their view, seen from above, the front and aside.

    The left button turns, the middle one pans, the right one zooms; what was turned stays turned
    when the view is resized. To be made after the first rendering, which moves the camera.
    """

    def __init__(self, view: Any, plot: Any, *, bar: Any = None) -> None:
        polar, turn = np.radians(TILT), np.radians(TURN)
        off = np.sin(polar) * np.array([np.sin(turn), -np.cos(turn)])
        view.InteractionMode = "3D"
        view.CameraParallelProjection = 1
        view.CameraFocalPoint = [0.0, 0.0, 0.0]
        view.CameraPosition = [float(100 * v) for v in (*off, np.cos(polar))]
        view.CameraViewUp = [0.0, 0.0, 1.0]
        super().__init__(view, plot, (0, 1, 2), bar=bar, font=1.2 * FONT_PIXELS)  # seen at an angle

    def apply(self) -> None:
        """Choose the size of the labels, and let the plot fill the view from where it is seen."""
        self._done = size_of(self.view)
        for _ in range(2):  # larger labels make the plot larger, so approach it
            unit = self._fit()
            self.plot.LabelSize = min(max(100 * self.font * unit / SIDE, 1.0), 8.0)
        self._fit()
        if self.bar is not None:
            self.bar.Position = [1 - (MARGIN + self.right) / self._done[0], 0.2]

    def _fit(self) -> float:
        """Move the camera so that the outputs fill the view; return plot units a pixel."""
        across, upwards, towards = axes_of(self.view)
        corners = corners_of([(self.plot, port) for port in self.outputs])
        x, y = corners @ across, corners @ upwards
        width, height = self._done
        room = width - 2 * MARGIN - BAR_GAP - self.right, height - 2 * MARGIN
        unit = float(max(np.ptp(x) / room[0], np.ptp(y) / room[1]))
        x, y = (x.min() + x.max() + unit * self.right) / 2, (y.min() + y.max()) / 2
        middle = x * across + y * upwards
        middle = middle - towards * middle[2] / towards[2] if towards[2] else middle
        self.view.CameraFocalPoint = self.view.CenterOfRotation = middle.tolist()
        self.view.CameraPosition = (middle + 100 * towards).tolist()
        self.view.CameraParallelScale = unit * height / 2
        return unit


def axes_of(view: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the unit vectors to the right, up and towards the viewer of a view's camera."""
    towards = np.subtract(view.CameraPosition, view.CameraFocalPoint)
    towards = towards / np.linalg.norm(towards)
    across = np.cross(view.CameraViewUp, towards)
    across = across / np.linalg.norm(across)
    return across, np.cross(towards, across), towards


def corners_of(outputs: Sequence[tuple[Any, int]]) -> np.ndarray:
    """Return the corners (n, 3) of the boxes around outputs; a unit cube's where all are empty."""
    corners = []
    for source, port in outputs:
        source.UpdatePipeline()
        bounds = information(source, port).GetBounds()
        if bounds[0] <= bounds[1]:
            height = (0.0,) if port == AXES_PORT else bounds[4:]  # the plane is wider than the axis
            corners += itertools.product(bounds[:2], bounds[2:4], height)
    return np.array(corners or list(itertools.product((0.0, 1.0), repeat=3)))
