"""Proxies of the plots of weights and gradients over the training."""

from pvensemble.filters import norm_graph, training_diagnostics, weight_trajectory
from pvensemble.numerics import diagnostics, norms

from .plots import LABEL_SIZE, drawn_runs
from .properties import checkbox, choice, filter_proxy, group, integer, name_choice, number, text
from .similarity import COLOURS, layer

PROXIES = ("NormGraph", "WeightTrajectory", "TrainingDiagnostics")

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


@filter_proxy(
    """Draw the path of a layer's weight vector over the recorded steps: one polyline a run (cell i
    is run i, with all its arrays) with point data step; of hidden units one polyline a filter of
    one run. Numbers of the whole weight vector say whether a path is like a random walk:
    increment_correlation (of neighbouring increments; a random walk's is within increment_band with
    95 % probability), msd_exponent with msd_exponent_low and msd_exponent_high (of the mean squared
    displacement over the lag, 95 % confidence interval; 1: random walk, 2: straight ahead, less
    than 1: confined), path_ratio (length of the path to distance of its ends) and motion, what
    follows from them. In a plane even a random walk of many weights looks smooth: rely on the
    numbers. All recorded steps are read once, when the plot is first shown.""",
    layer("weights"),
    choice(
        "Projection",
        1,
        weight_trajectory.PROJECTIONS,
        """two weights: as on the TensorViz poster. principal components: of all chosen runs
        together. hidden units: the filters of one run as points over time (M-PHATE, Gigante et al.
        2019), at as many steps as filters times steps make 1,600 points.""",
    ),
    integer(
        "Weights",
        (0, 1),
        "Numbers of the two weights that are shown, in the order in which PyTorch stores them.",
    ),
    text("Runs", "", "Runs that are drawn, like 0-4,9. Empty: all, at most 500; one for units."),
    checkbox("ShowPlayhead", True, "Mark where the paths are at the current time."),
    LABEL_SIZE,
    ports=("Paths", "Axes"),
    tensors=True,
)
class WeightTrajectory(weight_trajectory.WeightTrajectory):
    """Filter on runs and tensors; the marks follow ParaView's time."""


@filter_proxy(
    """Add what can go wrong in a training to the runs. In natural units: gradient_ratio_low and
    gradient_ratio_high, gradient norm relative to weight norm, of all weight tensors the smallest
    median over the steps and the largest value; dead_filters of the layer at the present step
    (needs its correlations); still_filters, those whose weights do not move in the second half
    (nothing passes the rectifier behind them); relative_movement, the way of the layer's weights
    between recorded steps of the second half, relative to their norm; flips_per_weight, sign
    changes between recorded steps, and never_flipped, the share of weights without any;
    norm_exponent with norm_exponent_low and norm_exponent_high, see Norm Graph. What is not
    recorded is NaN or left out. Flags, 0 or 1: is_vanishing, is_exploding (also of a diverged run),
    has_dead_filters, is_stuck; in diagnosis they stand in words. Low is bad for gradient_ratio_low
    and relative_movement, high for gradient_ratio_high, dead_filters and still_filters.""",
    layer("weights"),
    group(
        "Thresholds",
        number(
            "VanishingBelow",
            diagnostics.VANISHING_BELOW,
            "The gradient has vanished where gradient_ratio_low is below.",
            low=0.0,
        ),
        number(
            "ExplodingAbove",
            diagnostics.EXPLODING_ABOVE,
            "The gradient explodes where gradient_ratio_high is above.",
            low=0.0,
        ),
        number(
            "StuckBelow",
            diagnostics.STUCK_BELOW,
            "Training is stuck where relative_movement is below.",
            low=0.0,
        ),
    ),
    group(
        "Norm exponent",
        choice("Quantity", 1, norms.QUANTITIES, f"What the power law is fitted to. {QUANTITY}"),
        integer("FitStart", 0, "First step of the fit; step 0 itself is left out.", low=0),
        integer("FitEnd", -1, "Last step of the fit; -1: the last recorded one.", low=-1),
    ),
    tensors=True,
)
class TrainingDiagnostics(training_diagnostics.TrainingDiagnostics):
    """Filter on runs and tensors."""
