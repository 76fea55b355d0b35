"""Proxies of the plots of weights: as boxes, as images, and in the colours of groups of filters."""

from pvensemble.filters import _weights, filter_groups, weight_boxes, weight_images

from .plots import LABEL_SIZE
from .properties import checkbox, choice, filter_proxy, group, name_choice, number, text

PROXIES = ("WeightBoxes", "WeightImages", "FilterGroups")

LAYER = name_choice(
    "Layer",
    "",
    "GetLayerNames",
    """Layer to show, of those that are checked under Layers of the Ensemble Reader. Empty: the last
    one.""",
)
KIND = choice("Kind", 0, _weights.KINDS, "Show the weights, or the gradients of the last batch.")
RUNS = text(
    "Runs", "", "Runs side by side, like 0-4,9; at most 16. Empty: the first one that has tensors."
)


@filter_proxy(
    """Draw every weight of a layer at the time as a box whose height and colour are its value,
    every filter (or unit) as a block, which holds a tile for each input channel. Boxes stand on the
    plane z = 0, negative ones hang down; cell i is a weight, with weight (or gradient), normalized
    (for colour, -1 to 1 at the same value over the whole training), run_index, filter, input, row
    and column. Very many weights are shown as an image of the same layout (third output). Use a
    tilted camera. Check the layer under Layers of the Ensemble Reader.""",
    LAYER,
    KIND,
    group(
        "Runs",
        RUNS,
        checkbox("Difference", False, "Show the first of two runs minus the second."),
    ),
    group(
        "Boxes",
        number(
            "HeightScale",
            0.0,
            """Height of a weight of 1, in plot units. 0: so that the largest weight of all recorded
            steps has a good height, which stays the same over the training.""",
            low=0.0,
        ),
        choice(
            "Detail",
            0,
            weight_boxes.DETAILS,
            f"""What is drawn. automatic: boxes, or of more than {weight_boxes.MAX_BOXES:,} weights
            an image.""",
        ),
    ),
    LABEL_SIZE,
    ports=("Boxes", "Axes", "Image"),
    tensors=True,
)
class WeightBoxes(weight_boxes.WeightBoxes):
    """Filter on runs and tensors."""


@filter_proxy(
    """Draw the weights of a layer at the time as flat tiles, every filter (or unit) as a block with
    a tile for each input channel, and beside them a histogram for each recorded step, with the
    median and the quantiles of 5 and 95 %. Cell i of the tiles is a weight, with the arrays of
    Weight Boxes; cells of the histograms hold log_share (log10 of the share of the weights, for
    colour), count, value, step and run_index. The table Statistics has a row for each run and
    recorded step. Very many weights are shown as an image of the same layout (third output). Check
    the layer under Layers of the Ensemble Reader.""",
    LAYER,
    KIND,
    RUNS,
    choice(
        "Range",
        1,
        weight_images.RANGES,
        """What the array normalized is divided by: the largest magnitude in each filter, or one
        value for all runs and recorded steps (three times the root mean square).""",
    ),
    checkbox("ShowHistograms", True, "Draw the histograms beside the tiles."),
    LABEL_SIZE,
    ports=("Tiles", "Axes", "Image", "Histograms", "Statistics"),
    tensors=True,
)
class WeightImages(weight_images.WeightImages):
    """Filter on runs and tensors."""


@filter_proxy(
    """Draw the filters of a layer at the time as small images, each in the colour of its group:
    those that are merged by the end of the training, or, in a run that merges nothing, those that
    correlate. A group keeps its colour over the whole training; filters that were merged away
    disappear. Cell i is a weight, with color (for Map Scalars off), filter_group (the filter that
    stands for it in the end), stands_for (number of filters now), merged, and the arrays of Weight
    Images. Check the layer under Layers of the Ensemble Reader, with the kinds weight, filter_group
    and correlation.""",
    LAYER,
    KIND,
    RUNS,
    number(
        "Threshold",
        0.9,
        """Correlation r from which on filters are a group, all of them with each other, at the last
        recorded step of runs that merge nothing.""",
        low=0.0,
        high=1.0,
    ),
    checkbox("KeepPlaces", False, "Keep the places of filters that were merged away, faded."),
    LABEL_SIZE,
    ports=("Tiles", "Axes"),
    tensors=True,
)
class FilterGroups(filter_groups.FilterGroups):
    """Filter on runs and tensors."""
