"""Proxies of the filters that add columns to the runs."""

from pvensemble.filters import measures, run_groups

from .properties import checkbox, choice, filter_proxy, group, integer, name_choice, number, text

PROXIES = ("PerformanceMeasures", "RunGroups")


@filter_proxy(
    """Add performance measures to the runs, each in [0, 1] with high = good: P1, accuracy at a
    step; P2, largest accuracy in an interval of steps; P3, stability: the standard deviation of the
    accuracy in the interval, normalized and inverted; combined, the mean of the chosen ones; final
    and best accuracy; and the step at which a threshold is reached (NaN: never). A diverged run
    gets 0.""",
    name_choice("Metric", "", "GetMetricNames", "Metric to judge; empty: the ensemble's accuracy."),
    choice(
        "Preset",
        0,
        ("Custom", "Efficiency", "Stability"),
        """What step and interval judge. Efficiency: P1 after a tenth of the training, interval from
        there to six tenths. Stability: P1 at the end, interval the second half. Custom: as given
        below.""",
    ),
    group(
        "Steps (-1: the last)",
        integer(
            "P1Step", -1, "P1 is the accuracy at the last evaluated step up to this one.", low=-1
        ),
        integer("IntervalStart", 0, "First step of the interval of P2 and P3, included.", low=0),
        integer("IntervalEnd", -1, "Last step of the interval of P2 and P3, included.", low=-1),
    ),
    group(
        "Clamps (range to 0…1)",
        checkbox("UseClampP1", False, "Clamp P1 to a range and normalize it to that."),
        number("ClampP1", (0.0, 1.0), "Range of P1, accuracy as a fraction."),
        checkbox("UseClampP2", False, "Clamp P2 to a range and normalize it to that."),
        number("ClampP2", (0.0, 1.0), "Range of P2, accuracy as a fraction."),
        checkbox(
            "UseClampP3",
            False,
            "Clamp the deviation behind P3; off: from the least to the largest of all runs.",
        ),
        number("ClampP3", (0.0, 5.0), "Range of the standard deviation, in percentage points."),
    ),
    group(
        "Combined measure",
        checkbox("UseP1", True, "P1 enters the combined measure."),
        checkbox("UseP2", True, "P2 enters the combined measure."),
        checkbox("UseP3", True, "P3 enters the combined measure."),
    ),
    number("Threshold", 0.9, "Accuracy (fraction) whose first step is time_to_threshold."),
)
class PerformanceMeasures(measures.PerformanceMeasures):
    """Filter on runs."""


@filter_proxy(
    """Name and colour groups of runs, several at once. A run belongs to the first group that holds
    it; its place in the list and its colour become the arrays group and group_color, which all
    plots use.""",
    text(
        "Groups",
        "",
        """One group a line: name = #rrggbb : expression. Expressions: P1 > 0.9 and
        learning_rate < 0.01, top 10 combined, bottom 10 P3, runs 0-4,9, optimizer in ["sgd"],
        0.1 < momentum <= 0.9 or not nesterov. Without "= #rrggbb" a colour is chosen.""",
        lines=True,
    ),
)
class RunGroups(run_groups.RunGroups):
    """Filter on runs."""
