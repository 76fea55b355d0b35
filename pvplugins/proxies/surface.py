"""Proxies of plots in space: what a filter shows in a 3-D render view."""

from pvensemble.filters import loss_surface

from .properties import checkbox, filter_proxy, group, name_choice, number

PROXIES = ("LossSurface",)


@filter_proxy(
    """Draw the loss over a plane of networks as a surface, and the ways of the runs upon it. The
    surfaces are computed by 'pvensemble surface' and found through Ensemble Reader. Surface: points
    with loss, log_loss (base 10), accuracy and height (as drawn). Trajectories: one polyline a run
    (cell i is run i, with all its arrays), with step, distance from the plane, and the network's
    own loss and accuracy at its points. Show the axes with their array color and Map Scalars
    off.""",
    name_choice("Surface", "", "GetSurfaceNames", "Surface to show; empty: the newest."),
    group(
        "Height",
        checkbox("LogScale", True, "Show the logarithm of the loss."),
        number(
            "Clip",
            0.0,
            """Largest loss that is shown, in nats; what is higher is cut off flat. 0: chosen so
            that losses that are not finite or far beyond the others do not flatten these.""",
            low=0.0,
        ),
        number("HeightScale", 1.0, "Factor of all heights.", low=0.01),
    ),
    checkbox("ShowContours", True, "Draw lines of equal loss, evenly spaced in height."),
    checkbox(
        "ShowStep", True, "Mark where the trajectories are at the current time (training step)."
    ),
    number(
        "LabelSize", 3.0, "Font size of all labels, in percent of the size of the plot.", low=0.1
    ),
    ports=("Surface", "Trajectories", "Axes", "Contours"),
)
class LossSurface(loss_surface.LossSurface):
    """Filter on runs; the mark of the present step follows ParaView's time."""
