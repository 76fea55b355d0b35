"""Show the plots of weights and gradients over the training in their views."""

from __future__ import annotations

from typing import Any

from pvensemble.views import colors
from pvensemble.views.charts import show, show_axes
from pvensemble.views.data import fetch

LINE_COLOR, STEP = "line_color", "step"


def show_norm_graph(plot: Any, view: Any) -> None:
    """Norms of weights solid, of gradients dotted, in their own colours; only what is selected."""
    for port in (0, 1):
        curves = show(plot, view, port)
        colors.direct_colors(curves, LINE_COLOR)
        curves.LineWidth = curves.PointSize = 2.0
        # Nothing but the selected runs is shown, so they keep their colours.
        colors.selection_style(curves, shown=False)
    show_axes(plot, view, 2)


def show_weight_trajectory(plot: Any, view: Any) -> None:
    """Paths from dark blue (early) to orange (late); the bar says which step."""
    paths = show(plot, view, 0)
    paths.LineWidth = 2.0
    colors.selection_style(paths, width=4.0)
    steps = fetch(plot).GetPointData().GetArray(STEP)
    low, high = steps.GetRange() if steps and steps.GetNumberOfTuples() else (0.0, 1.0)
    bar = colors.over_steps(paths, STEP, view, (low, high if high > low else low + 1.0))
    bar.Title = "step"
    show_axes(plot, view)
