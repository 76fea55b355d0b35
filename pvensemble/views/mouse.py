"""Select with the left mouse button, without switching a tool on first.

ParaView's own selection tools pick what is in front at a pixel and must be started for every drag.
Here a click or drag in a plot is turned into plot coordinates and handed to a function that knows
which runs are there. Wheel, middle and right button stay ParaView's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
from vtkmodules.vtkRenderingCore import vtkActor2D, vtkPolyDataMapper2D

from pvensemble.views.selection import ADD, REPLACE, SUBTRACT, TOGGLE

CLICK = 4
"""A drag shorter than this many pixels is a click."""
REACH = 6
"""How many pixels beside a line still hit it."""
PRIORITY = 10.0  # before ParaView's interactor style, which would pan
BRUSH_COLOR = (0.85, 0.10, 0.55)


@dataclass(frozen=True)
class Gesture:
    """A click or drag in plot coordinates.

    Attributes
    ----------
    start, end : (float, float)
        Where it began and ended; equal for a click.
    is_click : bool
    reach : (float, float)
        Length of ``REACH`` pixels in x and y.
    how : {"replace", "add", "subtract", "toggle"}
        By the keys held: none, Ctrl, Shift, both.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    is_click: bool
    reach: tuple[float, float]
    how: str


class LeftButton:
    """Gestures of the left button in a render view.

    Parameters
    ----------
    view : proxy
        A render view that looks along z.
    on_gesture : callable
        Gets the finished Gesture.
    outline : callable, optional
        Gets an unfinished Gesture, returns the rectangle (left, bottom, right, top) to draw in plot
        coordinates; the rectangle between start and end when omitted.
    """

    def __init__(
        self,
        view: Any,
        on_gesture: Callable[[Gesture], None],
        outline: Callable[[Gesture], tuple[float, float, float, float]] | None = None,
    ) -> None:
        self.view = view
        self.on_gesture = on_gesture
        self.outline = outline or _between
        self._start: tuple[int, int] | None = None
        self._band = Band()
        self._tags: dict[str, int] = {}
        self.interactor = view.GetInteractor()
        if self.interactor is None:  # no window: nothing to click on
            return
        for event, react in (
            ("LeftButtonPressEvent", self._press),
            ("MouseMoveEvent", self._move),
            ("LeftButtonReleaseEvent", self._release),
        ):
            self._tags[event] = self.interactor.AddObserver(event, react, PRIORITY)

    def remove(self) -> None:
        """Give the button back to ParaView."""
        for tag in self._tags.values():
            self.interactor.RemoveObserver(tag)
        self._tags.clear()

    def _press(self, interactor: Any, event: str) -> None:
        self._start = interactor.GetEventPosition()
        self._consume(event)

    def _move(self, interactor: Any, event: str) -> None:
        if self._start is None:
            return
        self._consume(event)
        gesture = self._gesture(interactor)
        if not gesture.is_click:
            self._band.show(self._renderer(), self._to_pixels(self.outline(gesture)))
            self.view.SMProxy.StillRender()

    def _release(self, interactor: Any, event: str) -> None:
        if self._start is None:
            return
        self._consume(event)
        gesture = self._gesture(interactor)
        self._start = None
        self._band.hide(self._renderer())
        self.on_gesture(gesture)

    def _consume(self, event: str) -> None:
        """Keep the event from ParaView's interactor style."""
        self.interactor.GetCommand(self._tags[event]).AbortFlagOn()

    def _renderer(self) -> Any:
        return self.view.SMProxy.GetRenderer()

    def _gesture(self, interactor: Any) -> Gesture:
        start, end = self._start, interactor.GetEventPosition()
        is_click = max(abs(end[0] - start[0]), abs(end[1] - start[1])) < CLICK
        a = self._to_plot(start)
        b = a if is_click else self._to_plot(end)
        c = self._to_plot((start[0] + REACH, start[1] + REACH))
        keys = bool(interactor.GetControlKey()), bool(interactor.GetShiftKey())
        how = {(True, False): ADD, (False, True): SUBTRACT, (True, True): TOGGLE}.get(keys, REPLACE)
        return Gesture(a, b, is_click, (abs(c[0] - a[0]), abs(c[1] - a[1])), how)

    def _to_plot(self, pixel: tuple[int, int]) -> tuple[float, float]:
        renderer = self._renderer()
        renderer.SetDisplayPoint(float(pixel[0]), float(pixel[1]), 0.0)
        renderer.DisplayToWorld()
        x, y, _, w = renderer.GetWorldPoint()
        return x / w, y / w

    def _to_pixels(self, rectangle: tuple[float, float, float, float]) -> np.ndarray:
        renderer, corners = self._renderer(), []
        for x, y in (rectangle[:2], rectangle[2:]):
            renderer.SetWorldPoint(x, y, 0.0, 1.0)
            renderer.WorldToDisplay()
            corners.append(renderer.GetDisplayPoint()[:2])
        return np.array(corners)


def _between(gesture: Gesture) -> tuple[float, float, float, float]:
    return (*gesture.start, *gesture.end)


class Band:
    """The rectangle that is drawn while dragging."""

    def __init__(self) -> None:
        self._data = vtkPolyData()
        mapper = vtkPolyDataMapper2D()
        mapper.SetInputData(self._data)
        self._actor = vtkActor2D()
        self._actor.SetMapper(mapper)
        self._actor.GetProperty().SetColor(*BRUSH_COLOR)
        self._actor.GetProperty().SetLineWidth(2)
        self._shown = False

    def show(self, renderer: Any, corners: np.ndarray) -> None:
        """Draw the rectangle with these two opposite corners, in pixels."""
        (x0, y0), (x1, y1) = corners
        points, lines = vtkPoints(), vtkCellArray()
        lines.InsertNextCell(5)
        for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)):
            lines.InsertCellPoint(points.InsertNextPoint(x, y, 0))
        lines.InsertCellPoint(0)
        self._data.SetPoints(points)
        self._data.SetLines(lines)
        self._data.Modified()
        if not self._shown:
            renderer.AddActor2D(self._actor)
            self._shown = True

    def hide(self, renderer: Any) -> None:
        """Take the rectangle away."""
        if self._shown:
            renderer.RemoveActor2D(self._actor)
            self._shown = False
