"""Proxies of the plots that compare runs by the correlations of their filters."""

from pvensemble.filters import filter_correlation_graph, run_similarity, similarity_plot

from .plots import LABEL_SIZE, drawn_runs, follow_time
from .properties import checkbox, choice, filter_proxy, group, integer, name_choice, number, text

PROXIES = ("FilterCorrelationGraph", "RunSimilarity", "EnsembleSimilarityPlot")


def layer(kinds):
    """Return the property that chooses the layer."""
    return name_choice(
        "Layer",
        "",
        "GetLayerNames",
        f"""Layer to look at, of those that are checked in Ensemble Reader and come with {kinds}.
        Empty: the last one.""",
    )


COMPARISON = (
    layer("correlations (for cka: Gram matrices)"),
    choice(
        "Measure",
        0,
        ("paper", "matched", "cka"),
        """How alike two runs are. paper: Pearson correlation of the magnitudes of their filter
        correlations, filters ordered by clusters (Hamid et al. 2019). matched: the same after
        matching the filters of each pair of runs. cka: centred kernel alignment of the layer's
        outputs, which needs no order of filters, and recorded Gram matrices (kind gram).""",
    ),
)
ORDERING = group(
    "Order of the filters (paper)",
    number(
        "Threshold",
        0.7,
        "Filters whose correlation (magnitude) is above belong to one cluster.",
        low=0.0,
        high=1.0,
    ),
    choice(
        "Linkage",
        0,
        ("average", "complete", "single"),
        "Linkage of the hierarchical clustering of filters.",
    ),
    checkbox(
        "UpperTriangle",
        False,
        "Compare each pair of filters once, without the diagonal, instead of the whole matrix.",
    ),
)
COLOURS = group(
    "Colours",
    name_choice(
        "XParameter",
        "",
        "GetColumnNames",
        "Column of the colours from left to right in the legend; empty: the first that varies.",
    ),
    name_choice(
        "YParameter",
        "",
        "GetColumnNames",
        "Column of the colours upwards in the legend; empty: the next that varies.",
    ),
)


@filter_proxy(
    """Draw how many filters of a layer are highly correlated over the training: one curve a run
    (cell i is run i, with all its arrays, the present count in high_correlations, and in lab_color
    the colour of Ensemble Similarity Plot). Dots at the ends mark runs in groups. All recorded
    steps are read once, when the graph is first shown; another threshold or time reads nothing
    again.""",
    layer("correlations"),
    number(
        "Threshold",
        0.7,
        "Correlation (magnitude) above which two filters are highly correlated.",
        low=0.0,
        high=1.0,
    ),
    choice(
        "Count",
        0,
        filter_correlation_graph.COUNTS,
        "Count pairs of filters, or filters that have such a partner.",
    ),
    drawn_runs("all"),
    COLOURS,
    follow_time("curves"),
    checkbox("ShowPlayhead", True, "Mark the current time (training step)."),
    LABEL_SIZE,
    ports=("Curves", "Axes"),
    tensors=True,
)
class FilterCorrelationGraph(filter_correlation_graph.FilterCorrelationGraph):
    """Filter on runs and tensors; the playhead follows ParaView's time."""


@filter_proxy(
    """Draw the similarity of all pairs of runs at the current step as a matrix of quads. The array
    similarity is at most 1 (equal) and NaN where runs cannot be compared; row_run and column_run
    are the numbers of the two runs. Show the axes with their array color and Map Scalars off.""",
    *COMPARISON,
    choice(
        "Order",
        1,
        run_similarity.ORDERS,
        "Rows as in the input, or clustered: similar runs beside each other.",
    ),
    text("Runs", "", "Runs to compare, like 0-4,9. Empty: all, at most 2000."),
    ORDERING,
    LABEL_SIZE,
    ports=("Matrix", "Axes"),
    tensors=True,
)
class RunSimilarity(run_similarity.RunSimilarity):
    """Filter on runs and tensors."""


@filter_proxy(
    """Draw the runs as points in the plane so that similar ones lie close together, at the current
    step. Cell i is run i, a glyph whose shape is its session, with all its arrays, its place in x
    and y, and in lab_color its colour by two hyper-parameters, for Map Scalars off: low/low is
    cyan, high/high is red. Runs without a place stand below the frame.""",
    *COMPARISON,
    group(
        "Layout",
        choice(
            "Method",
            0,
            similarity_plot.METHODS,
            """mds: metric multidimensional scaling, distances show dissimilarities. classical,
            landmark: classical scaling, of all runs or through 400 of them. tsne, umap:
            neighbourhoods (umap needs umap-learn). pca: principal components.""",
        ),
        integer("Seed", 0, "Seed of everything random in the layout."),
        checkbox(
            "AlignOverTime",
            True,
            """Let the layouts of all steps have one orientation and scale, so that an animation
            moves as the runs do. Some steps are laid out beforehand, once. Off: each step by
            itself.""",
        ),
    ),
    COLOURS,
    text("Runs", "", "Runs that are drawn larger, like 0-4,9."),
    ORDERING,
    number(
        "PointSize",
        2.6,
        """Diameter of the points, in percent of the side of the plot; of more than 300 runs they
        are smaller.""",
        low=0.1,
    ),
    LABEL_SIZE,
    ports=("Points", "Axes"),
    tensors=True,
)
class EnsembleSimilarityPlot(similarity_plot.EnsembleSimilarityPlot):
    """Filter on runs and tensors; the layout follows ParaView's time."""
