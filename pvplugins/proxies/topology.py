"""Proxies of the plots of filters: correlation matrices and feature maps."""

from pvensemble.filters import activation_maps, filter_correlation
from pvensemble.filters._options import ORDERS
from pvensemble.numerics import ordering

from .plots import LABEL_SIZE
from .properties import checkbox, choice, filter_proxy, group, integer, name_choice, number, text

PROXIES = ("FilterCorrelation", "ActivationMaps")

LAYER = name_choice(
    "Layer",
    "",
    "GetLayerNames",
    """Layer to show, of those that are checked under Layers of the Ensemble Reader. Empty: the last
    one.""",
)
THRESHOLD = number(
    "Threshold",
    0.7,
    "|r| above which two filters are highly correlated, and at which clusters are cut.",
    low=0.0,
    high=1.0,
)
LINKAGE = choice(
    "Linkage",
    0,
    ordering.LINKAGES,
    "Distance of two clusters of filters: of 1 - |r| the average, the largest or the smallest.",
    advanced=True,
)


@filter_proxy(
    """Draw the correlation matrix of a layer's filters at the time, of one run or of several as
    small multiples. Every cell is a quad with correlation, run_index, row and column (numbers of
    the filters in the layer), row_position and column_position (where they stand), and cluster
    (-1 between clusters). Rows are ordered by hierarchical clustering of 1 - |r|, clusters by
    decreasing size and outlined, with the dendrogram beside them; filters without variance (dead)
    are marked red. Check the layer under Layers of the Ensemble Reader.""",
    LAYER,
    text(
        "Runs",
        "",
        "Runs that are shown, like 0-4,9; at most 16. Empty: the first one that has tensors.",
    ),
    group(
        "Order",
        choice(
            "Order",
            0,
            ORDERS,
            "Rows and columns: clustered, or as the layer numbers its filters.",
        ),
        THRESHOLD,
        LINKAGE,
        checkbox("ShowDendrogram", True, "Draw the dendrogram beside a clustered matrix."),
    ),
    checkbox("Magnitude", True, "Show |r|; off: r, with its sign."),
    LABEL_SIZE,
    ports=("Cells", "Axes"),
    tensors=True,
)
class FilterCorrelation(filter_correlation.FilterCorrelation):
    """Filter on runs and tensors."""


@filter_proxy(
    """Draw the feature maps of a layer's filters at the time, of one run: rows are filters, in the
    order of Filter Correlation, columns the first images of the probe batch, which stand above.
    Every pixel is a quad with activation, normalized (in -1 to 1), filter, image, row_position and
    run_index. Filters that give the same answer everywhere are marked red. Check the layer under
    Layers of the Ensemble Reader, with the kinds activation and, for the order, correlation.""",
    LAYER,
    text(
        "Runs",
        "",
        "Runs like 0-4,9, of which the first is shown. Empty: the first one that has tensors.",
    ),
    group(
        "Order",
        choice(
            "Order",
            0,
            ORDERS,
            "Filters: clustered by their correlation, or as the layer numbers them.",
        ),
        THRESHOLD,
        LINKAGE,
        integer(
            "Columns",
            0,
            """Columns of filters. 1: rows as high as those of Filter Correlation. 0: so many that
            the plot is about square.""",
            low=0,
        ),
    ),
    choice(
        "Range",
        0,
        activation_maps.RANGES,
        """What the array normalized is divided by: the largest magnitude of each filter, or of all
        filters.""",
    ),
    LABEL_SIZE,
    ports=("Maps", "Axes"),
    tensors=True,
)
class ActivationMaps(activation_maps.ActivationMaps):
    """Filter on runs and tensors."""
