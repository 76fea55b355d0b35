"""Proxies of the plots: geometry in the plane z = 0, to be shown in a 2D render view."""

from pvensemble.filters import heat_map, loss_accuracy_graph, parallel_coordinates

from .properties import checkbox, choice, filter_proxy, group, integer, name_choice, number, text

PROXIES = ("ParallelCoordinates", "PerformanceHeatMap", "LossAccuracyGraph")

LABEL_SIZE = number(
    "LabelSize", 3.6, "Font size of all labels, in percent of the height of the plot.", low=0.1
)


def follow_time(what, otherwise=""):
    """Return the property that leaves what is drawn of the runs alone when time moves."""
    return checkbox(
        "FollowTime",
        True,
        f"""Give the {what} the metrics at the present step, to colour them by.
        Without{otherwise}, moving the time leaves the {what} as they are, which is faster.""",
    )


def drawn_runs(which):
    """Return the property that chooses the runs to draw."""
    return text(
        "Runs", "", f"Runs that are drawn, like 0-4,9. Empty: {which}. Others stay as empty cells."
    )


@filter_proxy(
    """Draw the runs as parallel coordinates: one polyline a run (cell i is run i, with all its
    arrays, for colouring, picking and linked selection), axes with ticks and full names, and for
    many runs an image of the density of lines. Runs without a value on an axis go through a rail
    below it. Show the axes with their array color and Map Scalars off.""",
    group(
        "Axes",
        text(
            "Axes",
            "",
            """Columns to show, in order, separated by semicolons or new lines. Empty: the
            hyper-parameters, then the measures.""",
            lines=True,
        ),
        checkbox(
            "HideConstantAxes",
            True,
            """Leave out axes on which all runs have the same value, or none has one. Axes that are
            named above are always shown.""",
        ),
        text(
            "Scales",
            "",
            """Scales other than the inferred ones: name=log; name=linear; name=percentile;
            name=categorical. Inferred: categorical for text and few different integers, log when
            all values are positive and the 95th percentile is over 100 times the 5th.""",
        ),
        text(
            "Ranges",
            "",
            """Displayed ranges: P1=0.85,0.93; P2=0.93,0.98. Values outside are drawn at the ends
            of the axis.""",
        ),
        text("Flip", "", "Axes with high values at the bottom: name; name."),
    ),
    group(
        "Runs",
        drawn_runs("all, or groups and outliers when a density image is shown"),
        integer(
            "DensityAbove",
            3000,
            """Above so many runs show a density image (third output), and lines only for chosen
            runs, runs in groups and outliers (the hundredth of the runs with the fewest
            companions, at most 500).""",
            low=0,
        ),
        follow_time("lines", " and while Axes is empty"),
    ),
    group(
        "Size",
        number("Width", 16.0, "Distance from the first to the last axis, in plot units.", low=0.1),
        number("Height", 9.0, "Length of the axes, in plot units.", low=0.1),
        LABEL_SIZE,
    ),
    ports=("Lines", "Axes", "Density"),
)
class ParallelCoordinates(parallel_coordinates.ParallelCoordinates):
    """Filter on runs."""


@filter_proxy(
    """Draw the runs as cells over a pair of hyper-parameters, or over all pairs. Every run is one
    quad (cell i is run i; with all pairs, cell pair * runs + i): runs with equal values share a
    cell as strips, with the mean in cell_mean and their number in cell_count. Nothing is
    interpolated. Values that do not lie on a grid (random search) are sorted into bins; cells
    without a run are light blue. Runs in groups are marked with dots.""",
    group(
        "Hyper-parameters",
        choice(
            "Layout",
            0,
            heat_map.LAYOUTS,
            "One map of X Axis and Y Axis, or one map for every pair of varying hyper-parameters.",
        ),
        name_choice(
            "XAxis", "", "GetColumnNames", "Column to the right; empty: the first that varies."
        ),
        name_choice("YAxis", "", "GetColumnNames", "Column upwards; empty: the next that varies."),
        integer(
            "Bins",
            0,
            "Bins of a column whose values do not lie on a grid; 0: by the number of runs.",
            low=0,
        ),
    ),
    name_choice(
        "ColorBy",
        "",
        "GetColumnNames",
        """Column whose mean over each cell is the array cell_mean, and whose name is the title.
        Empty: combined, or the first measure.""",
    ),
    LABEL_SIZE,
    ports=("Cells", "Axes", "Group Dots"),
)
class PerformanceHeatMap(heat_map.PerformanceHeatMap):
    """Filter on runs."""


@filter_proxy(
    """Draw accuracy (solid, above) and loss (dashed, below) over the training steps. Cell i of both
    is run i, with all its arrays. Runs that diverged do not flatten the others: the scale ends
    where nearly all values end, and a note says how many runs go beyond. The current time is marked
    in the axes.""",
    name_choice(
        "AccuracyMetric",
        "",
        "GetMetricNames",
        "Metric of the upper panel; empty: the ensemble's accuracy.",
    ),
    name_choice(
        "LossMetric", "", "GetMetricNames", "Metric of the lower panel; empty: the ensemble's loss."
    ),
    checkbox("LogLoss", False, "Draw the loss on a logarithmic scale."),
    drawn_runs("all"),
    follow_time("curves"),
    checkbox("ShowPlayhead", True, "Mark the current time (training step)."),
    LABEL_SIZE,
    ports=("Accuracy", "Loss", "Axes"),
)
class LossAccuracyGraph(loss_accuracy_graph.LossAccuracyGraph):
    """Filter on runs; the playhead follows ParaView's time."""
