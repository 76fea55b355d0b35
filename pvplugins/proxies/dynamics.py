"""Proxies of the plots of weights and gradients over the training."""

from pvensemble.filters import norm_graph
from pvensemble.numerics import norms

from .plots import LABEL_SIZE, drawn_runs
from .properties import checkbox, choice, filter_proxy, group, integer, name_choice
from .similarity import COLOURS

PROXIES = ("NormGraph",)

QUANTITY = (
    "norm: as recorded. growth: without the first recorded norm. quadrature: the root of norm^2 "
    "without that of the first, which is after t^0.5 for a random walk."
)


@filter_proxy(
    """Draw the L2 norms of weights (solid, above) and of gradients (dashed, below) over the
    training steps: of one parameter or of all together, cell i of both is run i with all its
    arrays, or of the weights of all layers of some runs, cell k * runs + i is parameter k of run i,
    with its name at the end of its line. The broken lines are power laws a * t^b fitted to the
    weights' curves; norm_exponent is b, norm_exponent_low and norm_exponent_high its 95 %
    confidence interval, which accounts for the correlation of neighbouring steps, norm_factor a.
    line_color holds the colour by two hyper-parameters, or by layer; parameter the name;
    present_weight_norm and present_gradient_norm the values at the present time.""",
    choice(
        "Layout",
        0,
        norm_graph.LAYOUTS,
        "One parameter of many runs, or the weights of all layers of some runs.",
    ),
    name_choice(
        "Parameter",
        "",
        "GetParameterNames",
        """Parameter, or layer, whose norms are drawn. Empty: the norm of all parameters together;
        with Layout all layers: every weight.""",
    ),
    choice(
        "Quantity", 0, norms.QUANTITIES, f"What is drawn of the weights, and fitted. {QUANTITY}"
    ),
    drawn_runs("all; with Layout all layers: the first"),
    group(
        "Axes",
        checkbox("LogSteps", True, "Draw the steps on a logarithmic axis, which begins after 0."),
        checkbox("LogNorms", True, "Draw the norms on logarithmic scales."),
    ),
    group(
        "Power law",
        checkbox("ShowFit", True, "Draw the fitted power laws, of up to 12 curves."),
        integer("FitStart", 0, "First step of the fit; step 0 itself is left out.", low=0),
        integer("FitEnd", -1, "Last step of the fit; -1: the last recorded one.", low=-1),
    ),
    COLOURS,
    checkbox("ShowPlayhead", True, "Mark the current time (training step)."),
    LABEL_SIZE,
    ports=("Weights", "Gradients", "Axes"),
)
class NormGraph(norm_graph.NormGraph):
    """Filter on runs; the playhead follows ParaView's time."""
