"""Colours of runs in the plots."""

from __future__ import annotations

from typing import Any

from paraview import simple

LUMINANCE = (
    (0.0, 0.055, 0.067, 0.110),
    (0.2, 0.150, 0.180, 0.270),
    (0.4, 0.300, 0.340, 0.430),
    (0.6, 0.500, 0.530, 0.580),
    (0.8, 0.730, 0.740, 0.740),
    (1.0, 0.970, 0.960, 0.920),
)
"""Dark to bright with evenly rising lightness and almost no hue, so that coloured dots stand out;
bright is good. Rows: position, red, green, blue."""
DIVERGING = (
    (0.0, 0.13, 0.25, 0.55),
    (0.25, 0.46, 0.62, 0.82),
    (0.5, 0.96, 0.96, 0.95),
    (0.75, 0.88, 0.52, 0.38),
    (1.0, 0.60, 0.10, 0.13),
)
"""Blue, white at the middle, red."""
STEPS = (
    (0.0, 0.10, 0.08, 0.42),
    (0.35, 0.50, 0.08, 0.60),
    (0.7, 0.85, 0.28, 0.35),
    (1.0, 0.96, 0.62, 0.10),
)
"""Dark blue, purple, orange: for lines on white over the steps of a training."""
DENSITY = ((0.0, 1.0, 1.0, 1.0), (0.02, 0.93, 0.93, 0.94), (1.0, 0.25, 0.27, 0.32))
"""White where no line is."""
MISSING = (0.80, 0.65, 0.65)
SELECTION = (0.93, 0.05, 0.60)
"""Colour of the current selection in all views: none of the usual group colours."""


def direct_colors(display: Any, array: str, of: str = "CELLS") -> None:
    """Colour cells or ``POINTS`` by an array of colours (unsigned char, 3 components)."""
    display.MapScalars = 0
    display.LookupTable = simple.GetColorTransferFunction(array)
    display.ColorArrayName = [of, array]


def luminance(display: Any, array: str, view: Any, limits: tuple[float, float]) -> Any:
    """Colour cells by a measure from dark (low) to bright (high), and show the colour bar.

    Returns
    -------
    proxy
        The colour bar.
    """
    return _mapped(display, array, view, limits, LUMINANCE)


def diverging(display: Any, array: str, view: Any, limits: tuple[float, float]) -> Any:
    """Colour cells by a signed quantity from blue over white to red; return the colour bar."""
    return _mapped(display, array, view, limits, DIVERGING)


def over_steps(display: Any, array: str, view: Any, limits: tuple[float, float]) -> Any:
    """Colour points by the step, from dark blue (early) to orange; return the colour bar."""
    bar = _mapped(display, array, view, limits, STEPS)
    display.ColorArrayName = ["POINTS", array]
    return bar


def _mapped(display: Any, array: str, view: Any, limits: tuple[float, float], colors: tuple) -> Any:
    lut = simple.GetColorTransferFunction(array)
    display.LookupTable = lut
    display.ColorArrayName = ["CELLS", array]
    set_limits(lut, limits, colors)
    lut.ColorSpace = "Lab"
    lut.NanColor = list(MISSING)
    lut.AutomaticRescaleRangeMode = "Never"
    lut.ScalarRangeInitialized = 1
    bar = simple.GetScalarBar(lut, view)
    bar.Title, bar.ComponentTitle = "", ""  # the plot itself says what is shown
    black = [0.0, 0.0, 0.0]
    settings = {
        "TitleColor": black,
        "LabelColor": black,
        "TitleFontSize": 15,
        "LabelFontSize": 13,
        "ScalarBarThickness": 14,
        "ScalarBarLength": 0.6,
        "WindowLocation": "Any Location",
        "Position": [0.89, 0.2],
        "Orientation": "Vertical",
        "AddRangeLabels": 0,
        "TextPosition": "Ticks right/top, annotations left/bottom",
        "DrawTickMarks": 1,
    }
    for name, value in settings.items():
        if hasattr(bar, name):
            setattr(bar, name, value)
    bar.Visibility = 1
    return bar


def bar_of(view: Any) -> Any:
    """Return the colour bar that is shown in a view, or None."""
    for display in view.Representations:
        is_bar = display.SMProxy.GetXMLName() == "ScalarBarWidgetRepresentation"
        if is_bar and display.Visibility:
            return display
    return None


def set_limits(lut: Any, limits: tuple[float, float], colors: tuple = LUMINANCE) -> None:
    """Spread colours over a range of values."""
    low, high = limits
    lut.RGBPoints = [v for at, *rgb in colors for v in (low + at * (high - low), *rgb)]


def density(display: Any, array: str) -> None:
    """Colour an image of line density, 0 to 1, from white to dark grey."""
    lut = simple.GetColorTransferFunction(array)
    lut.RGBPoints = [v for at, *rgb in DENSITY for v in (at, *rgb)]
    lut.ColorSpace = "Lab"
    lut.AutomaticRescaleRangeMode = "Never"
    lut.ScalarRangeInitialized = 1
    display.LookupTable = lut
    display.ColorArrayName = ["POINTS", array]


def selection_style(display: Any, *, width: float = 3.0, shown: bool = True) -> None:
    """Set how selected cells of a display are drawn."""
    settings = {
        "SelectionColor": list(SELECTION),
        "SelectionLineWidth": width,
        "SelectionPointSize": 7.0,
        "SelectionVisibility": int(shown),
        "SelectionCellLabelVisibility": 0,
    }
    for name, value in settings.items():
        if hasattr(display, name):
            setattr(display, name, value)
