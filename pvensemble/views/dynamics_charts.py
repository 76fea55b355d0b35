"""Show the plots of weights and gradients over the training in their views."""

from __future__ import annotations

from typing import Any

from pvensemble.views import colors
from pvensemble.views.charts import show, show_axes

LINE_COLOR = "line_color"


def show_norm_graph(plot: Any, view: Any) -> None:
    """Norms of weights solid, of gradients dotted, in their own colours; only what is selected."""
    for port in (0, 1):
        curves = show(plot, view, port)
        colors.direct_colors(curves, LINE_COLOR)
        curves.LineWidth = curves.PointSize = 2.0
        # Nothing but the selected runs is shown, so they keep their colours.
        colors.selection_style(curves, shown=False)
    show_axes(plot, view, 2)
