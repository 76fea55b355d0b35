"""Show a loss surface in a view in space."""

from __future__ import annotations

from typing import Any

import numpy as np
from paraview import servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy

from pvensemble.numerics.relief import view_axes
from pvensemble.views import colors
from pvensemble.views.charts import show, show_axes
from pvensemble.views.data import fetch, information
from pvensemble.views.layout import plot_view

HEIGHT = "height"
SURFACE_PORT, TRAJECTORIES_PORT, AXES_PORT, CONTOURS_PORT = range(4)
RELIEF = (
    (0.0, 0.16, 0.22, 0.42),
    (0.2, 0.20, 0.43, 0.60),
    (0.4, 0.40, 0.66, 0.68),
    (0.6, 0.72, 0.84, 0.72),
    (0.8, 0.94, 0.90, 0.72),
    (1.0, 0.86, 0.62, 0.42),
)
"""From deep blue (low loss) over green and sand to brown, with rising lightness nearly to the top.
Rows: position, red, green, blue."""
PATH, CONTOUR = [0.75, 0.05, 0.20], [0.15, 0.18, 0.25]
MARGIN = 1.04


def space_view(name: str) -> Any:
    """Create a white render view in space; the left button turns it."""
    view = plot_view(name)
    view.InteractionMode = "3D"
    view.UseLight = 1
    return view


def show_loss_surface(plot: Any, view: Any) -> None:
    """Surface coloured by its height, contour lines and trajectories upon it, seen from above."""
    surface = simple.Show(servermanager.OutputPort(plot, SURFACE_PORT), view)
    surface.Representation = "Surface"
    surface.Pickable = 0
    for name, value in {"Ambient": 0.35, "Diffuse": 0.7, "Specular": 0.0}.items():
        setattr(surface, name, value)
    color_by_height(surface, plot)
    for port, color, width in ((CONTOURS_PORT, CONTOUR, 1.0), (TRAJECTORIES_PORT, PATH, 3.0)):
        lines = show(plot, view, port)
        lines.ColorArrayName = [None, ""]
        lines.AmbientColor = lines.DiffuseColor = color
        lines.LineWidth = width
        lines.Pickable = int(port == TRAJECTORIES_PORT)
    colors.selection_style(lines, width=5.0)
    show_axes(plot, view, AXES_PORT)
    simple.Render(view)  # the first rendering resets the camera
    look_from_above(plot, view)


def color_by_height(display: Any, plot: Any) -> None:
    """Colour the surface by its height; the scale of the heights is the legend."""
    plot.UpdatePipeline()
    array = information(plot, SURFACE_PORT).GetPointDataInformation()
    limits = array.GetArrayInformation(HEIGHT).GetComponentRange(0)
    lut = simple.GetColorTransferFunction(HEIGHT)
    display.LookupTable = lut
    display.ColorArrayName = ["POINTS", HEIGHT]
    colors.set_limits(lut, (0.0, max(limits[1], 1e-6)), RELIEF)
    lut.ColorSpace = "Lab"
    lut.AutomaticRescaleRangeMode = "Never"
    lut.ScalarRangeInitialized = 1


def look_from_above(plot: Any, view: Any) -> None:
    """Look from where the labels face, so that all of the plot is in sight."""
    parts = [fetch(plot, port).GetPoints() for port in (SURFACE_PORT, AXES_PORT)]
    points = np.concatenate([vtk_to_numpy(p.GetData()) for p in parts if p is not None])
    axes = view_axes()
    seen = points @ axes.T
    low, high = seen.min(axis=0), seen.max(axis=0)
    middle = (low + high) / 2
    width, height = view.ViewSize
    half = 0.5 * MARGIN * max(high[1] - low[1], (high[0] - low[0]) * height / width)
    view.CameraFocalPoint = (middle @ axes).tolist()
    view.CameraPosition = ((middle + (0, 0, 100.0)) @ axes).tolist()
    view.CameraViewUp = [0.0, 0.0, 1.0]
    view.CenterOfRotation = [0.0, 0.0, float(points[:, 2].max()) / 3]
    view.CameraParallelProjection = 1
    view.CameraParallelScale = float(half)


def newest_surface(runs: Any) -> Any:
    """Return a plot of the newest loss surface of an ensemble, None where none was computed."""
    plot = simple.LossSurface(registrationName="Loss Surface", Input=runs)
    plot.UpdatePipelineInformation()
    plot.SMProxy.UpdatePropertyInformation()
    names = plot.SMProxy.GetProperty("SurfaceInfo")
    if any(names.GetElement(k) for k in range(names.GetNumberOfElements())):
        return plot
    simple.Delete(plot)
    return None
