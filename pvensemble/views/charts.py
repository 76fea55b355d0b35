"""Show each plot in its view."""

from __future__ import annotations

from typing import Any

from paraview import servermanager, simple

from pvensemble.schema import CODE_SUFFIX, COMBINED, GROUP_COLOR
from pvensemble.views import colors, pipeline
from pvensemble.views.data import display_of
from pvensemble.views.layout import look_at

CELL_MEAN = "cell_mean"
DENSITY = "density"
COLOR = "color"


def show(plot: Any, view: Any, port: int) -> Any:
    """Show an output of a plot as it is: no shading, no edges."""
    display = simple.Show(servermanager.OutputPort(plot, port), view)
    display.Representation = "Surface"
    for name, value in {"Ambient": 1.0, "Diffuse": 0.0, "Specular": 0.0}.items():
        setattr(display, name, value)
    return display


def show_axes(plot: Any, view: Any, port: int = 1) -> Any:
    """Show the axes of a plot, in the colours that they come with; they cannot be picked."""
    display = show(plot, view, port)
    colors.direct_colors(display, COLOR, "POINTS")
    display.LineWidth = 1.5
    display.Pickable = 0
    return display


def show_parallel_coordinates(plot: Any, view: Any) -> None:
    """Lines in the colours of their groups over the density image (of many runs), axes above."""
    image = show(plot, view, 2)
    image.Pickable = 0
    colors.density(image, DENSITY)
    lines = show(plot, view, 0)
    colors.direct_colors(lines, GROUP_COLOR)
    lines.LineWidth = 1.5
    colors.selection_style(lines, width=3.0)
    show_axes(plot, view)
    look_at(view, 8, 4.5, 6)


def show_heat_map(plot: Any, view: Any) -> None:
    """Cells from dark to bright, dots of the groups upon them."""
    cells = show(plot, view, 0)
    colors.selection_style(cells, width=4.0)
    color_heat_map(plot, view, COMBINED)
    show_axes(plot, view)
    dots = show(plot, view, 2)
    colors.direct_colors(dots, GROUP_COLOR)
    dots.Pickable = 0
    colors.selection_style(dots, shown=False)


def color_heat_map(
    plot: Any, view: Any, column: str, limits: tuple[float, float] | None = None
) -> None:
    """Colour the heat map by the mean of a column over each cell, from its least to its largest."""
    if column in pipeline.columns(plot.Input):
        plot.ColorBy = column
    cells = display_of(plot, 0, view)
    colors.luminance(cells, CELL_MEAN, view, limits or pipeline.range_of(plot, CELL_MEAN))


class LuminanceRange:
    """Keeps the colours of a heat map spread over the values of its measure when they change.

    A metric at the present step keeps its range, so that colours can be compared over time.
    """

    def __init__(self, plot: Any) -> None:
        self.plot = plot
        self._limits: tuple[float, float] | None = None
        self._tag = plot.SMProxy.AddObserver("UpdateDataEvent", self._updated)

    def remove(self) -> None:
        """Leave the colours as they are from now on."""
        self.plot.SMProxy.RemoveObserver(self._tag)

    def _updated(self, *_event: Any) -> None:
        column = self.plot.SMProxy.GetProperty("ColorBy").GetElement(0)
        if pipeline.is_metric(self.plot.Input, column):
            return
        limits = pipeline.present_range(self.plot, CELL_MEAN)
        if limits != self._limits:
            self._limits = limits
            colors.set_limits(simple.GetColorTransferFunction(CELL_MEAN), limits)


def show_graph(plot: Any, view: Any) -> None:
    """Accuracy solid, loss dotted, in the colours of the groups; only the selected runs."""
    for port, width in ((0, 2.0), (1, 2.0)):
        curves = show(plot, view, port)
        colors.direct_colors(curves, GROUP_COLOR)
        curves.LineWidth, curves.PointSize = width, width
        # Nothing but the selected runs is shown, so they keep the colours of their groups.
        colors.selection_style(curves, shown=False)
    show_axes(plot, view, 2)


def native_parallel_coordinates(runs: Any) -> Any:
    """ParaView's own parallel-coordinates view of the columns that vary."""
    view = simple.CreateView("ParallelCoordinatesChartView")
    simple.RenameView("ParaView's Parallel Coordinates", view)
    display = simple.Show(runs, view, "ParallelCoordinatesRepresentation")
    shown = pipeline.varying(runs, pipeline.numeric(runs, pipeline.axes_of(runs)))
    # ParaView shows what is listed, in this order, whatever the flag says.
    display.SeriesVisibility = [value for name in shown for value in (name, "1")]
    return view


def spreadsheet(runs: Any) -> Any:
    """Spreadsheet of all runs; helper columns are hidden."""
    view = simple.CreateView("SpreadSheetView")
    simple.RenameView("Runs", view)
    simple.Show(runs, view, "SpreadSheetRepresentation")
    view.FieldAssociation = "Cell Data"
    if hasattr(view, "HiddenColumnLabels"):
        codes = [n for n in pipeline.columns(runs) if n.endswith(CODE_SUFFIX)]
        color = [GROUP_COLOR, f"{GROUP_COLOR}_Magnitude"]
        view.HiddenColumnLabels = [*codes, *color, "Cell Type", "Cell ID", "vtkOriginalCellIds"]
    return view
