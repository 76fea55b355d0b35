"""Show the plots of filters and layers in their views."""

from __future__ import annotations

import math
from typing import Any

from pvensemble.schema import ACTIVATION, CORRELATION, GROUP_COLOR
from pvensemble.views import colors, pipeline
from pvensemble.views.charts import show, show_axes

LAB_COLOR = "lab_color"
SIMILARITY = "similarity"


def show_similarity_plot(plot: Any, view: Any) -> None:
    """Points in the colours of two hyper-parameters, legend beside them."""
    points = show(plot, view, 0)
    colors.direct_colors(points, run_color(plot))
    colors.selection_style(points, width=3.0)
    show_axes(plot, view)


def show_correlation_graph(plot: Any, view: Any) -> None:
    """Curves in the colours of the similarity plot, only the selected runs."""
    curves = show(plot, view, 0)
    colors.direct_colors(curves, run_color(plot))
    curves.LineWidth = 2.0
    # Nothing but the selected runs is shown, so they keep their colours.
    colors.selection_style(curves, shown=False)
    show_axes(plot, view)


def show_correlations(plot: Any, view: Any) -> None:
    """|r| from dark (0) to bright (1), equally in all views."""
    cells = show(plot, view, 0)
    colors.selection_style(cells, width=1.5)
    colors.luminance(cells, CORRELATION, view, (0.0, 1.0))
    show_axes(plot, view)


def show_run_similarity(plot: Any, view: Any) -> None:
    """Similarity from dark to bright, 1 is brightest."""
    cells = show(plot, view, 0)
    colors.selection_style(cells, width=1.5)
    low = pipeline.range_of(plot, SIMILARITY)[0]
    low = min(math.floor(10 * low) / 10, 0.9) if math.isfinite(low) else 0.0
    colors.luminance(cells, SIMILARITY, view, (low, 1.0))
    show_axes(plot, view)


def show_activations(plot: Any, view: Any) -> None:
    """Activations from dark (least) to bright (largest)."""
    cells = show(plot, view, 0)
    colors.selection_style(cells, width=1.5)
    colors.luminance(cells, ACTIVATION, view, pipeline.range_of(plot, ACTIVATION))
    show_axes(plot, view)


def run_color(plot: Any) -> str:
    """Return the array of colours by hyper-parameters where a plot has it, else by group."""
    return LAB_COLOR if LAB_COLOR in pipeline.columns(plot) else GROUP_COLOR
