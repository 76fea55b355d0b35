"""Scene of the poster's figures, one at a time.

Rendered by ``pvensemble render --scene``; what is shown comes as JSON in ``TENSORVIZ_FIGURE``:
``show`` (boxes, dynamics, activations, groups), ``run``, ``step``
(absent: the last one), ``weights`` (numbers of two).
"""

import json
import os

from paraview import simple as pv

from pvensemble.schema import ACTIVATION, CORRELATION, FILTER_GROUP, WEIGHT
from pvensemble.views import attach, layout, pipeline, tensors
from pvensemble.views import dynamics_charts as dynamics
from pvensemble.views import topology_charts as topology
from pvensemble.views import weight_charts as weights
from pvensemble.views.link import unlink_all
from pvensemble.views.scenes import Scene

LAYERS = ("conv1", "conv2")


def build(path, size):
    """Build the views of a figure."""
    figure = json.loads(os.environ["TENSORVIZ_FIGURE"])
    scene = Scene()
    shared = pipeline.open_runs(path, "# none")
    rows = SHOWN[figure["show"]](shared, figure)
    plots = [plot for row in rows for plot in row]
    views = [layout.plot_view(title) for _, _, title in plots]
    tab = layout.new_layout("Figure")
    place(tab, rows, iter(views))
    layout.set_size(tab, views[0], size)
    pipeline.go_to_last_step()
    pv.GetAnimationScene().AnimationTime = figure.get("step", pipeline.time_steps()[-1])
    for (plot, show, _), view in zip(plots, views):
        plot.Runs = str(figure["run"])
        show(plot, view)
    layout.remove_empty_layouts(keep=[tab])
    pv.RenderAllViews()
    scene.layouts["figure"], scene.views = tab, {f"view{k}": v for k, v in enumerate(views)}
    layers = [tensors.text_of(plot, "Layer") for plot, _, _ in plots]
    scene.keep += attach.attach()
    unlink_all()  # here every plot has a layer of its own
    for (plot, _, _), layer in zip(plots, layers):
        plot.Runs = str(figure["run"])
        if layer:
            plot.Layer = layer
    pv.RenderAllViews()
    return scene


def place(tab, rows, views):
    """Put views into rows of cells of equal size."""
    below = layout.TOP
    for k, row in enumerate(rows):
        cell = below
        if k < len(rows) - 1:
            cell, below = layout.split(tab, below, "vertical", 1 / (len(rows) - k))
        for n in range(len(row), 0, -1):
            here = cell
            if n > 1:
                here, cell = layout.split(tab, cell, "horizontal", 1 / n)
            layout.place(tab, here, next(views))


def checked(shared, layers, kinds):
    """Return the tensors of some layers and kinds, of a reader of their own."""
    reader = tensors.second_reader(shared["reader"], "Layers")
    tensors.check(reader, layers, kinds)
    return tensors.tensors_of(reader)


def boxes(shared, figure):
    """Figure 2: weights of the first layer as boxes."""
    volumes = checked(shared, ["conv1"], [WEIGHT])
    plot = pv.WeightBoxes(Input=shared["groups"], Tensors=volumes, Layer="conv1")
    plot.Runs = str(figure["run"])
    return [[(plot, weights.show_weight_boxes, "Weights")]]


def paths(shared, figure):
    """Figure 3: norms over time, and the path of the weight vector."""
    volumes = checked(shared, ["conv1"], [WEIGHT])
    norms = pv.NormGraph(Input=shared["groups"], Layout="all layers")
    path = pv.WeightTrajectory(Input=shared["groups"], Tensors=volumes, Layer="conv1")
    path.Projection = "two weights"
    shown = (norms, dynamics.show_norm_graph, "Norms")
    path.Weights = figure["weights"]
    return [[shown], [(path, dynamics.show_weight_trajectory, "Path")]]


def activations(shared, figure):
    """Figure 4: activations and correlations of both layers."""
    rows = []
    for layer in LAYERS:
        volumes = checked(shared, [layer], [ACTIVATION, CORRELATION])
        of_layer = {"Input": shared["groups"], "Tensors": volumes, "Layer": layer}
        maps = pv.ActivationMaps(Runs=str(figure["run"]), **of_layer)
        matrix = pv.FilterCorrelation(Runs=str(figure["run"]), **of_layer)
        shown = (maps, topology.show_activations, f"Activations {layer}")
        rows.append([shown, (matrix, topology.show_correlations, f"Correlations {layer}")])
    return rows


def groups(shared, figure):
    """Figure 5: filters in the colours of their groups."""
    volumes = checked(shared, ["conv1"], [WEIGHT, CORRELATION, FILTER_GROUP])
    plot = pv.FilterGroups(Input=shared["groups"], Tensors=volumes, Layer="conv1")
    plot.Runs = str(figure["run"])
    return [[(plot, weights.show_filter_groups, "Filter Groups")]]


SHOWN = {"boxes": boxes, "dynamics": paths, "activations": activations, "groups": groups}
