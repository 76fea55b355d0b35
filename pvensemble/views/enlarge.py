"""Make lines and text of plots thicker for large pictures, so that they look as at usual size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pvensemble.views.layout import Fit

USUAL = (1920, 1200)
SCALED = (
    "LineWidth",
    "PointSize",
    "SelectionLineWidth",
    "SelectionPointSize",
    "LineThickness",
    "TitleFontSize",
    "LabelFontSize",
    "ScalarBarThickness",
)
"""Properties of displays and colour bars that are in pixels."""


def factor_for(size: tuple[int, int]) -> float:
    """How many times larger than usual a layout is; 1 for smaller ones."""
    return max(1.0, min(size[0] / USUAL[0], size[1] / USUAL[1]))


def enlarge(views: Iterable[Any], fits: Iterable[Any], factor: float) -> None:
    """Enlarge what is given in pixels.

    Parameters
    ----------
    views : iterable of proxy
        Views whose displays and colour bars are changed.
    fits : iterable
        Observers of a scene; those that fit a plot into its view are changed.
    factor : float
        1 changes nothing.
    """
    if factor == 1:
        return
    for view in views:
        for display in getattr(view, "Representations", []):
            for name in SCALED:
                if hasattr(display, name):
                    value = getattr(display, name)
                    if isinstance(value, (int, float)):
                        setattr(display, name, type(value)(round(factor * value, 2)))
    for fit in fits:
        if isinstance(fit, Fit):
            fit.font *= factor
            fit.right = round(factor * fit.right)
            fit.apply()
