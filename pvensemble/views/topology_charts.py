"""Show the plots of filters and layers in their views."""

from __future__ import annotations

from typing import Any

import numpy as np
from paraview import simple
from vtkmodules.util.numpy_support import vtk_to_numpy

from pvensemble.schema import CORRELATION, GROUP_COLOR
from pvensemble.views import colors, pipeline
from pvensemble.views.charts import show, show_axes
from pvensemble.views.data import fetch

LAB_COLOR = "lab_color"
SIMILARITY, ROW_RUN, COLUMN_RUN = "similarity", "row_run", "column_run"
NORMALIZED = "normalized"


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


def show_correlations(plot: Any, view: Any, *, has_bar: bool = True) -> None:
    """|r| from dark (0) to bright (1), equally in all views; the bar of one explains all."""
    cells = show(plot, view, 0)
    colors.selection_style(cells, width=1.5)
    bar = colors.luminance(cells, CORRELATION, view, (0.0, 1.0))
    bar.Visibility = int(has_bar)
    show_axes(plot, view)


def show_run_similarity(plot: Any, view: Any) -> None:
    """Similarity from dark to bright; :class:`SimilarityRange` says how bright."""
    cells = show(plot, view, 0)
    colors.selection_style(cells, width=1.5)
    colors.luminance(cells, SIMILARITY, view, similarity_limits(fetch(plot)))
    show_axes(plot, view)


def similarity_limits(matrix: Any) -> tuple[float, float]:
    """Return the range of nearly all similarities of two different runs.

    The similarity of a run with itself, 1, would leave all others dark.
    """
    cells = matrix.GetCellData()
    if not cells.HasArray(SIMILARITY):
        return 0.0, 1.0
    values, row, column = (
        vtk_to_numpy(cells.GetArray(name)) for name in (SIMILARITY, ROW_RUN, COLUMN_RUN)
    )
    between = values[(row != column) & np.isfinite(values)]
    if len(between) == 0:
        return 0.0, 1.0
    low, high = np.percentile(between, (1, 99))
    return (float(low), float(high)) if low < high else (float(low) - 0.1, float(low))


class SimilarityRange:
    """Fits the colours of a matrix of runs to its values when these are of another kind.

    Over the training they stay, so that steps can be compared.
    """

    def __init__(self, plot: Any) -> None:
        self.plot = plot
        self._options = self._present_options()
        self._tag = plot.SMProxy.AddObserver("UpdateDataEvent", self._updated)

    def remove(self) -> None:
        """Leave the colours as they are from now on."""
        self.plot.SMProxy.RemoveObserver(self._tag)

    def _present_options(self) -> tuple:
        properties = (self.plot.SMProxy.GetProperty(name) for name in ("Layer", "Measure"))
        return tuple(p.GetElement(0) for p in properties)

    def _updated(self, *_event: Any) -> None:
        options = self._present_options()
        if options != self._options:
            self._options = options
            limits = similarity_limits(fetch(self.plot))
            colors.set_limits(simple.GetColorTransferFunction(SIMILARITY), limits)


def show_activations(plot: Any, view: Any) -> None:
    """Activations from blue (negative) over white to red, as far as each filter goes."""
    cells = show(plot, view, 0)
    colors.selection_style(cells, width=1.5)
    colors.diverging(cells, NORMALIZED, view, (-1.0, 1.0))
    show_axes(plot, view)


def run_color(plot: Any) -> str:
    """Return the array of colours by hyper-parameters where a plot has it, else by group."""
    return LAB_COLOR if LAB_COLOR in pipeline.columns(plot) else GROUP_COLOR
