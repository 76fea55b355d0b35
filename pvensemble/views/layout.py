"""Views and layouts for plots: white, flat, filled by the plot, with nothing of a 3-D scene."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from paraview import servermanager, simple

from pvensemble.views.data import information

FONT_PIXELS = 15.0
"""Size of the text of plots on the screen; it stays the same when a view is resized."""
MARGIN = 20
"""Pixels left free around a plot."""
BAR, BAR_GAP = 90, 24
"""Pixels at the right of a plot for the colour bar with its labels, and from the plot to it."""
TOP = 0
"""The whole of a layout."""


def plot_view(name: str) -> Any:
    """Create a white render view that looks along z, without axes of the scene.

    The left button is free for selecting: middle pans, right and wheel zoom.
    """
    view = simple.CreateView("RenderView")
    simple.RenameView(name, view)
    settings = {
        "InteractionMode": "2D",
        "CameraParallelProjection": 1,
        "OrientationAxesVisibility": 0,
        "CenterAxesVisibility": 0,
        "UseColorPaletteForBackground": 0,
        "BackgroundColorMode": "Single Color",
        "Background": [1.0, 1.0, 1.0],
        # Plots are drawn in their own colours: without lights they look the same, and a fifth of
        # the time of a frame is saved where there is no graphics card.
        "UseLight": 0,
        # left, middle, right; then the same with Shift and with Ctrl
        "Camera2DManipulators": ["None", "Pan", "Zoom"] + 2 * ["None", "Pan", "Zoom"],
    }
    for key, value in settings.items():
        if hasattr(view, key):
            setattr(view, key, value)
    return view


def smooth(views: Iterable[Any], *, always: bool = False) -> None:
    """Draw lines and text with four samples a pixel, on a graphics card or ``always``.

    Without a card it doubles the time of a frame. ParaView's own smoothing (FXAA) is switched off:
    it blurs text, and takes two thirds of a frame without a card. Call it when all views are there
    and have been drawn: making another view switches FXAA on again in all.
    """
    for view in views:
        if not hasattr(view, "UseFXAA"):
            continue  # a chart or a spreadsheet
        view.UseFXAA = 0
        window = view.GetRenderWindow()
        if always or "llvmpipe" not in window.ReportCapabilities():
            window.SetMultiSamples(4)


def new_layout(name: str) -> Any:
    """Create an empty layout (tab)."""
    return simple.CreateLayout(name=name)


def split(layout: Any, cell: int, direction: str, fraction: float) -> tuple[int, int]:
    """Split a cell of a layout; return the cells above and below, or left and right.

    Parameters
    ----------
    layout : proxy
    cell : int
        ``TOP`` is the whole layout.
    direction : {"vertical", "horizontal"}
    fraction : float
        Share of the first.
    """
    halve = layout.SplitVertical if direction == "vertical" else layout.SplitHorizontal
    first = halve(cell, fraction)
    return first, first + 1


def place(layout: Any, cell: int, view: Any) -> None:
    """Put a view into an empty cell of a layout; ParaView may have put it elsewhere already."""
    before = simple.GetLayout(view)
    if before is not None:
        before.SMProxy.RemoveView(view.SMProxy)
    layout.AssignView(cell, view)


def set_size(layout: Any, view: Any, size: tuple[int, int]) -> None:
    """Give a layout a size in pixels, unless it is in ParaView's window, which has its own.

    ParaView 6 would draw it at that size and scale the picture, so that the mouse missed.
    """
    if not _is_on_screen(view):
        layout.SetSize(*size)


def remove_empty_layouts(keep: Sequence[Any]) -> None:
    """Remove the layouts that ParaView started with, where nothing is shown in their views."""
    layouts = servermanager.ProxyManager().GetProxiesInGroup("layouts").values()
    kept = {layout.SMProxy for layout in keep}
    for layout in list(layouts):
        if layout.SMProxy in kept:
            continue
        views = list(simple.GetViewsInLayout(layout))
        if any(len(view.Representations) for view in views):
            continue
        for view in views:
            simple.Delete(view)
        simple.RemoveLayout(layout)


def bounds_of(sources: Sequence[tuple[Any, int]]) -> tuple[float, float, float, float]:
    """Return (left, right, bottom, top) of some outputs together."""
    box = [1e300, -1e300, 1e300, -1e300]
    for source, port in sources:
        source.UpdatePipeline()
        x0, x1, y0, y1 = information(source, port).GetBounds()[:4]
        if x0 <= x1:
            box = [min(box[0], x0), max(box[1], x1), min(box[2], y0), max(box[3], y1)]
    return tuple(box) if box[0] <= box[1] else (0.0, 1.0, 0.0, 1.0)


class Fit:
    """Keeps a plot as large as its view, with text of constant size, when the view is resized.

    Parameters
    ----------
    view : proxy
    plot : proxy
        Filter with ``LabelSize`` (percent of its height) and, where its shape is free, ``Width``
        and ``Height``.
    outputs : sequence of int
        Output ports that must be in sight.
    bar : proxy, optional
        The view's colour bar; it is put to the right of the plot, beside its first output.
    font : float
        Size of the text in pixels.
    """

    def __init__(
        self,
        view: Any,
        plot: Any,
        outputs: Sequence[int],
        *,
        bar: Any = None,
        font: float = FONT_PIXELS,
    ) -> None:
        self.view, self.plot, self.outputs, self.bar = view, plot, tuple(outputs), bar
        self.right, self.font = BAR if bar is not None else 0, font
        self._done: tuple[int, int] | None = None
        self.apply()
        # A window of the GUI tells its size itself; ParaView 6 does not keep ViewSize up to date.
        self._told = view.GetRenderWindow() if _is_on_screen(view) else view.SMProxy
        event = "WindowResizeEvent" if _is_on_screen(view) else "PropertyModifiedEvent"
        self._tag = self._told.AddObserver(event, self._changed)

    def remove(self) -> None:
        """Leave the view as it is from now on."""
        self._told.RemoveObserver(self._tag)

    def apply(self) -> None:
        """Shape the plot and point the camera for the view's present size."""
        size = size_of(self.view)
        width, height = max(size[0] - 2 * MARGIN - self.right, 50), max(size[1] - 2 * MARGIN, 50)
        self._done = size
        content = [(self.plot, port) for port in self.outputs]
        if hasattr(self.plot, "Width"):
            _shape(self.plot, content, width, height, self.font)
        elif hasattr(self.plot, "LabelSize"):
            for _ in range(3):  # larger labels make the plot larger, so approach it
                x0, x1, y0, y1 = bounds_of(content)
                unit = max((x1 - x0) / width, (y1 - y0) / height)
                self.plot.LabelSize = min(max(100 * self.font * unit / SIDE, 1.0), 8.0)
        x0, x1, y0, y1 = bounds_of(content)
        unit = max((x1 - x0) / width, (y1 - y0) / height)  # plot units a pixel
        x, y = (x0 + x1 + unit * self.right) / 2, (y0 + y1) / 2
        look_at(self.view, x, y, unit * size[1] / 2)
        if self.bar is not None:
            left = size[0] / 2 + (x1 - x) / unit + BAR_GAP * self.right / BAR
            is_drawn = information(self.plot).GetNumberOfCells() > 0
            low, high = bounds_of([(self.plot, 0)] if is_drawn else content)[2:]
            bottom = size[1] / 2 + (low - y) / unit
            length = max((high - low) / unit, 50)
            self.bar.Position = [left / size[0], (bottom + 0.1 * length) / size[1]]
            self.bar.ScalarBarLength = 0.8 * length / size[1]

    def _changed(self, *_event: Any) -> None:
        if size_of(self.view) != self._done:
            self.apply()


def _is_on_screen(view: Any) -> bool:
    """Whether a view is a widget of ParaView's main window."""
    interactor = view.GetInteractor()
    return interactor is not None and interactor.GetClassName().startswith("QVTK")


def size_of(view: Any) -> tuple[int, int]:
    """Width and height of a view in pixels."""
    size = view.GetRenderWindow().GetSize() if _is_on_screen(view) else view.ViewSize
    return int(size[0]), int(size[1])


SIDE = 9.0
"""Height in plot units of the plots whose shape is not free."""


def _shape(plot: Any, content: list, width: int, height: int, font: float) -> None:
    """Choose width, height and label size so that the plot with its labels fills the view."""
    inner = [0.85 * width, 0.8 * height]
    for _ in range(4):
        plot.Height = SIDE
        plot.Width = SIDE * inner[0] / inner[1]
        plot.LabelSize = min(max(100 * font / inner[1], 0.5), 12.0)
        x0, x1, y0, y1 = bounds_of(content)
        pixels = inner[1] / SIDE
        inner[0] = max(inner[0] + width - (x1 - x0) * pixels, 0.2 * width)
        inner[1] = max(inner[1] + height - (y1 - y0) * pixels, 0.2 * height)


def look_at(view: Any, x: float, y: float, half_height: float) -> None:
    """Point a parallel camera along z at a place of the plane."""
    view.CameraFocalPoint = [x, y, 0.0]
    view.CameraPosition = [x, y, 100.0]
    view.CameraViewUp = [0.0, 1.0, 0.0]
    view.CameraParallelScale = half_height
    view.CenterOfRotation = [x, y, 0.0]
